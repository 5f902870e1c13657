"""Corpora whose clips have one acted label and no votes; a user's own votes may be joined."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import Field

from ambiemo.corpora.label_files import Source
from ambiemo.corpora.options import CommonOptions
from ambiemo.errors import BadInput
from ambiemo.limits import VOTES

WHOLE = re.compile("[0-9]{1,9}")


class ActedOptions(CommonOptions):
    """Options of the corpora with acted labels.

    votes: a CSV of the user's own listening test: utterance_id, then one column of counts per
    label. Its columns become the label set, its utterances the table, its votes the truth. Without
    it the truth is the acted label: one-hot, "clear-cut".
    """

    votes: Path | None = Field(default=None)


@dataclass(frozen=True)
class Truth:
    """The truth of each clip of a corpus, and where it comes from.

    votes: (n, K), one column per label. source: "votes" or "acted".
    keep: (n,) True for clips that stay.
    dropped, sources, notes: as in `Labelled`.
    """

    labels: tuple[str, ...]
    votes: np.ndarray
    source: str
    keep: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    sources: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


NO_VOTES = (
    "each clip has one acted label and no votes: truth is one-hot, the level clear-cut, "
    "and no claim about ambiguity can rest on it"
)


def truth_of(
    ids: Sequence[str], acted: Sequence[str], labels: tuple[str, ...], options: ActedOptions
) -> Truth:
    """The acted labels as one-hot rows, or the user's votes if `options.votes` names a file.

    Raises BadInput naming file and line for votes that are not counts, and for an utterance that
    the corpus lacks or that occurs twice.
    """
    if options.votes is None:
        votes = np.array(
            [[label == name for name in labels] for label in acted], dtype=np.int64
        ).reshape(len(ids), len(labels))
        return Truth(labels, votes, "acted", np.ones(len(ids), dtype=bool), notes=[NO_VOTES])
    source = Source(options.votes.parent, options.votes.name)
    rows = source.rows()
    _, header = next(rows, (1, [""]))
    if len(header) < 3 or header[0] != "utterance_id" or len(set(header)) != len(header):
        source.bad(
            1,
            f"found columns {', '.join(header)}",
            "utterance_id, then two or more labels, each once",
        )
    place = {name: row for row, name in enumerate(ids)}
    votes = np.zeros((len(ids), len(header) - 1), dtype=np.int64)
    keep = np.zeros(len(ids), dtype=bool)
    for line, fields in rows:
        if len(fields) != len(header):
            source.bad(
                line, f"found {len(fields)} fields", f"{len(header)}", "is the file cut short?"
            )
        row = place.get(fields[0])
        if row is None:
            source.bad(
                line,
                f"found utterance '{fields[0]}'",
                f"one of the corpus, such as '{next(iter(place), '')}'",
            )
        if keep[row]:
            source.bad(line, f"found utterance '{fields[0]}' again", "each once")
        if not all(map(WHOLE.fullmatch, fields[1:])) or max(map(int, fields[1:])) > VOTES:
            source.bad(
                line,
                f"found votes {', '.join(fields[1:]):.120}",
                f"whole numbers from 0 to {VOTES:,}",
            )
        votes[row] = [int(text) for text in fields[1:]]
        if votes[row].sum() == 0:
            source.bad(line, f"found no vote for '{fields[0]}'", "one vote or more")
        keep[row] = True
    if not keep.any():
        raise BadInput(
            f"{options.votes}: has no row; expected utterance_id and counts per label; add rows"
        )
    dropped = {"not_in_votes_file": int((~keep).sum())}
    note = f"the truth is the user's votes in {options.votes.name}, not the corpus' labels"
    return Truth(tuple(header[1:]), votes, "votes", keep, dropped, [source.entry], [note])
