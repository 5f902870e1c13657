"""The verdicts of two bundles side by side.

Two runs of one plan need not have the same answers, and a verdict near its edge may change with a
few of them, so the number of answers that would change it stands next to it. Verdicts decided by
different claims files are not comparable; the summary says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ambiemo.bundle.folder import payload
from ambiemo.errors import Broken
from ambiemo.results.claims.deciding import NOT_TESTED
from ambiemo.results.claims_rendering import claims_from_csv, estimate_of, flips_of
from ambiemo.terminal import Column, Part, Table

TABLE, FILE = "tables/claims.csv", "config/claims.yaml"
HEADS = ["claim", "first", "estimate", "flips", "second", "estimate", "flips", ""]


class Compared(NamedTuple):
    """Claims of both bundles.

    lines     heads, then one line per claim that either bundle has tested
    agree     whether every such claim has the same verdict in both, by the same rules
    summary   one line
    """

    lines: list[list[str]]
    agree: bool
    summary: str


def claims_compared(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> Compared:
    """Compare the verdicts of two bundles (files by path below `data/`), as the bundles have them.

    Claims that neither bundle tests are counted in the summary only. Raises Broken for a bundle
    without claims.
    """
    sides = []
    for name, files in (("first", first), ("second", second)):
        if TABLE not in files or FILE not in files:
            raise Broken(
                f"data/{TABLE}: the {name} bundle has no claims; it was written by an older version of ambiemo"
            )
        sides.append({row["id"]: row for row in claims_from_csv(files[TABLE])})
    ids = list(dict.fromkeys([*sides[0], *sides[1]]))
    lines, same, other, untested = [HEADS], 0, 0, 0
    for one in ids:
        rows = [side.get(one) for side in sides]
        verdicts = [row["verdict"] if row else "not there" for row in rows]
        if all(verdict in (NOT_TESTED, "not there") for verdict in verdicts):
            untested += 1
            continue
        alike = verdicts[0] == verdicts[1]
        same, other = same + alike, other + (not alike)
        line = [one]
        for row, verdict in zip(rows, verdicts, strict=True):
            line += [verdict, estimate_of(row) if row else "", flips_of(row) if row else ""]
        lines.append([*line, "" if alike else "differs"])
    rules = first[FILE] == second[FILE]
    summary = f"claims: {same} with the same verdict, {other} differ, {untested} tested by neither"
    if not rules:
        summary += "; the bundles were decided by different claims, so verdicts are not comparable"
    return Compared(lines, rules and not other, summary)


def claims_parts(first: Path, second: Path) -> list[Part]:
    """The claims of two bundles' folders side by side; one line where one of them has none."""
    try:
        comparison = claims_compared(payload(first), payload(second))
    except Broken as error:
        return [f"claims are not compared: {error}"]
    if len(comparison.lines) == 1:
        return [comparison.summary]
    rows = tuple(map(tuple, comparison.lines[1:]))
    see = "data/tables/claims.csv of each bundle"
    return [Table("Claims: bundle A and bundle B", COLUMNS, rows, see), comparison.summary]


COLUMNS = (
    Column("claim", "key"),
    Column("A", "key"),
    Column("estimate A", "number", 1),
    Column("flips A", "number", 3),
    Column("B", "key"),
    Column("estimate B", "number", 2),
    Column("flips B", "number", 4),
    Column("", "key"),
)
