"""The rows of a table as CSV and back, and numbers rounded as a table has them."""

import csv
import io
import math
from collections.abc import Collection, Iterable

import numpy as np

from ambiemo.jsonlines import Row

PLACES = 6
"""Decimals of every number in a table. Differences between processors are in the sixteenth."""


def mean_of(values: np.ndarray) -> float:
    """Mean as a table has it; NaN of nothing."""
    return place(math.fsum(values) / len(values)) if len(values) else math.nan


def place(value: float) -> float:
    """Rounded as a table has it; never "-0.0"."""
    return round(float(value), PLACES) + 0.0


def rows_from(data: bytes, words: Collection[str], counts: Collection[str] = ()) -> list[Row]:
    """Rows of a table's CSV: `words` as text, `counts` as whole numbers, the others as numbers
    ("" = NaN).
    """
    return [
        {
            name: value
            if name in words
            else int(value)
            if name in counts
            else float(value or "nan")
            for name, value in row.items()
        }
        for row in csv.DictReader(io.StringIO(data.decode("utf-8")))
    ]


def as_csv(rows: Iterable[Row]) -> bytes:
    """Rows as CSV: floats with six decimals, "" for what is not estimable, "inf" where a metric
    diverges."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(_cell(value) for value in row.values())
    return text.getvalue().encode("utf-8")


def _cell(value: object) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            return "" if math.isnan(value) else str(value)
        return f"{place(value):.{PLACES}f}"
    return value
