"""Numbers of a table with their intervals: the jackknife over speakers, one grouping for many
numbers.

`metrics.jackknife` is the method. Here the speakers are sorted once for a corpus, and utterances
without a value are left out together with the speakers who have no other. A number without an
interval carries its reason, and a row says which of its numbers that is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ambiemo.jsonlines import Row
from ambiemo.metrics.arithmetic import Array, grouped_totals
from ambiemo.metrics.distribution import mean
from ambiemo.metrics.jackknife import Estimate, Value, from_sums
from ambiemo.results.tables.csv_form import place

NAN = math.nan
Bools = npt.NDArray[np.bool_]


class Clusters:
    """The speakers of one corpus' utterances, sorted once. names (n,); level: of the intervals."""

    def __init__(self, names: Sequence[str], level: float) -> None:
        self.level = level
        self.names = sorted(set(names))
        place = {name: code for code, name in enumerate(self.names)}
        self.codes = np.array([place[name] for name in names], dtype=np.int64)
        self._order = np.argsort(self.codes, kind="stable")
        counts = np.bincount(self.codes, minlength=len(self.names))
        self._edges = np.concatenate([[0], np.cumsum(counts)])

    def sums(self, statistics: Array) -> Array:
        """Statistics (n, S) added within each speaker, (C, S), exactly rounded."""
        return grouped_totals(statistics[self._order], self._edges)

    def of(self, statistics: Array, kept: Bools, value: Value) -> Estimate:
        """A function of the summed statistics (n, S) of the kept utterances (n,), with its
        interval."""
        parts = np.where(kept[:, None], statistics, 0.0)
        return self.of_sums(self.sums(np.column_stack([parts, kept])), value)

    def of_sums(self, sums: Array, value: Value) -> Estimate:
        """The same from the speakers' sums (C, S + 1); the last column counts utterances."""
        there = sums[:, -1] > 0
        parts, counts = sums[there, :-1], sums[there, -1]
        whole = np.array([math.fsum(column) for column in parts.T.tolist()])
        return from_sums(parts, counts, whole, value, self.level)

    def mean(self, values: npt.ArrayLike) -> Estimate:
        """The mean of one number per utterance (n,); NaN is left out."""
        array = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(array)
        sums = self.sums(np.where(known, array, 0.0)[:, None])[:, 0]
        counts = np.bincount(self.codes[known], minlength=len(self.names)).astype(np.float64)
        # The layout of `distribution.averaged`: the number, whether there is one, whether it is
        # infinite; then the count of utterances.
        return self.of_sums(np.stack([sums, counts, np.zeros(len(counts)), counts], axis=1), mean)

    def means(self, columns: Mapping[str, npt.ArrayLike]) -> dict[str, Estimate]:
        """`mean` of several, by name."""
        return {name: self.mean(values) for name, values in columns.items()}


def unknown(reason: str, n: int = 0) -> Estimate:
    """An estimate without a value, with the reason."""
    return Estimate(NAN, NAN, NAN, NAN, NAN, 0, NAN, n, reason)


def wide(estimates: Mapping[str, Estimate]) -> Row:
    """NAME, NAME_low and NAME_high of several numbers of one row, and `reason`: why some have no
    value or no interval.
    """
    row: Row = {}
    for name, one in estimates.items():
        row |= {
            name: place(one.value),
            f"{name}_low": place(one.low),
            f"{name}_high": place(one.high),
        }
    return row | {"reason": reasons({name: one.reason for name, one in estimates.items()})}


def long(one: Estimate) -> Row:
    """One number as the last columns of its own row."""
    return {
        "value": place(one.value),
        "low": place(one.low),
        "high": place(one.high),
        **sizes(one),
        "reason": one.reason,
    }


def sizes(one: Estimate) -> Row:
    """How many utterances and speakers an estimate rests on."""
    return {
        "n": one.n,
        "speakers": one.clusters,
        "g_eff": place(one.effective),
    }


def reasons(by_name: Mapping[str, str]) -> str:
    """The reasons of a row: "NAMES: REASON", equal ones together; without names if all agree."""
    names: dict[str, list[str]] = {}
    for name, reason in by_name.items():
        if reason:
            names.setdefault(reason, []).append(name)
    if len(names) == 1 and len(next(iter(names.values()))) == len(by_name):
        return next(iter(names))
    return "; ".join(f"{', '.join(of)}: {reason}" for reason, of in names.items())


def first_with_value(estimates: Iterable[Estimate]) -> Estimate:
    """The first estimate that rests on any utterance, for `sizes`; else the first of all."""
    every = list(estimates)
    return next((one for one in every if one.n), every[0])
