"""The whole job: draw → store → score → strategies → results → bundle. Killed anywhere, the same
command goes on where it was.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ambiemo.durable import write
from ambiemo.errors import BadInput, Broken, shown
from ambiemo.limits import DOCUMENT, TAG_FILE, read_regular
from ambiemo.pipeline.account import Account
from ambiemo.pipeline.drawing import asked_models, drawn
from ambiemo.pipeline.progress import STATUS, Board, say
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import Expanded, expand
from ambiemo.plan.schema import read

if TYPE_CHECKING:
    from ambiemo.bundle.folder import Files

ARTIFACTS = Path("artifacts")
MANY_DRAWS = 20_000
"""Above this, making the tables a second time for the page takes minutes."""


def run(
    plan_file: Path,
    out: Path | None = None,
    store: Path | None = None,
    address: str | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    yes: bool = False,
    report: bool = False,
) -> Path:
    """Run a plan and write its bundle; returns the bundle's folder. report: write its page too, next
    to it.

    A model that stops, or cannot be loaded, loses its own column only: the bundle has the others
    and says why. Raises BadInput (exit 2) where the job cannot start, with the whole list of what
    is missing on the terminal before it, and Broken (exit 1) where it fails on the way, or, after
    the bundle is written, with one line for each model that failed: what was drawn stays in the
    store.
    """
    from ambiemo.plan.dry_run import print_missing

    began = time.monotonic()
    expanded = expand(read(plan_file), limit=limit, where="cluster" if address else "here")
    if expanded.missing and not allow_missing:
        print_missing(expanded.missing)
        raise BadInput(
            f"{plan_file}: {len(expanded.missing)} things are missing (listed above); fix them, or leave them out with --allow-missing"
        )
    if all(cell.skipped for cell in expanded.cells):
        print_missing(expanded.missing)
        raise BadInput(f"{plan_file}: no cell can be filled here; see what is missing above")
    if not yes:
        agreed_to_pay(expanded)
    return carried_out(
        expanded, out or ARTIFACTS / expanded.plan.name, store, address, limit, began, report
    )


def carried_out(
    expanded: Expanded,
    bundle: Path,
    store: Path | None = None,
    address: str | None = None,
    limit: int | None = None,
    began: float | None = None,
    report: bool = False,
) -> Path:
    """Draw, score and write the bundle of a plan as it stands here; returns the bundle's folder.

    began: when the job began, on the monotonic clock. Raises as `run` does.
    """
    from ambiemo.pipeline.clips import clips_sent
    from ambiemo.pipeline.cluster import ray_started
    from ambiemo.results.overview import overview
    from ambiemo.terminal import show

    began = time.monotonic() if began is None else began
    writable(bundle.parent)
    replaceable(bundle, expanded.plan.name)
    account = Account()
    with ExitStack() as stack:
        answers = stack.enter_context(AnswerStore(store or bundle.parent / ".store"))
        counts = sharing.count_draws(expanded)
        say(
            f"{expanded.plan.name}: {counts.shared} draws serve all strategies ({counts.alone} if each made its own)"
        )
        about = {"plan": expanded.plan.name, "bundle": str(bundle.resolve())}
        board = stack.enter_context(Board(answers.folder / STATUS, about))
        stack.enter_context(ray_started(address))
        board.enter("looking at the nodes")
        looked_at(expanded, answers.folder)
        stack.enter_context(clips_sent())
        board.enter("drawing")
        account.seconds["start"] = time.monotonic() - began
        try:
            expanded = drawn(expanded, answers, account, board)
        except KeyboardInterrupt as error:
            raise Broken(
                "interrupted; what was drawn is kept, run the same command again"
            ) from error
        if all(cell.skipped for cell in expanded.cells):
            raise Broken("\n".join(account.complaints))
        board.enter("strategies and tables")
        files = aggregated(expanded, answers, account, limit)
        account.seconds["all"] = time.monotonic() - began
        tables = {path: files[path] for path in files if path.startswith("tables/")}
        write_bundle(bundle, expanded, files, account, limit)
        shutil.rmtree(staging(answers), ignore_errors=True)
    show(*overview(tables))
    say(
        f"{account.calls} model calls ({account.reused} answers reused, {account.failed} failed draws) in {account.seconds['all']:.0f} s"
    )
    say(f"bundle: {bundle}   check it: ambiemo verify {bundle}")
    if report:
        say(paged(bundle, fast=account.calls + account.reused > MANY_DRAWS))
    if account.complaints:
        raise Broken("\n".join(account.complaints))
    return bundle


def paged(bundle: Path, fast: bool = False) -> str:
    """Write the bundle's page next to it; the line that says how to open it, or why there is none.

    fast: without making the tables again, which this run has just made; the page says so.

    A run never fails because its page cannot be drawn: the bundle is there, and `ambiemo report`
    makes the page again. Drawn by a process of its own, because a page needs more memory the more
    models there are, and the run's own does not grow so.
    """
    command = [sys.executable, "-P", "-m", "ambiemo", "report", str(bundle)]
    done = subprocess.run(
        [*command, "--fast"] if fast else command, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return done.stdout.strip()
    lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
    why = lines[-1].removeprefix("ambiemo: ")
    return f"no page: {shown(why, 400)}; `ambiemo report {bundle}` tries again"


def agreed_to_pay(expanded: Expanded) -> None:
    """Raise BadInput, after the sum is shown, where a model that costs money has no ceiling of
    dollars in the plan.
    """
    from ambiemo.plan.dry_run import costs

    asked = asked_models(expanded)
    open_ended = [
        one
        for one in costs(expanded)
        if one.model in asked
        and one.engine == "openai"
        and one.dollars
        and expanded.entry(one.model).options.get("max_dollars") is None
    ]
    if not open_ended:
        return
    for one in open_ended:
        say(
            f"{one.model}: at most ${one.dollars:,.2f} for {one.answers:,} answers, on an empty store; no ceiling is set"
        )
    total = sum(one.dollars or 0.0 for one in open_ended)
    raise BadInput(
        f"{expanded.plan.name}: found {len(open_ended)} models that may cost ${total:,.2f} together, expected a ceiling for each: "
        "say `options: {max_dollars: …}` of the model in the plan, or run again with --yes"
    )


def looked_at(expanded: Expanded, store: Path) -> None:
    """Look at every node before the first draw, and say what is remarkable. Raises BadInput, one
    line per node and fault.
    """
    from ambiemo.pipeline import probe

    token = store / ".probe"
    write(token, b"")
    try:
        for remark in probe.checked(probe.needs_of(expanded, asked_models(expanded), token)):
            say(remark)
    finally:
        token.unlink(missing_ok=True)


def writable(folder: Path) -> None:
    """Find out before the first draw, not after the last, that the bundle cannot be written. Raises
    Broken.
    """
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Broken(
            f"{folder}: cannot write here: {error.strerror}; name another folder with --out"
        ) from error


def replaceable(bundle: Path, plan: str) -> None:
    """Raise BadInput, before the first draw, if a folder has something that the bundle must not
    replace: other files, or the bundle of another plan or of a newer version.
    """
    from ambiemo.bundle.bag import check_replaceable
    from ambiemo.bundle.contents import FORMAT

    check_replaceable(bundle)
    if not (bundle / "bag-info.txt").is_file():
        return
    try:
        bag_info = read_regular(bundle / "bag-info.txt", TAG_FILE).decode("utf-8", "replace")
        settings = json.loads(read_regular(bundle / "data/config/run.json", DOCUMENT))
        written = settings.get("format", 1) if isinstance(settings, dict) else 1
    except (OSError, ValueError):
        return  # a damaged bundle: the new one takes its place
    named = [
        line.partition(":")[2].strip()
        for line in bag_info.splitlines()
        if line.startswith("External-Identifier:")
    ]
    if named and named[0] != plan:
        raise BadInput(
            f"{bundle}: found the bundle of plan '{shown(named[0])}', expected none or one of '{plan}'; "
            "name another folder with --out"
        )
    if isinstance(written, int) and written > FORMAT:
        raise BadInput(
            f"{bundle}: found a bundle of format {written}, expected {FORMAT} or older: a newer version wrote it; "
            "install that version, or name another folder with --out"
        )


def staging(store: AnswerStore) -> Path:
    """Where the files of a bundle wait until it is written: next to the answers, under the store's
    lock.
    """
    return store.folder / ".staging"


def aggregated(
    expanded: Expanded, store: AnswerStore, account: Account, limit: int | None = None
) -> "Files":
    """Answers, predictions and tables as files; the large ones lie in the staging folder."""
    from ambiemo.bundle.folder import Files
    from ambiemo.pipeline.aggregate import Work, aggregate
    from ambiemo.results.claims.columns import run_of
    from ambiemo.results.study import study_of

    began = time.monotonic()
    folder = staging(store).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    missing = [item.id for item in expanded.missing]
    tables = aggregate(
        Work(expanded, store.folder.resolve(), folder),
        run_of(study_of(expanded), limit, missing),
    )
    by_name = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.gz"))}
    account.seconds["strategies and tables"] = time.monotonic() - began
    return Files({**by_name, **tables})


def write_bundle(
    bundle: Path, expanded: Expanded, results: "Files", account: Account, limit: int | None
) -> None:
    """Put everything into one checksummed folder, whole or not at all."""
    from ambiemo.bundle import bag
    from ambiemo.bundle.contents import study_files
    from ambiemo.bundle.folder import Files
    from ambiemo.bundle.inputs import input_files
    from ambiemo.bundle.provenance import provenance
    from ambiemo.jsonlines import document
    from ambiemo.results.study import study_of

    log = document(vars(account))
    given = {**study_files(study_of(expanded)), **input_files(expanded, limit), "log/run.log": log}
    files = Files({**results.places, **given})
    bag.write(
        bundle,
        Files({**files.places, **provenance(files)}),
        {
            "External-Identifier": expanded.plan.name,
            "External-Description": expanded.plan.title or expanded.plan.name,
        },
    )
