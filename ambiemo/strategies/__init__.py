"""The strategies: prompt × decoding × scorer × aggregator. One row each; a new strategy is a new
row.

A strategy never calls a model. It declares the draws that it needs, and reads their candidates.
Numbers of the paper: BoN has B = 5 and ALM-v B = 3 (grade S). Everything else is our reading (grade
I). `linear_pool` and `label_logprobs` are controls of ours.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

from ambiemo.errors import BadInput, nearest
from ambiemo.strategies.aggregators import AGGREGATORS, Aggregator
from ambiemo.strategies.scorers import SCORERS, Scorer, likelihood, mean_likelihood, verifier

T = TypeVar("T")
DecodingKind = Literal["greedy", "beam", "sample", "forced"]
PromptId = Literal["direct", "cot", "label"]


@dataclass(frozen=True)
class Decode:
    """How candidates are decoded, and how many there are: B beams, N samples, 0 for one per label
    of the corpus.
    """

    kind: DecodingKind
    count: int

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities that the model must have."""
        return NEEDS[self.kind]


# The names below are capitalised so that TABLE reads as the paper's.
def Greedy() -> Decode:
    """The single most likely continuation, token by token."""
    return Decode("greedy", 1)


def Beam(count: int) -> Decode:
    """The `count` beams of one search."""
    return Decode("beam", count)


def Sample(count: int) -> Decode:
    """`count` samples; the first k of them are the k samples."""
    return Decode("sample", count)


def Forced() -> Decode:
    """Nothing is generated: one candidate per label, with the log-probability of answering so."""
    return Decode("forced", 0)


NEEDS: dict[str, frozenset[str]] = {
    "greedy": frozenset(),
    "beam": frozenset({"beam"}),
    "sample": frozenset({"sampling"}),
    "forced": frozenset({"label_logprobs"}),
}


@dataclass(frozen=True)
class Strategy:
    """One row of the table. tau, concentration and epsilon are its own; None takes the plan's.

    Raises BadInput for parts that do not fit together, with the reason.
    """

    name: str
    prompt: PromptId
    decoding: Decode
    scorer: Scorer | None
    aggregator: Aggregator
    says: str = ""
    tau: float | None = None
    concentration: float | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        if reason := misfit(self):
            raise BadInput(f"strategy '{self.name}': {reason}")

    @property
    def count(self) -> int:
        """Number of candidates, 0 for one per label."""
        return self.decoding.count

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities that the answering model must have. The verifier's own is checked on the
        verifier.
        """
        return self.decoding.needs | (self.scorer.needs if self.scorer else frozenset())

    @property
    def verified(self) -> bool:
        """True where a verifier ALM judges every candidate."""
        return bool(self.judge)

    @property
    def judge(self) -> str:
        """The prompt by which a verifier ALM judges the candidates, "" if none does."""
        return self.scorer.judge if self.scorer else ""

    @property
    def parts(self) -> dict[str, str]:
        """What the strategy is made of, by name, in addition to the number of its candidates."""
        return {
            "prompt": self.prompt,
            "decoding": self.decoding.kind,
            "scorer": self.scorer.name if self.scorer else "",
            "aggregator": self.aggregator.name,
        }

    @property
    def own(self) -> dict[str, float | None]:
        """The strategy's own τ, c and ε; None where the plan's is taken, or none is used."""
        return {name: getattr(self, name) for name in OWN}


PARTS = ("prompt", "decoding", "scorer", "aggregator")
"""Parts of a strategy, in addition to the number of its candidates: keys of `Strategy.parts`."""
OWN = ("tau", "concentration", "epsilon")
"""Numbers that a strategy may have of its own: keys of `Strategy.own`."""


def uses(scorer: Scorer | None, aggregator: Aggregator) -> frozenset[str]:
    """Which of OWN matter to a scorer and an aggregator."""
    tau = scorer is not None and scorer.has_tau and aggregator.reads == "weights"
    return frozenset([*["tau"] * tau, *["concentration", "epsilon"] * aggregator.mixes])


def misfit(row: Strategy) -> str:
    """Why the parts of a strategy do not fit together, "" if they do."""
    scorer, aggregator = row.scorer, row.aggregator
    takes_one, used = aggregator.name == "only", uses(scorer, aggregator)
    checks = (
        (
            aggregator.reads == "nothing" and scorer is not None,
            f"{aggregator.name} reads no scores, so the scorer {scorer.name if scorer else ''} would be paid for nothing; "
            "leave the scorer out, or aggregate by best, weighted_mean or dirichlet_mixture",
        ),
        (
            aggregator.reads != "nothing" and scorer is None,
            f"{aggregator.name} reads {aggregator.reads}, and there is no scorer; name one of {', '.join(SCORERS)}, "
            "or aggregate by linear_pool",
        ),
        (
            takes_one and row.count != 1,
            f"found count {row.count}, expected 1: the aggregator 'only' takes the distribution of a single candidate; "
            "to make one of several, take another base, such as majority_vote",
        ),
        (
            row.decoding.kind == "greedy" and row.count != 1,
            f"found decoding greedy with count {row.count}, expected count 1: {row.count} equal answers would be paid; "
            "say `count: 1`, or `decoding: sample`",
        ),
        (
            (row.decoding.kind == "forced") != (row.prompt == "label"),
            f"found prompt {row.prompt} with decoding {row.decoding.kind}; forced labels answer the prompt label, "
            "and no other decoding does",
        ),
        (
            row.decoding.kind == "forced" and row.verified,
            "a verifier would judge bare labels that no model said; choose the scorer likelihood",
        ),
        (
            row.tau is not None and "tau" not in used,
            "found tau, which only softmax weights use; remove it",
        ),
        (
            (row.concentration is not None or row.epsilon is not None) and not aggregator.mixes,
            f"found concentration or epsilon, which {aggregator.name} does not use; remove it",
        ),
    )
    return next((reason for wrong, reason in checks if wrong), "")


only, linear_pool, vote_share, best, weighted_mean, dirichlet_mixture = (
    AGGREGATORS[name]
    for name in ("only", "linear_pool", "vote_share", "best", "weighted_mean", "dirichlet_mixture")
)

# fmt: off
TABLE = (
    #        name                prompt    decoding   scorer           aggregator         in words
    Strategy("greedy",           "direct", Greedy(),  None,            only,              "the single answer: the baseline of every comparison"),
    Strategy("cot",              "cot",    Greedy(),  None,            only,              "describe what you hear, then answer"),
    Strategy("bon",              "direct", Beam(5),   likelihood,      best,              "best of N: the likeliest beam"),
    Strategy("w_bon",            "direct", Beam(5),   likelihood,      dirichlet_mixture, "beams weighted by softmax of likelihood"),
    Strategy("w_bon_mean",       "direct", Beam(5),   mean_likelihood, dirichlet_mixture, "the same, likelihood per token"),
    Strategy("alm_v",            "direct", Beam(3),   verifier,        best,              "the beam that a verifier ALM scores highest"),
    Strategy("w_alm_v",          "direct", Beam(3),   verifier,        dirichlet_mixture, "beams weighted by the verifier's scores"),
    Strategy("majority_vote",    "direct", Sample(8), None,            vote_share,        "samples vote with their largest label"),
    Strategy("self_consistency", "cot",    Sample(8), None,            vote_share,        "the same, each sample reasons first"),
    Strategy("linear_pool",      "direct", Beam(5),   None,            linear_pool,       "plain mean of the beams: what averaging alone gives"),
    Strategy("label_logprobs",   "label",  Forced(),  likelihood,      weighted_mean,     "probability of each label as the answer", tau=1.0),
)
# fmt: on

STRATEGIES: dict[str, Strategy] = {row.name: row for row in TABLE}


def strategy(name: str) -> Strategy:
    """The row of a strategy. Raises BadInput, with the nearest name, for one that is not there."""
    return _named("strategy", name, STRATEGIES)


def scorer(name: str) -> Scorer:
    """The scorer of that name. Raises BadInput, with the nearest name, for one that is not
    there.
    """
    return _named("scorer", name, SCORERS)


def aggregator(name: str) -> Aggregator:
    """The aggregator of that name. Raises BadInput, with the nearest name, for one that is not
    there.
    """
    return _named("aggregator", name, AGGREGATORS)


def _named(kind: str, name: str, table: dict[str, T]) -> T:
    if name in table:
        return table[name]
    raise BadInput(f"{kind} '{name}': unknown; {nearest(name, table)}")
