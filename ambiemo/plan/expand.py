"""A plan as it stands on this machine: corpora loaded, what is missing, and every cell with the
reason if it cannot be filled.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ambiemo import corpora, engines
from ambiemo.corpora.utterances import LoadedCorpus, Utterance, load_corpus
from ambiemo.errors import BadInput
from ambiemo.models import ModelSpec
from ambiemo.models.own import STATED
from ambiemo.models.spec import FOLDER
from ambiemo.plan.preflight import Where, lacks
from ambiemo.plan.schema import CorpusEntry, ModelEntry, Plan
from ambiemo.strategies import Strategy

NO_CONTROL = "none"
FAILED = "failed in this run: "
"""How `Missing.what` begins for a model that was there at the start and stopped, or could not be
loaded, in the run.
"""
VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Missing:
    """Something a plan needs and this machine lacks: what, why it matters, and what to do."""

    kind: Literal["model", "corpus", "verifier"]
    id: str
    what: str
    do: str


@dataclass(frozen=True)
class Cell:
    """One (model, corpus, strategy) with its control; `skipped` says why it cannot be filled ("" =
    it can).

    `cannot`: no machine can fill it, because the model lacks what the strategy needs.
    """

    model: str
    corpus: str
    strategy: Strategy
    control: str = NO_CONTROL
    skipped: str = ""
    cannot: bool = False

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What no two cells of a plan have in common."""
        return (self.model, self.corpus, self.strategy.name, self.control)


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
    """Load the corpora, look for engines, weights and keys, and lay out every cell, the ones that
    cannot be filled with their reason.
    """
    plan = with_hashes(plan)
    wanted = plan.asked_models
    specs = {entry.id: entry.spec() for entry in wanted}
    missing: list[Missing] = []
    loaded: dict[str, LoadedCorpus] = {}
    for corpus in plan.corpora:
        try:
            limits = [n for n in (corpus.limit, limit) if n is not None]
            loaded[corpus.id] = load_corpus(
                corpus.id,
                _root(corpus),
                corpus.options,
                expect=corpus.expect,
                limit=min(limits, default=None),
            )
        except BadInput as error:
            what = as_in_the_plan(_unnamed(str(error), corpus.id), corpus)
            missing.append(Missing("corpus", corpus.id, what, corpora.CORPORA[corpus.id].where))
    bare = Expanded(plan, specs, loaded, (), ())
    for entry in wanted:
        kind: Literal["model", "verifier"] = "model" if entry in plan.models else "verifier"
        spec = specs[entry.id]
        problems = lacks(spec, bare.engine(entry.id), where, entry.options)
        missing += [Missing(kind, entry.id, without_place(what, spec), do) for what, do in problems]
    cells = tuple(laid_out(bare, missing))
    return replace(bare, cells=cells, missing=tuple(missing))


def with_hashes(plan: Plan) -> Plan:
    """The plan with the hash of the files as the revision of each folder of the user's own weights,
    where it says none and the folder is here.
    """

    def hashed(entry: ModelEntry) -> ModelEntry:
        if not entry.is_own or entry.revision or entry.spec().path() is None:
            return entry
        return entry.model_copy(update={"revision": entry.spec().revision or ""})

    models = tuple(map(hashed, plan.models))
    return plan.model_copy(update={"models": models, "verifier": hashed(plan.verifier)})


def without_place(text: str, spec: ModelSpec) -> str:
    """A text without the folder of a model's own weights and without its server's address: both
    name a place of one machine, and it goes into a bundle.
    """
    places = {str(spec.path()): "weights"} if spec.weights.startswith(FOLDER) else {}
    if spec.source == STATED and spec.base_url:
        places[spec.base_url] = places[spec.base_url.rstrip("/")] = "server"
    for place in list(places):
        places[os.path.realpath(place) if places[place] == "weights" else place] = places[place]
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, f"<the {places[place]} of {spec.id}>")
    return text


def _root(entry: CorpusEntry) -> Path | None:
    if not entry.root:
        return None
    unset = [name for name in VARIABLE.findall(entry.root) if not os.environ.get(name)]
    if unset:
        raise BadInput(
            f"corpus {entry.id}: environment variable {unset[0]} is not set; it names the folder in '{entry.root}'"
        )
    return Path(VARIABLE.sub(lambda match: os.environ[match[1]], entry.root)).expanduser()


def as_in_the_plan(text: str, entry: CorpusEntry) -> str:
    """A text without what an environment variable holds and without a home folder: both may say who
    runs it, and it goes into a bundle.
    """
    replacements = {
        os.environ[name]: f"${{{name}}}"
        for name in VARIABLE.findall(entry.root)
        if os.environ.get(name)
    }
    if (home := os.path.expanduser("~")) not in ("~", "/"):
        replacements[home] = "~"
    replacements |= {
        os.path.realpath(value): name
        for value, name in replacements.items()
        if value.startswith("/")
    }
    for value in sorted(replacements, key=len, reverse=True):
        text = text.replace(value.rstrip("/") or value, replacements[value])
    return text


def _unnamed(message: str, corpus: str) -> str:
    """An error about a corpus without its name in front, which the list of what is missing says."""
    return message.removeprefix(f"corpus '{corpus}': ").removeprefix(f"corpus {corpus}: ")


def left_out(expanded: Expanded, failed: Iterable[Missing]) -> Expanded:
    """The same plan without models that failed in the run: their cells are skipped with the reason,
    the others stay.
    """
    missing = (*expanded.missing, *failed)
    return replace(expanded, cells=tuple(laid_out(expanded, missing)), missing=missing)


def laid_out(expanded: Expanded, missing: Iterable[Missing]) -> Iterator[Cell]:
    """Every cell of a plan, the ones that cannot be filled with their reason."""
    plan = expanded.plan
    without: dict[tuple[str, str], str] = {}
    for item in missing:
        if item.what.startswith(FAILED) or (item.kind, item.id) not in without:
            without[item.kind, item.id] = (
                item.what if item.what.startswith(FAILED) else "missing here"
            )
    controls = [(NO_CONTROL, tuple(e.name for e in plan.strategies))] + [
        (c.name, c.strategies) for c in plan.controls
    ]
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
    if row.decoding.kind == "beam" and row.count > most:
        return f"{engine} searches with {most} beams at most, asked for {row.count}"
    judge = expanded.verifier(model_id)
    if row.verified and "verifier" not in _able(expanded, judge):
        return f"{judge} cannot: verifier"
    return ""


def _able(expanded: Expanded, model_id: str) -> frozenset[str]:
    return frozenset(expanded.specs[model_id].can(expanded.engine(model_id)))


def _missing(
    expanded: Expanded,
    model_id: str,
    corpus_id: str,
    row: Strategy,
    without: dict[tuple[str, str], str],
) -> str:
    """What a cell needs that this machine lacks, or that failed in the run."""
    if ("model", model_id) in without:
        return f"model {model_id} {without['model', model_id]}"
    if ("corpus", corpus_id) in without:
        return f"corpus {corpus_id} {without['corpus', corpus_id]}"
    judge = expanded.verifier(model_id)
    for kind in ("verifier", "model"):
        if row.verified and (kind, judge) in without:
            return f"verifier {judge} {without[kind, judge]}"
    return ""


def as_if_complete(expanded: Expanded) -> Expanded:
    """The same plan on a machine that lacks nothing, for reckoning costs: a corpus that is not here
    has its `nominal` size and labels.

    A corpus without a nominal size stays out. Never run what this returns.
    """
    plan = expanded.plan
    stand_ins = {
        entry.id: LoadedCorpus(
            entry.id,
            _nominal_labels(entry),
            tuple(_imagined(entry, i, plan) for i in range(entry.nominal)),
        )
        for entry in plan.corpora
        if entry.nominal and entry.id not in expanded.corpora
    }
    corpora_of = {**expanded.corpora, **stand_ins}
    cells = tuple(
        replace(cell, skipped="") if not cell.cannot and cell.corpus in corpora_of else cell
        for cell in expanded.cells
    )
    return replace(expanded, corpora=corpora_of, cells=cells)


def _nominal_labels(entry: CorpusEntry) -> tuple[str, ...]:
    """The labels a corpus would have under its entry's options; the usual ones if the options are
    wrong.
    """
    try:
        return corpora.label_set(entry.id, entry.options)
    except BadInput:  # `expand` has listed it as missing
        return corpora.label_set(entry.id)


def _imagined(entry: CorpusEntry, number: int, plan: Plan) -> Utterance:
    return Utterance(f"{entry.id}#{number}", "", "", "", "", plan.assume.seconds_per_utterance, ())
