"""Walks through the 13 steps of `smoke.steps`: who is tried at which step, what was seen, and what
a step hands on to the next.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ambiemo.corpora.utterances import first_of
from ambiemo.draws import Answer
from ambiemo.errors import AmbiemoError, shown
from ambiemo.pipeline.drawing import asked_models
from ambiemo.pipeline.run import ARTIFACTS
from ambiemo.pipeline.trial import Asker, on_the_cluster, prepared
from ambiemo.plan.expand import Expanded, expand
from ambiemo.plan.schema import CorpusEntry, Plan, read
from ambiemo.smoke.advice import advised
from ambiemo.smoke.checks import Finding, Verdict
from ambiemo.smoke.reckoning import Measured

CLIPS = 8
"""Clips of each corpus that every model hears."""
CEILING = 1.0
"""Dollars that a whole smoke test may cost."""
LONGEST = 600
KINDS = {"openai": "remote", "null": "pretended"}
"""By engine; every other one is local."""
NOT_FOR = {
    "remote": "a server runs it",
    "local": "it runs on this machine",
    "pretended": "engine null has neither weights nor a server",
}


@dataclass(frozen=True)
class Line:
    """What one step said of one model, node or corpus ("" for the run as a whole)."""

    step: int
    title: str
    subject: str
    verdict: Verdict
    said: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.step:2}  {self.verdict:7}  {self.subject or self.title}: {self.said}"


@dataclass
class Journey:
    """What the steps hand on.

    expanded, few  the plan as it stands here, with all clips and with CLIPS of each corpus
    folder         store, journals and bundle of the test alone
    ceiling        dollars that may be spent; spent: what was
    ended          why no later step can do anything
    dead           by model: why no later step can try it
    offline        whether everything that must be downloaded is here
    answers        by model, then by the draw's key
    measured       by model, then by question
    faster         by model: how much a group of real size speeds a draw up
    latency        by remote model: seconds of a request; dollars: of one
    hold, prepare  how a model is loaded, and how its processor is tried: by processes of the running Ray
    """

    plan: Plan
    expanded: Expanded
    few: Expanded
    folder: Path
    ceiling: float
    address: str | None
    stack: ExitStack
    spent: float = 0.0
    ended: str = ""
    offline: bool = False
    dead: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    measured: dict[str, dict[str, Measured]] = field(default_factory=dict)
    faster: dict[str, float] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    dollars: dict[str, float] = field(default_factory=dict)
    hold: Callable[..., AbstractContextManager[Asker]] = on_the_cluster
    prepare: Callable[..., Any] = prepared

    @property
    def models(self) -> list[str]:
        """Every model that the plan asks, verifiers too, in its order."""
        return [entry.id for entry in self.plan.asked_models]

    @property
    def corpus(self) -> str:
        """The corpus whose clips the probes use: the plan's first that is here."""
        return next(iter(self.few.corpora))

    def kind(self, model: str) -> str:
        """ "local", "remote" or "pretended"."""
        return KINDS.get(self.expanded.engine(model), "local")

    def options(self, model: str) -> dict[str, Any]:
        """The plan's options of a model, with a journal of the test's own and the ceiling."""
        entry, spec = self.expanded.entry(model), self.expanded.specs[model]
        options = {name: value for name, value in entry.options.items() if name != "journal"}
        if self.kind(model) == "remote":
            options["journal"] = str((self.folder / "paid" / model).resolve())
            options["attempts"] = min(options.get("attempts", 3), 3)
            options.pop("max_dollars", None)
            if spec.price is not None:
                options["max_dollars"] = max(self.ceiling - self.spent, 0.0)
        return options


@dataclass(frozen=True)
class Step:
    """One row of the page.

    who       kinds of models that it tries; none: it looks at the run as a whole
    is_fatal  whether a model that fails here cannot be tried any further
    loaded    whether it asks a model that is loaded
    after     whether it looks at what a loaded model said once its memory is given back
    """

    number: int
    title: str
    who: frozenset[str]
    run: Callable[..., Any]
    is_fatal: bool = False
    loaded: bool = False
    after: bool = False

    @property
    def in_block(self) -> bool:
        """Whether it belongs to the steps that are walked through model by model."""
        return self.loaded or self.after


def smoke(
    plan_file: Path,
    out: Path | None = None,
    address: str | None = None,
    ceiling: float = CEILING,
    show: Callable[[Line], None] = lambda line: None,
) -> tuple[list[Line], Journey]:
    """Try a plan with a few clips; `show` is called with every line as it comes.

    out: the folder that the test's own folder is made in (default: artifacts/.smoke). It is removed
    where nothing failed. Raises BadInput for a plan that cannot be read.
    """
    from ambiemo.smoke.steps import STEPS

    plan = read(plan_file)
    where = out or ARTIFACTS / ".smoke"
    with ExitStack() as stack:
        journey = begun(plan, where, address, ceiling, stack)
        lines = []
        for line in walk(journey, STEPS):
            show(line)
            lines.append(line)
    if not fails(lines):
        shutil.rmtree(journey.folder, ignore_errors=True)
    return lines, journey


def begun(
    plan: Plan, where: Path, address: str | None, ceiling: float, stack: ExitStack
) -> Journey:
    """A journey before its first step. Where no corpus of the plan is here, the embedded clips
    stand in.
    """
    at = "cluster" if address else "here"
    expanded = expand(plan, where=at)  # type: ignore[arg-type]
    heard = expanded
    if not expanded.corpora:
        heard = expand(plan.model_copy(update={"corpora": (CorpusEntry(id="tiny"),)}), where=at)  # type: ignore[arg-type]
    few = replace(
        heard,
        corpora={name: first_of(one, CLIPS) for name, one in heard.corpora.items()},
    )
    ended = ""
    try:
        where.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{plan.name}-", dir=where))
    except OSError as error:
        folder, ended = where, f"{where}: cannot write here: {error.strerror or error}"
    return Journey(plan, expanded, few, folder, ceiling, address, stack, ended=ended)


def walk(journey: Journey, steps: tuple[Step, ...]) -> Iterator[Line]:
    """Every line, in the order of the steps; the steps that ask a loaded model are walked through
    model by model.
    """
    block = [step for step in steps if step.in_block]
    for step in steps:
        if step.in_block:
            if step is block[0]:
                for model in journey.models:
                    yield from _with(journey, model, block)
        elif step.who:
            for model in journey.models:
                yield from _one(journey, step, model, lambda m=model, s=step: s.run(journey, m))  # type: ignore[misc]
        else:
            yield from _whole(journey, step)


def _with(journey: Journey, model: str, steps: list[Step]) -> Iterator[Line]:
    """The steps of one model from its loading to its end, in their order: a step that comes before
    others and needs the memory back has theirs wait.
    """
    if reason := _left_out(journey, steps[0], model):
        yield from (_line(step, model, Finding("skipped", reason)) for step in steps)
        return
    waiting: list[Line] = []
    for line in _while_loaded(journey, model, [step for step in steps if step.loaded]):
        if any(step.after and step.number < line.step for step in steps):
            waiting.append(line)
        else:
            yield line
    for step in steps:
        if step.after:
            yield from _one(journey, step, model, lambda step=step: step.run(journey, model))  # type: ignore[misc]
    yield from waiting


def _while_loaded(journey: Journey, model: str, steps: list[Step]) -> Iterator[Line]:
    expanded = journey.expanded
    first, *others = steps
    asker: list[Asker] = []
    with ExitStack() as held:

        def load() -> Finding:
            asker.append(
                held.enter_context(
                    journey.hold(
                        expanded.specs[model],
                        expanded.engine(model),
                        expanded.entry(model),
                        journey.options(model),
                        journey.offline,
                    )
                )
            )
            return first.run(journey, model, asker[0])

        yield from _one(journey, first, model, load)
        for step in others:
            yield from _one(
                journey,
                step,
                model,
                lambda step=step: step.run(journey, model, asker[0]),  # type: ignore[misc]
            )
        if asker:
            journey.answers[model] = asker[0].kept


def _one(journey: Journey, step: Step, model: str, run: Callable[[], Finding]) -> Iterator[Line]:
    reason = _left_out(journey, step, model)
    began = time.monotonic()
    finding = Finding("skipped", reason) if reason else _guarded(run)
    if finding.verdict == "failed" and step.is_fatal:
        journey.dead[model] = f"it failed at step {step.number}"
    yield _line(step, model, finding, time.monotonic() - began)


def _whole(journey: Journey, step: Step) -> Iterator[Line]:
    if journey.ended and step.number > 1:
        yield _line(step, "", Finding("skipped", journey.ended))
        return
    began = time.monotonic()
    try:
        for subject, finding in step.run(journey):
            yield _line(step, subject, finding, time.monotonic() - began)
            began = time.monotonic()
    except Exception as error:
        yield _line(step, "", Finding("failed", _why(error)), time.monotonic() - began)
        if step.number == 1:
            journey.ended = "step 1 failed"


def _guarded(run: Callable[[], Finding]) -> Finding:
    try:
        return run()
    except Exception as error:  # a step that breaks is a finding: the other models go on
        return Finding("failed", _why(error))


def _why(error: Exception) -> str:
    if isinstance(error, AmbiemoError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _left_out(journey: Journey, step: Step, model: str) -> str:
    """Why a step does not try a model; "" where it does."""
    if journey.ended:
        return journey.ended
    if journey.kind(model) not in step.who:
        return NOT_FOR[journey.kind(model)]
    return journey.dead.get(model, "")


def _line(step: Step, subject: str, finding: Finding, seconds: float = 0.0) -> Line:
    text = advised(finding.said) if finding.verdict == "failed" else finding.said
    message = shown(" ".join(text.split()), LONGEST)
    return Line(step.number, step.title, subject, finding.verdict, message, round(seconds, 2))


def fails(lines: list[Line]) -> bool:
    """Whether something would fail."""
    return any(line.verdict == "failed" for line in lines)


def verdict(lines: list[Line], journey: Journey) -> str:
    """The last line for a person."""
    wrong = sum(line.verdict == "failed" for line in lines)
    skipped = sum(line.verdict == "skipped" for line in lines)
    cost = f"${journey.spent:.4f} of ${journey.ceiling:g} spent"
    if wrong:
        return f"{wrong} lines failed, {skipped} skipped, {cost}; what was drawn and logged: {journey.folder}"
    return f"nothing failed: {len(lines) - skipped} lines ok, {skipped} skipped, {cost}"


def as_json(lines: list[Line], journey: Journey) -> str:
    """The whole test as one object."""
    content = {
        "plan": journey.plan.name,
        "fails": sum(line.verdict == "failed" for line in lines),
        "dollars": round(journey.spent, 4),
        "ceiling": journey.ceiling,
        "lines": [asdict(line) for line in lines],
    }
    return json.dumps(content, indent=2)


def asked(journey: Journey) -> list[str]:
    """The models that a run would ask, without those that failed here."""
    return [model for model in asked_models(journey.few) if model not in journey.dead]
