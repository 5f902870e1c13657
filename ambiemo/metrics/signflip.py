"""p-values that hold with few clusters: flip the sign of whole clusters.

If two predictions are equally good, a cluster's difference is as likely to favour one as the other.
So every pattern of signs is equally likely, and p is the share of patterns that are at least as
extreme as the data. This is exact: no distribution is assumed, and with C clusters p is never below
2^(1 - C).

    up to 16 clusters   all 2^(C - 1) patterns (a pattern and its mirror image are equally extreme)
    more                20,000 seeded patterns and the data itself, p = (1 + at least as extreme) /
                        20,001

`sign_flip` is for means: it needs the clusters' sums of differences only. `exchange` is for any
metric of sums, such as an F1 or a calibration error: it exchanges the two predictions within
clusters. For a mean the two are the same test.

Source: Fisher 1935, ch. 3 (the sign flip, called randomisation test); Phipson and Smyth 2010 for
counting the data among random patterns. Clusters as the unit: Canay, Romano and Shaikh 2017.
Correct a family with `inference.holm`.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array
from ambiemo.seeds import seed

EXACT = 16
"""Most clusters for which every pattern is tried: 32,768 patterns."""
FLIPS = 20_000
SAME = 1e-9
"""Patterns this close to the data, as a share of the largest possible sum, are as extreme: they
differ by rounding.
"""
DECIMALS = 9
"""Sums whose sizes agree to so many decimals are of one size where clusters are ordered."""
BLOCK = 1 << 21
"""Signs held at a time."""


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
    if values.ndim != 1:
        raise ValueError(f"sign_flip: found shape {values.shape}; expected one sum per cluster")
    return float(sign_flips(values[:, None])[0])


def sign_flips(sums: npt.ArrayLike) -> Array:
    """`sign_flip` of several differences at once, (C, M) -> (M,): the seeded patterns are made
    once."""
    values = np.asarray(sums, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("sign_flip: expected finite sums of differences, (clusters, differences)")
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    # By size: an order that no name decides. Rounded, so that no last bit decides which of two
    # opposite sums comes first.
    ordered = [
        sorted(column, key=lambda value: (round(abs(value), DECIMALS), value))
        for column in values.T.tolist()
    ]
    least = [abs(math.fsum(column)) - SAME * math.fsum(map(abs, column)) for column in ordered]
    if len(values) <= EXACT:
        return np.array([_all_patterns(*one) for one in zip(ordered, least, strict=True)])
    extreme = np.count_nonzero(np.abs(_flipped(np.array(ordered).T)) >= np.array(least), axis=0)
    return (1 + extreme) / (FLIPS + 1)


def exchange(a: npt.ArrayLike, b: npt.ArrayLike, value: Callable[[Array], Array]) -> float:
    """Two-sided p that two predictions are exchangeable within clusters, for any metric of sums.

    a and b (C, S) are each cluster's sums of one prediction's statistics; value (..., S) -> (...).
    Clusters in the order of their names: with more than 16, the seeded patterns are theirs.
    NaN for fewer than two clusters and where the difference is not estimable. A pattern in which it
    is not estimable counts as extreme, so it can only raise p.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 2:
        raise ValueError(
            f"exchange: found shapes {left.shape} and {right.shape}; expected (C, S) twice"
        )
    if len(left) < 2:
        return math.nan
    same, apart = (left + right) / 2, (left - right) / 2
    middle = np.array([math.fsum(column) for column in same.T.tolist()])
    observed = float(_difference(middle, apart, np.ones((1, len(left))), value)[0])
    if not math.isfinite(observed):
        return math.nan
    extreme = every = 0
    for signs in patterns(len(left)):
        differences = np.abs(_difference(middle, apart, signs, value))
        extreme += int(np.count_nonzero(~(differences < abs(observed) - SAME)))
        every += len(signs)
    return extreme / every if len(left) <= EXACT else (1 + extreme) / (every + 1)


def patterns(clusters: int) -> Iterator[Array]:
    """Patterns of signs +1 and -1, in blocks (P, C).

    All of them up to 16 clusters, the first of which is never flipped. With more, FLIPS random ones
    from SHAKE-256 of the decimal digits of `seeds.seed("sign flip", C)`: pattern r is the first C
    bits of the r-th ceil(C / 8) bytes, the most significant bit of a byte first; a bit of 1 flips.
    """
    if clusters <= EXACT:
        flips = np.arange(2 ** (clusters - 1))[:, None] >> np.arange(clusters - 1)[None, :] & 1
        signs: Array = np.concatenate([np.ones((len(flips), 1)), 1.0 - 2.0 * flips], axis=1)
        yield signs
        return
    rows = max(1, BLOCK // clusters)
    for block in np.split(_stream(clusters), range(rows, FLIPS, rows)):
        signs = 1.0 - 2.0 * np.unpackbits(block, axis=1)[:, :clusters].astype(np.float64)
        yield signs


@lru_cache(maxsize=4)
def _stream(clusters: int) -> npt.NDArray[np.uint8]:
    """The bytes of the random patterns, (FLIPS, ceil(C / 8))."""
    width = -(-clusters // 8)
    key = str(seed("sign flip", clusters)).encode("ascii")
    stream = np.frombuffer(hashlib.shake_256(key).digest(FLIPS * width), dtype=np.uint8)
    return stream.reshape(FLIPS, width)


@lru_cache(maxsize=4)
def _bytes(clusters: int) -> npt.NDArray[np.intp]:
    """The stream's bytes by their place, (ceil(C / 8), FLIPS), as indices."""
    return np.ascontiguousarray(_stream(clusters).T, dtype=np.intp)


def _flipped(values: Array) -> Array:
    """Sums of the values (C, M) under each random pattern, (FLIPS, M).

    Eight values have 256 patterns, so each byte of a pattern looks its sum up: ten times as fast
    as multiplying by signs.
    """
    stream, many = _stream(len(values)), values.shape[1]
    # Zeros fill the last byte up: their signs change nothing.
    eights = np.zeros((stream.shape[1] * 8, many))
    eights[: len(values)] = values
    eights = eights.reshape(-1, 8, many)
    sums = np.zeros((len(eights), 1, many))
    for place in range(8):
        value = eights[:, place, None]
        sums = np.stack([sums + value, sums - value], axis=2).reshape(len(eights), -1, many)
    total, signed = np.zeros((len(stream), many)), np.empty((len(stream), many))
    for place, byte in enumerate(_bytes(len(values))):
        np.take(sums[place], byte, axis=0, out=signed, mode="clip")  # "raise" would copy first
        total += signed
    return total


def _all_patterns(ordered: list[float], least: float) -> float:
    """Share of the 2^(C - 1) sums of +-values whose size is at least `least`."""
    sums = np.array(ordered[:1])
    for value in ordered[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return np.count_nonzero(np.abs(sums) >= least) / len(sums)


def _difference(
    middle: Array, apart: Array, signs: Array, value: Callable[[Array], Array]
) -> Array:
    """value(a) - value(b) for each pattern (P, C): middle (S,) plus or minus the signed halves (C,
    S)."""
    half = np.einsum("pc,cs->ps", signs, apart)
    one, two = middle + half, middle - half
    with np.errstate(invalid="ignore"):
        return value(_clean(one)) - value(_clean(two))


def _clean(sums: Array) -> Array:
    """Rounding near 0 set to 0: a label that a pattern leaves empty must not count as there."""
    return np.where(np.abs(sums) < SAME, 0.0, sums)
