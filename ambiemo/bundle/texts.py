"""The two files in a bundle that let a stranger check it without this package: README.md, and verify.py, which imports none of it."""

from importlib import resources


def readme(name: str) -> str:
    """data/README.md of the bundle of that name."""
    return resources.files("ambiemo.bundle").joinpath("bundle-readme.md").read_text("utf-8").replace("{name}", name)


def verifier() -> bytes:
    """data/verify.py: `independent.py` as it is."""
    return resources.files("ambiemo.bundle").joinpath("independent.py").read_bytes()
