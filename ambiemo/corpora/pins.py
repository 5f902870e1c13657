"""The files of a corpus whose hashes are known: what `ambiemo data fetch` downloads and checks."""

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Pinned:
    """A file of a corpus.

    path: relative to the corpus folder. size: in bytes. base_url: the address that serves the path;
    "" if the owner serves no single files.
    """

    path: str
    sha256: str
    size: int
    base_url: str


@dataclass(frozen=True)
class Downloads:
    """Files in the order to fetch them, tables before audio, and a note for the user or ""."""

    files: tuple[Pinned, ...]
    note: str = ""


def from_manifest(name: str, base_url: str) -> tuple[Pinned, ...]:
    """The files of a manifest (a CSV of this package: path, sha256, size), at one address."""
    text = files("ambiemo.corpora").joinpath(name).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(Pinned(row["path"], row["sha256"], int(row["size"]), base_url) for row in rows)
