"""A table's CSV as text: every cell knows where it is from, and no digit is lost.

Rows are counted as `ambiemo trace` counts them: the header is row 1.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ambiemo.errors import shown

LONGEST = 4000
"""Characters of a cell that a page shows."""
FIRST_ROW = 2


@dataclass(frozen=True)
class Cell:
    """One number or word of a table: the table's name without .csv, its row, its column, its text."""

    table: str
    row: int
    column: str
    text: str

    @property
    def number(self) -> float:
        """The value; NaN where the cell is empty. Raises ValueError where it is not a number."""
        return float(self.text or "nan")

    @property
    def source(self) -> str:
        """Where it is from, for people: "results.csv row 12 js_divergence_bits"."""
        return f"{self.table}.csv row {self.row} {self.column}"

    def __bool__(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Reckoned:
    """A number that no table has: made for the page. source says of what; row is 0."""

    text: str
    source: str
    row: int = 0

    def __bool__(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    table: str
    row: int
    texts: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.texts[column]

    def cell(self, column: str) -> Cell:
        """The cell of a column. Raises KeyError where the table has no such column."""
        return Cell(self.table, self.row, column, self.texts[column])

    def number(self, column: str) -> float:
        """The value of a column; NaN where the cell is empty."""
        return float(self.texts[column] or "nan")

    def interval(self, column: str) -> tuple[float, float, float]:
        """Value, low and high of a column that has bounds of its own name."""
        return (
            self.number(column),
            self.number(f"{column}_low"),
            self.number(f"{column}_high"),
        )

    @property
    def unit(self) -> tuple[str, str]:
        """Corpus and model of the row."""
        return self.texts["corpus"], self.texts["model"]

    def sure(self, column: str, low: str = "", high: str = "") -> bool:
        """Whether the interval excludes 0. False where there is none."""
        bounds = self.number(low or f"{column}_low"), self.number(high or f"{column}_high")
        return not math.isnan(bounds[0]) and (bounds[0] > 0 or bounds[1] < 0)


@dataclass(frozen=True)
class Table:
    """A CSV file of a bundle."""

    name: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def of(self, **wanted: str) -> list[Line]:
        """Rows whose columns have these texts."""
        return [
            line for line in self.lines if all(line[name] == text for name, text in wanted.items())
        ]

    def where(self, wanted: Callable[[Line], bool]) -> list[Line]:
        """Rows for which `wanted` is true."""
        return [line for line in self.lines if wanted(line)]

    @cached_property
    def units(self) -> list[tuple[str, str]]:
        """Corpus and model of the rows, each once, in the table's order, without baselines."""
        return list(dict.fromkeys(one.unit for one in self if one["model"] != "baselines"))


def read(name: str, data: bytes) -> Table:
    """A table from its CSV; empty data is a table without columns. Raises ValueError (not UTF-8, a
    row of another length, a column twice).
    """
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    if not rows:
        return Table(name, (), ())
    columns = tuple(rows[0])
    if len(set(columns)) < len(columns):
        raise ValueError(f"{name}.csv: found a column twice, expected once")
    lines = []
    for number, row in enumerate(rows[1:], FIRST_ROW):
        if len(row) != len(columns):
            raise ValueError(
                f"{name}.csv row {number}: found {len(row)} cells, expected {len(columns)}"
            )
        lines.append(Line(name, number, dict(zip(columns, row, strict=True))))
    return Table(name, columns, tuple(lines))


def read_all(files: Mapping[str, bytes], names: Sequence[str]) -> dict[str, Table]:
    """Tables by name, from a bundle's files; one that is not there is empty."""
    return {name: read(name, files.get(f"tables/{name}.csv", b"")) for name in names}


def visible(text: str) -> str:
    """A text of unknown origin as a page shows it: no control character, no mark that turns the
    direction of writing. Line feeds stay.
    """
    return "\n".join(shown(line, LONGEST) for line in text[: 4 * LONGEST].split("\n"))
