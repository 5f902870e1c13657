"""What strategies read: every candidate of one question, as columns."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """The answers of n draws to one question: N candidates each, K labels.

    distributions    (n, N, K), rows sum to 1; NaN: the candidate did not parse, or is not there
    log_likelihoods  (n, N), sums of token log-probabilities in nats; NaN: unknown
    tokens           (n, N), length of the answer
    scores           (n, N), the verifier's, 0 to 10; NaN: it gave none
    there            (n, N), False where the draw failed and brought no candidate
    failures         (n,), why a draw failed, "" where it did not
    """

    distributions: Floats
    log_likelihoods: Floats
    tokens: NDArray[np.int64]
    scores: Floats
    there: NDArray[np.bool_]
    failures: NDArray[np.object_]

    @property
    def parsed(self) -> NDArray[np.bool_]:
        """Which candidates have a distribution, (n, N)."""
        return np.asarray(~np.isnan(self.distributions).any(axis=-1))

    def first(self, count: int) -> "Candidates":
        """The same draws with their first `count` candidates: samples are nested, so these are what
        `count` alone would be.
        """
        if count >= self.there.shape[1]:
            return self
        columns = {name: getattr(self, name)[:, :count] for name in PER_CANDIDATE}
        return replace(self, **columns)

    def of(self, draws: NDArray[np.int64]) -> "Candidates":
        """The draws at these places, in this order; a place may come more than once."""
        return Candidates(
            **{name: getattr(self, name)[draws] for name in (*PER_CANDIDATE, "failures")}
        )


PER_CANDIDATE = ("distributions", "log_likelihoods", "tokens", "scores", "there")
