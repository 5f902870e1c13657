"""The metrics of one corpus' predictions, and differences of two, with how sure they are.

`metrics.intervals` says which method fits which metric. This module applies it to many columns of
predictions at little cost: what is measured on an utterance is computed once per column, summed
once per cluster (a speaker) and set of utterances, and every metric is evaluated from that one
stack of sums. The jackknife needs one evaluation per speaker, and a difference of means needs the
sums of the differences only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambiemo.metrics import METRICS, Metric
from ambiemo.metrics.arithmetic import Array, sums_and_total
from ambiemo.metrics.inference import Resamples, statistics_of
from ambiemo.metrics.intervals import Sure, mean_differences, value_of_sums
from ambiemo.metrics.jackknife import Estimate, effective_clusters
from ambiemo.plan.schema import Plan
from ambiemo.results.predictions import Column
from ambiemo.results.truths import Truths
from ambiemo.seeds import seed

PAIRED_METRICS = ("js_divergence_bits", "bhattacharyya", "brier", "accuracy")
"""What two columns are compared by: means over utterances that are finite on every utterance."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Speakers:
    """The clusters of some utterances, sorted by name.

    names   (n,), the cluster of each utterance
    order   (n,), the utterances sorted by cluster; edges (C + 1,) where each cluster begins there
    counts  (C,), utterances in each cluster
    """

    names: tuple[str, ...]
    order: NDArray[np.int64]
    edges: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def effective(self) -> float:
        """G_eff: how many clusters of one size would weigh as much; NaN for no utterance."""
        return effective_clusters(self.counts)

    def sums(self, parts: Array) -> tuple[Array, Array]:
        """Statistics (n, S) summed within each cluster, (C, S), and over all, (S,)."""
        return sums_and_total(parts[self.order], self.edges)


class Measures:
    """The metrics of one corpus' columns on any set of its utterances."""

    def __init__(self, plan: Plan, truths: Truths, corpus: str) -> None:
        self.plan, self.truths, self.corpus = plan, truths, corpus
        self._clusters = sorted(set(truths.speakers))
        place = {name: code for code, name in enumerate(self._clusters)}
        self._codes = np.array([place[name] for name in truths.speakers], dtype=np.int64)
        self._speakers: dict[bytes, Speakers] = {}
        self._resamples: dict[tuple[str, bytes], Resamples] = {}
        self._values: dict[tuple[str, str, str, str], Array] = {}
        self._latest: tuple[Column | None, tuple[Array, dict[str, slice]]] = (
            None,
            (np.zeros((0, 0)), {}),
        )

    def speakers(self, rows: Bools) -> Speakers:
        """The clusters of the utterances `rows` (n of the corpus,)."""
        key = rows.tobytes()
        if key not in self._speakers:
            codes = self._codes[rows]
            sizes = np.bincount(codes, minlength=len(self._clusters))
            counts = sizes[sizes > 0]
            names = tuple(self._clusters[code] for code in codes.tolist())
            edges = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            order = np.argsort(codes, kind="stable")
            self._speakers[key] = Speakers(names, order, edges, counts)
        return self._speakers[key]

    def values(self, column: Column, level: str, rows: Bools) -> dict[str, Sure]:
        """Every metric of a column on the utterances `rows`, all of which have a prediction."""
        parts, places = self._statistics(column)
        return self.of(METRICS, parts[rows[column.has_prediction]], places, level, rows)

    def of(
        self,
        metrics: Sequence[Metric],
        parts: Array,
        places: dict[str, slice],
        level: str,
        rows: Bools,
    ) -> dict[str, Sure]:
        """Metrics of statistics (n, S), one row per utterance of `rows`; places: each metric's
        columns.

        The bootstrap of the calibration errors has one seed per corpus and level, so that all
        columns meet the same resamples.
        """
        speakers = self.speakers(rows)
        sums, whole = speakers.sums(parts)

        def repeats(part: Array) -> Array:
            key = (level, rows.tobytes())
            if key not in self._resamples:
                chance = seed("bootstrap", self.plan.seed, self.corpus, level)
                self._resamples[key] = Resamples(
                    speakers.names, chance, self.plan.bootstrap.resamples
                )
            return self._resamples[key].sums(part)

        return {
            one.name: value_of_sums(
                one,
                sums[:, places[one.name]],
                speakers.counts,
                whole[places[one.name]],
                repeats,
                self.plan.bootstrap.level,
            )
            for one in metrics
        }

    def differences(self, a: Column, b: Column, rows: Bools) -> dict[str, tuple[Estimate, str]]:
        """Value of a minus value of b by each of PAIRED_METRICS, and the name of the p's method.

        rows: utterances with a prediction on both sides.
        """
        apart = (self._paired(a) - self._paired(b))[rows]
        speakers = self.speakers(rows)
        sums, whole = speakers.sums(apart)
        level = self.plan.bootstrap.level
        estimates = mean_differences(apart, sums, whole, speakers.counts, level)
        return dict(zip(PAIRED_METRICS, estimates, strict=True))

    def _paired(self, column: Column) -> Array:
        """PAIRED_METRICS of every utterance, (n, 4); NaN without a prediction."""
        if column.name not in self._values:
            known = column.has_prediction
            values = np.full((len(known), len(PAIRED_METRICS)), np.nan)
            chosen = [one for one in METRICS if one.name in PAIRED_METRICS]
            parts, places = statistics_of(chosen, self.truths.truth[known], column.predicted[known])
            for place, name in enumerate(PAIRED_METRICS):
                values[known, place] = parts[:, places[name].start]
            self._values[column.name] = values
        return self._values[column.name]

    def _statistics(self, column: Column) -> tuple[Array, dict[str, slice]]:
        if self._latest[0] is not column:
            known = column.has_prediction
            statistics = statistics_of(METRICS, self.truths.truth[known], column.predicted[known])
            self._latest = (column, statistics)
        return self._latest[1]
