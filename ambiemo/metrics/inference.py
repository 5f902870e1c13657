"""How sure a number is: clustered percentile bootstrap, paired differences, and Holm's correction.

Utterances of one speaker (or dialogue) are not independent, so whole clusters are drawn again, with
replacement, not utterances (Davison and Hinkley 1997, sec. 3.8; Field and Welsh 2007). A metric is
a function of sums, so a resample is a weighted sum of the clusters' sums: nothing is evaluated
twice. Known weakness: with few clusters (under about 20) a percentile interval is too short, it
covers less than its level, and p is too small (`paired`); with one cluster nothing can be estimated
and the interval is NaN, never 0.

Same input, same seed: same bits. Clusters are sorted by name, sums are exactly rounded, the random
words are those of Philox itself (numpy promises its raw output across versions, and does not
promise that of `Generator.integers`), and no BLAS is called.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array, sums_and_total

if TYPE_CHECKING:
    from ambiemo.metrics import Metric

RESAMPLES = 2000
LEVEL = 0.95
LOST = 0.05
"""Largest share of resamples in which a metric may be not estimable before its interval is not
estimable either.
"""
ZERO = 1e-12
"""Differences up to this are 0 when signs are counted: two equal strategies differ by rounding, not
by sign.
"""
BLOCK = 1 << 22
"""Random words held at a time."""


class Interval(NamedTuple):
    """A metric's value and the bounds of its interval; NaN where not estimable."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Value of a minus value of b, the bounds of its interval, and the two-sided p; NaN where not
    estimable.
    """

    difference: float
    low: float
    high: float
    p: float


def interval(
    metric: "Metric",
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    clusters: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Value of a metric with its percentile interval from a bootstrap over clusters.

    truth and predicted (n, K); clusters (n,) names; seed from ambiemo.seeds.seed. The bounds are
    NaN with fewer than two clusters, where the value is NaN or infinite, and where the metric is
    not estimable in more than LOST of the resamples (the others are left out).
    """
    return intervals((metric,), truth, predicted, clusters, seed, resamples, level)[metric.name]


def intervals(
    metrics: Sequence["Metric"],
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    clusters: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """`interval` of several metrics by name, from one set of resamples; each is what `interval`
    gives alone, to the bit.
    """
    drawn = Resamples(clusters, seed, resamples)
    points, repeats = drawn.evaluate(metrics, *statistics_of(metrics, truth, predicted))
    return {name: drawn.interval(points[name], repeats[name], level) for name in points}


def paired(
    metric: "Metric",
    truth: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    clusters: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Difference:
    """Metric of predictions a minus metric of predictions b on the same utterances: difference,
    percentile interval, two-sided p.

    Both are evaluated on the same resampled clusters. p = 2 min(1 + #(d <= 0), 1 + #(d >= 0)) / (R
    + 1), at most 1, over the R resamples in which the difference d is estimable: the level at which
    the percentile interval just touches 0 (Efron and Tibshirani 1993, ch. 15 and 16; the added 1
    after Davison and Hinkley 1997, ch. 4), so it is never 0 and equal predictions have p = 1. NaN
    as in `interval`.

    With C clusters p is never below 2^(1 - C), the smallest p of an exact sign-flip test: a
    bootstrap of two clusters finds both on one side in half of all cases where nothing differs. So
    under 6 clusters nothing is sure at .05; from 12 on, with 2000 resamples, the floor changes
    nothing. Between about 4 and 10 clusters p stays too small even so: before the floor, 19, 14, 10
    and 8 % of 2000 simulated differences of nothing had p < .05 at C = 4, 6, 10 and 12.
    """
    drawn = Resamples(clusters, seed, resamples)
    sides = []
    for predicted in (a, b):
        points, repeats = drawn.evaluate((metric,), *statistics_of((metric,), truth, predicted))
        sides.append((points[metric.name], repeats[metric.name]))
    return drawn.difference(sides[0], sides[1], level)


def holm(p: npt.ArrayLike) -> Array:
    """Holm-adjusted p-values of one family, (m,) -> (m,), in the given order.

    A NaN (not estimable) stays NaN and still counts in m: dropping a comparison that could not be
    made must not help the others. Raises ValueError for a p outside [0, 1]. Source: Holm 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or np.any((values < 0) | (values > 1)):
        raise ValueError("holm: p must be one row of numbers from 0 to 1")
    order = np.argsort(values, kind="stable")  # NaN sorts last
    steps = np.minimum(values[order] * (len(values) - np.arange(len(values))), 1.0)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(steps)  # NaN is last, so it spreads over nothing else
    return adjusted


def resample_counts(clusters: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """How often each cluster is drawn in each resample: blocks (r, clusters) whose rows each sum to
    `clusters`, `resamples` rows in all.

    Draws are (word >> 32) * clusters >> 32 of Philox's raw 64-bit words; the bias, at most clusters
    / 2^32, is nothing here.
    """
    words = np.random.Philox(key=seed)
    rows = max(1, BLOCK // clusters)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = (words.random_raw(size * clusters) >> np.uint64(32)) * np.uint64(
            clusters
        ) >> np.uint64(32)
        cell = drawn.astype(np.int64).reshape(size, clusters) + np.arange(size)[:, None] * clusters
        yield np.bincount(cell.ravel(), minlength=size * clusters).reshape(size, clusters)


def cluster_sums(statistics: Array, clusters: Sequence[str]) -> Array:
    """Statistics (n, S) summed within each cluster, (C, S), clusters in the order of their
    names.
    """
    return cluster_sums_and_total(statistics, clusters)[0]


def cluster_sums_and_total(statistics: Array, clusters: Sequence[str]) -> tuple[Array, Array]:
    """`cluster_sums`, and the sum of all (S,), in one go."""
    if len(statistics) != len(clusters):
        raise ValueError(f"{len(statistics)} utterances but {len(clusters)} cluster names")
    if not len(clusters):
        return np.zeros((0, statistics.shape[1])), np.zeros(statistics.shape[1])
    order, edges = grouping(tuple(clusters))
    return sums_and_total(statistics[order], edges)


@lru_cache(maxsize=64)
def grouping(clusters: tuple[str, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(order, edges): utterances cluster by cluster (n,), clusters in the order of their names, and
    where each begins (C + 1,). A run asks for the same few again and again.
    """
    place = {name: code for code, name in enumerate(sorted(set(clusters)))}
    codes = np.array([place[name] for name in clusters], dtype=np.int64)
    edges = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    return np.argsort(codes, kind="stable"), edges


class Resamples:
    """One set of utterances and their clusters: the same resampled clusters for whatever is
    measured on them.

    clusters (n,): names; seed from ambiemo.seeds.seed.
    """

    def __init__(self, clusters: Sequence[str], seed: int, resamples: int = RESAMPLES) -> None:
        self.clusters = clusters
        self.count = len(set(clusters))
        self.resamples = resamples if self.count > 1 else 0
        self._counts = np.zeros((self.count, 0))
        if self.resamples:
            blocks = list(resample_counts(self.count, resamples, seed))
            self._counts = np.concatenate(blocks).T.astype(np.float64)

    def evaluate(
        self, metrics: Sequence["Metric"], parts: Array, columns: dict[str, slice]
    ) -> tuple[dict[str, float], dict[str, Array]]:
        """Each metric's value on the utterances and on every resample, (resamples,) or (0,) with
        fewer than two clusters.

        parts (n, S) and columns as `statistics_of` gives them.
        """
        if len(parts) != len(self.clusters):
            raise ValueError(f"{len(parts)} utterances but {len(self.clusters)} cluster names")
        sums, whole = cluster_sums_and_total(parts, self.clusters)
        points = {
            metric.name: float(metric.value(whole[columns[metric.name]])) for metric in metrics
        }
        if not self.resamples:
            return points, {metric.name: np.empty(0) for metric in metrics}
        drawn = self.sums(sums)
        return points, {
            metric.name: metric.value(drawn[:, columns[metric.name]]) for metric in metrics
        }

    def sums(self, sums: Array) -> Array:
        """The sums of each resample, (R, S), from the clusters' sums (C, S), clusters by name."""
        total = np.zeros((sums.shape[1], self.resamples))
        added = np.empty_like(total)
        # Added in one order: BLAS would add in an order that depends on its threads.
        for cluster in range(len(sums) if self.resamples else 0):
            np.multiply(sums[cluster][:, None], self._counts[cluster], out=added)
            total += added
        return total.T

    def interval(self, point: float, repeats: Array, level: float = LEVEL) -> Interval:
        """The percentile interval of a metric."""
        return Interval(point, *bounds(point, repeats, level))

    def difference(
        self, a: tuple[float, Array], b: tuple[float, Array], level: float = LEVEL
    ) -> Difference:
        """Difference of two metrics' (value, repeats), as `paired` gives it."""
        with np.errstate(invalid="ignore"):
            difference = float(np.subtract(a[0], b[0]))
            repeats = a[1] - b[1]
        low, high = bounds(difference, repeats, level)
        p = _two_sided_p(repeats, self.count) if np.isfinite(low) else np.nan
        return Difference(difference, low, high, p)


def statistics_of(
    metrics: Sequence["Metric"], truth: npt.ArrayLike, predicted: npt.ArrayLike
) -> tuple[Array, dict[str, slice]]:
    """Statistics of all metrics side by side, (n, S), and each metric's columns; metrics with the
    same statistics share theirs.
    """
    blocks, places, width = [], {}, 0
    for metric in metrics:
        if metric.statistics not in places:
            block = metric.statistics(truth, predicted)
            blocks.append(block)
            places[metric.statistics] = slice(width, width + block.shape[1])
            width += block.shape[1]
    return np.concatenate(blocks, axis=1), {
        metric.name: places[metric.statistics] for metric in metrics
    }


def bounds(point: float, repeats: Array, level: float) -> tuple[float, float]:
    """The percentile bounds of a value from its value on every resample (R,); NaN where too many of
    those are not estimable."""
    known = repeats[~np.isnan(repeats)]
    if not np.isfinite(point) or len(known) < max(1.0, (1 - LOST) * len(repeats)):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _two_sided_p(repeats: Array, clusters: int) -> float:
    """p of the resampled differences, at least 2^(1 - clusters)."""
    known = repeats[~np.isnan(repeats)]
    below, above = np.count_nonzero(known <= ZERO), np.count_nonzero(known >= -ZERO)
    p = min(1.0, 2 * (1 + min(below, above)) / (1 + len(known)))
    return float(max(p, 2.0 ** (1 - clusters)))
