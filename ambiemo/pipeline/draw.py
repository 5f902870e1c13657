"""The draw stage: Ray Data streams groups of draws to actors that hold an ALM; what comes back goes to the answer store as it comes.

A group is a fixed number of draws with one decoding, neighbours in the order of their clips, answered in one batch. Groups depend on the plan
alone, so a resumed run and a cluster of another size draw the same batches. (A store that another plan has partly filled leaves smaller
groups: their answers are as good, and the row names its group.)
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ambiemo.corpora.audio import BadAudio, decode
from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.durable import sha256
from ambiemo.engines import Engine, Request, engine_class
from ambiemo.errors import BadInput, Broken
from ambiemo.models import ModelSpec
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan.schema import ModelEntry

TASKS_IN_FLIGHT = 2
UNHEARD = "audio: "
"""How the failure of a draw begins that no model was asked for, because its clip cannot be heard."""


def groups(draws: Iterable[Draw], size: int, has: Callable[[str], bool]) -> Iterator[list[Draw]]:
    """The draws still to make, in groups of at most `size`, one model, prompt kind and decoding each. Equal keys are one draw.

    The first clips come under every question before the next clips come: an engine that keeps what it encoded finds it.
    """

    def question(draw: Draw) -> tuple:
        return (draw.model, draw.corpus, draw.prompt_id, str(draw.decoding), draw.decoding.max_tokens, draw.audio)

    unique = {draw.key: draw for draw in draws}
    ordered = sorted(unique.items(), key=lambda item: (question(item[1]), item[1].audio_sha256, item[0]))
    by_place: dict[tuple[str, str, int], list[list[Draw]]] = {}
    for (model, corpus, *_), alike in groupby(ordered, key=lambda item: question(item[1])):
        members = list(alike)
        for start in range(0, len(members), size):
            if missing := [draw for key, draw in members[start : start + size] if not has(key)]:
                by_place.setdefault((model, corpus, start), []).append(missing)
    for place in sorted(by_place):
        yield from by_place[place]


def draw_groups(
    spec: ModelSpec,
    engine: str,
    entry: ModelEntry,
    work: Sequence[list[Draw]],
    store: AnswerStore,
) -> Iterator[list[Answer]]:
    """Draw every group of one model; each group's answers are in the store when they are given out.

    Raises BadInput where the cluster has not what the plan asks for, and Broken, in one line, when the model cannot be loaded or the
    actors die.
    """
    import ray
    from ray.data import ActorPoolStrategy

    enough(spec.id, entry, ray.cluster_resources())
    rows = [{"payload": _pack(group)} for group in work]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        DrawActor,
        fn_constructor_kwargs={"spec": spec, "engine": engine, "options": entry.options},
        batch_size=1,
        compute=ActorPoolStrategy(size=min(entry.actors, len(rows)), max_tasks_in_flight_per_actor=TASKS_IN_FLIGHT),
        num_cpus=entry.cpus,
        num_gpus=entry.gpus,
    )
    expected = {draw.key: draw.decoding for group in work for draw in group}
    try:
        for row in _rows(dataset):
            back = json.loads(row)
            answers = [Answer.from_row(one) for one in back["answers"]]
            for answer in answers:
                if not answer.failure and answer.decoding != expected[answer.key]:
                    raise Broken(f"engine {engine}: asked for {expected[answer.key]}, it applied {answer.decoding}")
            store.append(spec.id, back["group"], answers)
            yield answers
    except ray.exceptions.RayError as error:
        raise Broken(
            f"model {spec.id}: {_last_line(error)}; what was drawn is kept, run the same command again"
        ) from error


def enough(model: str, entry: ModelEntry, resources: Mapping[str, float]) -> None:
    """Raise BadInput where Ray would wait for ever for processors or GPUs that the cluster does not have."""
    for name, each in (("CPU", entry.cpus), ("GPU", entry.gpus)):
        wanted, there = each * entry.actors, resources.get(name, 0)
        if wanted > there:
            raise BadInput(
                f"models.{model}: {entry.actors} actors with {each:g} {name} each need {wanted:g}, Ray has {there:g}; "
                "ask for less in the plan, or name a larger cluster with --address"
            )


def _rows(dataset: Any) -> Iterator[str]:
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.column("payload").to_pylist()


class DrawActor:
    """Holds one ALM. Decodes the audio itself: ids and paths travel, sound does not."""

    def __init__(self, spec: ModelSpec, engine: str, options: dict[str, Any]) -> None:
        self.spec = spec
        self.engine: Engine = engine_class(engine)(spec, **options)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        return {"payload": [self._group(json.loads(payload)) for payload in batch["payload"]]}

    def _group(self, group: dict[str, Any]) -> str:
        decoding = Decoding(**group["decoding"])
        ready: list[Request] = []
        answers: list[Answer] = []
        labels = tuple(group["labels"])
        for key, seed, prompt, path, digest, audio in group["draws"]:
            try:
                samples, truncated = load_audio(path, digest, audio, self.spec.audio_seconds)
                ready.append(Request(key, group["prompts"][prompt], samples, seed, digest, truncated, labels))
            except BadAudio as error:
                answers.append(Answer(key, (), decoding, failure=f"{UNHEARD}{error}"))
        if ready:
            answers += self._ask(ready, decoding)
        return json.dumps({"group": group["group"], "answers": [asdict(answer) for answer in answers]})

    def _ask(self, requests: list[Request], decoding: Decoding) -> list[Answer]:
        try:
            return self.engine.draw(requests, decoding)
        except (MemoryError, SystemError) as error:
            print(f"ambiemo: model {self.spec.id}: {error}: the actor ends so that Ray starts another", file=sys.stderr)
            os._exit(1)  # raising would leave the dead engine in the pool
        except Exception as error:
            why = f"engine: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            return [Answer(request.key, (), decoding, failure=why) for request in requests]


def load_audio(path: str, digest: str, audio: str, longest: float | None) -> tuple[np.ndarray, bool]:
    """The samples an ALM is given (float32, mono, 16 kHz) and whether they were cut to `longest` seconds.

    `audio` "silence" gives zeros of the clip's length. Raises BadAudio for a clip that cannot be heard, or whose bytes are no longer those
    of its hash (the answer would be stored under another clip's key).
    """
    if not path:
        raise BadAudio("has no audio file")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BadAudio(f"cannot be opened: {error.strerror or error}") from error
    if digest and sha256(content) != digest:
        raise BadAudio("changed since the corpus was loaded")
    clip = decode(content, max_seconds=longest)
    return (np.zeros_like(clip.samples) if audio == "silence" else clip.samples), clip.truncated


def _pack(group: list[Draw]) -> str:
    prompts = list(dict.fromkeys(draw.prompt for draw in group))
    place = {prompt: index for index, prompt in enumerate(prompts)}
    draws = [
        (draw.key, draw.seed, place[draw.prompt], draw.audio_path, draw.audio_sha256, draw.audio) for draw in group
    ]
    name = sha256("".join(draw.key for draw in group).encode("ascii"))
    alike = {"decoding": asdict(group[0].decoding), "labels": group[0].labels}
    return json.dumps({"group": name, **alike, "prompts": prompts, "draws": draws})


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
