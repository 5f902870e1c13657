"""Mean losses over all subsets of k candidates, for thousands of clips at once.

`metrics.curves` has the definitions, one clip at a time; here the same numbers are computed for
whole arrays. With at most 8 parsed candidates there are at most 255 subsets. The mean answer of
every subset and its loss are computed once. They serve the linear pool and best-of at every k,
because the answer of a best-of is the mean of its tied winners, which are themselves a subset.

Sums over candidates and over subsets are in fixed point (whole numbers), so they are exact and no
order of the candidates changes a bit. That moves a loss by less than 1e-12.

A clip with fewer than k parsed candidates keeps the value of all that it has: more draws would have
brought nothing. So every k is a mean over the same clips.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array, row_sum
from ambiemo.metrics.curves import limit, subsets, upper_half

MOST = 8
"""Up to this many parsed candidates, all subsets are taken; above, 64 seeded ones of each size."""
CHUNK = 256
"""Clips worked on at a time: the arrays stay in the processor's cache."""
POINT = 2.0**45
"""Shares are whole numbers of this."""
LOSS_POINT = 2.0**50
TINY = 1e-300
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Curve(NamedTuple):
    """Losses by number of candidates, each (n,), NaN for a clip without any candidate that counts.

    js, brier  by k
    js_limit   the a of a + b / k fitted to js over the larger half of k = 1 to all that parsed; NaN
               for fewer than two
    """

    js: dict[int, Array]
    brier: dict[int, Array]
    js_limit: Array


def sizes_of(count: int) -> list[int]:
    """Which k are made of `count` candidates: all up to 8, else the powers of two and `count`."""
    if count <= MOST:
        return list(range(1, count + 1))
    return sorted({2**power for power in range(count.bit_length())} | {count})


def pool_and_best(truth: Array, pool: Array, scores: Sequence[Array]) -> tuple[Curve, list[Curve]]:
    """Curves of the linear pool, and of best-of by each of the scores.

    truth   (n, K); pool (n, N, K), NaN rows for candidates that did not parse
    scores  each (n, N), higher is better, NaN for none: such a candidate never wins, and is drawn in
            vain. Tied winners share the win.
    """
    parsed = np.asarray(~np.isnan(pool).any(axis=-1))
    filled = [np.where(np.isnan(one), 0.0, one) for one in scores]  # corrected below
    linear, *best = _curves(truth, pool, parsed, [None, *filled])
    for one, curve in zip(scores, best, strict=True):
        # Where a parsed candidate has no score, it is left out before subsets are taken.
        rows = np.flatnonzero((parsed & np.isnan(one)).any(axis=1))
        if len(rows):
            able = parsed[rows] & ~np.isnan(one[rows])
            (again,) = _curves(truth[rows], pool[rows], able, [one[rows]])
            for k in curve.js:
                curve.js[k][rows], curve.brier[k][rows] = again.js[k], again.brier[k]
            curve.js_limit[rows] = again.js_limit
    return linear, best


def vote(truth: Array, pool: Array) -> Curve:
    """The curve of voting: every candidate is a vote for its largest label, tied labels share
    it."""
    winners = (pool == pool.max(axis=-1, keepdims=True)).astype(np.float64)
    parsed = np.asarray(~np.isnan(pool).any(axis=-1))
    votes = winners / np.maximum(row_sum(winners), 1.0)[..., None]
    (curve,) = _curves(truth, np.where(parsed[..., None], votes, np.nan), parsed, [None])
    return curve


def _curves(truth: Array, pool: Array, able: Bools, scores: Sequence[Array | None]) -> list[Curve]:
    """One curve per scores (None: the linear pool) over the candidates that are able to count."""
    n, count = able.shape
    sizes = sizes_of(count)

    def nothing() -> dict[int, Array]:
        return {k: np.full(n, np.nan) for k in sizes}

    curves = [Curve(nothing(), nothing(), np.full(n, np.nan)) for _ in scores]
    # The candidates that count, moved to the front.
    front = np.argsort(~able, axis=1, kind="stable")
    many = able.sum(axis=1)
    for m in sorted(set(many.tolist()) - {0}):
        work = _all_subsets if m <= MOST else _some_subsets
        ks = sorted({k for k in sizes if k < m} | {m})
        whole = np.flatnonzero(many == m)
        for start in range(0, len(whole), CHUNK):
            rows = whole[start : start + CHUNK]
            places = front[rows, :m]
            kept = np.rint(pool[rows[:, None], places] * POINT).astype(np.int64)
            given = [None if one is None else one[rows[:, None], places] for one in scores]
            for curve, losses in zip(curves, work(truth[rows], kept, given, ks), strict=True):
                for k in sizes:
                    curve.js[k][rows], curve.brier[k][rows] = losses[min(k, m)]
                if len(ks) > 1:
                    large = upper_half(ks)
                    curve.js_limit[rows] = limit([losses[k][0] for k in large], large)
    return curves


LossesBySize = dict[int, tuple[Array, Array]]
"""JS and Brier (rows,) by k."""


def _all_subsets(
    truth: Array, pool: Ints, scores: Sequence[Array | None], sizes: Sequence[int]
) -> list[LossesBySize]:
    """Subset number s, from 1 to 2^M - 1, has the candidates whose bits are set in s."""
    rows, m, labels = pool.shape
    every = 1 << m
    sums = np.zeros((every, rows, labels), dtype=np.int64)
    for s in range(1, every):
        low = (s & -s).bit_length() - 1
        np.add(sums[s & (s - 1)], pool[:, low], out=sums[s])
    members = np.array([bin(s).count("1") for s in range(every)], dtype=np.float64)
    answers = sums[1:] / (members[1:, None, None] * POINT)
    losses = [np.zeros((every, rows), dtype=np.int64) for _ in range(2)]
    for whole, loss in zip(losses, (_js_bits, _brier), strict=True):
        whole[1:] = np.rint(loss(truth, answers) * LOSS_POINT)
    every_curve = []
    for one in scores:
        own = losses
        if one is not None:
            winners = _winners(one)
            own = [np.take_along_axis(whole, winners, axis=0) for whole in losses]
        by_size = {}
        for k in sizes:
            of_k = members == k
            js, brier = (whole[of_k].sum(axis=0) / (of_k.sum() * LOSS_POINT) for whole in own)
            by_size[k] = (js, brier)
        every_curve.append(by_size)
    return every_curve


def _winners(scores: Array) -> Ints:
    """The subset of the winners of every subset, (2^M, rows): those with its highest score."""
    rows, m = scores.shape
    equal = np.zeros((m, rows), dtype=np.int64)  # the candidates with the same score, as a subset
    for i in range(m):
        for j in range(m):
            equal[i] |= (scores[:, i] == scores[:, j]).astype(np.int64) << j
    top = np.full((1 << m, rows), -np.inf)
    winners = np.zeros((1 << m, rows), dtype=np.int64)
    for s in range(1, 1 << m):
        low = (s & -s).bit_length() - 1
        rest = s & (s - 1)
        higher = scores[:, low] > top[rest]
        same = scores[:, low] == top[rest]
        top[s] = np.where(higher, scores[:, low], top[rest])
        winners[s] = np.where(higher | same, equal[low] & s, winners[rest])
    return winners


def _some_subsets(
    truth: Array, pool: Ints, scores: Sequence[Array | None], sizes: Sequence[int]
) -> list[LossesBySize]:
    """The same over the subsets that `curves.subsets` gives: seeded where there are many."""
    rows, m, _ = pool.shape
    every_curve = []
    for one in scores:
        by_size = {}
        for k in sizes:
            chosen = subsets(m, k)
            totals = [np.zeros(rows, dtype=np.int64) for _ in range(2)]
            for subset in map(list, chosen):
                wins = np.ones((rows, k), dtype=bool)
                if one is not None:
                    wins = one[:, subset] == one[:, subset].max(axis=1, keepdims=True)
                summed = (pool[:, subset] * wins[..., None]).sum(axis=1)
                answers = (summed / (wins.sum(axis=1)[:, None] * POINT))[None]
                for total, loss in zip(totals, (_js_bits, _brier), strict=True):
                    total += np.rint(loss(truth, answers)[0] * LOSS_POINT).astype(np.int64)
            js, brier = (total / (len(chosen) * LOSS_POINT) for total in totals)
            by_size[k] = (js, brier)
        every_curve.append(by_size)
    return every_curve


def _js_bits(truth: Array, answers: Array) -> Array:
    """JS in bits of truth (rows, K) and answers (S, rows, K), (S, rows): H of the middle minus half
    of H of each."""
    middle = _entropy((answers + truth) / 2)
    return np.maximum(middle - (_entropy(answers) + _entropy(truth)) / 2, 0.0)


def _entropy(shares: Array) -> Array:
    """In bits; unlike `labels.entropy_bits` not sorted, as labels are never reordered here."""
    return -row_sum(shares * np.log2(np.maximum(shares, TINY)))


def _brier(truth: Array, answers: Array) -> Array:
    away = answers - truth
    return row_sum(away * away)
