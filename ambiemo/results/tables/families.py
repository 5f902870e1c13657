"""Which comparisons are corrected together, and below which p a difference is called.

FAMILIES names them before there are any answers. Every other comparison is exploratory.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ambiemo.metrics.inference import holm
from ambiemo.metrics.signflip import floor
from ambiemo.results.truths import ALL

CALLED = 0.05
"""A p below this is called a difference."""
EXPLORATORY = "exploratory"
"""The `family` of a comparison that belongs to none: its p is its own, and no claim rests on it."""


@dataclass(frozen=True)
class Family:
    """Comparisons whose p are corrected together, fixed by name before there are any answers.

    name       as in the column `family`
    places     the comparisons: names of strategies, of which the first that the model has is taken.
               A stand-in follows the name it stands in for, for models without beams
    reference  what they are compared with, without a control
    level, metric
    """

    name: str
    places: tuple[tuple[str, ...], ...]
    reference: str
    level: str
    metric: str

    @property
    def size(self) -> int:
        """How many comparisons are corrected for. A plan that leaves some out does not change
        it.
        """
        return len(self.places)

    def members(self, names: Iterable[str]) -> set[str]:
        """Those of a model's strategies that are in the family."""
        there = set(names)
        return {
            next(name for name in place if name in there)
            for place in self.places
            if there & set(place)
        }


FAMILIES = (
    Family(
        "strategies against greedy, JS, all",
        (
            ("cot",),
            ("bon", "bon_sampled"),
            ("w_bon", "w_bon_sampled"),
            ("alm_v", "alm_v_sampled"),
            ("w_alm_v", "w_alm_v_sampled"),
            ("majority_vote",),
            ("self_consistency",),
        ),
        reference="greedy",
        level=ALL,
        metric="js_divergence_bits",
    ),
)
"""The families of paired.csv, each once per model and corpus. All other rows are exploratory."""


def too_few(speakers: int, many: int, what: str) -> str:
    """Why a sign flip over so few speakers can call none of `many` comparisons; "" if it can."""
    least = min(1.0, floor(speakers) * many)
    if least < CALLED:
        return ""
    return f"{speakers} speakers: no p of {many} {what} is below {least:.3g} after Holm"


def holm_of(p: Sequence[float], size: int) -> list[float]:
    """Holm-adjusted p of a family of `size`: a missing comparison counts as not estimable."""
    return holm([*p, *[math.nan] * (size - len(p))])[: len(p)].tolist()
