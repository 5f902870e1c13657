"""From the candidates of one utterance to one distribution.

Arrays: `distributions` is (B, K), a row a candidate, rows sum to 1, all NaN for a candidate that did not parse. `scores` and `weights`
are (B,). No function here looks at the order of the candidates: permuting them changes no bit of the result.
The formulas are our reading of 2602.03873 (grade I): the paper's own are not published in full and no code was released.
"""

import math
from dataclasses import dataclass

import numpy as np

LOG2 = math.log(2.0)


class NothingParsed(ValueError):
    """No candidate of the utterance holds a usable distribution (or none has a usable score): there is no prediction to make."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of Dirichlets over the label shares: its mean (K,), and the entropy of that mean in bits, split in three parts, all ≥ 0.

    With H the entropy, m_b the mean of component b, w_b its weight and p a draw from it:
    total_bits = H(Σ w_b m_b) = expected_bits + spread_bits + disagreement_bits;
    expected_bits = Σ w_b E_b[H(p)]: what the shares leave open on average;
    spread_bits = Σ w_b (H(m_b) - E_b[H(p)]): each component's doubt about its own shares, set by c and ε more than by the candidates;
    disagreement_bits = H(Σ w_b m_b) - Σ w_b H(m_b): how far the candidates lie apart (their Jensen-Shannon divergence), 0 if they are equal.
    """

    mean: np.ndarray
    total_bits: float
    expected_bits: float
    spread_bits: float
    disagreement_bits: float


def only(distributions: np.ndarray) -> np.ndarray:
    """The distribution of the single candidate, (K,).

    Raises NothingParsed if it did not parse or is not there, ValueError if there is more than one.
    """
    if len(distributions) > 1:
        raise ValueError(f"expected one candidate, found {len(distributions)}")
    return _mean(distributions[usable(distributions)])


def best(distributions: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Distribution of the best-scored candidate, (K,).

    scores (B,): higher is better, NaN for a candidate without a score. Tied candidates share the win (their mean), so order never decides.
    Raises NothingParsed if no candidate has both a distribution and a score.
    Source: BoN and ALM-v, 2602.03873 as reported second-hand (grade S); the tie rule is ours.
    """
    kept = usable(distributions) & ~np.isnan(scores)
    if not kept.any():
        raise NothingParsed
    return _mean(distributions[kept & (scores == scores[kept].max())])


def vote_share(distributions: np.ndarray) -> np.ndarray:
    """Share of the candidates whose largest label is each label, (K,).

    A candidate with several equally large labels splits its vote among them. Raises NothingParsed if nobody can vote.
    Source: majority vote and self-consistency (Wang et al. 2203.11171) over a distribution's argmax, our reading (grade I).
    """
    voters = distributions[usable(distributions)]
    winners = voters == voters.max(axis=1, keepdims=True) if len(voters) else voters
    return _mean(winners / winners.sum(axis=1, keepdims=True) if len(voters) else voters)


def dirichlet_mixture(distributions: np.ndarray, weights: np.ndarray, concentration: float, epsilon: float) -> Mixture:
    """Mixture of Dir(c·p_b + ε) with weights w_b, and its mean as the prediction.

    weights (B,) ≥ 0 and not all 0 on the usable candidates, NaN or 0 for the others; they are normalised here. concentration c > 0 says how
    sure a candidate is of its own shares, epsilon ε > 0 keeps every label possible. Mean of one component: (c·p + ε) / (c + K·ε).
    Raises NothingParsed if no usable candidate has a positive weight.
    Source: "a Dirichlet mixture aggregates the predicted distributions" (2602.03873, grade S); components and defaults are ours (grade I).
    """
    from scipy.special import digamma

    kept = usable(distributions) & (np.nan_to_num(weights) > 0)
    if not kept.any():
        raise NothingParsed
    share = weights[kept] / math.fsum(weights[kept])
    alpha = concentration * distributions[kept] + epsilon
    total = alpha.sum(axis=1, keepdims=True)
    means = alpha / total
    expected = digamma(total[:, 0] + 1) - (means * digamma(alpha + 1)).sum(axis=1)
    mean = _weighted(share, means)
    total_bits = entropy_bits(mean)
    own_bits = math.fsum(share * [entropy_bits(one) for one in means])
    expected_bits = math.fsum(share * expected) / LOG2
    return Mixture(mean, total_bits, expected_bits, max(0.0, own_bits - expected_bits), max(0.0, total_bits - own_bits))


def weighted_mean(distributions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the candidates' distributions with weights w_b, (K,).

    weights (B,) ≥ 0, NaN or 0 for a candidate that does not count; they are normalised here. Over forced labels (one-hot rows) with
    softmax weights this is the distribution of 2603.08230: the model's probability of each label as its answer, made to add up to 1.
    Raises NothingParsed if no usable candidate has a positive weight.
    """
    kept = usable(distributions) & (np.nan_to_num(weights) > 0)
    if not kept.any():
        raise NothingParsed
    return _weighted(weights[kept] / math.fsum(weights[kept]), distributions[kept])


def usable(distributions: np.ndarray) -> np.ndarray:
    """Which candidates parsed, (B,) of bool."""
    return ~np.isnan(distributions).any(axis=1)


def entropy_bits(distribution: np.ndarray) -> float:
    """Shannon entropy of one distribution (K,) in bits; 0·log 0 = 0."""
    positive = distribution[distribution > 0]
    return math.fsum(-positive * np.log2(positive))


def _mean(distributions: np.ndarray) -> np.ndarray:
    if not len(distributions):
        raise NothingParsed
    return _weighted(np.full(len(distributions), 1 / len(distributions)), distributions)


def _weighted(share: np.ndarray, distributions: np.ndarray) -> np.ndarray:
    """Weighted mean whose bits do not depend on the order of the candidates: `fsum` rounds once, whatever the order of its terms."""
    mean = np.array([math.fsum(share * column) for column in distributions.T])
    return mean / math.fsum(mean)
