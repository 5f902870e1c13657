"""From ratings to votes per label: several tags of one rater, labels outside the set, utterances left without a
vote."""

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
"""A rater's vote can be split into at most so many units; more means that the tag lists are not tag lists."""


class RatedOptions(CommonOptions):
    """Options of the corpora whose raters could say more than one thing, or something outside the label set.

    label_set: "four" (neutral, happy, angry, sad: the group's practice) or "all" (every label of the answer sheet).
    excited_as_happy: count "excited" as "happy". Off, as in the group's own code (2409.18339); other groups merge.
    out_of_set: an utterance with votes for labels outside the set is kept and its truth taken over the votes inside
    ("renormalise", the group's practice), or left out ("exclude"). Either way such votes are counted. Utterances
    without any vote inside the set are always left out, and counted.
    several_tags: a rater who gave several labels has one vote for "each", or one vote "split" evenly among them.
    """

    label_set: Literal["four", "all"] = "four"
    excited_as_happy: bool = False
    out_of_set: Literal["renormalise", "exclude"] = "renormalise"
    several_tags: Literal["each", "split"] = Field(default="each")


@dataclass(frozen=True)
class Votes:
    """votes (n, K) and out_of_set (n,) in units of which a rater has `unit`; keep (n,) marks the utterances that
    stay; dropped: the others."""

    votes: np.ndarray
    out_of_set: np.ndarray
    unit: int
    keep: np.ndarray
    dropped: dict[str, int]


def four_or_all(every: tuple[str, ...], options: RatedOptions) -> tuple[str, ...]:
    """The labels of a table: FOUR, or every label of the answer sheet (without "excited" if it counts as happy)."""
    labels = FOUR if options.label_set == "four" else every
    return tuple(name for name in labels if not (options.excited_as_happy and name == "excited"))


def count(
    n: int, width: int, utterance: np.ndarray, rating: np.ndarray, label: np.ndarray, options: RatedOptions
) -> Votes:
    """Votes of n utterances for `width` labels from tags: one entry a tag.

    utterance (t,) is the tag's utterance, rating (t,) its rating (a rater on an utterance), label (t,) its label's
    place in the set or -1 for one outside. Tags that became equal (such as happy and excited, merged) count once a
    rating, but tags outside the set, which cannot be told apart here, count each.
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
                f"option 'several_tags': found up to {tags.max()} labels by one rater, too many to split; use 'each'"
            )
        weight = unit // tags[back]
    votes = (
        np.bincount(utterance[inside] * width + label[inside], weight[inside], n * width)
        .astype(np.int64)
        .reshape(n, width)
    )
    outside = np.bincount(utterance[~inside], weight[~inside], n).astype(np.int64)
    empty = votes.sum(axis=1) == 0
    excluded = (outside > 0) & ~empty if options.out_of_set == "exclude" else np.zeros(n, dtype=bool)
    dropped = {"no_vote_in_set": int(empty.sum())}
    if options.out_of_set == "exclude":
        dropped["out_of_set_votes"] = int(excluded.sum())
    return Votes(votes, outside, unit, ~(empty | excluded), dropped)


def kept(values: Sequence[str | None], keep: np.ndarray) -> pa.Array:
    """The entries of a column that stay, as strings."""
    return pa.array(values, pa.string()).filter(pa.array(keep))
