"""A plan as it stands on this machine: corpora loaded, what is missing, and every cell with the reason if it cannot be filled."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa

from ambiemo import corpora, engines
from ambiemo.corpora.schema import votes_of
from ambiemo.errors import BadInput
from ambiemo.labels import LABEL_SETS
from ambiemo.models import ModelSpec
from ambiemo.plan.preflight import Where, lacks
from ambiemo.plan.schema import CorpusEntry, ModelEntry, Plan
from ambiemo.seeds import seed
from ambiemo.strategies import Strategy

NO_CONTROL = "none"


@dataclass(frozen=True)
class Missing:
    """Something a plan needs and this machine lacks: what, why it matters, and what to do."""

    kind: Literal["model", "corpus", "verifier"]
    id: str
    what: str
    do: str


@dataclass(frozen=True)
class Utterance:
    """What the pipeline needs of one utterance of the corpus table."""

    id: str
    speaker: str
    cluster: str
    audio_path: str
    audio_sha256: str
    duration_s: float | None
    votes: tuple[int, ...]
    truth_source: str = "votes"


class Utterances(Sequence[Utterance]):
    """The utterances of a corpus, kept as columns and made when asked for: some 100 bytes each, where objects take a thousand."""

    def __init__(self, table: pa.Table) -> None:
        kept = [KEPT[name](table.column(name)) if name in KEPT else table.column(name) for name in COLUMNS]
        self.columns = pa.table(kept, names=list(Utterance.__dataclass_fields__)).combine_chunks()

    @property
    def clips_differ(self) -> bool:
        """Has every utterance surely a clip of its own? Told by the first 8 bytes of the hashes, so a yes is sure and a no is not."""
        clips = self.columns.column("audio_sha256")
        if clips.null_count or not clips.num_chunks:
            return False
        eights = DIGEST.byte_width // 8
        starts = np.frombuffer(clips.chunk(0).buffers()[1], dtype=np.uint64, count=eights * len(self))[::eights]
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
            Utterance(**row | {"audio_sha256": (row["audio_sha256"] or b"").hex(), "votes": tuple(row["votes"])})
            for row in rows
        ]

    def __iter__(self) -> Iterator[Utterance]:
        for start in range(0, len(self), 1024):
            yield from self[start : start + 1024]


COLUMNS = (
    "utterance_id", "speaker", "cluster", "audio_path", "audio_sha256", "duration_s", "votes", "truth_source",
)  # fmt: skip
"""Columns of the corpus table, in the order of Utterance's fields."""


def _digests(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Hashes as their 32 bytes; none where there is none."""
    pieces = [column.slice(start, 1024).to_pylist() for start in range(0, len(column), 1024)]
    return pa.chunked_array(
        [pa.array([bytes.fromhex(one) if one else None for one in piece], DIGEST) for piece in pieces], DIGEST
    )


def _counts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Votes as small numbers, as many for every utterance as there are labels."""
    labels = len(column[0]) if len(column) else 0
    return column.cast(pa.list_(pa.int16(), labels))


DIGEST = pa.binary(32)
KEPT: dict[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    "speaker": pa.ChunkedArray.dictionary_encode,
    "cluster": pa.ChunkedArray.dictionary_encode,
    "truth_source": pa.ChunkedArray.dictionary_encode,
    "audio_sha256": _digests,
    "votes": _counts,
}
"""How `Utterances` keeps a column, where not as the table has it."""


@dataclass(frozen=True)
class LoadedCorpus:
    """A corpus as the run uses it: labels, utterances sorted by id, and the loader's account of itself."""

    id: str
    labels: tuple[str, ...]
    utterances: Sequence[Utterance]
    root: str = ""
    counts: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cell:
    """One (model, corpus, strategy) with its control; `skipped` says why it cannot be filled ("" = it can).

    `cannot`: no machine can fill it, because the model lacks what the strategy needs.
    """

    model: str
    corpus: str
    strategy: Strategy
    control: str = NO_CONTROL
    skipped: str = ""
    cannot: bool = False


@dataclass(frozen=True)
class Expanded:
    """A plan as it stands on this machine."""

    plan: Plan
    specs: dict[str, ModelSpec]
    corpora: dict[str, LoadedCorpus]
    cells: tuple[Cell, ...]
    missing: tuple[Missing, ...]

    def entry(self, model_id: str) -> ModelEntry:
        """The plan's entry of a model."""
        return next(entry for entry in self.plan.every_model if entry.id == model_id)

    def engine(self, model_id: str) -> str:
        """Name of the engine that runs a model in this plan."""
        return self.entry(model_id).engine or self.specs[model_id].engines[0]

    def verifier(self, model_id: str) -> str:
        """Which model judges the candidates of `model_id`."""
        return model_id if self.plan.verifier.id == "self" else self.plan.verifier.id


def expand(plan: Plan, limit: int | None = None, where: Where = "here") -> Expanded:
    """Load the corpora, look for engines, weights and keys, and lay out every cell, the ones that cannot be filled with their reason."""
    judged = any(entry.row().verified for entry in plan.strategies)
    wanted = plan.every_model if judged else plan.models
    specs = {entry.id: entry.spec() for entry in wanted}
    missing: list[Missing] = []
    loaded: dict[str, LoadedCorpus] = {}
    for corpus in plan.corpora:
        try:
            loaded[corpus.id] = load_corpus(corpus, limit)
        except BadInput as error:
            missing.append(Missing("corpus", corpus.id, str(error), corpora.CORPORA[corpus.id].where))
    bare = Expanded(plan, specs, loaded, (), ())
    for entry in wanted:
        kind: Literal["model", "verifier"] = "model" if entry in plan.models else "verifier"
        found = lacks(specs[entry.id], bare.engine(entry.id), where, entry.options)
        missing += [Missing(kind, entry.id, what, do) for what, do in found]
    without: set[tuple[str, str]] = {(item.kind, item.id) for item in missing}
    cells = tuple(laid_out(bare, without))
    return replace(bare, cells=cells, missing=tuple(missing))


def load_corpus(entry: CorpusEntry, limit: int | None = None) -> LoadedCorpus:
    """Load one corpus of a plan. Raises BadInput: an unset variable, a bad folder, no utterance, or not the expected count."""
    root = _root(entry)
    imported = corpora.load(entry.id, root, dict(entry.options))
    if entry.expect is not None and len(imported.table) != entry.expect:
        raise BadInput(
            f"corpus {entry.id}: found {len(imported.table)} utterances, expected {entry.expect} (key `expect` of the plan)"
        )
    labels, votes = votes_of(imported.table)
    table = imported.table.filter(
        pa.array(votes.sum(1) > 0)
    )  # without a vote in the label set there is no truth to predict
    counts = {**imported.counts, "no_vote_in_label_set": len(imported.table) - len(table)}
    order = np.argsort(np.array(table.column("utterance_id").to_pylist(), dtype=object), kind="stable")
    taken = [n for n in (entry.limit, limit) if n is not None]
    if taken:
        order = spread(order, table.column("utterance_id").to_pylist(), min(taken))
    if not len(order):
        raise BadInput(
            f"corpus {entry.id}: no utterance with votes and audio in {root or 'the package'}; name the owner's folder"
        )
    utterances = Utterances(table.take(pa.array(order, pa.int64())))
    pa.default_memory_pool().release_unused()
    return LoadedCorpus(
        id=entry.id,
        labels=labels,
        utterances=utterances,
        root=str(imported.root or ""),
        counts=counts,
        options=dict(imported.options),
        sources=tuple(imported.sources),
    )


def spread(order: np.ndarray, ids: Sequence[str], limit: int) -> np.ndarray:
    """`limit` of the places in `order`, chosen by a hash of the ids there, in the same order: not one speaker's, and a larger limit only adds."""
    chosen = set(sorted(order.tolist(), key=lambda place: seed("limit", ids[place]))[:limit])
    return np.array([place for place in order.tolist() if place in chosen], dtype=np.int64)


def _root(entry: CorpusEntry) -> Path | None:
    if not entry.root:
        return None
    unset = [name for name in re.findall(r"\$\{(\w+)\}", entry.root) if not os.environ.get(name)]
    if unset:
        raise BadInput(
            f"corpus {entry.id}: environment variable {unset[0]} is not set; it names the folder in '{entry.root}'"
        )
    return Path(re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], entry.root)).expanduser()


def laid_out(expanded: Expanded, without: set[tuple[str, str]]) -> Iterator[Cell]:
    """Every cell of a plan, the ones that cannot be filled with their reason; `without`: (kind, id) of what is missing."""
    plan = expanded.plan
    controls = [(NO_CONTROL, tuple(e.name for e in plan.strategies))] + [(c.name, c.strategies) for c in plan.controls]
    for entry in plan.models:
        for corpus in plan.corpora:
            for control, names in controls:
                for row in (one.row() for one in plan.strategies if one.name in names):
                    cannot = _cannot(expanded, entry.id, row)
                    why = cannot or _missing(expanded, entry.id, corpus.id, row, without)
                    yield Cell(entry.id, corpus.id, row, control, why, bool(cannot))


def _cannot(expanded: Expanded, model_id: str, row: Strategy) -> str:
    """What a strategy needs that the model, or the verifier, cannot do through its engine."""
    lacking = sorted(row.needs - _able(expanded, model_id))
    if lacking:
        return f"{model_id} cannot: {', '.join(lacking)}"
    engine = expanded.engine(model_id)
    most = engines.MOST_BEAMS.get(engine, row.count)
    if row.decoding == "beam" and row.count > most:
        return f"{engine} searches with {most} beams at most, asked for {row.count}"
    judge = expanded.verifier(model_id)
    if row.verified and "verifier" not in _able(expanded, judge):
        return f"{judge} cannot: verifier"
    return ""


def _able(expanded: Expanded, model_id: str) -> frozenset[str]:
    return frozenset(expanded.specs[model_id].can(expanded.engine(model_id)))


def _missing(expanded: Expanded, model_id: str, corpus_id: str, row: Strategy, without: set[tuple[str, str]]) -> str:
    """What a cell needs that this machine lacks."""
    if ("model", model_id) in without:
        return f"model {model_id} missing here"
    if ("corpus", corpus_id) in without:
        return f"corpus {corpus_id} missing here"
    judge = expanded.verifier(model_id)
    if row.verified and {("verifier", judge), ("model", judge)} & without:
        return f"verifier {judge} missing here"
    return ""


def as_if_complete(expanded: Expanded) -> Expanded:
    """The same plan on a machine that lacks nothing, for reckoning costs: a corpus that is not here has its `nominal` size and labels.

    A corpus without a nominal size stays out. Never run what this returns.
    """
    plan = expanded.plan
    stand_ins = {
        entry.id: LoadedCorpus(
            entry.id, _nominal_labels(entry), tuple(_imagined(entry, i, plan) for i in range(entry.nominal))
        )
        for entry in plan.corpora
        if entry.nominal and entry.id not in expanded.corpora
    }
    corpora_of = {**expanded.corpora, **stand_ins}
    cells = tuple(
        replace(cell, skipped="") if not cell.cannot and cell.corpus in corpora_of else cell for cell in expanded.cells
    )
    return replace(expanded, corpora=corpora_of, cells=cells)


def _nominal_labels(entry: CorpusEntry) -> tuple[str, ...]:
    """The labels that a corpus has by the options of its entry."""
    usual = LABEL_SETS[corpora.CORPORA[entry.id].labels]
    return LABEL_SETS.get(entry.id, usual) if entry.options.get("label_set") == "all" else usual


def _imagined(entry: CorpusEntry, number: int, plan: Plan) -> Utterance:
    return Utterance(f"{entry.id}#{number}", "", "", "", "", plan.assume.seconds_per_utterance, ())
