"""How sure a number is, without random numbers: leave out one cluster at a time.

Utterances of one speaker (or dialogue) are not independent, so whole clusters are left out, not
utterances. Every metric is a function of sums, so leaving a cluster out is one subtraction; C
clusters need C evaluations.

    theta       the metric of all utterances
    theta_g     the metric without cluster g
    SE²         (C - 1) / C · sum over g of (theta_g - mean of the theta_g)²
    G_eff       (sum n_g)² / sum n_g², n_g utterances in cluster g: C if all are of one size, less
                otherwise
    interval    theta ± t(0.975; G_eff - 1) · SE

Source: the delete-one jackknife is Tukey 1958 (Efron and Tibshirani 1993, ch. 11); leaving out
clusters is CV3J of MacKinnon, Nielsen and Webb 2023. Taking G_eff, which is Kish's effective sample
size, for the number of clusters in the degrees of freedom is ours (grade I): with unequal clusters
t(C - 1) covers too seldom. reproduce/bench/false_positives.py measures the coverage.

Nothing here is random, nothing calls BLAS, and sums are exactly rounded: no order of the utterances
changes a bit. What cannot be estimated is NaN with a reason in words, never 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.distribution import mean
from ambiemo.metrics.inference import cluster_sums_and_total, grouping
from ambiemo.metrics.student import critical, two_sided_p

if TYPE_CHECKING:
    from ambiemo.metrics import Metric

LEVEL = 0.95
POWER = 0.8
LEAST_EFFECTIVE = 1.5
"""Fewest effective clusters an interval is made from: below, one cluster is nearly all of the data,
and the interval would be wider than any scale.
"""
SAME = 1e-12
"""A spread up to this share of the values is rounding, not spread."""

NO_SPREAD = "the value is the same whichever cluster is left out: its spread is not estimable"
"""The reason of an estimate whose leave-one-out values do not differ."""

Value = Callable[[Array], Array]


class Estimate(NamedTuple):
    """A value and how sure it is.

    value      of all utterances; NaN where it is not estimable
    se         standard error by the jackknife; NaN where there is a reason
    low, high  bounds of the interval; NaN where there is a reason
    p          two-sided p against 0 by t; NaN where there is a reason
    clusters   C
    effective  G_eff; the degrees of freedom are one less
    n          utterances
    reason     why there is no interval; empty if there is one
    """

    value: float
    se: float
    low: float
    high: float
    p: float
    clusters: int
    effective: float
    n: int
    reason: str = ""


def effective_clusters(sizes: npt.ArrayLike) -> float:
    """G_eff = (sum n_g)² / sum n_g² of the clusters' sizes (C,): C if all are equal, towards 1 if
    one dominates. NaN for no clusters. Source: Kish 1965.
    """
    numbers = [float(size) for size in np.asarray(sizes, dtype=np.float64)]
    squares = math.fsum(size * size for size in numbers)
    return math.fsum(numbers) ** 2 / squares if squares else math.nan


def jackknife(
    statistics: npt.ArrayLike, clusters: Sequence[str], value: Value, level: float = LEVEL
) -> Estimate:
    """A function of summed statistics with its jackknife interval over clusters.

    statistics  (n, S), additive over utterances, finite
    clusters    (n,) names
    value       (..., S) sums -> (...); NaN where it cannot be estimated
    Raises ValueError for unlike lengths or a statistic that is not finite.
    """
    parts = np.asarray(statistics, dtype=np.float64)
    if parts.ndim != 2:
        raise ValueError(f"statistics: found shape {parts.shape}; expected (n, S)")
    if not np.isfinite(parts).all():
        row = int(np.argwhere(~np.isfinite(parts))[0][0])
        raise ValueError(
            f"statistics: row {row} is not finite; leave the utterance out and count it"
        )
    sums, whole = cluster_sums_and_total(parts, clusters)
    return from_sums(sums, sizes(clusters), whole, value, level)


def from_sums(
    sums: Array, counts: npt.ArrayLike, whole: Array, value: Value, level: float = LEVEL
) -> Estimate:
    """`jackknife` from the clusters' sums (C, S), their utterances (C,), and the sum of all
    (S,)."""
    effective = effective_clusters(counts)
    n = int(np.sum(counts))
    point = float(value(whole)) if n else math.nan

    def refused(reason: str) -> Estimate:
        nan = math.nan
        return Estimate(point, nan, nan, nan, nan, len(sums), effective, n, reason)

    if not n:
        return refused("no utterances")
    if not math.isfinite(point):
        return refused(
            "the value is infinite" if math.isinf(point) else "the value is not estimable"
        )
    if n == 1:
        return refused("one utterance: nothing varies")
    if len(sums) < 2:
        return refused("one cluster: nothing varies between clusters")
    if effective < LEAST_EFFECTIVE:
        return refused(f"{effective:.2f} effective clusters: one cluster has nearly all utterances")
    without = np.asarray(value(whole - sums), dtype=np.float64)
    if not np.isfinite(without).all():
        return refused("the value is not estimable without one of the clusters")
    centre = math.fsum(without.tolist()) / len(without)
    spread = math.fsum(((without - centre) ** 2).tolist())
    se = math.sqrt(spread * (len(without) - 1) / len(without))
    if se <= SAME * max(abs(point), float(np.abs(without).max()), 1e-3):
        return refused(NO_SPREAD)
    margin = critical(1 - level, effective - 1) * se
    p = two_sided_p(point / se, effective - 1)
    return Estimate(point, se, point - margin, point + margin, p, len(sums), effective, n)


def sizes(clusters: Sequence[str]) -> list[int]:
    """Utterances in each cluster, in the order of the names: the order of `cluster_sums`."""
    return np.diff(grouping(tuple(clusters))[1]).tolist() if len(clusters) else []


def estimate(
    metric: "Metric",
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    clusters: Sequence[str],
    level: float = LEVEL,
) -> Estimate:
    """A metric's value with its interval. truth and predicted (n, K); clusters (n,) names."""
    return jackknife(metric.statistics(truth, predicted), clusters, metric.value, level)


def paired(
    metric: "Metric",
    truth: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    clusters: Sequence[str],
    level: float = LEVEL,
) -> Estimate:
    """Value of a minus value of b on the same utterances, with its interval.

    truth, a and b (n, K); clusters (n,) names. A metric that is a mean over utterances is compared
    on the utterances where it is estimable for both, so that abstaining on hard ones wins nothing;
    n counts them. If a and b are the same everywhere the difference is 0 with the bounds 0 and 0
    and p 1.
    """
    left, right = metric.statistics(truth, a), metric.statistics(truth, b)
    names = list(clusters)
    if len(names) != len(left):
        raise ValueError(f"{len(left)} utterances but {len(names)} cluster names")
    if metric.value is mean:
        both = (left[:, 1] > 0) & (right[:, 1] > 0)
        left, right = left[both], right[both]
        names = [name for name, kept in zip(names, both.tolist(), strict=True) if kept]
    width = left.shape[1]

    def difference(sums: Array) -> Array:
        return metric.value(sums[..., :width]) - metric.value(sums[..., width:])

    with np.errstate(invalid="ignore"):  # infinite minus infinite is NaN: not estimable
        result = jackknife(np.concatenate([left, right], axis=1), names, difference, level)
    if result.reason and len(set(names)) > 1 and np.array_equal(left, right) and result.value == 0:
        return result._replace(se=0.0, low=0.0, high=0.0, p=1.0, reason="")
    return result


def detectable(
    difference: Estimate,
    family: int = 1,
    level: float = LEVEL,
    power: float = POWER,
    least_p: float = 0.0,
) -> float:
    """The smallest true difference that would be called with the given power, in the metric's unit.

    (t(1 - alpha / 2m) + t(power)) · SE with G_eff - 1 degrees, where alpha = 1 - level and m =
    `family` comparisons: the first step of Holm, so a bound for a family. NaN where there is no SE,
    and where the test calls nothing: `least_p`, the smallest p that it can give
    (`signflip.floor`), is not below alpha / m. With a few clusters more the power is still below
    `power`: .62 by sign flip with 6 clusters and m = 1, .53 with 9 and m = 7.
    Source: the minimum detectable effect of Bloom 1995, with t in both places; m in place of 1 is
    ours (grade I).
    """
    if family < 1:
        raise ValueError(f"family: found {family}; expected at least 1 comparison")
    if not difference.se >= 0 or least_p * family >= 1 - level:
        return math.nan
    df = difference.effective - 1
    return (critical((1 - level) / family, df) + critical(2 * (1 - power), df)) * difference.se
