"""Scores of candidates: higher is better. A scorer also says which weights its scores make
(`weights`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ambiemo.strategies.candidates import Candidates, Floats
from ambiemo.strategies.weights import proportional, softmax


def likelihood_of(candidates: Candidates) -> Floats:
    """Sum of an answer's token log-probabilities, (n, N) nats; NaN where unknown.

    The plain sum favours short answers. Source: "the highest log-likelihood" (2602.03873, grade S).
    """
    return candidates.log_likelihoods


def mean_likelihood_of(candidates: Candidates) -> Floats:
    """Mean of an answer's token log-probabilities, (n, N) nats per token; NaN where unknown. Ours
    (grade I).
    """
    return candidates.log_likelihoods / np.maximum(candidates.tokens, 1)


def verifier_of(candidates: Candidates) -> Floats:
    """What a verifier ALM that hears the clip gave each candidate, (n, N), 0 to 10; NaN where it
    gave none.

    Source: the paper's ALM verifier (2602.03873, grade S); the scale is ours (grade I).
    """
    return candidates.scores


@dataclass(frozen=True)
class Scorer:
    """A way to score candidates.

    score    Candidates -> (n, N), NaN for a candidate without a score
    weigh    ((n, N) scores, NaN = no weight; τ) -> (n, N) weights that sum to 1, or zeros where no candidate has a score
    needs    capabilities that the answering model must have
    judge    the prompt by which a verifier ALM judges the candidates; "" if none does
    has_tau  whether the weights depend on τ
    """

    name: str
    score: Callable[[Candidates], Floats]
    weigh: Callable[[Floats, float], Floats]
    needs: frozenset[str] = frozenset()
    has_tau: bool = False
    judge: str = ""


LIKELIHOOD = frozenset({"likelihood"})
likelihood = Scorer("likelihood", likelihood_of, softmax, LIKELIHOOD, has_tau=True)
mean_likelihood = Scorer("mean_likelihood", mean_likelihood_of, softmax, LIKELIHOOD, has_tau=True)
verifier = Scorer("verifier", verifier_of, proportional, judge="verifier")
# Variants of ours (grade I): the same verifier asked by criteria, or about all candidates at once.
rubric = Scorer("rubric", verifier_of, proportional, judge="rubric")
listwise = Scorer("listwise", verifier_of, proportional, judge="listwise")

SCORERS: dict[str, Scorer] = {
    row.name: row for row in (likelihood, mean_likelihood, verifier, rubric, listwise)
}
