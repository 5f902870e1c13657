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
    with np.errstate(invalid="ignore"):  # what is not finite is not near 1, nor is its sum
        near_1 = np.abs(row_sum(array) - 1) <= SUM_TOLERANCE
    good = near_1 & (array >= 0).all(axis=-1)
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
    return sums_and_total(statistics, np.array([0, len(statistics)]))[1]


def grouped_totals(statistics: Array, edges: npt.NDArray[np.int64]) -> Array:
    """Column sums of consecutive groups of rows, (n, S) and (G + 1,) edges -> (G, S), each exactly
    rounded: what `math.fsum` gives.
    """
    return sums_and_total(statistics, edges)[0]


def sums_and_total(statistics: Array, edges: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """`grouped_totals` and `totals` in one go, which is half the work."""
    filled = edges[1:] > edges[:-1]
    starts = edges[:-1][filled]
    sums, whole = np.zeros((statistics.shape[1], len(filled))), np.zeros(statistics.shape[1])
    if len(starts):
        for place, column in enumerate(np.ascontiguousarray(statistics.T)):
            sums[place, filled], whole[place] = _exact_sums(column, starts)
    return np.ascontiguousarray(sums.T), whole


LIMB = 45
"""Bits of each of the whole numbers that a value is split into: 2^17 of them fit an int64."""
ROWS = 1 << 17


def _exact_sums(values: Array, starts: npt.NDArray[np.int64]) -> tuple[Array | list[float], float]:
    """Sums of consecutive groups of values (n,), none of them empty, and of all; each rounded once.

    Whole numbers are added as they are. Others are split into whole numbers of 2^-45, 2^-90 and
    2^-135 of a power of two that none exceeds; these are added exactly, and Python's division of
    whole numbers rounds once. Values that they do not hold are left to `math.fsum`.
    """
    largest = float(np.abs(values).max())
    if largest < 2**31 and (values == np.rint(values)).all():
        whole = np.add.reduceat(values, starts) + 0.0  # no "-0.0"
        return whole, float(whole.sum())
    if 2.0**-LIMB <= largest < 2.0**LIMB and len(values) <= ROWS:
        exponent = math.frexp(largest)[1]
        rest = values * 2.0 ** (LIMB - exponent)  # by 1 or more: no bit is lost
        exact = [0] * len(starts)
        for limbs in (1, 2, 3):
            limb = np.trunc(rest)
            rest -= limb
            added = np.add.reduceat(limb.astype(np.int64), starts).tolist()
            exact = [(high << LIMB) + low for high, low in zip(exact, added, strict=True)]
            if not rest.any():
                unit = 1 << limbs * LIMB - exponent
                return [one / unit for one in exact], sum(exact) / unit
            rest *= 2.0**LIMB
    numbers, ends = values.tolist(), [*starts[1:].tolist(), len(values)]
    return [
        math.fsum(numbers[start:end]) for start, end in zip(starts.tolist(), ends, strict=True)
    ], math.fsum(numbers)


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
