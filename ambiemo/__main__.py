"""`python -m ambiemo` is the `ambiemo` command."""

from ambiemo.cli import main

main(prog_name="ambiemo")
