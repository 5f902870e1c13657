"""p-values that hold with few clusters: flip the sign of whole clusters.

If two predictions are equally good, a cluster's difference is as likely to favour one as the other. So every
pattern of signs is equally likely, and p is the share of patterns that are at least as extreme as the data.
This is exact: no distribution is assumed, and with C clusters p is never below 2^(1 - C).

    up to 16 clusters   all 2^(C - 1) patterns (a pattern and its mirror image are equally extreme)
    more                20,000 seeded patterns and the data itself, p = (1 + at least as extreme) / 20,001

`sign_flip` is for means: it needs the clusters' sums of differences only. `exchange` is for any metric of
sums, such as an F1 or a calibration error: it exchanges the two predictions within clusters. For a mean the
two are the same test.

Source: Fisher 1935, ch. 3 (the sign flip, called randomisation test); Phipson and Smyth 2010 for counting the
data among random patterns. Clusters as the unit: Canay, Romano and Shaikh 2017. Correct a family with
`inference.holm`.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array
from ambiemo.seeds import seed

EXACT = 16
"""Most clusters for which every pattern is tried: 32,768 patterns."""
FLIPS = 20_000
SAME = 1e-9
"""Patterns this close to the data, as a share of the largest possible sum, are as extreme: they differ by
rounding.
"""
BLOCK = 1 << 21
"""Numbers held at a time by `exchange`."""


def floor(clusters: int) -> float:
    """The smallest p there can be: 2^(1 - C) up to 16 clusters, 1 / 20,001 with more."""
    return 2.0 ** (1 - clusters) if clusters <= EXACT else 1 / (FLIPS + 1)


def sign_flip(sums: npt.ArrayLike) -> float:
    """Two-sided p that a mean difference is 0.

    sums (C,) are each cluster's sum of differences. Their order changes no bit.
    NaN for fewer than two clusters: nothing can be said. 1 if every difference is 0.
    Raises ValueError for a sum that is not finite.
    """
    values = np.asarray(sums, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("sign_flip: expected one finite sum of differences per cluster")
    if len(values) < 2:
        return math.nan
    # By size: an order that no sign and no name decides.
    ordered = sorted(values.tolist(), key=lambda value: (abs(value), value))
    scale = math.fsum(map(abs, ordered))
    observed = abs(math.fsum(ordered)) - SAME * scale
    if len(ordered) <= EXACT:
        found = np.array(ordered[:1])
        for value in ordered[1:]:
            found = np.concatenate([found + value, found - value])
        return int(np.count_nonzero(np.abs(found) >= observed)) / len(found)
    signs = patterns(len(ordered))
    found = np.zeros(len(signs))
    for column, value in enumerate(ordered):
        found += value * signs[:, column]
    return (1 + int(np.count_nonzero(np.abs(found) >= observed))) / (len(signs) + 1)


def exchange(a: npt.ArrayLike, b: npt.ArrayLike, value: Callable[[Array], Array]) -> float:
    """Two-sided p that two predictions are exchangeable within clusters, for any metric of sums.

    a and b (C, S) are each cluster's sums of one prediction's statistics; value (..., S) -> (...).
    Clusters in the order of their names: with more than 16, the seeded patterns are theirs.
    NaN for fewer than two clusters and where the difference is not estimable. A pattern in which it is not
    estimable counts as extreme, so it can only raise p.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 2:
        raise ValueError(
            f"exchange: found shapes {left.shape} and {right.shape}; expected (C, S) twice"
        )
    if len(left) < 2:
        return math.nan
    observed = _difference(left, right, np.ones((1, len(left)), dtype=np.int8), value)[0]
    if not math.isfinite(observed):
        return math.nan
    signs = patterns(len(left))
    rows = max(1, BLOCK // left.shape[1])
    extreme = 0
    for start in range(0, len(signs), rows):
        found = np.abs(_difference(left, right, signs[start : start + rows], value))
        extreme += int(np.count_nonzero(~(found < abs(observed) - SAME)))
    return extreme / len(signs) if len(left) <= EXACT else (1 + extreme) / (len(signs) + 1)


def patterns(clusters: int) -> npt.NDArray[np.int8]:
    """Patterns of signs, (P, C) of +1 and -1; the first cluster is never flipped if they are exhaustive.

    Random ones come from SHAKE-256 of `seeds.seed("sign flip", C)`: pattern r takes C bits from the start of
    its own ceil(C / 8) bytes, the first bit of a byte being its most significant. A 1 flips.
    """
    if clusters <= EXACT:
        numbers = np.arange(2 ** (clusters - 1))[:, None] >> np.arange(clusters - 1)[None, :] & 1
        bits = np.concatenate([np.zeros((len(numbers), 1), dtype=int), numbers], axis=1)
    else:
        width = -(-clusters // 8)
        key = str(seed("sign flip", clusters)).encode("ascii")
        raw = np.frombuffer(hashlib.shake_256(key).digest(FLIPS * width), dtype=np.uint8)
        bits = np.unpackbits(raw.reshape(FLIPS, width), axis=1)[:, :clusters]
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def _difference(
    left: Array, right: Array, signs: npt.NDArray[np.int8], value: Callable[[Array], Array]
) -> Array:
    """value(a) - value(b) after exchanging the clusters with sign -1, (P,). Added cluster by cluster."""
    one = np.zeros((len(signs), left.shape[1]))
    two = np.zeros_like(one)
    for cluster in range(len(left)):
        kept = signs[:, cluster, None] > 0
        one += np.where(kept, left[cluster], right[cluster])
        two += np.where(kept, right[cluster], left[cluster])
    with np.errstate(invalid="ignore"):
        return value(one) - value(two)
