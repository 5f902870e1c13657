"""Scores of candidates, and the weights made of them. Arrays are (B,), one entry a candidate; NaN = no score, and its weight is 0.

Our reading of 2602.03873 (grade I), every choice a key of the plan.
"""

import math

import numpy as np


def softmax_weights(
    log_likelihoods: np.ndarray, temperature: float, lengths: np.ndarray | None = None, usable: np.ndarray | None = None
) -> np.ndarray:
    """W-BoN's weights: softmax(l_b / τ) over the usable candidates; 0 for the others.

    log_likelihoods: sums of token log-probabilities (nats), NaN where unknown; τ = temperature > 0. With `lengths` (tokens, ≥ 1) the score is
    l_b / lengths_b, the mean per token: raw sums make the likeliest candidate take nearly all the weight, and favour short answers.
    `usable` (bool) leaves out candidates that did not parse before the softmax. Returns zeros if nothing is usable.
    Source: 2602.03873 "weighted BoN" (grade S that it exists, grade I for softmax and τ).
    """
    scores = log_likelihoods if lengths is None else log_likelihoods / lengths
    kept = ~np.isnan(scores) if usable is None else usable & ~np.isnan(scores)
    weights = np.zeros(len(scores))
    if kept.any():
        raised = np.exp((scores[kept] - scores[kept].max()) / temperature)
        weights[kept] = raised / math.fsum(raised)
    return weights


def proportional_weights(scores: np.ndarray, usable: np.ndarray | None = None) -> np.ndarray:
    """W-ALM-v's weights: s_b / Σ s over the usable candidates; 0 for the others.

    scores ≥ 0, NaN where the verifier gave none. If every score is 0 the verifier prefers nobody and the usable candidates share equally.
    Returns zeros if nothing is usable.
    Source: 2602.03873 "weighted ALM verifier" (grade S that it exists, grade I for the formula).
    """
    kept = ~np.isnan(scores) if usable is None else usable & ~np.isnan(scores)
    weights = np.zeros(len(scores))
    if kept.any():
        total = math.fsum(scores[kept])
        weights[kept] = scores[kept] / total if total > 0 else 1 / kept.sum()
    return weights
