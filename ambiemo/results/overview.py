"""The tables of a bundle for people, as parts for the terminal: what `make quick` ends with and
`ambiemo tables` prints.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ambiemo.results.claims.deciding import NOT_TESTED
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
from ambiemo.terminal import Column, Part, Table, table

RANKS = {"JS bits ↓": 0, "failed": 1, "n": 2, "unparsed": 3, "accuracy ↑": 4, "BC ↑": 5}
RANKS |= {"macro F1 ↑": 6, "R² Pearson ↑": 7, "ECE 10 ↓": 8}
"""Columns of the results in the order in which a narrow terminal keeps them."""
CLAIMS = (
    Column("claim", "key"),
    Column("what it says", "words", 1),
    Column("verdict", "key"),
    Column("estimate"),
    Column("p (Holm)", "number", 2),
    Column("answers to flip", "number", 3),
)


def overview(files: Mapping[str, bytes]) -> list[Part]:
    """The tables for people, from the files of a bundle: results, more candidates, levels, whether
    the clips were heard, what the gain consists of, claims.
    """
    return list(_parts(files))


def _parts(files: Mapping[str, bytes]) -> Iterator[Part]:
    results, cells = (from_csv(files[f"tables/{name}.csv"]) for name in ("results", "cells"))
    heard = from_csv(files.get("tables/heard.csv", b""))
    heads = tuple(
        Column(head, "number", RANKS.get(head, 9)) if place else Column(head, "key")
        for place, head in enumerate(heading())
    )
    see = "data/tables/results.csv of the bundle"
    for (corpus, model), lines in grouped(results, cells).items():
        yield Table(f"{model} on {corpus}", heads, tuple(map(tuple, lines)), see)
        yield from unscored(results, corpus, model)
    if more := scaling(results, cells):
        yield _scaling(more, see)
    yield replace(table(LEVEL_TITLE, by_level(results), words=2, see=see), caveat=LEVEL_WARNING)
    if heard:
        yield _heard(heard_table(heard))
    for (corpus, model), lines in short_gains(read_csv(files.get("tables/gains.csv", b""))).items():
        title = f"What the gain of {model} on {corpus} consists of, JS bits"
        whole = table(title, lines, words=1, see="data/tables/gains.csv of the bundle")
        yield replace(whole, columns=tuple(map(_gain_column, whole.columns)))
    if decided := claims_table(claims_from_csv(files.get("tables/claims.csv", b"")))[1:]:
        see = "data/tables/claims.csv of the bundle"
        rows = tuple(tuple(line) for line in decided if line[2] != NOT_TESTED)
        if rows:
            yield Table(TITLE, CLAIMS, rows, see)
        for name, says, verdict, *_ in (line for line in decided if line[2] == NOT_TESTED):
            yield f"{name}: {verdict}: {says}"


def _scaling(lines: Sequence[Sequence[str]], see: str) -> Table:
    """One row for each strategy and number of candidates: as columns, the numbers would not fit a
    narrow terminal, and strategies would lose all of theirs.
    """
    heads, *strategies = lines
    rows = [
        (model, strategy, head.removeprefix("N = "), cell)
        for model, strategy, *cells in strategies
        for head, cell in zip(heads[2:], cells, strict=True)
        if cell
    ]
    return table(MORE, [("model", "strategy", "N", "JS bits"), *rows], words=2, see=see)


def _gain_column(column: Column) -> Column:
    """The total and the choice stay longest: they say whether a scorer is worth its price."""
    ranks = {"strategy": 0, "total": 0, "choice": 1, "averaging": 2, "decoding": 3, "N": 4}
    return Column(column.head, column.kind, ranks.get(column.head, 5))


def _heard(lines: list[list[str]]) -> Table:
    """The last column of the table of controls is a word, and stays."""
    whole = table("Was it heard?", lines, words=3, see="data/tables/heard.csv of the bundle")
    ranks = {"difference": 1, "p (Holm)": 2, "unchanged": 3, "JS without": 4, "JS with the clip": 5}
    numbers = [Column(one.head, "number", ranks.get(one.head, 6)) for one in whole.columns[3:-1]]
    columns = (*whole.columns[:3], *numbers, Column("heard?", "key"))
    return replace(whole, columns=columns)


def as_object(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Every table as a list of rows, by its name; numbers as numbers, null where there is none."""
    return {
        "tables": {
            path.removeprefix("tables/").removesuffix(".csv"): [
                {key: _value(cell) for key, cell in row.items()}
                for row in csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
            ]
            for path, data in files.items()
            if path.endswith(".csv")
        }
    }


def _value(cell: str) -> Any:
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        return cell
    return int(cell) if cell.lstrip("-").isdecimal() else number
