"""Label sets, and what the raters' votes say: truth, entropy, ambiguity levels.

Everything is a pure function of vote counts `votes` (n, K): one row an utterance, one column a label, values >= 0
(whole numbers of raters as a rule; shares work too, but not for `miller_madow_bits`). A row that sums to 0 has no
truth: it gives NaN, and the level "". Nothing here depends on the order of rows or of labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SIX = ("anger", "disgust", "fear", "happy", "neutral", "sad")
"""CREMA-D's answer sheet, and the tiny corpus. Label sets of one corpus are in that corpus' file."""
FOUR = ("neutral", "happy", "angry", "sad")
"""IEMOCAP and MSP-Podcast: the practice of the paper's group (2409.18339, read in its code)."""

LEVELS = ("low", "medium", "high")
CLEAR_CUT = "clear-cut"
"""Level of an utterance whose truth is an acted label, not votes: it supports no claim about ambiguity."""

DECIMALS = 9
"""Levels are decided on entropies rounded to this many decimals, so that equal ones are equal on every CPU."""


def truth(votes: ArrayLike) -> Floats:
    """The raters' emotion distribution: votes / their sum.

    votes (n, K) or (K,), >= 0. Returns the same shape, rows sum to 1; NaN where the votes sum to 0. Unsmoothed
    counts, as the group's code and VoxEmo (2603.08936) have them. Raises ValueError for negative or non-finite
    votes.
    """
    counts = _checked(votes)
    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, counts / np.where(total > 0, total, 1.0), np.nan)


def entropy_bits(distribution: ArrayLike) -> Floats:
    """Shannon entropy in bits: -sum p log2 p, with 0 log 0 = 0.

    distribution (..., K), rows sum to 1. Returns (...), between 0 and log2 K; NaN for a row with NaN. The same to
    the last bit under any order of the labels (terms are summed by size). Source: Shannon 1948; base 2 as in
    2409.18339's code (grade P).
    """
    # In one memory order, whatever the input's: numpy's log2 and sum may differ in the last bit along another one.
    ordered = np.ascontiguousarray(-np.sort(-np.asarray(distribution, dtype=np.float64), axis=-1))
    positive = ordered > 0
    terms = np.where(
        positive, ordered * np.log2(np.where(positive, ordered, 1.0)), np.where(np.isnan(ordered), np.nan, 0.0)
    )
    return np.abs(-terms.sum(axis=-1))


def miller_madow_bits(votes: ArrayLike) -> Floats:
    """Entropy in bits with the Miller-Madow correction for few raters: H + (m - 1) / (2 N ln 2).

    votes (..., K) are counts; N their sum, m the number of labels with a vote. Returns (...); NaN where N = 0. The
    plug-in entropy of N votes is too low by about this much (Miller 1955; Paninski 2003 eq. 4). It may pass log2 K
    for tiny N: it is an estimate of a mean bias, not a distribution's entropy, so it is reported beside the raw
    value and never decides a level.
    """
    counts = _checked(votes)
    total = counts.sum(axis=-1)
    seen = (counts > 0).sum(axis=-1)
    correction = np.where(total > 0, (seen - 1) / (2 * np.where(total > 0, total, 1.0) * np.log(2)), np.nan)
    return entropy_bits(truth(counts)) + correction


def distinct_normalised_entropy(votes: ArrayLike) -> Floats:
    """Entropy over its largest value for the labels that this utterance got: H / log2 m, 0 if unanimous.

    votes (n, K). Returns (n,) in [0, 1]; NaN where there are no votes. Every even split gives 1, whether in two or
    in five. Source: 2601.14620, `ambiguity_level_analysis.ipynb` of its code (grade P).
    """
    counts = _checked(votes)
    seen = (counts > 0).sum(axis=-1)
    return entropy_bits(truth(counts)) / np.where(seen > 1, np.log2(np.maximum(seen, 2)), 1.0)


def unanimous(votes: ArrayLike) -> NDArray[np.bool_]:
    """Whether all votes of a row went to one label. votes (n, K); returns (n,); False where there are no votes."""
    return (_checked(votes) > 0).sum(axis=-1) == 1


def plurality_tied(votes: ArrayLike) -> NDArray[np.bool_]:
    """Whether two or more labels share the most votes. votes (n, K); returns (n,); False where there are no votes."""
    counts = _checked(votes)
    most = counts.max(axis=-1, keepdims=True)
    return ((counts == most).sum(axis=-1) > 1) & (most[..., 0] > 0)


def by_bits(votes: Floats, medium_from: float = 1.0, high_from: float = 1.5) -> NDArray[np.int64]:
    """Fixed thresholds in bits: low < medium_from <= medium < high_from <= high. Ours; comparable across corpora."""
    if not 0 <= medium_from <= high_from:
        raise ValueError(f"thresholds {medium_from}, {high_from}: expected 0 <= medium_from <= high_from")
    return np.searchsorted([medium_from, high_from], _rounded(entropy_bits(truth(votes))), side="right")


def by_tertiles(votes: Floats) -> NDArray[np.int64]:
    """Thirds of the corpus by rank of the entropy. Ours: ties stay together, so thirds are as equal as they allow."""
    return _thirds(entropy_bits(truth(votes)))


def by_2409_18339(votes: Floats) -> NDArray[np.int64]:
    """The levels of 2409.18339 (AER-LLM): unanimous, two to one, more divided.

    Entropy in bits of the truth rounded to 2 decimals, itself rounded to 4. Its code compares the utterances of
    entropy 0 with those of 0.9149 (a 2:1 split) and leaves out 1.5835 (a 1:1:1 split): grade P for 0 = low and
    0.9149 = medium. Ours (grade I): what lies between them is medium, and all above is high instead of left out.
    """
    entropy = np.round(entropy_bits(np.round(truth(votes), 2)), 4)
    return np.searchsorted([0.0, 0.9149], entropy, side="left")


def by_2601_14620(votes: Floats) -> NDArray[np.int64]:
    """The levels of 2601.14620: thirds by rank of the entropy normalised by the utterance's distinct labels.

    Grade P (its `ambiguity_level_analysis.ipynb`). Departure: its code parts equal entropies by their order in the
    file, and there are many (all unanimous rows are 0, all even splits 1); here equal ones stay together.
    """
    return _thirds(distinct_normalised_entropy(votes))


@dataclass(frozen=True)
class AmbiguityRule:
    """A named way from votes to levels: the function, its thresholds with their defaults, its source with the
    grade."""

    levels: Callable[..., NDArray[np.int64]]
    thresholds: dict[str, float]
    source: str


AMBIGUITY_RULES: dict[str, AmbiguityRule] = {
    "bits": AmbiguityRule(
        by_bits, {"medium_from": 1.0, "high_from": 1.5}, "ours: fixed, comparable across corpora (grade I)"
    ),
    "tertiles": AmbiguityRule(by_tertiles, {}, "ours: thirds of the corpus, ties kept together (grade I)"),
    "2409.18339": AmbiguityRule(
        by_2409_18339, {}, "AER-LLM's code for 0 and 0.9149 bits (grade P), the rest ours (grade I)"
    ),
    "2601.14620": AmbiguityRule(
        by_2601_14620, {}, "the code's normalised entropy and thirds (grade P), ties kept together (ours)"
    ),
}


def ambiguity_levels(
    votes: ArrayLike, rule: str = "bits", *, acted: ArrayLike | None = None, **thresholds: float
) -> NDArray[np.str_]:
    """The ambiguity level of each utterance: "low", "medium" or "high".

    votes (n, K). `acted` (n,) marks rows whose truth is an acted label and no vote: they are "clear-cut" and take
    no part in ranks. Rows without votes get "". Thresholds overrule the rule's own. Raises ValueError for an
    unknown rule or threshold.
    """
    if rule not in AMBIGUITY_RULES:
        raise ValueError(f"ambiguity rule '{rule}': unknown; there are {', '.join(AMBIGUITY_RULES)}")
    chosen = AMBIGUITY_RULES[rule]
    if unknown := sorted(set(thresholds) - set(chosen.thresholds)):
        known = ", ".join(chosen.thresholds) or "none"
        raise ValueError(f"ambiguity rule '{rule}': unknown threshold '{unknown[0]}'; it has {known}")
    for key, value in thresholds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError(f"ambiguity rule '{rule}': threshold '{key}': found {value!r}, expected a number of bits")
    counts = _checked(votes)
    clear_cut = np.zeros(len(counts), dtype=bool) if acted is None else np.asarray(acted, dtype=bool)
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
    # Tied values take the third in which the middle of their ranks lies, so that no order of rows can part them.
    keys, inverse, size = np.unique(_rounded(values), return_inverse=True, return_counts=True)
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    doubled_middle = 2 * np.cumsum(size) - size  # twice the mean of the half-open rank interval [start, end]
    third = np.minimum(3 * doubled_middle // (2 * len(inverse)), 2)
    return third[inverse]
