"""One utterance's candidates, through one strategy, to one prediction. Pure: arrays in, a record out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ambiemo.strategies import Strategy
from ambiemo.strategies.aggregators import (
    Mixture,
    NothingParsed,
    best,
    dirichlet_mixture,
    only,
    usable,
    vote_share,
    weighted_mean,
)
from ambiemo.strategies.scorers import proportional_weights, softmax_weights


@dataclass(frozen=True)
class Heard:
    """What a strategy knows of one candidate: its parsed distribution (None = unparsed), log-likelihood, tokens, verifier's score."""

    distribution: Sequence[float] | None
    log_likelihood: float | None
    tokens: int
    score: float | None = None


@dataclass(frozen=True)
class Weighting:
    """The plan's choices for the weighted strategies: τ of the softmax, and c and ε of the Dirichlet components."""

    temperature: float = 1.0
    concentration: float = 10.0
    epsilon: float = 0.01


@dataclass(frozen=True)
class Prediction:
    """One strategy's word on one utterance: a distribution, or the reason why there is none (`failure`).

    unparsed counts the candidates without a distribution, unscored those that parsed but have no score where the strategy needs one.
    expected_bits, spread_bits and disagreement_bits add up to the entropy of a Dirichlet mixture's mean, and are None elsewhere.
    """

    distribution: tuple[float, ...] | None
    candidates: int
    unparsed: int
    unscored: int = 0
    failure: str = ""
    expected_bits: float | None = None
    spread_bits: float | None = None
    disagreement_bits: float | None = None


def predict(strategy: Strategy, candidates: Sequence[Heard], labels: int, weighting: Weighting) -> Prediction:
    """Apply `strategy` to the candidates of one utterance (any order) with `labels` classes.

    A candidate that did not parse has weight 0 and is counted; if none is left the prediction is a failure, never a guess.
    """
    rows = [[np.nan] * labels if c.distribution is None else c.distribution for c in candidates]
    distributions = np.array(rows, dtype=float).reshape(len(candidates), labels)
    parsed = usable(distributions)
    scores = _scores(strategy, candidates)
    unscored = int((parsed & np.isnan(scores)).sum()) if strategy.scorer else 0
    counted = Prediction(None, len(candidates), int((~parsed).sum()), unscored)
    try:
        made = _aggregate(strategy, distributions, scores, parsed, candidates, weighting)
    except NothingParsed:
        why = (
            "no candidates"
            if not candidates
            else "no candidate parsed"
            if not parsed.any()
            else "no candidate has a score"
        )
        return replace(counted, failure=why)
    if isinstance(made, Mixture):
        return replace(
            counted,
            distribution=tuple(made.mean.tolist()),
            expected_bits=made.expected_bits,
            spread_bits=made.spread_bits,
            disagreement_bits=made.disagreement_bits,
        )
    return replace(counted, distribution=tuple(made.tolist()))


def _scores(strategy: Strategy, candidates: Sequence[Heard]) -> np.ndarray:
    of = {
        "": lambda c: np.nan,
        "likelihood": lambda c: c.log_likelihood,
        "mean_likelihood": lambda c: c.log_likelihood,
        "verifier": lambda c: c.score,
    }[strategy.scorer]
    return np.array([np.nan if (score := of(c)) is None else score for c in candidates], dtype=float)


def _aggregate(
    strategy: Strategy,
    distributions: np.ndarray,
    scores: np.ndarray,
    parsed: np.ndarray,
    candidates: Sequence[Heard],
    weighting: Weighting,
) -> np.ndarray | Mixture:
    if strategy.aggregator == "only":
        return only(distributions)
    if strategy.aggregator == "vote_share":
        return vote_share(distributions)
    if strategy.aggregator == "best":
        return best(distributions, scores)
    if strategy.aggregator == "weighted_mean":
        return weighted_mean(distributions, softmax_weights(scores, 1.0, None, parsed))
    if strategy.scorer == "verifier":
        weights = proportional_weights(scores, parsed)
    else:
        tokens = np.array([max(c.tokens, 1) for c in candidates], dtype=float)
        lengths = tokens if strategy.scorer == "mean_likelihood" else None
        weights = softmax_weights(scores, weighting.temperature, lengths, parsed)
    return dirichlet_mixture(distributions, weights, weighting.concentration, weighting.epsilon)
