"""Reliability: is a prediction right as often as it is sure? Bins of confidence, and what chance does.

The tables have the expected calibration error (ECE) of 10 bins but not the bins, so the page makes
them from the predictions. The bins are those of `metrics.calibration`; their ECE must be the
table's, and a test says so.
"""

from dataclasses import dataclass

import numpy as np

from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.calibration import bin_of_confidence, ece, ece_statistics
from ambiemo.metrics.classification import accuracy

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Confidence and correctness of one column of predictions, by bins of equal width.

    counts      (BINS,), clips in each bin; confidence, correct: their means, NaN in an empty bin
    ece         sum over bins of n_b / n |confidence − correct|
    by_chance   about the ECE that a perfectly calibrated model with these confidences would have on
                so many clips, if clips were independent: an ECE of 0 is not to be expected
    """

    corpus: str
    model: str
    strategy: str
    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    correct: tuple[float, ...]
    ece: float
    by_chance: float


def reliability(
    name: tuple[str, str, str], truth: Array, predicted: Array, bins: int = BINS
) -> Reliability:
    """The bins of one column. name: corpus, model, strategy; truth, predicted (n, K), n ≥ 1, rows
    sum to 1.

    by_chance is Σ_b sqrt(2 / π · Σ_{i in b} c_i (1 − c_i)) / n: in a bin the summed differences of a
    calibrated model are about normal with that variance, and E|Z| = sd · sqrt(2 / π).
    """
    confidence, right = predicted.max(axis=1), accuracy(truth, predicted)
    differences = ece_statistics(bins)(truth, predicted)
    bin_of = bin_of_confidence(confidence, bins)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [
            np.bincount(bin_of, weights=values, minlength=bins) / counts
            for values in (confidence, right)
        ]
    noise = np.bincount(bin_of, weights=confidence * (1 - confidence), minlength=bins)
    return Reliability(
        *name,
        tuple(counts.tolist()),
        tuple(means[0].tolist()),
        tuple(means[1].tolist()),
        float(ece(differences.sum(axis=0))),
        float(np.sqrt(2 / np.pi * noise).sum() / len(truth)),
    )
