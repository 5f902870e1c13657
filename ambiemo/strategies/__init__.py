"""The strategies: prompt × decoding × scorer × aggregator. One row each; a new strategy is a new row.

A strategy never calls a model. It declares the draws it needs, and reads their candidates. `count` is the number of candidates: B beams,
N samples, or 0 for one per label of the corpus. Numbers of the paper: BoN has B = 5 and ALM-v B = 3 (grade S); everything else is our
reading (grade I), and `label_logprobs` a control of ours.
"""

import difflib
from dataclasses import dataclass
from typing import Literal

from ambiemo.errors import BadInput

Scorer = Literal["", "likelihood", "mean_likelihood", "verifier"]
Aggregator = Literal["only", "best", "dirichlet_mixture", "vote_share", "weighted_mean"]


@dataclass(frozen=True)
class Strategy:
    """One row of the table: what is asked (`prompt`), how it is decoded, how candidates are scored and made one prediction."""

    name: str
    prompt: Literal["direct", "cot", "label"]
    decoding: Literal["greedy", "beam", "sample", "forced"]
    count: int
    scorer: Scorer
    aggregator: Aggregator
    says: str

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities the answering model must have (the verifier's own is checked on the verifier)."""
        return frozenset(NEEDS_OF_DECODING[self.decoding] | NEEDS_OF_SCORER[self.scorer])

    @property
    def verified(self) -> bool:
        """True where a verifier ALM judges every candidate."""
        return self.scorer == "verifier"


PARTS = ("prompt", "decoding", "scorer", "aggregator")
"""What a strategy is made of, beside the number of its candidates."""

NEEDS_OF_DECODING: dict[str, set[str]] = {
    "greedy": set(),
    "beam": {"beam"},
    "sample": {"sampling"},
    "forced": {"label_logprobs"},
}
NEEDS_OF_SCORER: dict[str, set[str]] = {
    "": set(),
    "likelihood": {"likelihood"},
    "mean_likelihood": {"likelihood"},
    "verifier": set(),
}

STRATEGIES: dict[str, Strategy] = {
    row.name: row
    for row in (
        #        name                prompt    decoding  count scorer             aggregator           in words
        Strategy("greedy", "direct", "greedy", 1, "", "only", "the single answer: the baseline of every comparison"),
        Strategy("cot", "cot", "greedy", 1, "", "only", "describe what you hear, then answer"),
        Strategy("bon", "direct", "beam", 5, "likelihood", "best", "best of N: the likeliest beam"),
        Strategy(
            "w_bon", "direct", "beam", 5, "likelihood", "dirichlet_mixture", "beams weighted by softmax of likelihood"
        ),
        Strategy(
            "w_bon_mean", "direct", "beam", 5, "mean_likelihood", "dirichlet_mixture", "the same, likelihood per token"
        ),
        Strategy("alm_v", "direct", "beam", 3, "verifier", "best", "the beam that a verifier ALM scores highest"),
        Strategy(
            "w_alm_v", "direct", "beam", 3, "verifier", "dirichlet_mixture", "beams weighted by the verifier's scores"
        ),
        Strategy("majority_vote", "direct", "sample", 8, "", "vote_share", "samples vote with their largest label"),
        Strategy("self_consistency", "cot", "sample", 8, "", "vote_share", "the same, each sample reasons first"),
        Strategy(
            "label_logprobs",
            "label",
            "forced",
            0,
            "likelihood",
            "weighted_mean",
            "probability of each label as the answer",
        ),
    )
}


def strategy(name: str) -> Strategy:
    """The row of a strategy. Raises BadInput, with the nearest name, for one that is not there."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    near = difflib.get_close_matches(name, STRATEGIES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(STRATEGIES)}"
    raise BadInput(f"strategy '{name}': unknown; {hint}")
