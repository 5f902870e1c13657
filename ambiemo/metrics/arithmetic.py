"""The arithmetic that every metric stands on: checked pairs of distributions, who wins a row, and
sums that no order changes.

Nothing here calls BLAS or a threaded kernel. Rows are added label by label and utterances with
`math.fsum`, which rounds once, so a number has the same bits whatever the order of the utterances,
the number of threads or the memory layout.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TOLERANCE = 1e-9
"""Two probabilities closer than this are equal: for ties, for constant rows and for the edge of a
bin (floating-point dust decides nothing).
"""

SUM_TOLERANCE = 1e-6
"""How far a distribution's sum may be from 1 inside the package; files are normalised where they
are read.
"""


def pair(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[Array, Array]:
    """Truth and prediction as float64 (..., K), K >= 2, checked.

    Raises ValueError, naming the first bad row, for unlike shapes, a negative or non-finite number,
    or a row whose sum is not 1 within SUM_TOLERANCE. An utterance without a prediction is left out,
    and counted, by the caller: it has no distribution.
    """
    checked = (_distributions("truth", truth), _distributions("predicted", predicted))
    if checked[0].shape != checked[1].shape:
        raise ValueError(
            f"truth has shape {checked[0].shape} and predicted {checked[1].shape}; they must be the same"
        )
    return checked


def _distributions(name: str, values: npt.ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] < 2:
        raise ValueError(f"{name}: shape {array.shape}; the last axis must hold at least 2 labels")
    good = np.isfinite(array).all(axis=-1) & (array >= 0).all(axis=-1)
    good &= np.abs(row_sum(np.where(np.isfinite(array), array, 0.0)) - 1) <= SUM_TOLERANCE
    if not np.all(good):
        row = tuple(int(i) for i in np.argwhere(~np.atleast_1d(good))[0])
        wrong_row = array[row] if array.ndim > 1 else array
        raise ValueError(
            f"{name}: row {', '.join(map(str, row))}: {wrong_row.tolist()} is no distribution (numbers >= 0 that sum to 1)"
        )
    return array


def row_sum(values: Array) -> Array:
    """Sum over the last axis, (..., K) -> (...), added from the first label to the last.

    numpy's own sum takes another order for other lengths and layouts, which moves the last bit.
    """
    total = values[..., 0] + 0.0
    for label in range(1, values.shape[-1]):
        total = total + values[..., label]
    return total


def totals(statistics: Array) -> Array:
    """Column sums of per-utterance statistics, (n, S) -> (S,), exactly rounded: no order of the
    utterances changes a bit.
    """
    return grouped_totals(statistics, np.array([0, len(statistics)]))[0]


def grouped_totals(statistics: Array, edges: npt.NDArray[np.int64]) -> Array:
    """Column sums of consecutive groups of rows, (n, S) and (G + 1,) edges -> (G, S), each exactly
    rounded.

    Columns of whole numbers are added as they are, which is exact; the others by `math.fsum`.
    """
    starts, ends = edges[:-1].tolist(), edges[1:].tolist()
    sums = np.zeros((len(starts), statistics.shape[1]))
    whole = (statistics == np.rint(statistics)).all(axis=0) & (
        np.abs(statistics).max(axis=0, initial=0.0) < 2**31
    )
    for place in np.flatnonzero(whole).tolist():
        running = np.cumsum(np.concatenate([[0.0], statistics[:, place]]))
        sums[:, place] = running[edges[1:]] - running[edges[:-1]]
    for place in np.flatnonzero(~whole).tolist():
        column = statistics[:, place].tolist()
        sums[:, place] = [
            math.fsum(column[start:end]) for start, end in zip(starts, ends, strict=True)
        ]
    return sums


def ratio(numerator: Any, denominator: Any) -> Array:
    """numerator / denominator, NaN (not estimable) where the denominator is 0: never 0, never a
    warning.
    """
    denominator = np.asarray(denominator, dtype=np.float64)
    empty = denominator == 0
    return np.where(empty, np.nan, np.asarray(numerator) / np.where(empty, 1.0, denominator))


def top_shares(distributions: Array) -> Array:
    """Who wins each row, (..., K) -> (..., K): 1 for the top label; labels within TOLERANCE of the
    top share the 1 equally.

    The order of the labels never decides (the usual argmax takes the first). Our rule, grade I.
    """
    winners = (distributions >= distributions.max(axis=-1, keepdims=True) - TOLERANCE).astype(
        np.float64
    )
    return winners / row_sum(winners)[..., None]
