"""How a strategy's loss falls with the number of candidates: over all subsets, not over "the first
k".

One draw of 8 samples holds 8 curves' worth of single answers, 28 of pairs, and so on. The mean over
all subsets of k candidates has far less noise than the first k; a bump at one k is then no longer
an accident of the order.

For the linear pool and the Brier score the mean is known without listing subsets:

    mean over subsets of k  =  a + b / k
    b = sum over labels of the candidates' variance within the clip (divisor M - 1)
    a = loss of the pool of all M - b / M

a is the limit of infinitely many samples, unbiased, so it can be estimated from 8. Both add up over
utterances, so the jackknife gives their intervals. The Jensen-Shannon divergence follows a + b / k
closely for large k but not exactly: `limit` fits it to the larger half of the k.

Candidates that did not parse are left out: k of the M that parsed. A clip with M < k is NaN at that
k. `truth` is (n, K), `pool` (n, N, K) with NaN rows for candidates that did not parse.

Source: sampling without replacement (Cochran 1977, th. 2.2). Best of k by order statistics: the
estimator of pass@k (Chen et al. 2021), for any loss, with ties shared (grade I).
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array, ratio, row_sum
from ambiemo.metrics.decomposition import Loss, linear_pool
from ambiemo.metrics.distribution import brier
from ambiemo.seeds import seed

MOST_SUBSETS = 100
"""Up to this number, all subsets are taken: every k of 8 (at most 70)."""
SEEDED_SUBSETS = 64


class PoolCurve(NamedTuple):
    """The Brier score of the linear pool of k candidates: a + b / k, each (n,). NaN for M < 2."""

    a: Array
    b: Array

    def at(self, k: int) -> Array:
        """Mean over all subsets of k candidates, (n,); an extrapolation for k above M."""
        return self.a + self.b / k


def brier_pool_curve(truth: npt.ArrayLike, pool: npt.ArrayLike) -> PoolCurve:
    """Limit and slope of the linear pool's Brier score per utterance, exactly, whatever the
    subsets."""
    t, candidates = np.asarray(truth, dtype=np.float64), np.asarray(pool, dtype=np.float64)
    parsed = np.logical_not(np.isnan(candidates).any(axis=-1))
    many = parsed.sum(axis=-1).astype(np.float64)
    centre = linear_pool(candidates)
    away = np.where(parsed[..., None], candidates - centre[:, None, :], 0.0)
    # By size: no order of the candidates changes a bit.
    squares = row_sum(np.sort(row_sum(away * away), axis=-1))
    b = np.where(many > 1, ratio(squares, many - 1), np.nan)
    loss = np.full(len(t), np.nan)
    loss[many > 0] = brier(t[many > 0], centre[many > 0])
    return PoolCurve(loss - ratio(b, many), b)


def pool_at(truth: npt.ArrayLike, pool: npt.ArrayLike, k: int, loss: Loss) -> Array:
    """Mean loss of the linear pool over all subsets of k parsed candidates, (n,).

    All subsets if there are at most 100, else 64 seeded ones (see `subsets`), the same for every
    clip with as many parsed candidates. Where subsets are seeded, they depend on the order of the
    candidates; where all are taken, nothing does. NaN for a clip with fewer than k. k >= 1.
    """
    t, candidates = np.asarray(truth, dtype=np.float64), np.asarray(pool, dtype=np.float64)
    parsed = np.logical_not(np.isnan(candidates).any(axis=-1))
    means = np.full(len(t), np.nan)
    for many in sorted(set(parsed.sum(axis=-1).tolist())):
        if many < k:
            continue
        rows = np.flatnonzero(parsed.sum(axis=-1) == many)
        kept = candidates[rows][parsed[rows]].reshape(len(rows), many, -1)
        losses = [loss(t[rows], _mean_of(kept[:, list(subset)])) for subset in subsets(many, k)]
        means[rows] = _mean_by_row(losses)
    return means


def best_at(
    truth: npt.ArrayLike, pool: npt.ArrayLike, scores: npt.ArrayLike, k: int, loss: Loss
) -> Array:
    """Mean loss of best-of-k over all subsets of k candidates that parsed and have a score, (n,).

    scores (n, N), higher is better, NaN for none. Tied candidates share the win: their mean is the
    answer, as in `strategies.aggregators.best`. Exact by order statistics: a group of equal scores
    with `below` lower ones wins with j of its members in C(group, j) · C(below, k - j) subsets, and
    then answers with the mean of those j, each choice of j as likely. Only the choices of j within
    one large group of ties are ever seeded. NaN for a clip with fewer than k. k >= 1.
    """
    t, candidates = np.asarray(truth, dtype=np.float64), np.asarray(pool, dtype=np.float64)
    given = np.asarray(scores, dtype=np.float64)
    if given.shape != candidates.shape[:2]:
        raise ValueError(f"scores: found shape {given.shape}; expected {candidates.shape[:2]}")
    if k < 1:
        raise ValueError(f"k: found {k}; expected at least 1 candidate")
    able = np.logical_not(np.isnan(candidates).any(axis=-1) | np.isnan(given))
    terms: list[tuple[int, float, Array]] = []  # clip, share of the subsets, answer
    for clip in np.flatnonzero(able.sum(axis=-1) >= k).tolist():
        places = np.flatnonzero(able[clip])
        order = given[clip, places]
        for top in sorted(set(order.tolist())):
            group, below = places[order == top], int(np.sum(order < top))
            for j in range(max(1, k - below), min(k, len(group)) + 1):
                ways = math.comb(len(group), j) * math.comb(below, k - j)
                chosen = subsets(len(group), j)
                for subset in chosen:
                    answer = _mean_of(candidates[clip, group[list(subset)]][None])[0]
                    share = ways / len(chosen) / math.comb(len(places), k)
                    terms.append((clip, share, answer))
    means = np.full(len(t), np.nan)
    if not terms:
        return means
    rows = np.array([clip for clip, _, _ in terms])
    losses = loss(t[rows], np.stack([answer for _, _, answer in terms])).tolist()
    by_clip: dict[int, list[float]] = {}
    for (clip, share, _), value in zip(terms, losses, strict=True):
        by_clip.setdefault(clip, []).append(share * value)
    for row, values in by_clip.items():
        means[row] = math.fsum(values)
    return means


def limit(values: Sequence[npt.ArrayLike], sizes: Sequence[int]) -> Array:
    """The a of y = a + b / k by least squares over the given sizes, per utterance, (n,).

    values  one (n,) per size, as `pool_at` gives them
    sizes   at least two different k
    a is a fixed weighted sum of the values, so it adds up over utterances and the jackknife holds
    for it. For Brier any sizes give the exact limit. For the Jensen-Shannon divergence take the
    `upper_half` of the sizes: the curve bends at small k.
    """
    inverse = np.array([1 / k for k in sizes])
    if len(set(sizes)) < 2 or len(values) != len(sizes):
        raise ValueError(
            f"limit: found {len(values)} curves at sizes {list(sizes)}; expected two sizes or more"
        )
    away = inverse - inverse.mean()
    weights = 1 / len(sizes) - inverse.mean() * away / float((away**2).sum())
    total = np.zeros(len(np.asarray(values[0])))
    for weight, value in zip(weights.tolist(), values, strict=True):
        total = total + weight * np.asarray(value, dtype=np.float64)
    return total


def upper_half(sizes: Sequence[int]) -> list[int]:
    """The sizes above half of the largest, in order, and at least the two largest."""
    ordered = sorted(sizes)
    above = [k for k in ordered if 2 * k > ordered[-1]]
    return above if len(above) > 1 else ordered[-2:]


def subsets(many: int, k: int) -> list[tuple[int, ...]]:
    """Subsets of k of `many` places: all, in order, if at most 100; else 64 seeded ones, possibly
    repeated.

    Seeded: subset r has the k places with the smallest SHA-256 of the text "SEED r place", where
    SEED is `seeds.seed("subsets", many, k)`.
    """
    if not 1 <= k <= many:
        raise ValueError(f"subsets: found k = {k} of {many}; expected 1 to {many}")
    if math.comb(many, k) <= MOST_SUBSETS:
        return list(itertools.combinations(range(many), k))
    key = seed("subsets", many, k)

    def rank(r: int, place: int) -> bytes:
        return hashlib.sha256(f"{key} {r} {place}".encode("ascii")).digest()

    picks = []
    for r in range(SEEDED_SUBSETS):
        ranked = sorted((rank(r, place), place) for place in range(many))
        picks.append(tuple(sorted(place for _, place in ranked[:k])))
    return picks


def _mean_of(candidates: Array) -> Array:
    """Mean over candidates, (n, k, K) -> (n, K), added by size: no order of the candidates changes
    a bit."""
    return row_sum(np.sort(np.moveaxis(candidates, 1, -1), axis=-1)) / candidates.shape[1]


def _mean_by_row(losses: Sequence[Array]) -> Array:
    """Mean of several (n,), exactly rounded."""
    return np.array([math.fsum(row) / len(losses) for row in np.stack(losses, axis=1).tolist()])
