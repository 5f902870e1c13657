"""The command line: parse, call, print. Every command imports what it needs when it is called, so that `verify` and `score` start at once."""

import sys
from pathlib import Path

import click

from ambiemo import __version__
from ambiemo.errors import AmbiemoError


class OneLineErrors(click.Group):
    """Prints the package's own errors as one line on stderr and exits with the code they carry."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except AmbiemoError as error:
            click.echo(f"ambiemo: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ambiemo")
def main() -> None:
    """Reproduce, and check, "Decoding Ambiguous Emotions with Test-Time Scaling in Audio-Language Models" (arXiv 2602.03873)."""


PLAN = click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))


@main.command()
@PLAN
@click.option("--limit", type=click.IntRange(min=1), help="At most this many utterances of each corpus.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(plan_file: Path, limit: int | None, as_json: bool) -> None:
    """Dry run: cells, draws before and after sharing, tokens, cost, and what is missing. Exit 0 ready, 2 something missing."""
    from ambiemo import plan as plans
    from ambiemo.results import dry_run

    ready = dry_run.show(plans.expand(plans.read(plan_file), limit=limit), as_json=as_json)
    sys.exit(0 if ready else 2)


@main.command()
@PLAN
@click.option("--out", type=click.Path(path_type=Path), help="The bundle's folder. Default: artifacts/<name of the plan>.")
@click.option("--store", type=click.Path(path_type=Path), help="Where answers are kept between runs. Default: .store beside the bundle.")
@click.option("--address", help="A Ray cluster to run on (such as 'auto'). Default: Ray on this machine.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many utterances of each corpus; the bundle says so.")
@click.option("--allow-missing", is_flag=True, help="Leave out what this machine lacks; every table names what was left out.")
def run(
    plan_file: Path, out: Path | None, store: Path | None, address: str | None, limit: int | None, allow_missing: bool
) -> None:
    """The whole job, resumable; ends with a bundle. Exit 0 done, 1 failed, 2 cannot start."""
    from ambiemo.pipeline.run import run as run_plan

    run_plan(plan_file, out=out, store=store, address=address, limit=limit, allow_missing=allow_missing)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the tables into this folder too.")
def tables(bundle: Path, out: Path | None) -> None:
    """The tables of a bundle again, from its answers."""
    from ambiemo.results import tables as results

    results.show(bundle, out)


@main.command()
def strategies() -> None:
    """The strategies: prompt, decoding, scorer, aggregator, and what each needs of a model."""
    from ambiemo.results.listing import show_strategies

    show_strategies()


@main.command()
def models() -> None:
    """The models: weights, revision, engine, what each can do."""
    from ambiemo.results.listing import show_models

    show_models()


@main.group()
def data() -> None:
    """Corpora: import as the owner ships them, fetch the open ones, describe."""
