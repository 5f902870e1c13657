"""Which interval and which p fit which metric: the one place that decides it.

    metric                   interval                        p of a difference
    a mean over utterances   jackknife, t(G_eff - 1)         sign flip of the clusters' sums
    F1, recall, R² of sums   jackknife, t(G_eff - 1)         jackknife t
    calibration error        percentile bootstrap, labelled  exchange within clusters

The calibration error is a sum of absolute values: it is not smooth, and a jackknife of it is not
known to work. Its bootstrap interval covers too seldom with few clusters and says so by its label.
With more than 1,000 clusters the p of a mean is by t too: there the two agree, and 20,000 patterns
take seconds.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.metrics import inference, jackknife
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.distribution import mean
from ambiemo.metrics.signflip import exchange, floor, sign_flip, sign_flips

if TYPE_CHECKING:
    from ambiemo.metrics import Metric

JACKKNIFE = "jackknife t"
BOOTSTRAP = "percentile bootstrap"
SIGN_FLIP = "sign flip"
EXCHANGE = "exchange"
MANY = 1000
"""From here on t is as good as flipping signs, and faster."""


class Sure(NamedTuple):
    """A value, or a difference of two, and how sure it is; NaN where there is a reason.

    method and p_method name how the bounds and p were made; p_method is empty for a value that is
    no difference. detectable is the smallest difference that would be called with 80 % power,
    alone; NaN for a value, where the bounds are by bootstrap, and where no p with so few clusters
    is below .05. reason says why there are no bounds.
    """

    value: float
    low: float
    high: float
    p: float
    method: str
    p_method: str
    clusters: int
    effective: float
    n: int
    detectable: float
    reason: str


def is_calibration(metric: "Metric") -> bool:
    """Whether the metric is a calibration error, for which the jackknife is not used."""
    return metric.name.startswith("ece_")


def value_with_interval(
    metric: "Metric",
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    clusters: Sequence[str],
    seed: int,
) -> Sure:
    """A metric's value with its interval. truth and predicted (n, K); clusters (n,); seed for the
    bootstrap of calibration errors only.
    """
    estimate = jackknife.estimate(metric, truth, predicted, clusters)
    if is_calibration(metric) and _bootstraps(estimate):
        bounds = inference.interval(metric, truth, predicted, clusters, seed)
        return _bootstrapped(estimate, bounds.low, bounds.high, np.nan, "")
    return _sure(estimate, np.nan, "")


def value_of_sums(
    metric: "Metric",
    sums: Array,
    counts: npt.ArrayLike,
    whole: Array,
    repeats: Callable[[Array], Array],
    level: float = jackknife.LEVEL,
) -> Sure:
    """`value_with_interval` from sums of the metric's statistics.

    sums     (C, S), by cluster; whole (S,), of all utterances; counts (C,), utterances
    repeats  (C, S) -> (R, S): the sums of each bootstrap resample; asked for a calibration error
    """
    estimate = jackknife.from_sums(sums, counts, whole, metric.value, level)
    if is_calibration(metric) and _bootstraps(estimate):
        low, high = inference.bounds(estimate.value, metric.value(repeats(sums)), level)
        return _bootstrapped(estimate, low, high, np.nan, "")
    return _sure(estimate, np.nan, "")


def mean_differences(
    apart: Array,
    sums: Array,
    whole: Array,
    counts: npt.ArrayLike,
    level: float = jackknife.LEVEL,
) -> list[tuple[jackknife.Estimate, str]]:
    """`difference_with_interval` of M means at once; the name of p's method after each.

    apart   (n, M), each utterance's differences, all finite
    sums    (C, M), the same summed by cluster; whole (M,), of all; counts (C,), utterances
    """
    sizes = np.asarray(counts, dtype=np.float64)
    flipped = 2 <= len(sums) <= MANY
    p = sign_flips(sums) if flipped else np.full(sums.shape[1], np.nan)
    estimates = []
    for place in range(sums.shape[1]):
        own = np.stack([sums[:, place], sizes, np.zeros(len(sums))], axis=-1)
        all_of = np.array([whole[place], sizes.sum(), 0.0])
        estimate = jackknife.from_sums(own, sizes, all_of, mean, level)
        if estimate.reason and len(sums) > 1 and not apart[:, place].any():
            estimate = estimate._replace(se=0.0, low=0.0, high=0.0, p=1.0, reason="")
        if flipped:
            estimate = estimate._replace(p=float(p[place]))
        estimates.append((estimate, SIGN_FLIP if flipped else JACKKNIFE if len(sums) > 1 else ""))
    return estimates


def difference_with_interval(
    metric: "Metric",
    truth: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    clusters: Sequence[str],
    seed: int,
) -> Sure:
    """Value of a minus value of b, with interval and p. truth, a and b (n, K); clusters (n,)."""
    estimate = jackknife.paired(metric, truth, a, b, clusters)
    if estimate.clusters < 2 or not np.isfinite(estimate.value):
        return _sure(estimate, np.nan, "")
    left, right = metric.statistics(truth, a), metric.statistics(truth, b)
    if is_calibration(metric):
        if estimate.clusters > MANY:
            return _sure(estimate, estimate.p, JACKKNIFE)
        ours = inference.cluster_sums(left, clusters)
        p = exchange(ours, inference.cluster_sums(right, clusters), metric.value)
        if not _bootstraps(estimate):
            return _sure(estimate, p, EXCHANGE)
        bounds = inference.paired(metric, truth, a, b, clusters, seed)
        return _bootstrapped(estimate, bounds.low, bounds.high, p, EXCHANGE)
    if metric.value is mean and estimate.clusters <= MANY:
        both = (left[:, 1] > 0) & (right[:, 1] > 0)
        names = [name for name, kept in zip(clusters, both.tolist(), strict=True) if kept]
        apart = inference.cluster_sums((left - right)[both][:, :1], names)
        return _sure(estimate, sign_flip(apart[:, 0]), SIGN_FLIP)
    return _sure(estimate, estimate.p, JACKKNIFE)


def _bootstraps(estimate: jackknife.Estimate) -> bool:
    """Whether the bootstrap has something to say: the jackknife's refusals for few clusters are its
    own too."""
    return not estimate.reason or estimate.reason == jackknife.NO_SPREAD


def _bootstrapped(
    estimate: jackknife.Estimate, low: float, high: float, p: float, p_method: str
) -> Sure:
    reason = "" if np.isfinite(low) else "the value is not estimable in too many resamples"
    nan = float("nan")
    return Sure(
        estimate.value, low, high, p, BOOTSTRAP, p_method,
        estimate.clusters, estimate.effective, estimate.n, nan, reason,
    )  # fmt: skip


def _sure(estimate: jackknife.Estimate, p: float, p_method: str) -> Sure:
    """p_method: "" for what was not tested; then nothing is detectable either."""
    least = floor(estimate.clusters) if p_method in (EXCHANGE, SIGN_FLIP) else 0.0
    smallest = jackknife.detectable(estimate, least_p=least) if p_method else np.nan
    return Sure(
        estimate.value, estimate.low, estimate.high, float(p), JACKKNIFE, p_method,
        estimate.clusters, estimate.effective, estimate.n, smallest, estimate.reason,
    )  # fmt: skip
