"""The 13 steps of `ambiemo smoke`, as one table at the end. A step says one line of each model, node
or corpus that it looks at.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ambiemo.bundle.verify import verify
from ambiemo.corpora.audio import BadAudio, decode
from ambiemo.corpora.utterances import Utterance
from ambiemo.draws import Answer, Draw
from ambiemo.engines import missing_module
from ambiemo.engines.journal import Journal
from ambiemo.engines.memory import free_host_gib
from ambiemo.models import prompt, render
from ambiemo.models.fetching import fetch, repositories, unreadable
from ambiemo.pipeline import probe
from ambiemo.pipeline.cluster import pool_size, ray_started
from ambiemo.pipeline.draw import Groups, block, draw_groups, parts
from ambiemo.pipeline.run import carried_out, writable
from ambiemo.pipeline.store import AnswerFile, AnswerStore, as_line
from ambiemo.pipeline.trial import Asker, dying, in_this_process
from ambiemo.plan import sharing
from ambiemo.plan.dry_run import costs
from ambiemo.plan.expand import FAILED, Expanded, Missing, as_if_complete, left_out
from ambiemo.plan.preflight import server_lacks
from ambiemo.smoke import reckoning
from ambiemo.smoke.checks import BY_NAME, Evidence, Finding, agree, all_of, judged
from ambiemo.smoke.journey import CLIPS, Journey, Step, asked
from ambiemo.smoke.probes import MANY_PAID, NAMED, draws_of, judgements
from ambiemo.smoke.probes import asked as answers_to
from ambiemo.smoke.reckoning import GIB, Measured, span

PAID_CLIPS = 2
"""Clips that a server hears: each request may cost money."""
KILLED_CLIPS = 4
LONG_S = 5.0
"""A group that takes longer says the speed alone: what a model does only once is little of it."""
Lines = Iterator[tuple[str, Finding]]


def ok(message: str) -> Finding:
    """A finding that nothing is wrong."""
    return Finding("ok", message)


def failed(message: str) -> Finding:
    """A finding that something would fail."""
    return Finding("failed", message)


def evidence_of(journey: Journey, model: str, answers: dict[str, Sequence[Answer]]) -> Evidence:
    """What the checks look at."""
    spec, engine = journey.few.specs[model], journey.few.engine(model)
    return Evidence(
        engine,
        journey.few.corpora[journey.corpus].labels,
        spec.can(engine),
        spec.accepts.seed or engine != "openai",
        {name: one.labels for name, one in journey.few.corpora.items()},
        answers,
    )


def checked(evidence: Evidence, *names: str) -> Finding:
    """Some checks of the table as one finding."""
    return all_of(judged(BY_NAME[name], evidence) for name in names)


def clips_of(journey: Journey, most: int = CLIPS) -> list[Utterance]:
    """The first few clips of the corpus that the probes use."""
    return list(sharing.distinct(journey.few.corpora[journey.corpus].utterances))[:most]


# --- 1: the machine, the nodes, the clips ---


def nodes(journey: Journey) -> Lines:
    """The driver's folders and room, every node by `pipeline.probe`, and the few clips decoded."""
    if journey.ended:
        yield "folder", failed(journey.ended)
        return
    yield from _folders(journey)
    for item in journey.expanded.missing:
        if item.kind == "corpus":
            yield f"corpus {item.id}", failed(f"{item.what}; {item.do}")
    for name, corpus in journey.few.corpora.items():
        yield f"corpus {name}", _decoded(name, corpus.root, list(corpus.utterances))
    journey.stack.enter_context(ray_started(journey.address))
    token = journey.folder / ".probe"
    token.touch()
    needs = probe.needs_of(journey.few, asked(journey), token)
    every = probe.probed(needs)
    wrong = probe.faults(needs, every)
    for fault in wrong:
        yield f"node {fault.node}", failed(f"{fault.what}; {fault.do}")
    for node in every:
        if not any(fault.node == node.node for fault in wrong):
            gpus = f"{len(node.devices)} GPUs" if node.devices else "no GPU here"
            yield (
                f"node {node.node}",
                ok(
                    f"{'; '.join(f'{name} {what}' for name, what in node.versions.items())}; {node.cpus:g} CPUs, {gpus}, "
                    f"/dev/shm {node.shm[0]:.1f} GiB, temporary files {node.tmp[0]:.0f} GiB"
                ),
            )


def _folders(journey: Journey) -> Lines:
    free = shutil.disk_usage(journey.folder).free / GIB
    finding = reckoning.room("disk of the store", reckoning.LEAST_DISK_GIB, free)
    writable(journey.folder)
    cache = _cache()
    try:
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        finding = failed(
            f"cache {cache}: cannot write here: {error.strerror or error}; set HF_HOME"
        )
    yield "driver", finding


def _cache() -> Path:
    """The folder of the Hugging Face cache, or the nearest one above it that is there."""
    place = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _decoded(name: str, root: str, utterances: list[Utterance]) -> Finding:
    for one in utterances:
        if one.audio_path:
            path = Path(root) / one.audio_path
            try:
                decode(path)
            except BadAudio as error:
                return failed(f"clip {path}: {error}; get the corpus again, or repair the file")
    return ok(f"{len(utterances)} clips decoded")


# --- 2 to 4: weights, servers, processors ---


def there(journey: Journey, model: str) -> Finding:
    """The model's server knows it, or its repositories and their parts can be read."""
    spec, entry = journey.expanded.specs[model], journey.expanded.entry(model)
    problems = [
        (item.what, item.do)
        for item in journey.expanded.missing
        if item.id == model and item.kind != "corpus"
    ]
    if journey.kind(model) == "remote":
        problems = problems or server_lacks(spec, entry.options)
        seen = f"{spec.location()} is there"
    else:
        problems = problems or unreadable(spec)
        names = [name for name, _ in repositories(spec)] or [f"the files of {spec.id}"]
        seen = f"readable: {', '.join(names)}"
    if not problems:
        return ok(seen)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return failed(f"{problems[0][0]}; {problems[0][1]}{more}")


def fetched(journey: Journey, model: str) -> Finding:
    """The weights are in the cache; from here on nothing is downloaded."""
    spec = journey.expanded.specs[model]
    if not repositories(spec):
        return Finding("skipped", "its weights are files of this machine")
    done = fetch([spec])
    journey.offline = True
    return ok(
        f"{len(done)} repositories, {sum(one.weight_bytes for one in done) / 1e9:.1f} GB; offline from here"
    )


def heard(journey: Journey, model: str) -> Finding:
    """The processor alone: the prompt is rendered, and two clips and silence give three features."""
    spec, engine = journey.few.specs[model], journey.few.engine(model)
    clips = clips_of(journey, 2)
    draws = draws_of(NAMED["greedy"], journey.few, model, journey.corpus, clips)
    draws += draws_of(NAMED["silence"], journey.few, model, journey.corpus, clips[:1])
    preparation = journey.prepare(spec, engine, draws)
    labels = journey.few.corpora[journey.corpus].labels
    if render(prompt(spec, "direct"), labels)[:40] not in preparation.rendered:
        return failed("the chat template drops the prompt")
    if len(set(preparation.features)) < len(draws):
        return failed(
            "two clips, or a clip and silence, give the same features: the model would not hear"
        )
    return ok(
        f"{len(preparation.rendered)} characters rendered; {len(draws) - 1} clips and silence give {len(draws)} features"
    )


# --- 5: servers ---


def api(journey: Journey, model: str) -> Finding:
    """Two clips: greedy, silence, samples, a verdict; what was served, and what it cost."""
    spec, engine, few = journey.few.specs[model], journey.few.engine(model), journey.few
    clips, corpus, options = clips_of(journey, PAID_CLIPS), journey.corpus, journey.options(model)
    try:
        with in_this_process(spec, engine, options) as asker:
            by_probe = answers_to(asker, ["greedy"], few, model, corpus, clips)
            if all(one.failure for one in by_probe["greedy"]):
                return failed(by_probe["greedy"][0].failure)
            first = asker.last.drawing_s
            by_probe |= answers_to(asker, ["silence"], few, model, corpus, clips)
            journey.latency[model] = max(min(first, asker.last.drawing_s), 1e-3)
            by_probe |= answers_to(asker, ["few", "many"], few, model, corpus, clips[:1], MANY_PAID)
            if "verifier" in spec.can(engine):
                by_probe["judged"] = judgements(
                    asker, by_probe["greedy"], few, model, corpus, clips
                )
    finally:  # what a request that was lost on its way may have cost is in the journal too
        spent = Journal(options["journal"]).spent
        journey.spent += spent
    every = list(asker.kept.values())
    journey.answers[model] = asker.kept
    sent = sum(max(len(one.candidates), 1) for one in every)
    journey.dollars[model] = spent / sent
    names = ("answers", "hears", "parses", "nested", "likelihoods", "judges")
    finding = checked(evidence_of(journey, model, dict(by_probe)), *names)
    if finding.verdict == "failed":
        return finding
    served = sorted({name for one in every for name in one.extra.get("served_model", [])})
    tokens = [one.tokens for answer in every for one in answer.candidates]
    cost = f"${spent:.4f}" if spec.price else "cost unknown: no price"
    return ok(
        f"served {', '.join(served) or 'no name'}: {sent} requests, {span(journey.latency[model])} each, "
        f"{sum(tokens) / max(len(tokens), 1):.0f} tokens an answer, {cost}; {finding.said}"
    )


# --- 6 to 10: a loaded model ---


def loads(journey: Journey, model: str, asker: Asker) -> Finding:
    """It is loaded under the plan's own options; how many sequences there is room for."""
    one = asker.loaded
    most = max((q.decoding.count for q in _questions(journey.few, model)), default=1)
    place = "on a GPU" if one.on_gpu else "on the CPU; no GPU here"
    text = f"loaded in {span(one.seconds)} {place}"
    if one.free_gib is not None:
        text += f"; {one.free_gib:.1f} GiB free after it"
    if one.sequences is None:
        return ok(f"{text}; no room is set aside for sequences")
    text += f"; room for {one.sequences} sequences of the longest length"
    if one.sequences < most:
        return failed(
            f"{text}, a draw of this plan has {most}; raise its memory, or lower max_model_len"
        )
    return ok(text)


def decodings(journey: Journey, model: str, asker: Asker) -> Finding:
    """Eight clips by every decoding of the plan: no failure, half parsed, clip and silence differ."""
    few, corpus, clips = journey.few, journey.corpus, clips_of(journey)
    by_probe: dict[str, Sequence[Answer]] = dict(
        answers_to(asker, ["greedy", "silence"], few, model, corpus, clips)
    )
    for question in _questions(few, model):
        draws = _draws(few, question)
        before = {draw.key for draw in draws} <= set(asker.kept)
        name = f"plan:{question.corpus}:{question.name}"
        by_probe[name] = asker(draws)
        seconds = sum(_seconds(asker)) if not before else 0.0
        _note(journey, question, by_probe[name], seconds)
        if question.judged and few.verifier(model) == model:
            judge = sharing.judging(few, question)
            about = [
                judge(draw, index, texts)
                for draw, answer in zip(draws, by_probe[name], strict=True)
                for texts in [[one.text for one in answer.candidates[: question.judged]]]
                for index in range(len(texts))
            ]
            if about:
                verdicts = asker(about)
                by_probe["judged"] = [*by_probe.get("judged", ()), *verdicts]
                _note(journey, question, verdicts, sum(_seconds(asker)), "judged ")
    if "judged" not in by_probe and "verifier" in few.specs[model].can(few.engine(model)):
        by_probe["judged"] = judgements(asker, by_probe["greedy"], few, model, corpus, clips)
    finding = checked(
        evidence_of(journey, model, by_probe), "answers", "hears", "parses", "likelihoods", "judges"
    )
    if finding.verdict == "failed":
        return finding
    return replace(finding, said=f"{len(_questions(few, model))} questions; {finding.said}")


def parity(journey: Journey, model: str) -> Finding:
    """Greedy, beams and forced labels of vLLM against the transformers engine."""
    few, spec = journey.few, journey.few.specs[model]
    if few.engine(model) != "vllm":
        return Finding("skipped", f"engine {few.engine(model)} is not vLLM: nothing to compare")
    if "transformers" not in spec.engines or missing_module("transformers"):
        return Finding("skipped", "engine transformers does not run it, or is not installed here")
    kept = journey.answers.get(model, {})
    clips, names = clips_of(journey, 2), ("greedy", "beams", "forced")
    ours, theirs = {}, {}
    entry = few.entry(model).model_copy(update={"engine": "transformers", "options": {}})
    with journey.hold(spec, "transformers", entry, {}, journey.offline) as asker:
        for name in names:
            draws = draws_of(NAMED[name], few, model, journey.corpus, clips)
            if all(draw.key in kept for draw in draws):
                ours[name] = [kept[draw.key] for draw in draws]
                theirs[name] = asker(draws)
    return agree(ours, theirs)


def samples(journey: Journey, model: str, asker: Asker) -> Finding:
    """The first 2 of 8 samples are the 2 samples; a batch of 8 against singles; greedy again; what
    step 8 will compare.
    """
    few, corpus = journey.few, journey.corpus
    names = ["greedy", "few", "many", "alone", "again"]
    by_probe = answers_to(asker, names, few, model, corpus, clips_of(journey))
    if few.engine(model) == "vllm":
        answers_to(asker, ["greedy", "beams", "forced"], few, model, corpus, clips_of(journey, 2))
    return checked(evidence_of(journey, model, dict(by_probe)), "nested", "batch", "repeats")


def speed(journey: Journey, model: str, asker: Asker) -> Finding:
    """Two groups of real size, or the first alone where it takes long: tokens a second, the GPU's
    share, the seconds that clips take.
    """
    questions = _questions(journey.few, model)
    if not questions:
        return Finding("skipped", "the plan asks it nothing but verdicts")
    most = max(questions, key=lambda one: (one.decoding.kind == "sample", one.decoding.count))
    heard = journey.expanded.corpora.get(most.corpus) or journey.few.corpora[most.corpus]
    count = most.decoding.count
    size = len(parts(block(journey.plan.group_size), count, journey.plan.group_size)[0])
    clips = list(sharing.distinct(heard.utterances)[: 2 * size])
    ask = sharing.asking(replace(journey.few, corpora={most.corpus: heard}), most)
    tokens = draws = 0
    opening = drawing = 0.0
    busy = []
    for start in range(0, len(clips), size):
        # marked, so that nothing of it was asked before
        group = [replace(ask(one), about="smoke: speed") for one in clips[start : start + size]]
        answers = asker(group)
        tokens += sum(one.tokens for answer in answers for one in answer.candidates)
        draws += len(group)
        opening, drawing = opening + asker.last.preparing_s, drawing + asker.last.drawing_s
        busy += [asker.last.busy] if asker.last.busy is not None else []
        if drawing > LONG_S:
            break
    one = journey.measured.get(model, {}).get(f"{most.corpus}:{most.name}")
    if one and one.draws and drawing:
        journey.faster[model] = max(1.0, (one.seconds / one.draws) / ((opening + drawing) / draws))
    share = f"the GPU worked {sum(busy) / len(busy):.0%} of the time" if busy else "no GPU here"
    return ok(
        f"{most.name}, {draws} draws in groups of {size}: {tokens / max(drawing, 1e-9):,.0f} tokens a second, {share}, "
        f"{1000 * opening / draws:.1f} ms to open a clip"
    )


def _questions(expanded: Expanded, model: str) -> list[sharing.Question]:
    return [one for one in sharing.questions_of(expanded) if one.model == model]


def _draws(expanded: Expanded, question: sharing.Question) -> list[Draw]:
    ask = sharing.asking(expanded, question)
    return [ask(one) for one in sharing.distinct(expanded.corpora[question.corpus].utterances)]


def _seconds(asker: Asker) -> tuple[float, float]:
    return asker.last.preparing_s, asker.last.drawing_s


def _note(
    journey: Journey,
    question: sharing.Question,
    answers: Sequence[Answer],
    seconds: float,
    judged: str = "",
) -> None:
    """What a question took, for step 13."""
    one = Measured(
        draws=len(answers),
        seconds=seconds,
        tokens=sum(one.tokens for answer in answers for one in answer.candidates),
        size=len(as_line("", answers)),
    )
    by_question = journey.measured.setdefault(question.model, {})
    by_question[f"{judged}{question.corpus}:{question.name}"] = one


# --- 11 to 13: the run as a whole ---


def killed(journey: Journey) -> Lines:
    """An actor is killed while it draws; Ray starts another, and the answers are the same."""
    here = [
        model
        for model in asked(journey)
        if journey.kind(model) != "remote" and journey.answers.get(model)
    ]
    if not here:
        yield "", Finding("skipped", "no model runs on the plan's own machines, or none was loaded")
        return
    here.sort(key=lambda model: journey.few.specs[model].memory_gib)
    model = here[0]
    few, kept = journey.few, journey.answers[model]
    draws = draws_of(NAMED["alone"], few, model, journey.corpus, clips_of(journey, KILLED_CLIPS))
    if any(draw.key not in kept for draw in draws):
        yield model, Finding("skipped", "step 9 drew nothing to compare with")
        return
    mark = (journey.folder / "killed.mark").resolve()
    entry = few.entry(model).model_copy(update={"actors": 1, "options": journey.options(model)})
    work = Groups([(lambda draw: draw, draws)], [(0, [place]) for place in range(len(draws))])
    with AnswerStore(journey.folder / "killed") as store, _quietly(journey):
        for _ in draw_groups(
            few.specs[model], few.engine(model), entry, work, store, actor=dying(mark)
        ):
            pass
        index = store.index(model)
    with AnswerFile(journey.folder / "killed" / f"{model}.jsonl") as file:
        places = [index.find(draw.key) for draw in draws]
        if None in places:
            yield (
                model,
                failed(
                    f"{places.count(None)} of {len(draws)} draws are lost after the actor was killed"
                ),
            )
            return
        after = [
            file.answer(draw.key, place or 0) for draw, place in zip(draws, places, strict=True)
        ]
    if not mark.exists():
        yield (
            model,
            Finding("skipped", f"{len(draws)} clips are too few to kill an actor between them"),
        )
        return
    other = [
        draw.utterance_id
        for draw, answer in zip(draws, after, strict=True)
        if [one.text for one in answer.candidates]
        != [one.text for one in kept[draw.key].candidates]
    ]
    if other:
        yield (
            model,
            failed(
                f"after its actor was killed {len(other)} of {len(draws)} answers are others (first: {other[0]})"
            ),
        )
        return
    yield (
        model,
        ok(
            f"killed once, started again, the same {len(draws)} answers; the others go the same way"
        ),
    )


def bundled(journey: Journey) -> Lines:
    """Score, tables, bundle and both verifiers on the few clips. A model behind a server is played
    by the engine null: its draws would cost money.
    """
    few = _rehearsed(journey)
    if all(cell.skipped for cell in few.cells):
        yield "", Finding("skipped", "no cell can be filled with what passed so far")
        return
    store, bundle = journey.folder / ".store", journey.folder / "bundle"
    with AnswerStore(store) as answers:
        for model, kept in journey.answers.items():
            if journey.kind(model) == "local":
                _seed(answers, few, model, kept)
    with _quietly(journey):
        carried_out(few, bundle, store, journey.address, CLIPS)
    if findings := verify(bundle):
        one = findings[0]
        yield "bundle", failed(f"{one.file}: found {one.found}, expected {one.expected}")
        return
    done = subprocess.run(
        [sys.executable, "-I", "data/verify.py"],
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        yield (
            "bundle",
            failed(f"its own verify.py: {(done.stdout + done.stderr).strip().splitlines()[-1]}"),
        )
        return
    played = [entry.id for entry in few.plan.asked_models if entry.engine == "null"]
    note = f"; played by engine null: {', '.join(played)}" if played else ""
    cells = sum(not cell.skipped for cell in few.cells)
    yield (
        "bundle",
        ok(
            f"{cells} cells of {CLIPS} clips: scored, tabulated, bundled, held by both verifiers{note}"
        ),
    )


@contextlib.contextmanager
def _quietly(journey: Journey) -> Iterator[None]:
    """What a run prints goes into a file of the test's folder."""
    with (
        open(journey.folder / "run.log", "a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        yield


def _rehearsed(journey: Journey) -> Expanded:
    few = journey.few
    entries = {
        entry.id: entry.model_copy(
            update={"engine": "null", "options": {}, "actors": 1, "gpus": 0.0}
        )
        for entry in few.plan.every_model
        if entry.id in few.specs
        and journey.kind(entry.id) == "remote"
        and entry.id not in journey.dead
    }
    plan = few.plan.model_copy(
        update={
            "models": tuple(entries.get(entry.id, entry) for entry in few.plan.models),
            "verifier": entries.get(few.plan.verifier.id, few.plan.verifier),
        }
    )
    ours = {entry.id for entry in plan.models}
    lost = [
        Missing("model" if model in ours else "verifier", model, f"{FAILED}{why}", "see above")
        for model, why in journey.dead.items()
    ]
    return left_out(replace(few, plan=plan), lost)


def _seed(store: AnswerStore, few: Expanded, model: str, kept: dict[str, Answer]) -> None:
    """Put what was drawn already into the store of the rehearsal."""
    wanted = [
        kept[draw.key]
        for question in _questions(few, model)
        for draw in _draws(few, question)
        if draw.key in kept and not kept[draw.key].failure
    ]
    ours = {one.key for one in wanted}
    others = [one for one in kept.values() if one.key not in ours and not one.failure]
    for name, answers in (("smoke", wanted), ("smoke: verdicts and probes", others)):
        if answers:
            store.append(model, as_line(name, answers))


def reckoned(journey: Journey) -> Lines:
    """Hours, dollars, disk and memory of the whole plan, from what was measured."""
    complete = as_if_complete(journey.expanded)
    asked_of = Counter[tuple[str, str]]()
    each: dict[tuple[str, str], int] = {}
    for one in sharing.questions_of(complete):
        n = len(complete.corpora[one.corpus].utterances)
        asked_of[one.model, f"{one.corpus}:{one.name}"] += n
        each[one.model, f"{one.corpus}:{one.name}"] = one.decoding.count
        if one.judged:
            asked_of[complete.verifier(one.model), f"judged {one.corpus}:{one.name}"] += (
                n * one.judged
            )
    most = {one.model: one for one in costs(complete)}
    parts = []
    for model in journey.models:
        draws = {name: n for (whose, name), n in asked_of.items() if whose == model}
        if model in journey.dead or not draws:
            continue
        part = _part(journey, model, draws, {name: each.get((model, name), 1) for name in draws})
        if part is None:
            continue
        parts.append(part)
        dollars = (
            ""
            if not most[model].dollars
            else f", about ${part.dollars or 0:,.2f} (${most[model].dollars:,.2f} at most)"
        )
        finding = reckoning.ceiling(
            part.dollars, journey.expanded.entry(model).options.get("max_dollars")
        )
        yield (
            model,
            finding
            or ok(
                f"{sum(draws.values()):,} draws: {span(part.seconds)}{dollars}, {part.size / GIB:.2g} GiB of answers"
            ),
        )
    if not parts:
        yield "", Finding("skipped", "nothing was measured")
        return
    together = reckoning.total(parts)
    disk = reckoning.room(
        "disk",
        reckoning.KEPT_TWICE * together.size / GIB,
        shutil.disk_usage(journey.folder).free / GIB,
    )
    largest = max(complete.corpora.values(), key=lambda one: len(one.utterances))
    columns = max(Counter((cell.model, cell.corpus) for cell in complete.cells).values())
    needed = reckoning.memory_gib(
        _resident(), len(largest.utterances), columns * len(journey.models), len(largest.labels)
    )
    memory = reckoning.room("memory of driver and tables", needed, free_host_gib())
    if any(one.verdict == "failed" for one in (disk, memory)):
        yield (
            "the whole",
            failed("; ".join(one.said for one in (disk, memory) if one.verdict == "failed")),
        )
        return
    dollars = "" if not together.dollars else f"about ${together.dollars:,.2f}, "
    yield (
        "the whole",
        ok(
            f"{span(together.seconds)} with all models side by side, {dollars}{disk.said}; {memory.said}"
        ),
    )


def _part(
    journey: Journey, model: str, draws: dict[str, int], answers_each: dict[str, int]
) -> reckoning.Whole | None:
    """What a model's draws take; None where nothing of it was measured. answers_each: of one draw,
    by question; a server is sent a request for each.
    """
    entry, engine = journey.expanded.entry(model), journey.expanded.engine(model)
    if journey.kind(model) == "remote":
        if model not in journey.latency:
            return None
        answers = sum(max(len(one.candidates), 1) for one in journey.answers[model].values())
        size = len(as_line("", list(journey.answers[model].values()))) / answers
        one = Measured(1, journey.latency[model], 0, round(size))
        sent = {name: n * answers_each[name] for name, n in draws.items()}
        at_once = entry.options.get("concurrency", 16)
        rate = (
            entry.options.get("requests_per_minute")
            or journey.expanded.specs[model].requests_per_minute
        )
        if rate:
            at_once = min(at_once, rate / 60 * journey.latency[model])
        priced = journey.expanded.specs[model].price is not None
        return reckoning.whole(
            dict.fromkeys(sent, one), sent, 1.0, at_once, journey.dollars[model] if priced else None
        )
    if model not in journey.measured:
        return None
    return reckoning.whole(
        journey.measured[model], draws, journey.faster.get(model, 1.0), pool_size(entry, engine)
    )


def _resident() -> int:
    """Bytes of memory that this process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


LOCAL, REMOTE, PRETENDED = "local", "remote", "pretended"
NOBODY: frozenset[str] = frozenset()
OURS = frozenset({LOCAL, PRETENDED})

# fmt: off
STEPS = (
    Step( 1, "driver, nodes, clips",                       NOBODY,                      nodes),
    Step( 2, "servers and repositories are there",         frozenset({LOCAL, REMOTE}),  there,     is_fatal=True),
    Step( 3, "weights fetched, then offline",              frozenset({LOCAL}),          fetched,   is_fatal=True),
    Step( 4, "processors alone: render, features",         frozenset({LOCAL, REMOTE}),  heard,     is_fatal=True),
    Step( 5, "servers: two clips, with a journal",         frozenset({REMOTE}),         api,       is_fatal=True),
    Step( 6, "loads under the plan's own options",         OURS,                        loads,     is_fatal=True, loaded=True),
    Step( 7, "eight clips, every decoding",                OURS,                        decodings, loaded=True),
    Step( 8, "vLLM against transformers",                  OURS,                        parity,    after=True),
    Step( 9, "samples nested; a batch against singles",    OURS,                        samples,   loaded=True),
    Step(10, "groups of real size",                        OURS,                        speed,     loaded=True),
    Step(11, "an actor killed: the same answers",          NOBODY,                      killed),
    Step(12, "score, tables, bundle, verify",              NOBODY,                      bundled),
    Step(13, "hours, dollars, disk, memory of the whole",  NOBODY,                      reckoned),
)
# fmt: on
