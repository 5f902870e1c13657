"""A corpus as arrays: what its raters said, who spoke, and the ambiguity levels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambiemo import labels as votes_to
from ambiemo.results.study import Study

ALL = "all"
"""The level of every utterance."""


@dataclass(frozen=True)
class Truths:
    """One corpus, rows sorted by utterance id.

    truth     (n, K), the raters' distribution; votes (n, K), what it is made of
    speakers  who spoke; the cluster stands in for a speaker whom the owner does not name
    levels    "low", "medium", "high" or "clear-cut"
    clips     SHA-256 of each utterance's clip
    """

    ids: tuple[str, ...]
    truth: NDArray[np.float64]
    votes: NDArray[np.float64]
    speakers: tuple[str, ...]
    levels: NDArray[np.str_]
    clips: tuple[str, ...]

    def inside(self) -> dict[str, NDArray[np.bool_]]:
        """Which utterances are of each level: `all`, low, medium and high always, clear-cut where
        there are any.
        """
        masks = {ALL: np.ones(len(self.ids), dtype=bool)}
        for level in (*votes_to.LEVELS, votes_to.CLEAR_CUT):
            here = self.levels == level
            if here.any() or level in votes_to.LEVELS:
                masks[level] = here
        return masks


def truths_of(study: Study, corpus: str) -> Truths:
    """The arrays of one corpus."""
    utterances = study.utterances[corpus]
    ids, speakers, clusters, clips = (
        utterances.ids,
        utterances.speakers,
        utterances.clusters,
        utterances.audio_sha256,
    )
    order = sorted(range(len(ids)), key=ids.__getitem__)
    votes = utterances.votes[order].astype(np.float64)
    rule = study.plan.ambiguity
    return Truths(
        ids=tuple(ids[place] for place in order),
        truth=votes_to.truth(votes),
        votes=votes,
        speakers=tuple(speakers[place] or clusters[place] for place in order),
        levels=votes_to.ambiguity_levels(
            votes, rule.rule, acted=utterances.acted[order], **rule.thresholds
        ),
        clips=tuple(clips[place] for place in order),
    )
