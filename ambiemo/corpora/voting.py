"""From ratings to votes per label: several tags of a rater, labels outside the set, no votes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ambiemo.corpora.options import CommonOptions
from ambiemo.errors import BadInput
from ambiemo.labels import FOUR

LARGEST_UNIT = 5040
"""The most units a rater's vote is split into. Lists that need more are not lists of tags."""


class RatedOptions(CommonOptions):
    """Options of the corpora whose raters could give several labels, or some outside the set.

    "The group" is the paper's; its practice is read in the code of 2409.18339.
    label_set: "four" (neutral, happy, angry, sad: the group's practice) or "all" (the whole answer
    sheet).
    excited_as_happy: count "excited" as "happy". The group does not; other groups do.
    out_of_set: what becomes of an utterance with votes outside the set. "renormalise" (the group's
    practice) keeps it and takes its truth from the votes inside; "exclude" leaves it out. Such
    votes are always counted. Utterances without a vote inside the set are always left out and
    counted.
    several_tags: a rater who gave several labels has one vote for "each", or one vote "split"
    evenly.
    """

    label_set: Literal["four", "all"] = "four"
    excited_as_happy: bool = False
    out_of_set: Literal["renormalise", "exclude"] = "renormalise"
    several_tags: Literal["each", "split"] = Field(default="each")


@dataclass(frozen=True)
class Votes:
    """The votes of n utterances.

    votes: (n, K), one column per label. out_of_set: (n,).
    unit: how many units of both one rater has.
    keep: (n,) True for the utterances that stay. dropped: how many go, by reason.
    """

    votes: np.ndarray
    out_of_set: np.ndarray
    unit: int
    keep: np.ndarray
    dropped: dict[str, int]


def four_or_all(every: tuple[str, ...], options: RatedOptions) -> tuple[str, ...]:
    """The labels of a table: FOUR, or every label of the answer sheet.

    "excited" is left out if it counts as happy.
    """
    labels = FOUR if options.label_set == "four" else every
    return tuple(name for name in labels if not (options.excited_as_happy and name == "excited"))


def count(
    n: int,
    width: int,
    utterance: np.ndarray,
    rating: np.ndarray,
    label: np.ndarray,
    options: RatedOptions,
) -> Votes:
    """Count the votes of n utterances for `width` labels from t tags.

    utterance: (t,) the utterance of each tag. rating: (t,) its rating (one rater on one utterance).
    label: (t,) the position of its label in the set, -1 outside it.
    Equal tags of one rating (such as happy and excited, merged) count once. Tags outside the set
    each count, because they all look equal here.
    """
    inside = label >= 0
    key = np.where(inside, rating * width + label, -1)
    first = np.ones(len(key), dtype=bool)
    _, places = np.unique(key[inside], return_index=True)
    first[inside] = False
    first[np.flatnonzero(inside)[places]] = True
    utterance, rating, label, inside = utterance[first], rating[first], label[first], inside[first]

    weight = np.ones(len(label), dtype=np.int64)
    unit = 1
    if options.several_tags == "split" and len(rating):
        _, back, tags = np.unique(rating, return_inverse=True, return_counts=True)
        unit = lcm(*(int(size) for size in np.unique(tags)))
        if unit > LARGEST_UNIT:
            raise BadInput(
                f"option 'several_tags': found up to {tags.max()} labels by one rater, "
                "too many to split; use 'each'"
            )
        weight = unit // tags[back]
    votes = (
        np.bincount(utterance[inside] * width + label[inside], weight[inside], n * width)
        .astype(np.int64)
        .reshape(n, width)
    )
    outside = np.bincount(utterance[~inside], weight[~inside], n).astype(np.int64)
    empty = votes.sum(axis=1) == 0
    excluded = (
        (outside > 0) & ~empty if options.out_of_set == "exclude" else np.zeros(n, dtype=bool)
    )
    dropped = {"no_vote_in_set": int(empty.sum())}
    if options.out_of_set == "exclude":
        dropped["out_of_set_votes"] = int(excluded.sum())
    return Votes(votes, outside, unit, ~(empty | excluded), dropped)


def kept(values: Sequence[str | None], keep: np.ndarray) -> pa.Array:
    """The entries of a column that stay, as strings."""
    return pa.array(values, pa.string()).filter(pa.array(keep))
