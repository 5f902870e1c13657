"""Candidates as they come, one draw after another, made into columns."""

from array import array
from collections.abc import Sequence

import numpy as np

from ambiemo.strategies.candidates import Candidates

NAN = float("nan")


class Collected:
    """Collects the draws of one question with `count` candidates each, over `labels` labels."""

    def __init__(self, count: int, labels: int) -> None:
        self.count, self.labels = count, labels
        self._shares, self._likelihoods, self._scores = array("d"), array("d"), array("d")
        self._tokens, self._there = array("q"), array("b")
        self._failures: list[str] = []
        self._nothing = [NAN] * labels

    def answered(
        self,
        distributions: Sequence[Sequence[float] | None],
        log_likelihoods: Sequence[float | None],
        tokens: Sequence[int],
        scores: Sequence[float | None] = (),
    ) -> None:
        """Add a draw that brought candidates, each list in their order. `scores` may be shorter:
        the rest has none.
        """
        missing = self.count - len(distributions)
        for distribution in distributions:
            self._shares.extend(self._nothing if distribution is None else distribution)
        self._shares.extend(self._nothing * missing)
        self._likelihoods.extend(
            [NAN if one is None else one for one in log_likelihoods] + [NAN] * missing
        )
        self._scores.extend(
            [NAN if one is None else one for one in scores] + [NAN] * (self.count - len(scores))
        )
        self._tokens.extend([*tokens, *[0] * missing])
        self._there.extend([1] * len(distributions) + [0] * missing)
        self._failures.append("")

    def failed(self, reason: str) -> None:
        """Add a draw that brought nothing."""
        self.answered((), (), ())
        self._failures[-1] = reason

    def columns(self) -> Candidates:
        """All draws so far, in the order they came."""
        shape = (len(self._failures), self.count)
        return Candidates(
            distributions=np.array(self._shares, dtype=np.float64).reshape(*shape, self.labels),
            log_likelihoods=np.array(self._likelihoods, dtype=np.float64).reshape(shape),
            tokens=np.array(self._tokens, dtype=np.int64).reshape(shape),
            scores=np.array(self._scores, dtype=np.float64).reshape(shape),
            there=np.array(self._there, dtype=bool).reshape(shape),
            failures=np.array(self._failures, dtype=object),
        )
