"""Label sets, and what the raters' votes say: truth, entropy, ambiguity levels.

The one place for LEVELS, `entropy_bits` and the ambiguity rules. All functions are pure.
`votes` is (n, K): one row per utterance, one column per label, values >= 0. They are counts of
raters; shares work too, except for `miller_madow_bits`. A row that sums to 0 has no truth: it gives
NaN and the level "". No result depends on the order of rows or labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambiemo.errors import nearest

Floats = NDArray[np.float64]

SIX = ("anger", "disgust", "fear", "happy", "neutral", "sad")
"""CREMA-D's answer sheet, and the tiny corpus. A label set of one corpus is in its own file."""
FOUR = ("neutral", "happy", "angry", "sad")
"""IEMOCAP and MSP-Podcast: the practice of the paper's group (2409.18339, read in its code)."""

LEVELS = ("low", "medium", "high")
CLEAR_CUT = "clear-cut"
"""Level of an utterance whose truth is an acted label. It supports no claim about ambiguity."""

DECIMALS = 9
"""Entropies are rounded to this many decimals before levels, so ties are ties on every CPU."""


def truth(votes: ArrayLike) -> Floats:
    """The raters' emotion distribution: votes / their sum.

    votes (n, K) or (K,), >= 0. Returns the same shape, rows sum to 1; NaN where the votes sum to 0.
    Raises ValueError for negative or non-finite votes.
    Source: unsmoothed counts, as in the group's code and VoxEmo (2603.08936).
    """
    counts = _checked(votes)
    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, counts / np.where(total > 0, total, 1.0), np.nan)


def entropy_bits(distribution: ArrayLike) -> Floats:
    """Shannon entropy in bits: -sum p log2 p, with 0 log 0 = 0.

    distribution (..., K), rows sum to 1. Returns (...), between 0 and log2 K; NaN for a row with
    NaN. Any order of the labels gives the same bits, because terms are summed by size.
    Source: Shannon 1948; base 2 as in 2409.18339's code (grade P).
    """
    # Copy to one memory order: numpy's log2 and sum may differ in the last bit along another one.
    ordered = np.ascontiguousarray(-np.sort(-np.asarray(distribution, dtype=np.float64), axis=-1))
    positive = ordered > 0
    terms = np.where(
        positive,
        ordered * np.log2(np.where(positive, ordered, 1.0)),
        np.where(np.isnan(ordered), np.nan, 0.0),
    )
    return np.abs(-terms.sum(axis=-1))


def miller_madow_bits(votes: ArrayLike) -> Floats:
    """Entropy in bits with the Miller-Madow correction for few raters: H + (m - 1) / (2 N ln 2).

    votes (..., K) are counts; N is their sum, m the number of labels with a vote. Returns (...);
    NaN where N = 0. The plain entropy of N votes is too low by about this much on average. For tiny
    N the result may exceed log2 K. So it is reported next to the raw value and never decides a
    level.
    Source: Miller 1955; Paninski 2003 eq. 4.
    """
    counts = _checked(votes)
    total = counts.sum(axis=-1)
    seen = (counts > 0).sum(axis=-1)
    correction = np.where(
        total > 0, (seen - 1) / (2 * np.where(total > 0, total, 1.0) * np.log(2)), np.nan
    )
    return entropy_bits(truth(counts)) + correction


def distinct_normalised_entropy(votes: ArrayLike) -> Floats:
    """Entropy divided by its maximum for the m labels an utterance got: H / log2 m, 0 if unanimous.

    votes (n, K). Returns (n,) in [0, 1]; NaN without votes. Every even split gives 1, over two
    labels or five.
    Source: 2601.14620, `ambiguity_level_analysis.ipynb` of its code (grade P).
    """
    counts = _checked(votes)
    seen = (counts > 0).sum(axis=-1)
    return entropy_bits(truth(counts)) / np.where(seen > 1, np.log2(np.maximum(seen, 2)), 1.0)


def unanimous(votes: ArrayLike) -> NDArray[np.bool_]:
    """True where all votes went to one label. votes (n, K); returns (n,); False without votes."""
    return (_checked(votes) > 0).sum(axis=-1) == 1


def plurality_tied(votes: ArrayLike) -> NDArray[np.bool_]:
    """True where several labels share the most votes. votes (n, K); returns (n,); False without."""
    counts = _checked(votes)
    most = counts.max(axis=-1, keepdims=True)
    return ((counts == most).sum(axis=-1) > 1) & (most[..., 0] > 0)


def by_bits(votes: Floats, medium_from: float = 1.0, high_from: float = 1.5) -> NDArray[np.int64]:
    """Fixed thresholds in bits: low < medium_from <= medium < high_from <= high.

    Source: ours. Not comparable across corpora: the entropy of few votes is too low, so the same
    CREMA-D clips are 38/31/31 % low/medium/high with all raters, 57/21/22 % with 5 and 82/0/18 %
    with 3.
    """
    if not 0 <= medium_from <= high_from:
        raise ValueError(
            f"thresholds {medium_from}, {high_from}: expected 0 <= medium_from <= high_from"
        )
    return np.searchsorted(
        [medium_from, high_from], _rounded(entropy_bits(truth(votes))), side="right"
    )


def by_tertiles(votes: Floats) -> NDArray[np.int64]:
    """Thirds of the corpus by rank of the entropy.

    Ties stay together, so thirds may be unequal. Source: ours.
    """
    return _thirds(entropy_bits(truth(votes)))


def by_2409_18339(votes: Floats) -> NDArray[np.int64]:
    """The levels of 2409.18339 (AER-LLM): unanimous, two to one, more divided.

    The truth is rounded to 2 decimals, its entropy in bits to 4.
    Source: its code compares utterances of entropy 0 with those of 0.9149 (a 2:1 split) and leaves
    out 1.5835 (a 1:1:1 split), so 0 = low and 0.9149 = medium are grade P. Ours (grade I): values
    between them are medium, and all above is high instead of left out.
    """
    entropy = np.round(entropy_bits(np.round(truth(votes), 2)), 4)
    return np.searchsorted([0.0, 0.9149], entropy, side="left")


def by_2601_14620(votes: Floats) -> NDArray[np.int64]:
    """The levels of 2601.14620: thirds by rank of `distinct_normalised_entropy`.

    Source: its `ambiguity_level_analysis.ipynb` (grade P). Departure: its code separates equal
    entropies by their order in the file, and there are many (all unanimous rows are 0, all even
    splits 1). Here they stay together.
    """
    return _thirds(distinct_normalised_entropy(votes))


@dataclass(frozen=True)
class AmbiguityRule:
    """A named way from votes to levels.

    thresholds: their defaults. source: where the rule is from, with its grade.
    """

    levels: Callable[..., NDArray[np.int64]]
    thresholds: dict[str, float]
    source: str


AMBIGUITY_RULES: dict[str, AmbiguityRule] = {
    "bits": AmbiguityRule(
        by_bits,
        {"medium_from": 1.0, "high_from": 1.5},
        "ours: fixed; not comparable across corpora or numbers of raters (grade I)",
    ),
    "tertiles": AmbiguityRule(
        by_tertiles, {}, "ours: thirds of the corpus, ties kept together (grade I)"
    ),
    "2409.18339": AmbiguityRule(
        by_2409_18339, {}, "AER-LLM's code for 0 and 0.9149 bits (grade P), the rest ours (grade I)"
    ),
    "2601.14620": AmbiguityRule(
        by_2601_14620,
        {},
        "the code's normalised entropy and thirds (grade P), ties kept together (ours)",
    ),
}


def ambiguity_levels(
    votes: ArrayLike, rule: str = "bits", *, acted: ArrayLike | None = None, **thresholds: float
) -> NDArray[np.str_]:
    """The ambiguity level of each utterance: "low", "medium" or "high".

    votes (n, K). Rows without votes get "".
    acted (n,): True where the truth is an acted label. Such rows are "clear-cut" and take no part
    in ranks.
    thresholds: replace the rule's own. Raises ValueError for an unknown rule or threshold.
    """
    if rule not in AMBIGUITY_RULES:
        raise ValueError(f"ambiguity rule '{rule}': unknown; {nearest(rule, AMBIGUITY_RULES)}")
    chosen = AMBIGUITY_RULES[rule]
    if unknown := sorted(set(thresholds) - set(chosen.thresholds)):
        known = ", ".join(chosen.thresholds) or "none"
        raise ValueError(
            f"ambiguity rule '{rule}': unknown threshold '{unknown[0]}'; it has {known}"
        )
    for key, value in thresholds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError(
                f"ambiguity rule '{rule}': threshold '{key}': found {value!r}, "
                "expected a number of bits"
            )
    counts = _checked(votes)
    clear_cut = (
        np.zeros(len(counts), dtype=bool) if acted is None else np.asarray(acted, dtype=bool)
    )
    judged = (counts.sum(axis=-1) > 0) & ~clear_cut
    result = np.where(clear_cut, CLEAR_CUT, "").astype("<U9")
    settings: dict[str, Any] = {**chosen.thresholds, **thresholds}
    result[judged] = np.array(LEVELS)[chosen.levels(counts[judged], **settings)]
    return result


def _checked(votes: ArrayLike) -> Floats:
    counts = np.asarray(votes, dtype=np.float64)
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise ValueError("votes must be finite and not negative")
    return counts


def _rounded(values: Floats) -> Floats:
    return np.round(values, DECIMALS)


def _thirds(values: Floats) -> NDArray[np.int64]:
    # Tied values go to the third that contains the middle of their ranks, in any order of rows.
    keys, inverse, size = np.unique(_rounded(values), return_inverse=True, return_counts=True)
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    # Twice the mean of the half-open rank interval [start, end).
    doubled_middle = 2 * np.cumsum(size) - size
    third = np.minimum(3 * doubled_middle // (2 * len(inverse)), 2)
    return third[inverse]
