"""Whether a prediction is right as often as it is sure: the expected calibration error (ECE).

Confidence is the largest probability; correctness is `classification.accuracy`, against the raters'
plurality with ties shared. The bins have equal width and are open below and closed above, (lo, hi];
a confidence within TOLERANCE above an edge belongs below it, since answers rounded to two decimals
land on edges all the time.

Source: Naeini et al. 2015, Guo et al. 2017 (whose code has the same (lo, hi]); 5 bins in the code
of 2409.18339, 10 bins in that of 2601.14620 (grade P). The shared ties are ours (grade I).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import TOLERANCE, Array, pair, ratio, row_sum
from ambiemo.metrics.classification import accuracy


def bin_of_confidence(confidence: Array, bins: int) -> Array:
    """The number of each confidence's bin, (lo, hi] from 0; confidences (n,) in [0, 1]."""
    return np.clip(np.ceil(confidence * bins - TOLERANCE * bins).astype(int) - 1, 0, bins - 1)


def ece_statistics(bins: int) -> Callable[[npt.ArrayLike, npt.ArrayLike], Array]:
    """Statistics (n, bins + 1) of the ECE: confidence minus correctness in the utterance's own bin,
    0 in the others, and 1.

    ECE = sum over bins of n_b / n |mean confidence - mean correctness| = sum over bins of |sum of
    the differences| / n, so these add up.
    """

    def statistics(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
        truth, predicted = pair(truth, predicted)
        confidence = predicted.max(axis=-1)
        bin_of = bin_of_confidence(confidence, bins)
        values = np.zeros((len(truth), bins + 1))
        values[np.arange(len(truth)), bin_of] = confidence - accuracy(truth, predicted)
        values[:, bins] = 1
        return values

    return statistics


def ece(sums: Array) -> Array:
    """ECE from summed statistics, (..., bins + 1) -> (...): 0 (calibrated) to 1; NaN without
    utterances.
    """
    return ratio(row_sum(np.abs(sums[..., :-1])), sums[..., -1])
