"""One label against one label: the prediction's top label against the raters' plurality, with ties
shared.

Where labels tie, each gets an equal share of the win, on both sides; the order of the labels never
decides. So an utterance adds a fractional confusion matrix t_i p_j (rows truth, columns prediction)
that sums to 1. Without ties every number here equals scikit-learn's on the argmax labels.

The paper reports accuracy and F1 against the majority vote (grade S); which F1 is not known, so
macro and weighted both stand here. Its group's code takes the first of tied labels or drops the
utterance; sharing is ours (grade I).
"""

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array, pair, ratio, row_sum, top_shares, totals


def accuracy(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Share of the win that prediction and plurality have in common, sum of t_k p_k over the top
    labels: 0 to 1, per utterance.

    1 or 0 without ties; 1/2 where the raters are split between two labels and the prediction names
    one of them.
    """
    truth, predicted = pair(truth, predicted)
    return row_sum(top_shares(truth) * top_shares(predicted))


def confusion_statistics(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Fractional confusion matrix of each utterance, flattened, (n, K * K): entry i K + j is t_i
    p_j; each row sums to 1.
    """
    truth, predicted = pair(truth, predicted)
    matrices = top_shares(truth)[:, :, None] * top_shares(predicted)[:, None, :]
    return matrices.reshape(len(truth), truth.shape[-1] ** 2)


def confusion_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Fractional confusion matrix over all utterances, (K, K): rows truth, columns prediction; sums
    to n.
    """
    summed = totals(confusion_statistics(truth, predicted))
    labels = round(len(summed) ** 0.5)
    return summed.reshape(labels, labels)


def macro_f1(sums: Array) -> Array:
    """Mean F1 over the labels that occur in truth or prediction, from summed confusion matrices
    (..., K * K) -> (...).

    A label that occurs on one side only counts as 0; one that occurs on neither is left out. That
    is f1_score(average="macro") of scikit-learn without `labels`. NaN without utterances.
    """
    f1, occurrences, _ = _f1(sums)
    return ratio(row_sum(f1), row_sum((occurrences > 0).astype(np.float64)))


def weighted_f1(sums: Array) -> Array:
    """Mean F1 weighted by how often the label is the truth: f1_score(average="weighted") of
    scikit-learn. (..., K * K) -> (...).
    """
    f1, _, in_truth = _f1(sums)
    return ratio(row_sum(f1 * in_truth), row_sum(in_truth))


def uar(sums: Array) -> Array:
    """Unweighted average recall over the labels that occur in the truth: balanced_accuracy_score of
    scikit-learn. (..., K * K) -> (...).
    """
    hits, in_truth, _ = _counts(sums)
    there = in_truth > 0
    recall = np.where(there, hits / np.where(there, in_truth, 1.0), 0.0)
    return ratio(row_sum(recall), row_sum(there.astype(np.float64)))


def _counts(sums: Array) -> tuple[Array, Array, Array]:
    """Hits, occurrences in truth and occurrences in prediction of each label, each (..., K)."""
    labels = round(sums.shape[-1] ** 0.5)
    matrix = sums.reshape(*sums.shape[:-1], labels, labels)
    return (
        np.diagonal(matrix, axis1=-2, axis2=-1),
        row_sum(matrix),
        row_sum(np.swapaxes(matrix, -1, -2)),
    )


def _f1(sums: Array) -> tuple[Array, Array, Array]:
    """F1 = 2 hits / occurrences on both sides (0 where a label occurs on neither), those
    occurrences, and those in truth.
    """
    hits, in_truth, in_prediction = _counts(sums)
    occurrences = in_truth + in_prediction
    return 2 * hits / np.where(occurrences > 0, occurrences, 1.0), occurrences, in_truth
