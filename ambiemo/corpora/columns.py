"""The columns of the utterance table, the same for every corpus, and what a loader returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ambiemo.errors import BadInput

SCHEMA = pa.schema(
    [
        # Unique within the corpus.
        pa.field("utterance_id", pa.string(), nullable=False),
        # The registry's name.
        pa.field("corpus", pa.string(), nullable=False),
        # The owner's split or session; "all" if the owner has none.
        pa.field("split", pa.string(), nullable=False),
        # "" = unknown.
        pa.field("speaker", pa.string(), nullable=False),
        # Dialogue, podcast or actor: utterances of one cluster are not independent.
        pa.field("cluster", pa.string(), nullable=False),
        # Relative to the corpus folder; "" = no audio here.
        pa.field("audio_path", pa.string(), nullable=False),
        # Of the file's bytes; "" = no audio here.
        pa.field("audio_sha256", pa.string(), nullable=False),
        # From the file's header; null = no audio, or it cannot be decoded.
        pa.field("duration_s", pa.float64()),
        pa.field("transcript", pa.string()),
        # The label set, the same in every row.
        pa.field("labels", pa.list_(pa.field("element", pa.string())), nullable=False),
        # Votes per label, in units of the table's VOTE_UNIT.
        pa.field("votes", pa.list_(pa.field("element", pa.int32())), nullable=False),
        # Votes for other labels, in the same unit.
        pa.field("out_of_set_votes", pa.int32(), nullable=False),
        # What the actor was asked for; never the truth.
        pa.field("intended_label", pa.string()),
        # "votes", or "acted": one intended label and no votes.
        pa.field("truth_source", pa.string(), nullable=False),
        # Share of listeners who named the intended label, if the owner says.
        pa.field("recognised_share", pa.float64()),
    ]
)

VOTE_UNIT = b"vote_unit"
"""Metadata key: how many units of `votes` one rater has (1 unless raters' votes were split)."""


@dataclass(frozen=True)
class Imported:
    """What a loader returns: the utterance table (SCHEMA, sorted by id) and an account of it.

    counts: what was read, kept and dropped, and why.
    options: every option with its value, without machine paths.
    sources: (path relative to the corpus folder, SHA-256) of every label file read.
    root: the folder that audio_path is relative to.
    notes: sentences for a person: known defects of the corpus, what is missing.
    """

    table: pa.Table
    counts: dict[str, Any]
    options: dict[str, Any]
    sources: list[tuple[str, str]]
    root: Path | None = None
    notes: tuple[str, ...] = field(default=())


def build(
    columns: Mapping[str, Sequence[Any] | pa.Array], labels: Sequence[str], votes: np.ndarray
) -> pa.Table:
    """A table of SCHEMA from columns by name and votes (n, K), whole numbers.

    A string in place of a column is repeated for every row. Missing columns get their empty value.
    Raises KeyError for a column that SCHEMA lacks.
    """
    n, width = votes.shape
    arrays = dict(columns)
    arrays["labels"] = _lists(pa.array(list(labels) * n, pa.string()), n, width)
    arrays["votes"] = _lists(pa.array(votes.astype(np.int32).ravel()), n, width)
    blank = {
        "speaker": "",
        "cluster": "",
        "split": "all",
        "audio_path": "",
        "audio_sha256": "",
        "out_of_set_votes": 0,
    }
    blank["truth_source"] = "votes"
    result = []
    for column in SCHEMA:
        value = arrays.pop(column.name, blank.get(column.name))
        if value is None or isinstance(value, str | int):
            value = (
                pa.nulls(n, column.type)
                if value is None
                else pa.repeat(pa.scalar(value, column.type), n)
            )
        result.append(
            value.cast(column.type) if isinstance(value, pa.Array) else pa.array(value, column.type)
        )
    if arrays:
        raise KeyError(f"no such column: {', '.join(arrays)}")
    return pa.Table.from_arrays(result, schema=SCHEMA)


def votes_of(table: pa.Table) -> tuple[tuple[str, ...], np.ndarray]:
    """The label set and the votes (n, K) int64 of a table.

    Raises BadInput if rows have different label sets.
    """
    lists = table.column("labels").combine_chunks()
    if len(lists) == 0:
        return (), np.zeros((0, 0), dtype=np.int64)
    labels = tuple(lists[0].as_py())
    width = len(labels)
    names = np.asarray(lists.flatten().to_numpy(zero_copy_only=False))
    flat = table.column("votes").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if (
        len(names) != len(lists) * width
        or len(flat) != len(names)
        or (names.reshape(-1, width) != labels).any()
    ):
        raise BadInput(
            "utterance table: rows have different label sets; import each corpus with one label set"
        )
    return labels, flat.astype(np.int64).reshape(-1, width)


def vote_unit(table: pa.Table) -> int:
    """How many units of `votes` one rater has in this table (see VOTE_UNIT)."""
    return int((table.schema.metadata or {}).get(VOTE_UNIT, b"1"))


def _lists(values: pa.Array, n: int, width: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * width), values)
