"""What a person sees: the one way to print a table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH_OF_A_FILE = 160
"""Columns where the output is not a terminal."""
NARROWEST = 100


def console(width_of_a_file: int = WIDTH_OF_A_FILE) -> "Console":
    """Where to print: as wide as the terminal, at least NARROWEST columns."""
    from rich.console import Console

    here = Console()
    width = here.width if here.is_terminal else width_of_a_file
    return Console(width=max(width, NARROWEST), highlight=False)


def table(title: str, lines: Sequence[Sequence[str]], words: int) -> "Table":
    """A table: heads, then lines; the first `words` columns are words, the others numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(title, "italic"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    for index, head in enumerate(lines[0]):
        made.add_column(
            Text(head), justify="left" if index < words else "right", no_wrap=index == 0
        )
    for line in lines[1:]:
        made.add_row(*(Text(cell) for cell in line))
    return made


def print_tables(files: Mapping[str, bytes]) -> None:
    """The tables for people, from the files of a bundle: the results, more candidates, and whether
    the clips were heard.
    """
    from ambiemo.results.claims_rendering import TITLE, claims_from_csv, claims_table
    from ambiemo.results.rendering import (
        LEVEL_TITLE,
        LEVEL_WARNING,
        MORE,
        by_level,
        from_csv,
        grouped,
        heading,
        heard_table,
        scaling,
        unscored,
    )
    from ambiemo.results.sections import read_csv, short_gains

    results, cells = (from_csv(files[f"tables/{name}.csv"]) for name in ("results", "cells"))
    heard = from_csv(files.get("tables/heard.csv", b""))
    out = console()
    for (corpus, model), lines in grouped(results, cells).items():
        out.print(table(f"{model} on {corpus}", [[*map(_stacked, heading())], *lines], words=1))
        for note in unscored(results, corpus, model):
            out.print(note, markup=False)
    if more := scaling(results, cells):
        out.print(table(MORE, more, words=2))
    out.print(table(LEVEL_TITLE, by_level(results), words=2))
    out.print(LEVEL_WARNING, markup=False)
    if heard:
        out.print(table("Was it heard?", heard_table(heard), words=3))
    for (corpus, model), lines in short_gains(read_csv(files.get("tables/gains.csv", b""))).items():
        out.print(
            table(f"What the gain of {model} on {corpus} consists of, JS bits", lines, words=1)
        )
    if decided := claims_table(claims_from_csv(files.get("tables/claims.csv", b""))):
        out.print(table(TITLE, decided, words=3))


def _stacked(head: str) -> str:
    """A head of several words in two lines: the numbers below it are narrower. An arrow stays
    beside its word.
    """
    first, _, rest = head.partition(" ")
    return head if rest in ("", "↑", "↓") else f"{first}\n{rest}"
