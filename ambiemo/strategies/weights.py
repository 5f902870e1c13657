"""From scores to weights. Our reading of 2602.03873 (grade I).

scores (n, N): NaN for a candidate that has no score or did not parse; its weight is 0. Weights of a draw sum to 1, or are
all 0 where no candidate has a score. Permuting the candidates permutes the weights and changes no bit of them.
"""

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
    """Sum over the last axis, rounded once: what `math.fsum` gives, and no order of the terms changes a bit of it.

    The smallest terms come first, and what each addition rounds off is kept and added at the end (Knuth's two-sum).
    """
    ordered = np.sort(terms, axis=-1)
    total = ordered[..., 0] + 0.0
    lost = np.zeros_like(total)
    for place in range(1, ordered.shape[-1]):
        term = ordered[..., place]
        added = total + term
        back = added - total
        lost = lost + ((total - (added - back)) + (term - back))
        total = added
    return total + lost
