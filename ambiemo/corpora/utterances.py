"""The utterances of a corpus as the pipeline uses them: columns in memory, objects on request."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ambiemo.corpora import load
from ambiemo.corpora.columns import votes_of
from ambiemo.errors import BadInput
from ambiemo.seeds import seed

COLUMNS = (
    "utterance_id", "speaker", "cluster", "audio_path",
    "audio_sha256", "duration_s", "votes", "truth_source",
)  # fmt: skip
"""Columns of the utterance table that `Utterances` keeps, in the order of `Utterance`'s fields."""
TYPES = {"duration_s": pa.float64(), "votes": pa.list_(pa.int32())}
"""Types of those columns that hold no text."""

ACTED = "acted"
"""`truth_source` of an utterance whose truth is one acted label, not votes."""


@dataclass(frozen=True)
class Utterance:
    """One utterance: what the pipeline needs of its row in the utterance table.

    speaker: "" if unknown. audio_path: relative to the corpus folder. audio_sha256: 64 hex digits,
    "" without audio. votes: one count per label of the corpus. truth_source: "votes" or "acted".
    """

    id: str
    speaker: str
    cluster: str
    audio_path: str
    audio_sha256: str
    duration_s: float | None
    votes: tuple[int, ...]
    truth_source: str = "votes"


class Utterances(Sequence[Utterance]):
    """The utterances of a corpus, stored as Arrow columns: some 100 bytes each instead of 1,000.

    Indexing and iterating build `Utterance` objects. The properties below read whole columns
    without building any; each call makes a new list or array, in the order of the utterances.
    """

    def __init__(self, table: pa.Table) -> None:
        """Keep COLUMNS of an utterance table. Other columns are ignored."""
        kept = [
            KEPT[name](table.column(name)) if name in KEPT else table.column(name)
            for name in COLUMNS
        ]
        self.columns = pa.table(kept, names=list(Utterance.__dataclass_fields__)).combine_chunks()

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> "Utterances":
        """The same utterances as columns. Raises pyarrow's errors (ValueError, TypeError) for a
        value of another kind.
        """
        if isinstance(utterances, Utterances):
            return utterances
        rows = list(utterances)
        fields = zip(COLUMNS, Utterance.__dataclass_fields__, strict=True)
        return cls(
            pa.table(
                {
                    column: pa.array(
                        [getattr(row, name) for row in rows], TYPES.get(column, pa.string())
                    )
                    for column, name in fields
                }
            )
        )

    @property
    def ids(self) -> list[str]:
        """Utterance ids."""
        return self.columns.column("id").to_pylist()

    @property
    def speakers(self) -> list[str]:
        """Speakers; "" where unknown."""
        return self.columns.column("speaker").to_pylist()

    @property
    def clusters(self) -> list[str]:
        """Clusters (dialogue, podcast or actor): utterances of one cluster are not independent."""
        return self.columns.column("cluster").to_pylist()

    @property
    def audio_sha256(self) -> list[str]:
        """SHA-256 of each clip's bytes, 64 hex digits; "" without audio."""
        return [(one or b"").hex() for one in self.columns.column("audio_sha256").to_pylist()]

    @property
    def votes(self) -> NDArray[np.int64]:
        """Votes (n, K), one column per label of the corpus; (0, 0) without utterances."""
        if not len(self):
            return np.zeros((0, 0), dtype=np.int64)
        counts = self.columns.column("votes").combine_chunks().flatten()
        return counts.to_numpy(zero_copy_only=False).astype(np.int64).reshape(len(self), -1)

    @property
    def acted(self) -> NDArray[np.bool_]:
        """True (n,) where the truth is one acted label and nobody voted."""
        acted = pc.equal(self.columns.column("truth_source").cast(pa.string()), ACTED)
        return acted.to_numpy().astype(bool)

    @property
    def clips_differ(self) -> bool:
        """True if every utterance has its own clip.

        Compares the first 8 bytes of the hashes, so False may be a collision. False if a clip is
        missing.
        """
        clips = self.columns.column("audio_sha256")
        if clips.null_count or not clips.num_chunks:
            return False
        eights = DIGEST.byte_width // 8
        buffer = clips.chunk(0).buffers()[1]
        starts = np.frombuffer(buffer, dtype=np.uint64, count=eights * len(self))[::eights]
        starts = np.sort(starts)
        return bool((starts[1:] != starts[:-1]).all())

    def __len__(self) -> int:
        return self.columns.num_rows

    @overload
    def __getitem__(self, at: int) -> Utterance: ...
    @overload
    def __getitem__(self, at: slice) -> list[Utterance]: ...
    def __getitem__(self, at: int | slice) -> Utterance | list[Utterance]:
        if isinstance(at, int):
            return self[at : at + 1 or None][0]
        start, stop, step = at.indices(len(self))
        rows = self.columns.slice(start, max(stop - start, 0)).to_pylist()[::step]
        return [
            Utterance(
                **row
                | {"audio_sha256": (row["audio_sha256"] or b"").hex(), "votes": tuple(row["votes"])}
            )
            for row in rows
        ]

    def __iter__(self) -> Iterator[Utterance]:
        for start in range(0, len(self), 1024):
            yield from self[start : start + 1024]


def _digests(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Hashes as 32 bytes each; null without audio."""
    pieces = [column.slice(start, 1024).to_pylist() for start in range(0, len(column), 1024)]
    return pa.chunked_array(
        [
            pa.array([bytes.fromhex(one) if one else None for one in piece], DIGEST)
            for piece in pieces
        ],
        DIGEST,
    )


def _counts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Votes as lists of one fixed length (the number of labels), in 16 bits if they fit, else 32.

    They need 32 when raters' votes are split into many units: 2,520 units, 15 raters, one label.
    """
    labels = len(column[0]) if len(column) else 0
    most = pc.max(pc.list_flatten(column)).as_py() or 0
    return column.cast(pa.list_(pa.int16() if most < 1 << 15 else pa.int32(), labels))


DIGEST = pa.binary(32)
KEPT: dict[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    "speaker": pa.ChunkedArray.dictionary_encode,
    "cluster": pa.ChunkedArray.dictionary_encode,
    "truth_source": pa.ChunkedArray.dictionary_encode,
    "audio_sha256": _digests,
    "votes": _counts,
}
"""How `Utterances` converts a column; a column without an entry stays as it is in the table."""


@dataclass(frozen=True)
class LoadedCorpus:
    """A corpus as a run uses it.

    utterances: sorted by id. root: the folder that audio paths are relative to. counts, options,
    sources: the loader's own account (see `Imported`).
    """

    id: str
    labels: tuple[str, ...]
    utterances: Sequence[Utterance]
    root: str = ""
    counts: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    sources: tuple[tuple[str, str], ...] = ()


def load_corpus(
    name: str,
    root: Path | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    expect: int | None = None,
    limit: int | None = None,
) -> LoadedCorpus:
    """Load a corpus for a run. Utterances without a vote in the label set are left out and counted.

    expect: how many utterances the loader must find.
    limit: keep at most this many of those with votes, chosen by `sampled`.
    Raises BadInput as `corpora.load` does, for another count than `expect`, and for no utterance.
    """
    imported = load(name, root, dict(options or {}))
    if expect is not None and len(imported.table) != expect:
        raise BadInput(
            f"corpus {name}: found {len(imported.table)} utterances, "
            f"expected {expect} (key `expect` of the plan)"
        )
    labels, votes = votes_of(imported.table)
    # Without a vote in the label set there is no truth to predict.
    table = imported.table.filter(pa.array(votes.sum(1) > 0))
    counts = {**imported.counts, "no_vote_in_label_set": len(imported.table) - len(table)}
    ids = np.array(table.column("utterance_id").to_pylist(), dtype=object)
    order = np.argsort(ids, kind="stable")
    if limit is not None:
        order = order[sampled(ids[order].tolist(), limit)]
    if not len(order):
        raise BadInput(
            f"corpus {name}: no utterance with votes and audio in {root or 'the package'}; "
            "name the owner's folder"
        )
    utterances = Utterances(table.take(pa.array(order, pa.int64())))
    # A bundle says how many clips its utterances share: whoever gives many the same clip must say
    # so.
    counts["same_clip"] = _shared_clips(utterances)
    pa.default_memory_pool().release_unused()
    return LoadedCorpus(
        id=name,
        labels=labels,
        utterances=utterances,
        root=str(imported.root or ""),
        counts=counts,
        options=dict(imported.options),
        sources=tuple(imported.sources),
    )


def first_of(corpus: LoadedCorpus, limit: int) -> LoadedCorpus:
    """The same corpus as `load_corpus` would load it with this `limit`."""
    rows = corpus.utterances
    chosen = sampled([one.id for one in rows], limit)
    utterances = Utterances.of([rows[int(place)] for place in chosen])
    counts = {**corpus.counts, "same_clip": _shared_clips(utterances)}
    return replace(corpus, utterances=utterances, counts=counts)


def _shared_clips(utterances: Utterances) -> int:
    """How many utterances have the clip of an earlier one."""
    if utterances.clips_differ:
        return 0
    clips = [clip for clip in utterances.audio_sha256 if clip]
    return len(clips) - len(set(clips))


def sampled(ids: Sequence[str], limit: int) -> NDArray[np.int64]:
    """Positions of `limit` ids, ascending, chosen by a hash of each id.

    So the sample is spread over the speakers, is the same on every machine, and a larger limit only
    adds to it. Every `limit` of the package uses this function.
    """
    chosen = sorted(range(len(ids)), key=lambda place: seed("limit", ids[place]))[:limit]
    return np.array(sorted(chosen), dtype=np.int64)
