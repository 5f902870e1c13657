"""Beam search as bookkeeping: which answers to extend, which are complete. The engine only says how
likely each next token is.

The rule is that of transformers' `generate` with length_penalty 0 and early_stopping False: of all
extensions the 2·B likeliest are looked at; one that ends is complete if it is among the first B;
the B likeliest that do not end are extended further. A candidate's score is the plain sum of its
tokens' log-probabilities (the end token included), so it can only fall, and the search stops as
soon as no open answer can still beat the B complete ones.

Why not vLLM's own `LLM.beam_search`: it knows one end token only (chat models have several), never
stops before max_tokens, and divides by the length unless told otherwise.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Beam:
    """Tokens chosen so far, the sum of their log-probabilities (nats), and whether the last one is
    an end token.
    """

    tokens: tuple[int, ...] = ()
    total: float = 0.0
    ended: bool = False


class BeamSearch:
    """The search for one request: `open` beams wait to be extended by `advance`, until
    `finished`.
    """

    def __init__(self, count: int, ends: Collection[int], longest: int) -> None:
        self.count = count
        self.ends = frozenset(ends)
        self.longest = longest
        self.open: list[Beam] = [Beam()]
        self.complete: list[Beam] = []

    @property
    def finished(self) -> bool:
        """True if nothing is left to extend or no open beam can still be among the best `count`."""
        if not self.open:
            return True
        return len(self.complete) == self.count and self.complete[-1].total >= self.open[0].total

    def advance(self, proposals: Sequence[Mapping[int, float]]) -> None:
        """Extend the open beams. proposals[i]: token -> log-probability (nats) after open[i], at
        least the 2·count likeliest.
        """
        extended = [
            Beam((*beam.tokens, token), beam.total + logprob, token in self.ends)
            for beam, proposal in zip(self.open, proposals, strict=True)
            for token, logprob in proposal.items()
        ]
        best = sorted(extended, key=_rank)[: 2 * self.count]
        self.complete = sorted(
            [*self.complete, *(b for b in best[: self.count] if b.ended)], key=_rank
        )[: self.count]
        self.open = [beam for beam in best if not beam.ended][: self.count]
        if (
            self.open and len(self.open[0].tokens) >= self.longest
        ):  # the unended ones count as they are
            self.complete = sorted([*self.complete, *self.open], key=_rank)[: self.count]
            self.open = []


def _rank(beam: Beam) -> tuple[float, tuple[int, ...]]:
    """Likeliest first; equal ones by their tokens, so the order of arrival never decides."""
    return (-beam.total, beam.tokens)
