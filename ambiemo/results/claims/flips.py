"""How many answers would have to change for a verdict to change?

An answer is one utterance's prediction in one column: a model on a corpus with a strategy, or its
single answer. It may be changed to anything, so to the best there is (the raters' distribution) or
to the worst (everything on the label with the fewest votes). Answers are ordered by how far they
can move the estimate, the first k of them are changed, and the whole claim is decided again:
intervals, p, Holm (with the other claims' p as they are) and rule. k is doubled until the verdict
changes and then halved in between.

So the number is a bound: that many suffice, fewer may. It is exact only where it is 1. A number
much smaller than the number of utterances says that the verdict hangs on few clips.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ambiemo.metrics.arithmetic import Array
from ambiemo.results.claims.deciding import RULES, Decision, adjusted
from ambiemo.results.claims.estimators import ESTIMATORS, Moves
from ambiemo.results.claims.evidence import Changed, Evidence, Key, Untestable, extremes

EXACT, BOUND, NEVER = "exact", "bound", "never"
DECIMALS = 9
"""Effects are compared to so many decimals, so that the last bits of a processor order nothing."""
LOSS = {"accuracy": "accuracy", "bhattacharyya": "bhattacharyya"}


def flips(decided: Sequence[Decision], at: int, evidence: Evidence) -> tuple[float, str]:
    """The smallest number found for claim `at`, and what it is: `exact`, `bound`, or `never`
    (no change of these answers changes the verdict); NaN and "" for a claim that was not tested."""
    one = decided[at]
    if one.outcome is None:
        return math.nan, ""
    least = math.inf
    for moves in one.outcome.moves:
        for sign in (1, -1):
            least = min(least, _search(decided, at, evidence, moves, sign, least))
    if math.isinf(least):
        return math.nan, NEVER
    return least, EXACT if least == 1 else BOUND


def _search(
    decided: Sequence[Decision], at: int, evidence: Evidence, moves: Moves, sign: int, known: float
) -> float:
    keys = sorted(moves)
    best, worst = extremes(evidence, keys)
    name = LOSS.get(decided[at].claim.metric, "js")
    effects: list[Array] = []
    to_worst: dict[Key, Array] = {}
    for key in keys:
        weight = np.asarray(moves[key]) * sign * np.ones(len(evidence.predicted[key]))
        now = evidence.loss(key, name)
        up, down = (side.loss(key, name) - now for side in (worst, best))
        gain = np.stack([weight * up, weight * down])
        to_worst[key] = gain[0] > gain[1]
        effects.append(gain.max(axis=0) / len(now))
    every = np.round(np.concatenate(effects), DECIMALS)
    order = np.argsort(-every, kind="stable")
    order = order[every[order] > 0]
    edges = np.cumsum([0, *(len(one) for one in effects)])

    def changes(count: int) -> bool:
        chosen = np.zeros(len(every), dtype=bool)
        chosen[order[:count]] = True
        masks = {key: chosen[a:b] for key, a, b in zip(keys, edges[:-1], edges[1:], strict=True)}
        masks = {key: mask for key, mask in masks.items() if mask.any()}
        return (
            _verdict(decided, at, Changed(evidence, best, worst, to_worst, masks))
            != decided[at].verdict
        )

    low, high = 0, 1
    limit = int(min(len(order), known - 1))
    while high <= limit and not changes(high):
        low, high = high, high * 2
    if high > limit:
        if low >= limit or not changes(limit):
            return math.inf
        high = limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if changes(middle) else (middle, high)
    return high


def _verdict(decided: Sequence[Decision], at: int, changed: Evidence) -> str:
    one = decided[at]
    try:
        outcome = ESTIMATORS[one.claim.estimator](one.places, one.claim, changed)
    except Untestable:
        return "NOT TESTED"
    others = [*decided]
    others[at] = replace(one, outcome=outcome)
    return RULES[one.claim.rule](one.claim, outcome, adjusted(others)[at])[0]
