"""From scores to weights. Our reading of 2602.03873 (grade I).

scores (n, N): NaN for a candidate that has no score or did not parse; its weight is 0.
Weights of a draw sum to 1, or are all 0 where no candidate has a score.
Permuting the candidates permutes the weights and changes no bit of them.
"""

import math

import numpy as np

from ambiemo.strategies.candidates import Floats


def softmax(scores: Floats, tau: float) -> Floats:
    """W-BoN's weights: softmax(score / τ), τ > 0.

    With sums of log-probabilities the likeliest candidate takes nearly all the weight.
    Source: "weighted BoN" (2602.03873, grade S that it exists, grade I for softmax and τ).
    """
    scored = ~np.isnan(scores)
    best = np.max(np.where(scored, scores, -np.inf), axis=-1, keepdims=True)
    shifted = np.where(scored, scores, -np.inf) - np.where(np.isfinite(best), best, 0.0)
    return _shares(np.where(scored, np.exp(shifted / tau), 0.0))


def proportional(scores: Floats, tau: float = 1.0) -> Floats:
    """W-ALM-v's weights: s_b / Σ s for scores ≥ 0. τ plays no part.

    If every score is 0 the verifier prefers nobody, and the scored candidates share equally.
    Source: "weighted ALM verifier" (2602.03873, grade S that it exists, grade I for the formula).
    """
    scored = ~np.isnan(scores)
    raised = np.where(scored, scores, 0.0)
    nobody = ~(raised > 0).any(axis=-1, keepdims=True)
    return _shares(np.where(nobody, scored.astype(np.float64), raised))


def _shares(raised: Floats) -> Floats:
    total = exact_sum(raised)[..., None]
    return np.where(total > 0, raised / np.where(total > 0, total, 1.0), 0.0)


def exact_sum(terms: Floats) -> Floats:
    """Sum over the last axis, rounded once, as `math.fsum`: no order of the terms changes a bit.

    What each addition rounds off is kept and added at the end (Knuth's two-sum).
    Where these remainders do not add up without rounding, `math.fsum` makes the row's sum.
    """
    ordered = np.sort(terms, axis=-1)
    total = ordered[..., 0] + 0.0
    lost, doubt = np.zeros_like(total), np.zeros_like(total, dtype=bool)
    for place in range(1, ordered.shape[-1]):
        total, off = _two_sum(total, ordered[..., place])
        lost, rest = _two_sum(lost, off)
        doubt = doubt | (rest != 0)
    sums = np.array(total + lost, order="C")
    rows = np.flatnonzero(doubt & np.isfinite(sums))
    if len(rows):
        terms_of = ordered.reshape(-1, ordered.shape[-1])[rows].tolist()
        sums.reshape(-1)[rows] = [math.fsum(row) for row in terms_of]
    return sums


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The rounded sum of two numbers, and exactly what the rounding took off."""
    added = a + b
    back = added - a
    return added, (a - (added - back)) + (b - back)
