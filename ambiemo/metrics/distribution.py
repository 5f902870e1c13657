"""How far a predicted emotion distribution lies from the raters'.

Every function takes truth and predicted, both (n, K), rows that sum to 1, and gives one number per
utterance, (n,). The value of a metric is their mean over utterances. `averaged` and `mean` turn
such a function into the additive statistics of `Metric`.

The paper (2602.03873) is reported second-hand to use Jensen-Shannon, the Bhattacharyya coefficient
and R² (grade S). Which Jensen-Shannon and which R² it means cannot be told from what is public, and
its group's own code holds two of each, so each has its own name here.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import TOLERANCE, Array, pair, ratio, row_sum

LN2 = float(np.log(2.0))

PerUtterance = Callable[[npt.ArrayLike, npt.ArrayLike], Array]


def js_divergence_bits(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Jensen-Shannon divergence, base 2, no root: 0 (equal) to 1 (nothing in common) bits, per
    utterance.

    JS = H((t + p) / 2) - (H(t) + H(p)) / 2.
    Source: Lin 1991; this variant is the one in the code of 2601.14620 (grade P).
    """
    return js_nats(*pair(truth, predicted)) / LN2


def js_distance_nats(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Jensen-Shannon distance: square root of the divergence in nats, 0 to sqrt(ln 2) = 0.8326, per
    utterance.

    The root is taken per utterance, before the mean; it is what
    scipy.spatial.distance.jensenshannon gives. Source: Endres and Schindelin 2003; this variant is
    the one in the code of 2409.18339 (grade P).
    """
    return np.sqrt(js_nats(*pair(truth, predicted)))


def js_nats(truth: Array, predicted: Array) -> Array:
    """Jensen-Shannon divergence in nats, (..., K) -> (...), of checked distributions.

    Written with x = (t - p) / (t + p) as sum (t + p) / 4 * [(1 + x) ln(1 + x) + (1 - x) ln(1 - x)]:
    the same number as the textbook form, but every term is >= 0 and nothing cancels, so two nearly
    equal distributions keep all their digits under the root.
    """
    both = truth + predicted
    lean = (truth - predicted) / np.where(both > 0, both, 1.0)
    return np.clip(row_sum(both * (_x_ln_x(lean) + _x_ln_x(-lean))) / 4, 0.0, LN2)


def _x_ln_x(lean: Array) -> Array:
    """(1 + x) ln(1 + x), 0 at x = -1."""
    alone = lean <= -1
    return np.where(alone, 0.0, (1 + lean) * np.log1p(np.where(alone, 0.0, lean)))


def bhattacharyya(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Bhattacharyya coefficient, sum of sqrt(t p): 0 (nothing in common) to 1 (equal), per
    utterance.

    Source: Bhattacharyya 1943; the same in the code of 2409.18339 (grade P).
    """
    truth, predicted = pair(truth, predicted)
    return np.clip(row_sum(np.sqrt(truth * predicted)), 0.0, 1.0)


def r2_pearson(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Squared Pearson correlation across the K classes of an utterance: 0 to 1, NaN where it is not
    estimable.

    Not estimable where truth or prediction is constant (largest minus smallest within TOLERANCE),
    as a uniform one is; such utterances are left out of the mean and counted. Chance is not 0 but 1
    / (K - 1), and a perfectly wrong order scores as well as a right one. Source: the code of
    2409.18339 (grade P); leaving constant rows out is ours (grade I).
    """
    truth, predicted = pair(truth, predicted)
    labels = truth.shape[-1]
    constant = (np.ptp(truth, axis=-1) <= TOLERANCE) | (np.ptp(predicted, axis=-1) <= TOLERANCE)
    t = truth - (row_sum(truth) / labels)[..., None]
    p = predicted - (row_sum(predicted) / labels)[..., None]
    spread = row_sum(t * t) * row_sum(p * p)
    squared = row_sum(t * p) ** 2 / np.where(constant, 1.0, spread)
    return np.where(constant, np.nan, np.clip(squared, 0.0, 1.0))


def brier(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Brier score against the soft truth, sum of (t - p)² over the classes: 0 to 2, per utterance.

    Source: Brier 1950, the sum over classes (not halved, not divided by K). 2603.08230 reports a
    Brier score (grade P); that it is this form is our reading (grade I).
    """
    truth, predicted = pair(truth, predicted)
    return row_sum((truth - predicted) ** 2)


def kl_nats(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Kullback-Leibler divergence KL(truth || predicted) = sum of t ln(t / p), in nats: 0 to
    infinity, per utterance.

    Infinite where a label that got votes was given probability 0; nothing is smoothed. Labels
    without votes add 0. Source: Kullback and Leibler 1951; reported by us, not by the paper (grade
    I).
    """
    truth, predicted = pair(truth, predicted)
    voted = truth > 0
    impossible = (voted & (predicted == 0)).any(axis=-1)
    both = voted & (predicted > 0)
    terms = truth * (np.log(np.where(both, truth, 1.0)) - np.log(np.where(both, predicted, 1.0)))
    return np.where(impossible, np.inf, np.maximum(row_sum(terms), 0.0))


def averaged(per_utterance: PerUtterance) -> PerUtterance:
    """Statistics (n, 3) of a metric that is a mean over utterances: its finite value or 0, whether
    it is estimable, whether infinite.
    """

    def statistics(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
        values = np.atleast_1d(per_utterance(truth, predicted))
        return np.stack(
            [np.where(np.isfinite(values), values, 0.0), ~np.isnan(values), np.isinf(values)],
            axis=-1,
        )

    return statistics


def mean(sums: Array) -> Array:
    """Mean from the summed statistics of `averaged`, (..., 3) -> (...): NaN with no estimable
    utterance, infinite with an infinite one.
    """
    return np.where(sums[..., 2] > 0, np.inf, ratio(sums[..., 0], sums[..., 1]))


def determination_statistics(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Statistics (n, 3K + 1) of `r2_determination`: u, u² and (t - p)² per emotion, where u = t -
    1/K, and 1.

    Centring by 1/K, the mean over labels, keeps the later difference of sums from cancelling its
    digits away.
    """
    truth, predicted = pair(truth, predicted)
    centred = truth - 1 / truth.shape[-1]
    return np.concatenate(
        [centred, centred**2, (truth - predicted) ** 2, np.ones((len(truth), 1))], axis=-1
    )


def r2_per_emotion(sums: Array) -> Array:
    """Coefficient of determination of each emotion over the utterances, (..., 3K + 1) -> (..., K).

    1 - sum (t - p)² / sum (t - mean t)²; at most 1, below 0 for a prediction worse than the
    emotion's mean. NaN for an emotion whose truth does not vary (scikit-learn puts 0 or 1 there).
    """
    first, second, error = np.split(sums[..., :-1], 3, axis=-1)
    n = sums[..., -1:]
    variation = second - first * ratio(first, n)
    # Rounding leaves a constant emotion about 1e-16 n; one vote of 50 on one of 100 000 utterances
    # leaves 4e-9 n.
    varies = variation > 1e-12 * n
    return np.where(varies, 1 - error / np.where(varies, variation, 1.0), np.nan)


def r2_determination(sums: Array) -> Array:
    """R² per emotion over utterances, then the mean over the emotions whose truth varies: (..., 3K
    + 1) -> (...).

    NaN where no emotion varies, as with one utterance. Source: the code of 2601.14620 (grade P);
    leaving out emotions without variance is ours (grade I).
    """
    per_emotion = r2_per_emotion(sums)
    known = ~np.isnan(per_emotion)
    return ratio(row_sum(np.where(known, per_emotion, 0.0)), row_sum(known.astype(np.float64)))
