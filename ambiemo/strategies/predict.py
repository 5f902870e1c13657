"""One strategy over the candidates of many draws: columns in, columns out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambiemo.strategies import Strategy
from ambiemo.strategies.aggregators import Mixture
from ambiemo.strategies.candidates import Candidates, Floats
from ambiemo.strategies.scorers import Scorer


@dataclass(frozen=True)
class Settings:
    """The plan's choices for the weighted strategies: τ of the softmax, c and ε of the Dirichlet
    components.

    A strategy that has its own takes that.
    """

    tau: float = 1.0
    concentration: float = 10.0
    epsilon: float = 0.01


@dataclass(frozen=True)
class Predictions:
    """What one strategy says of n draws.

    distributions  (n, K), a NaN row where there is no prediction; `failures` says why
    candidates     (n,), how many it read; unparsed: without a distribution; unscored: parsed, but without the score it needs
    bits           (n, 3), expected, spread and disagreement bits of a Dirichlet mixture; NaN elsewhere
    failures       (n,), "" where there is a prediction
    """

    distributions: Floats
    candidates: NDArray[np.int64]
    unparsed: NDArray[np.int64]
    unscored: NDArray[np.int64]
    bits: Floats
    failures: NDArray[np.object_]


def predict(strategy: Strategy, candidates: Candidates, settings: Settings) -> Predictions:
    """Apply `strategy` to the candidates of n draws.

    A candidate that did not parse has weight 0 and is counted. If none is left the prediction is a
    failure, never a guess.
    """
    parsed, distributions = candidates.parsed, candidates.distributions
    n = len(distributions)
    unscored = np.zeros(n, dtype=np.int64)
    given: list[Floats | float] = []
    if strategy.scorer is not None:
        scores = scores_of(strategy.scorer, candidates)
        unscored = (parsed & np.isnan(scores)).sum(axis=1)
        weigh = strategy.aggregator.reads == "weights"
        given = [
            strategy.scorer.weigh(scores, own(strategy.tau, settings.tau)) if weigh else scores
        ]
    if strategy.aggregator.mixes:
        given += [
            own(strategy.concentration, settings.concentration),
            own(strategy.epsilon, settings.epsilon),
        ]
    answers = strategy.aggregator.combine(distributions, *given)
    bits = np.full((n, 3), np.nan)
    if isinstance(answers, Mixture):
        bits = np.stack(
            [answers.expected_bits, answers.spread_bits, answers.disagreement_bits], axis=1
        )
        answers = answers.mean
    return Predictions(
        distributions=answers,
        candidates=candidates.there.sum(axis=1),
        unparsed=(candidates.there & ~parsed).sum(axis=1),
        unscored=unscored,
        bits=bits,
        failures=_failures(candidates, answers),
    )


def scores_of(scorer: Scorer, candidates: Candidates) -> Floats:
    """Scores of the candidates that parsed, (n, N); NaN for the others and where there is none."""
    return np.where(candidates.parsed, scorer.score(candidates), np.nan)


def own(chosen: float | None, usual: float) -> float:
    """A strategy's own number where it has one, else the plan's."""
    return usual if chosen is None else chosen


def _failures(candidates: Candidates, answers: Floats) -> NDArray[np.object_]:
    """Why there is no prediction: the draw's own failure first, then what its candidates lack."""
    why = np.where(
        candidates.there.any(axis=1),
        np.where(candidates.parsed.any(axis=1), "no candidate has a score", "no candidate parsed"),
        "no candidates",
    ).astype(object)
    why = np.where(np.isnan(answers).any(axis=1), why, "")
    return np.where(candidates.failures != "", candidates.failures, why)
