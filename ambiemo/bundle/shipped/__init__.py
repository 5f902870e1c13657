"""What a bundle carries verbatim: README.md, and verify.py, which checks the bundle and imports
nothing of this package.
"""

from importlib import resources


def readme(name: str) -> str:
    """data/README.md of the bundle of that name."""
    return (
        resources.files("ambiemo.bundle.shipped")
        .joinpath("README.md")
        .read_text("utf-8")
        .replace("{name}", name)
    )


def verifier() -> bytes:
    """data/verify.py: the file of that name in this folder, as it is."""
    return resources.files("ambiemo.bundle.shipped").joinpath("verify.py").read_bytes()
