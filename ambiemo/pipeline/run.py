"""The whole job: draw → store → score → strategies → results → bundle. Killed anywhere, the same command goes on where it was."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambiemo.draws import Draw
from ambiemo.errors import BadInput, Broken
from ambiemo.pipeline.progress import progress, say
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import Expanded, expand
from ambiemo.plan.schema import read
from ambiemo.results import evidence as evidences
from ambiemo.results.evidence import Evidence, Row

if TYPE_CHECKING:
    from ambiemo.pipeline.draw import Question

ARTIFACTS = Path("artifacts")


@dataclass
class Account:
    """What a run did, for its log: model calls are draws sent to an engine by this run."""

    calls: int = 0
    reused: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def run(
    plan_file: Path,
    out: Path | None = None,
    store: Path | None = None,
    address: str | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
) -> Path:
    """Run a plan and write its bundle; returns the bundle's folder.

    Raises BadInput (exit 2) where the job cannot start, with the whole list of what is missing on the terminal before it, and Broken
    (exit 1) where it fails on the way: what was drawn stays in the store.
    """
    from ambiemo.pipeline.cluster import ray_started
    from ambiemo.results.dry_run import print_missing
    from ambiemo.results.reading import print_tables

    began = time.monotonic()
    expanded = expand(read(plan_file), limit=limit, where="cluster" if address else "here")
    if expanded.missing and not allow_missing:
        print_missing(expanded.missing)
        raise BadInput(
            f"{plan_file}: {len(expanded.missing)} things are missing (listed above); mend them, or leave them out with --allow-missing"
        )
    if all(cell.skipped for cell in expanded.cells):
        print_missing(expanded.missing)
        raise BadInput(f"{plan_file}: no cell can be filled here; see what is missing above")
    bundle = out or ARTIFACTS / expanded.plan.name
    writable(bundle.parent)
    account = Account()
    with ExitStack() as stack:
        answers = stack.enter_context(AnswerStore(store or bundle.parent / ".store"))
        counts = sharing.count_draws(expanded)
        say(f"{expanded.plan.name}: {counts.shared} draws serve all strategies ({counts.alone} if each made its own)")
        stack.enter_context(ray_started(address))
        account.seconds["start"] = time.monotonic() - began
        evidence = draw_and_score(expanded, answers, account)
        files = aggregated(evidence, account)
    account.seconds["all"] = time.monotonic() - began
    write_bundle(bundle, expanded, evidence, files, account, limit)
    print_tables(files)
    say(
        f"{account.calls} model calls ({account.reused} answers reused, {account.failed} failed draws) in {account.seconds['all']:.0f} s"
    )
    say(f"bundle: {bundle}   check it: ambiemo verify {bundle}")
    return bundle


def writable(folder: Path) -> None:
    """Find out before the first draw, not after the last, that the bundle cannot be written. Raises Broken."""
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Broken(f"{folder}: cannot write here: {error.strerror}; name another folder with --out") from error


def draw_and_score(expanded: Expanded, store: AnswerStore, account: Account) -> Evidence:
    """Make every draw that the store lacks, then ask the verifiers about what came back."""
    sets = sharing.draw_sets(expanded)
    by_model: dict[str, list[sharing.DrawSet]] = {}
    for one in sets:
        by_model.setdefault(one.model, []).append(one)
    answers: dict[tuple[str, str], list[Row]] = {}
    to_score: dict[str, list[Draw]] = {}
    scored_of: dict[str, tuple[str, str]] = {}
    for model, own in by_model.items():
        clips = {one.corpus: sharing.distinct_clips(expanded.corpora[one.corpus]) for one in own}
        asked = [(sharing.asking(expanded, one), clips[one.corpus]) for one in own]
        draw_missing(expanded, model, "answers", asked, store, account)
        for draw, told, judged in _told(expanded, own, store, model):
            answers.setdefault((model, draw.corpus), []).extend(told)
            for row in told[:judged]:
                if not row.get("failure"):
                    question = sharing.score_draw(expanded, draw, row["index"], row["text"])
                    to_score.setdefault(question.model, []).append(question)
                    scored_of[question.key] = (model, draw.corpus)
    scores: dict[tuple[str, str], list[Row]] = {}
    for judge, questions in to_score.items():
        unlike = list({question.key: question for question in questions}.values())
        draw_missing(expanded, judge, "scores", [(lambda question: question, unlike)], store, account)
        found = store.read(judge, {question.key for question in questions})
        for question in questions:
            scores.setdefault(scored_of[question.key], []).append(evidences.score_row(question, found[question.key]))
    return evidences.from_run(expanded, answers, scores)


def _told(
    expanded: Expanded, sets: Iterable[sharing.DrawSet], store: AnswerStore, model: str
) -> Iterator[tuple[Draw, list[Row], int]]:
    """Each distinct draw with the rows of its answer, and how many of its candidates a verifier is to judge."""
    wanted = [({d.key: d for d in sharing.draws(expanded, one)}, one) for one in sets]
    found = store.read(model, {key for draws, _ in wanted for key in draws})
    for draws, one in wanted:
        labels = expanded.corpora[one.corpus].labels
        judged = sharing.judged_candidates(expanded, one)
        for key, draw in draws.items():
            yield draw, evidences.answer_rows(draw, found[key], labels), judged


def draw_missing(
    expanded: Expanded,
    model: str,
    what: str,
    questions: "Sequence[Question[Any]]",
    store: AnswerStore,
    account: Account,
) -> None:
    """Make the draws of one model that the store lacks, as `pipeline.draw.groups` cuts them."""
    from ambiemo.pipeline.draw import draw_groups, groups

    began = time.monotonic()
    wanted = sum(len(items) for _, items in questions)
    work = groups(questions, expanded.plan.group_size, lambda key: store.has(model, key))
    account.reused += wanted - work.draws
    say(f"{model}: {what}: {wanted} draws, {wanted - work.draws} in the store")
    if work:
        with progress(f"{model}: {what}", work.draws) as advance:
            entry, engine = expanded.entry(model), expanded.engine(model)
            for drawn in draw_groups(expanded.specs[model], engine, entry, work, store):
                account.calls += drawn.draws - drawn.unheard
                account.failed += drawn.failed
                advance(drawn.draws, drawn.failed)
    account.seconds[f"{what} {model}"] = time.monotonic() - began


def aggregated(evidence: Evidence, account: Account) -> dict[str, bytes]:
    """Predictions and tables as files."""
    from ambiemo.pipeline.aggregate import aggregate
    from ambiemo.results.predictions import work
    from ambiemo.results.tables import derived

    began = time.monotonic()
    files = derived(evidence, aggregate(work(evidence)))
    account.seconds["strategies and tables"] = time.monotonic() - began
    return files


def write_bundle(
    bundle: Path, expanded: Expanded, evidence: Evidence, derived: dict[str, bytes], account: Account, limit: int | None
) -> None:
    """Put everything into one checksummed folder, whole or not at all."""
    from ambiemo.bundle import bag
    from ambiemo.bundle.provenance import provenance
    from ambiemo.results.provenance import describing_files

    files = evidences.to_files(evidence) | derived | describing_files(expanded, limit)
    files["log/run.log"] = json.dumps(account.__dict__, indent=2, sort_keys=True).encode("utf-8") + b"\n"
    files |= provenance(files)
    bag.write(
        bundle,
        files,
        {"External-Identifier": expanded.plan.name, "External-Description": expanded.plan.title or expanded.plan.name},
    )
