"""The draw stage: Ray Data streams groups of draws to actors that hold an ALM; what comes back goes
to the answer store as it comes.

A group is some draws with one decoding, neighbours in the corpus' order, answered in one batch: a
fixed number of them, or as many as make a fixed number of sequences. Groups depend on the plan
alone, so a resumed run and a cluster of another size draw the same batches. (A store that another
plan has partly filled leaves smaller groups: their answers are as good, and the row names its
group.)

An actor prepares its next group while the model answers this one: it opens the clips, and an engine
that has a `prepare` step makes the features. What is prepared early is what would be prepared in
turn, so no answer depends on it.
"""

import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np

from ambiemo.corpora.audio import BadAudio, decode
from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.durable import sha256
from ambiemo.engines import Engine, ModelStopped, Request, engine_class, lost
from ambiemo.errors import AmbiemoError
from ambiemo.models import ModelSpec
from ambiemo.pipeline.clips import sent
from ambiemo.pipeline.cluster import (
    ON_THE_DRIVER_S_NODE,
    enough,
    own_id,
    placed,
    pool_size,
    started_again,
)
from ambiemo.pipeline.restarts import Reporter, counters
from ambiemo.pipeline.store import AnswerStore, as_line
from ambiemo.plan.expand import without_place
from ambiemo.plan.schema import GroupSize, ModelEntry

TASKS_IN_FLIGHT = 2
"""Groups that an actor has at the same time: one that the model answers, and the next one, which is
prepared.
"""
PAID = ON_THE_DRIVER_S_NODE
"""Engines that ask a server for money: they keep a journal next to the store."""
NOTHING = np.zeros(0, dtype=np.float32)
NOT_DECODED = "audio: "
"""How the failure of a draw begins that no model was asked for, because its clip cannot be
decoded.
"""


T = TypeVar("T")
Ready = tuple[list[Request], list[Answer]]
"""A group that is prepared: its requests, and the answers of draws that need none."""
Asked = tuple[Callable[[T], Draw], Sequence[T]]
"""What makes a draw of an item, and the items: clips, or what a verifier is asked."""


class Groups(Sequence[list[Draw]]):
    """The groups of draws that are still to make: places only, the draws themselves are made when a
    group is asked for.
    """

    def __init__(
        self, questions: Sequence[Asked], places: Sequence[tuple[int, Sequence[int]]]
    ) -> None:
        self.questions, self.places = questions, places
        self.draws = sum(len(there) for _, there in places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, at: int) -> list[Draw]:  # type: ignore[override]  # nobody takes a slice
        number, there = self.places[at]
        ask, items = self.questions[number]
        near = items[there[0] : there[-1] + 1]
        return [ask(near[place - there[0]]) for place in there]


def groups(questions: Sequence[Asked], size: int | GroupSize, has: Callable[[str], bool]) -> Groups:
    """The draws still to make, in groups of `size`: at most so many draws, or about so many
    sequences.

    A question is what makes a draw of an item, and its items: clips, or candidates to judge. One
    question has one model, prompt kind and decoding, and its draws have different keys.

    The items are walked through in blocks: the first block comes under every question before the
    next one. Within a block the groups come in the order of their last items, so that the smaller
    groups of several questions about the same clips follow each other: an engine that keeps what it
    encoded finds it.
    """
    places: list[tuple[int, Sequence[int]]] = []
    longest = max((len(items) for _, items in questions), default=0)
    for start in range(0, longest, block(size)):
        cuts = []
        for number, (ask, items) in enumerate(questions):
            near = items[start : start + block(size)]
            sequences = ask(near[0]).decoding.count if near else 1
            for part in parts(len(near), sequences, size):
                there = [start + i for i in part if not has(ask(near[i]).key)]
                if there:
                    whole = range(start + part.start, start + part.stop)
                    cuts.append((whole.stop, number, whole if len(whole) == len(there) else there))
        places += [(number, there) for _, number, there in sorted(cuts, key=lambda cut: cut[:2])]
    return Groups(questions, places)


def block(size: int | GroupSize) -> int:
    """How many items come under every question before the next ones: a group of greedy draws."""
    return size if isinstance(size, int) else size.sequences


def parts(items: int, sequences: int, size: int | GroupSize) -> list[range]:
    """How one question's items of a block are cut into groups: one group, or where the plan counts
    sequences, equal parts (to within one item) with about so many of them.

    sequences: what one draw of the question decodes at the same time.
    """
    if not items:
        return []
    number = 1 if isinstance(size, int) else min(items, -(-items * sequences // size.sequences))
    return [range(*ends) for ends in pairwise(items * part // number for part in range(number + 1))]


@dataclass(frozen=True)
class Drawn:
    """What came back of a group.

    draws, failed   how many draws, and how many of them brought no answer
    unasked         how many of the failed ones no model was asked for, because the clip cannot be decoded
    reasons         why the others failed, with counts
    dollars         what the group cost, as far as the engine knows
    """

    draws: int
    failed: int
    unasked: int
    reasons: Counter[str] = field(default_factory=Counter)
    dollars: float = 0.0


def draw_groups(
    spec: ModelSpec,
    engine: str,
    entry: ModelEntry,
    work: Sequence[list[Draw]],
    store: AnswerStore,
    actor: type["DrawActor"] | None = None,
) -> Iterator[Drawn]:
    """Draw every group of one model; each group's answers are in the store when it is given out.

    actor: the class that holds the model (`ambiemo smoke` tries one that dies).

    Raises BadInput where the cluster has not what the plan asks for, and ModelStopped, with the
    reason in one line, when the model cannot be loaded, stops, or its actors die. What was given
    out before stays in the store.
    """
    import pyarrow as pa
    import ray
    from ray.data import ActorPoolStrategy

    size = pool_size(entry, engine)
    enough(spec.id, entry, size, engine=engine)
    options = entry.options
    if engine in PAID:
        options = {"journal": str((store.folder / "paid" / spec.id).resolve())} | options
    rows: Any = _Packed(work)
    size = min(size, len(rows))
    reporter = Reporter(counters(), f"{spec.id} {uuid4().hex}", size)
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        actor or DrawActor,
        fn_constructor_kwargs={
            "spec": spec,
            "engine": engine,
            "options": options,
            "reporter": reporter,
        },
        batch_size=1,
        compute=ActorPoolStrategy(
            size=size,
            max_tasks_in_flight_per_actor=TASKS_IN_FLIGHT,
            max_concurrent_calls_per_actor=TASKS_IN_FLIGHT,
            enable_true_multi_threading=True,  # the actor itself asks its model one group at a time
        ),
        **placed(entry, engine),
    )
    pa.default_memory_pool().release_unused()  # packing leaves holes, and the driver has little to do from here on
    try:
        with closing(
            _rows(dataset)
        ) as rows_back:  # closed at once, so that a model that stops frees its GPUs for the others
            for row in rows_back:
                if row["line"]:
                    store.append(spec.id, row["line"])
                    yield Drawn(
                        row["draws"],
                        row["failed"],
                        row["unasked"],
                        Counter(json.loads(row["reasons"])),
                        row["dollars"],
                    )
                if row["stopped"]:
                    raise ModelStopped(row["stopped"])
    except ray.exceptions.RayError as error:
        raise ModelStopped(f"its actors died: {_last_line(error)}") from error


class _Packed(Sequence[dict[str, bytes]]):
    """Groups as rows for Ray, packed one at a time as Ray takes them: the driver never holds them
    all.
    """

    def __init__(self, work: Sequence[list[Draw]]) -> None:
        self.work = work

    def __len__(self) -> int:
        return len(self.work)

    def __getitem__(self, at: int) -> dict[str, bytes]:  # type: ignore[override]
        return {"payload": _pack(self.work[at])}


def _rows(dataset: Any) -> Generator[dict[str, Any], None, None]:
    """The rows as they come. When this generator is closed, Ray stops the actors.

    `iter_batches` would send the statistics of every block so far to another process every 5 s:
    with 5 models and 7,442 clips that took most of the driver's time.
    """
    import ray

    for bundle in dataset.iter_internal_ref_bundles():
        for block in bundle.blocks:
            yield from ray.get(block.ref).to_pylist()


class DrawActor:
    """Holds one ALM. Decodes the audio itself: ids and paths travel, sound does not.

    The ALM lives in one thread. Ray Data makes an actor in one thread and calls it in others, and
    OpenMP keeps a team of threads for each: two teams on the same cores are more threads than
    cores, and then each waits asleep where it would have waited awake.

    Groups are prepared in a second thread, while the first one answers the group before. An actor
    that Ray started again prepares its first groups in turn: the counter of ends then knows at
    which group it ended, even if a clip ended it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        engine: str,
        options: dict[str, Any],
        reporter: Reporter | None = None,
    ) -> None:
        self.spec = spec
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.ahead = ThreadPoolExecutor(max_workers=1)
        in_turn = TASKS_IN_FLIGHT if reporter is not None and started_again() else 0
        self.calls = count(-in_turn)
        self.engine: Engine | None = None
        self.restarts = reporter or Reporter()
        loading = f"load {own_id() if reporter is not None else ''}"
        self.stopped = next(filter(None, self.restarts.began(loading)), "")
        if self.stopped:
            self.stopped = one_line(f"cannot be loaded: {self.stopped}")
            return
        try:
            self.engine = self.thread.submit(engine_class(engine), spec, **options).result()
        except AmbiemoError as error:
            self.stopped = self._not_loaded(str(error))
        except Exception as error:  # if raised, Ray would retry for ever
            self.stopped = self._not_loaded(f"{type(error).__name__}: {error}")
        self.deaf = getattr(self.engine, "deaf", False)
        self.restarts.finished(loading, is_progress=False)

    def _not_loaded(self, why: str) -> str:
        # before the line is cut, which would leave a part of a path
        return one_line(f"cannot be loaded: {without_place(why, self.spec)}")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Answer groups. Ray calls it TASKS_IN_FLIGHT times at once: the groups wait here in line."""
        done = [self._in_line(_unpack(payload)).result() for payload in batch["payload"]]
        return {name: [one[name] for one in done] for name in done[0]}

    def _in_line(self, drawn: list[Draw]) -> Future[dict[str, Any]]:
        early = next(self.calls) >= 0
        ready = self.ahead.submit(self._prepared, drawn) if early else None
        return self.thread.submit(self._group, drawn, ready)

    def _prepared(self, drawn: list[Draw]) -> Ready:
        """The requests, and the answers of draws whose clip cannot be decoded. Changes nothing."""
        if self.stopped:
            return [], []
        prepare = getattr(self.engine, "prepare", None) or (lambda request: request)
        requests: list[Request] = []
        answers: list[Answer] = []
        for draw in drawn:
            try:
                requests.append(prepare(as_request(draw, self.spec.audio_seconds, self.deaf)))
            except BadAudio as error:
                answers.append(Answer(draw.key, (), draw.decoding, failure=f"{NOT_DECODED}{error}"))
        return requests, answers

    def _group(self, drawn: list[Draw], ready: Future[Ready] | None = None) -> dict[str, Any]:
        """A group's answers as a line for the store, what to count of it, and why the model stopped
        ("" if it goes on). ready: where the group is being prepared already.
        """
        if not self.stopped:
            name = sha256("".join(draw.key for draw in drawn).encode("ascii"))
            give_up, self.stopped = self.restarts.began(name)
            try:
                if give_up and not self.stopped:
                    answers = [
                        Answer(draw.key, (), draw.decoding, failure=f"engine: {give_up}")
                        for draw in drawn
                    ]
                    return _row(as_line(name, answers), answers, "")
                if not self.stopped:
                    prepared = ready or self.ahead.submit(self._prepared, drawn)
                    return self._answered(name, drawn[0].decoding, *prepared.result())
            except ModelStopped as error:
                self.stopped = one_line(str(error).removeprefix(f"model {self.spec.id}: stopped: "))
            finally:
                self.restarts.finished(name, is_progress=not give_up)
        return _row(b"", [], self.stopped)

    def _answered(
        self, name: str, decoding: Decoding, ready: list[Request], undecoded: list[Answer]
    ) -> dict[str, Any]:
        answers = undecoded + (self._ask(ready, decoding) if ready else [])
        for answer in answers:
            if not answer.failure and answer.decoding != decoding:
                raise ModelStopped(
                    f"its engine was asked for {decoding!r}, and applied {answer.decoding!r}"
                )
        self.stopped = one_line(getattr(self.engine, "stopped", ""))
        return _row(as_line(name, answers), answers, self.stopped)

    def _ask(self, requests: list[Request], decoding: Decoding) -> list[Answer]:
        assert self.engine is not None
        try:
            return self.engine.draw(requests, decoding)
        except ModelStopped:
            raise
        except (MemoryError, SystemError) as error:
            print(
                f"ambiemo: model {self.spec.id}: {error}: the actor ends so that Ray starts another",
                file=sys.stderr,
            )
            self.restarts.ending(one_line(f"{type(error).__name__}: {error}"))
            os._exit(1)  # raising would leave the dead engine in the pool
        except Exception as error:
            return [lost(request, decoding, error) for request in requests]


def _row(line: bytes, answers: Sequence[Answer], stopped: str) -> dict[str, Any]:
    failures = [answer.failure for answer in answers if answer.failure]
    reasons = Counter(one_line(reason) for reason in failures if not reason.startswith(NOT_DECODED))
    return {
        "line": line,
        "draws": len(answers),
        "failed": len(failures),
        "unasked": len(failures) - reasons.total(),
        "reasons": json.dumps(reasons),
        "dollars": float(sum(answer.extra.get("dollars", 0.0) for answer in answers)),
        "stopped": stopped,
    }


def one_line(text: str, longest: int = 300) -> str:
    """A reason as one line of at most so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def as_request(draw: Draw, longest: float | None, deaf: bool = False) -> Request:
    """The request that an engine gets for a draw. Opens the clip unless the engine is `deaf`.

    Raises BadAudio as `load_audio` does.
    """
    samples, truncated = (NOTHING, False) if deaf else load_audio(draw, longest)
    return Request(
        draw.key, draw.prompt, samples, draw.seed, draw.audio_sha256, truncated, draw.labels
    )


def load_audio(draw: Draw, longest: float | None) -> tuple[np.ndarray, bool]:
    """The samples an ALM is given (float32, mono, 16 kHz) and whether they were cut to `longest`
    seconds.

    A draw whose `audio` is "silence" gets zeros of the clip's length. A clip that this node cannot
    open is asked of the driver's node, where there is one. Raises BadAudio for a clip that cannot
    be decoded, or whose bytes are no longer those of its hash (the answer would be stored under
    another clip's key).
    """
    if not draw.audio_path:
        raise BadAudio("has no audio file")
    try:
        content = Path(draw.audio_path).read_bytes()
    except OSError as error:
        elsewhere = sent(draw.audio_path, draw.audio_sha256)
        if elsewhere is None:
            raise BadAudio(f"cannot be opened: {error.strerror or error}") from error
        content = elsewhere
    if draw.audio_sha256 and sha256(content) != draw.audio_sha256:
        raise BadAudio("changed since the corpus was loaded")
    clip = decode(content, max_seconds=longest)
    return (
        np.zeros_like(clip.samples) if draw.audio == "silence" else clip.samples
    ), clip.truncated


OWN = ("audio_path", "audio_sha256", "about")
"""What each draw of a group has of its own, apart from its prompt; the rest is written once per group."""


def _pack(group: list[Draw]) -> bytes:
    """A group as compressed text, without what the other side makes again (keys, seeds) or does not
    need (ids).
    """
    prompts = list(dict.fromkeys(draw.prompt for draw in group))
    place = {prompt: index for index, prompt in enumerate(prompts)}
    same = {
        name: value
        for name, value in asdict(group[0]).items()
        if name not in (*OWN, "prompt", "utterance_id")
    }
    own = [
        [place[draw.prompt], *(getattr(draw, name) for name in OWN)]
        for draw in (_absolute(draw) for draw in group)
    ]
    return zlib.compress(
        json.dumps({"same": same, "prompts": prompts, "draws": own}).encode("utf-8")
    )


def _absolute(draw: Draw) -> Draw:
    """The same draw for another process, whose current folder is not the driver's."""
    path = draw.audio_path
    return (
        draw if not path or os.path.isabs(path) else replace(draw, audio_path=os.path.abspath(path))
    )


def _unpack(payload: bytes) -> list[Draw]:
    group = json.loads(zlib.decompress(payload))
    same = group["same"]
    same |= {
        "decoding": Decoding(**same["decoding"]),
        "labels": tuple(same["labels"]),
        "utterance_id": "",
    }
    return [
        Draw(**same, prompt=group["prompts"][prompt], **dict(zip(OWN, own, strict=True)))
        for prompt, *own in group["draws"]
    ]


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else type(error).__name__
