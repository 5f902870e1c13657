"""From the candidates of a draw to one distribution.

distributions (..., N, K): one row per candidate, rows sum to 1, NaN for a candidate that did not
parse. scores and weights (..., N): NaN or 0 for a candidate that has none. Every function returns
(..., K), with a NaN row where no candidate counts: there is no prediction then. Permuting the
candidates changes no bit of a result: sums are rounded once. The formulas are our reading of
2602.03873 (grade I): the paper's own are not published in full and no code was released.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ambiemo.labels import entropy_bits
from ambiemo.metrics.arithmetic import row_sum
from ambiemo.strategies.candidates import Floats
from ambiemo.strategies.weights import exact_sum

LOG2 = math.log(2.0)


@dataclass(frozen=True)
class Mixture:
    """Mixtures of Dirichlets over the label shares: their means (..., K), and the entropy of each
    mean in three parts.

    With H the entropy in bits, m_b the mean of component b, w_b its weight and p a draw from it:
    H(Σ w_b m_b) = expected_bits + spread_bits + disagreement_bits, each (...) and ≥ 0.
    expected_bits      Σ w_b E_b[H(p)]: what the shares leave open on average
    spread_bits        Σ w_b (H(m_b) - E_b[H(p)]): each component's doubt about its own shares; c and ε set it
    disagreement_bits  H(Σ w_b m_b) - Σ w_b H(m_b): the candidates' Jensen-Shannon divergence, 0 if they are equal
    """

    mean: Floats
    expected_bits: Floats
    spread_bits: Floats
    disagreement_bits: Floats


def only(distributions: Floats) -> Floats:
    """The distribution of the single candidate. Raises ValueError if there are more."""
    if distributions.shape[-2] != 1:
        raise ValueError(f"expected one candidate, found {distributions.shape[-2]}")
    return linear_pool(distributions)


def linear_pool(distributions: Floats) -> Floats:
    """Plain mean of the candidates that parsed. A control of ours: what averaging alone gives."""
    return weighted_mean(distributions, usable(distributions).astype(np.float64))


def best(distributions: Floats, scores: Floats) -> Floats:
    """Distribution of the best-scored candidate; higher is better.

    Tied candidates share the win (their mean), so order never decides.
    Source: BoN and ALM-v, 2602.03873 as reported second-hand (grade S); the tie rule is ours.
    """
    counted = usable(distributions) & ~np.isnan(scores)
    highest = np.max(np.where(counted, scores, -np.inf), axis=-1, keepdims=True)
    return weighted_mean(distributions, (counted & (scores == highest)).astype(np.float64))


def vote_share(distributions: Floats) -> Floats:
    """Share of the candidates whose largest label is each label; equally large labels split the
    vote.

    Source: majority vote and self-consistency (Wang et al. 2203.11171) over a distribution's
    argmax, our reading (grade I).
    """
    winners = (distributions == distributions.max(axis=-1, keepdims=True)).astype(np.float64)
    voters = usable(distributions)
    votes = np.where(
        voters[..., None], winners / np.where(voters, winners.sum(axis=-1), 1.0)[..., None], np.nan
    )
    return linear_pool(votes)


def weighted_mean(distributions: Floats, weights: Floats) -> Floats:
    """Mean of the candidates' distributions with weights w_b ≥ 0, which are normalised here.

    Over forced labels (one-hot rows) with softmax weights this is the distribution of 2603.08230:
    the model's probability of each label as its answer, made to add up to 1.
    """
    share, counts = _shares(distributions, weights)
    mean = _pooled(share, np.where(counts[..., None], distributions, 0.0))
    total = exact_sum(mean)
    return np.where(total > 0, mean.T / np.where(total > 0, total, 1.0).T, np.nan).T


def dirichlet_mixture(
    distributions: Floats, weights: Floats, concentration: float, epsilon: float
) -> Mixture:
    """Mixture of Dir(c·p_b + ε) with weights w_b ≥ 0, which are normalised here. The mean is the
    prediction.

    concentration c > 0 says how sure a candidate is of its own shares; epsilon ε > 0 keeps every
    label possible. The mean of one component is (c·p + ε) / (c + K·ε). Source: "a Dirichlet mixture
    aggregates the predicted distributions" (2602.03873, grade S); components and defaults are ours
    (grade I).
    """
    from scipy.special import digamma

    share, counts = _shares(distributions, weights)
    alpha = concentration * np.where(counts[..., None], distributions, 1.0) + epsilon
    total = row_sum(alpha)
    means = alpha / total[..., None]
    expected = (digamma(total + 1) - row_sum(means * digamma(alpha + 1))) / LOG2
    mean = weighted_mean(np.where(counts[..., None], means, np.nan), weights)
    own_bits = exact_sum(share * entropy_bits(means))
    known = ~np.isnan(mean).any(axis=-1)
    expected_bits = exact_sum(share * expected)
    parts = (
        expected_bits,
        np.maximum(own_bits - expected_bits, 0.0),
        np.maximum(entropy_bits(mean) - own_bits, 0.0),
    )
    return Mixture(mean, *(np.where(known, part, np.nan) for part in parts))


def usable(distributions: Floats) -> np.ndarray:
    """Which candidates parsed, (..., N) of bool."""
    return np.asarray(~np.isnan(distributions).any(axis=-1))


def _shares(distributions: Floats, weights: Floats) -> tuple[Floats, np.ndarray]:
    """Weights that sum to 1 over the candidates that count, and which those are."""
    counts = usable(distributions) & (np.nan_to_num(weights) > 0)
    kept = np.where(counts, weights, 0.0)
    total = exact_sum(kept)[..., None]
    return kept / np.where(total > 0, total, 1.0), counts


def _pooled(share: Floats, distributions: Floats) -> Floats:
    return exact_sum(np.swapaxes(share[..., None] * distributions, -1, -2))


@dataclass(frozen=True)
class Aggregator:
    """A way to make one prediction of several candidates.

    combine  the function; `reads` says what it takes in addition to the distributions
    reads    "nothing": each candidate counts once; "scores": of a scorer; "weights": made of a scorer's scores
    mixes    whether it is a Dirichlet mixture, with c and ε
    """

    name: str
    combine: Callable[..., Floats | Mixture]
    reads: Literal["nothing", "scores", "weights"]
    mixes: bool = False


AGGREGATORS: dict[str, Aggregator] = {
    row.name: row
    for row in (
        Aggregator("only", only, "nothing"),
        Aggregator("linear_pool", linear_pool, "nothing"),
        Aggregator("vote_share", vote_share, "nothing"),
        Aggregator("best", best, "scores"),
        Aggregator("weighted_mean", weighted_mean, "weights"),
        Aggregator("dirichlet_mixture", dirichlet_mixture, "weights", mixes=True),
    )
}
