"""One actor that holds a model and answers what it is asked, with the seconds that it took.

`ambiemo smoke` and `ambiemo conform` try models with it: the actor that a run uses, under the
plan's own options, without the answer store.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ambiemo.corpora.audio import BadAudio
from ambiemo.draws import Answer, Draw
from ambiemo.engines import ENGINES, ModelStopped, Request, lost
from ambiemo.engines.memory import free_gpu_gib, free_host_gib
from ambiemo.models import ModelSpec
from ambiemo.pipeline.cluster import enough, placed, started_again
from ambiemo.pipeline.draw import NOT_DECODED, DrawActor, Ready, as_request, one_line
from ambiemo.plan.schema import ModelEntry

LOAD_S, ASK_S = 1800.0, 1800.0
"""How long a model may take to load, and to answer what it is asked at once."""
LOOKS_S = 0.5
"""Between two looks at how busy the GPUs are."""


@dataclass(frozen=True)
class Loaded:
    """A model that is there.

    sequences   how many sequences of the longest length there is room for, None where the engine sets none aside
    free_gib    memory that is free now: of the GPU, or the main memory
    """

    seconds: float
    on_gpu: bool
    sequences: int | None = None
    free_gib: float | None = None


@dataclass(frozen=True)
class Heard:
    """Answers, the seconds that the clips took to open and the model to answer, and the share of
    that time in which the GPU worked (None without one).
    """

    answers: list[Answer]
    preparing_s: float
    drawing_s: float
    busy: float | None = None


class Trial(DrawActor):
    """Holds one ALM as a run's actor does. Nothing is restarted, and nothing is stored."""

    def __init__(
        self, spec: ModelSpec, engine: str, options: dict[str, Any], offline: bool = False
    ) -> None:
        if offline:  # before the libraries that read it are imported
            os.environ["HF_HUB_OFFLINE"] = "1"
        began = time.monotonic()
        super().__init__(spec, engine, options)
        self.seconds = time.monotonic() - began
        self.local = ENGINES[engine].local

    def loaded(self) -> Loaded:
        """What there is now. Raises ModelStopped where the model could not be loaded."""
        if self.stopped:
            raise ModelStopped(self.stopped)
        device = str(getattr(self.engine, "device", "cuda" if busy_share() is not None else "cpu"))
        on_gpu = self.local and device.startswith("cuda")
        room = getattr(self.engine, "room", None)
        return Loaded(
            seconds=self.seconds,
            on_gpu=on_gpu,
            sequences=self.thread.submit(room).result() if room else None,
            free_gib=free_gpu_gib() if on_gpu else free_host_gib(),
        )

    def ask(self, draws: Sequence[Draw]) -> Heard:
        """Answers in the order of the draws, which have one decoding. Raises ModelStopped."""
        if self.stopped:
            raise ModelStopped(self.stopped)
        return self.thread.submit(self._timed, list(draws)).result()

    def _timed(self, draws: list[Draw]) -> Heard:
        began = time.monotonic()
        ready: list[Request] = []
        answers: dict[str, Answer] = {}
        for draw in draws:
            try:
                ready.append(as_request(draw, self.spec.audio_seconds, self.deaf))
            except BadAudio as error:
                answers[draw.key] = Answer(
                    draw.key, (), draw.decoding, failure=f"{NOT_DECODED}{draw.audio_path}: {error}"
                )
        opened = time.monotonic()
        with watched() as shares:
            answers |= {one.key: one for one in self._answers(ready, draws)} if ready else {}
        ended = time.monotonic()
        self.stopped = one_line(getattr(self.engine, "stopped", ""))
        return Heard(
            [answers[draw.key] for draw in draws],
            opened - began,
            ended - opened,
            sum(shares) / len(shares) if shares else None,
        )

    def _answers(self, ready: list[Request], draws: list[Draw]) -> list[Answer]:
        assert self.engine is not None
        decoding = draws[0].decoding
        try:
            return self.engine.draw(ready, decoding)
        except ModelStopped:
            raise
        except (MemoryError, SystemError) as error:
            raise ModelStopped(one_line(f"{type(error).__name__}: {error}")) from error
        except Exception as error:
            return [lost(request, decoding, error) for request in ready]

    def close(self) -> None:
        """Free the memory."""
        if self.engine is not None:
            self.thread.submit(self.engine.close).result()


def dying(mark: Path) -> type[DrawActor]:
    """A run's actor that kills its own process at its second group, in its first life, after it has
    made the file `mark`.
    """

    class DyingActor(DrawActor):
        asked = 0

        def _group(self, drawn: list[Draw], ready: Future[Ready] | None = None) -> dict[str, Any]:
            self.asked += 1
            if self.asked == 2 and not started_again():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._group(drawn, ready)

    return DyingActor


class Asker:
    """A loaded model: `loaded` says what there is, `heard` what it was asked last.

    Answers are kept by their draw's key: a question that was asked before is not asked again.
    """

    def __init__(self, held: Any, loaded: Loaded) -> None:
        self._held, self.loaded = held, loaded
        self.kept: dict[str, Answer] = {}
        self.last = Heard([], 0.0, 0.0)

    def __call__(self, draws: Sequence[Draw]) -> list[Answer]:
        """Answers in the order of the draws, which have one decoding. Raises ModelStopped."""
        new = [draw for draw in dict.fromkeys(draws) if draw.key not in self.kept]
        if new:
            self.last = self._held([_absolute(draw) for draw in new])
            self.kept |= {one.key: one for one in self.last.answers}
        return [self.kept[draw.key] for draw in draws]


@contextmanager
def in_this_process(spec: ModelSpec, engine: str, options: dict[str, Any]) -> Iterator[Asker]:
    """A model loaded here. Raises ModelStopped where it cannot be loaded."""
    held = Trial(spec, engine, options)
    try:
        yield Asker(held.ask, held.loaded())
    finally:
        held.close()


@contextmanager
def on_the_cluster(
    spec: ModelSpec, engine: str, entry: ModelEntry, options: dict[str, Any], offline: bool
) -> Iterator[Asker]:
    """A model loaded by an actor on the running Ray, on as many GPUs and processors as its entry
    says. Raises ModelStopped where it cannot be loaded, and BadInput where Ray has not enough.
    """
    import ray

    enough(spec.id, entry, 1, engine=engine)
    actor: Any = ray.remote(Trial).options(**placed(entry, engine))
    held = actor.remote(spec, engine, options, offline)

    def call(method: Any, seconds: float, *given: Any) -> Any:
        try:
            return ray.get(method.remote(*given), timeout=seconds)
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, ModelStopped) else error) from None
        except ray.exceptions.GetTimeoutError as error:
            raise ModelStopped(f"does not answer within {seconds:.0f} s") from error
        except ray.exceptions.RayError as error:
            last = next(filter(None, reversed(str(error).splitlines())), type(error).__name__)
            raise ModelStopped(one_line(f"its actor died: {last}")) from error

    try:
        loaded = call(held.loaded, LOAD_S)
        yield Asker(lambda draws: call(held.ask, ASK_S, draws), loaded)
    finally:
        if ray.is_initialized():
            ray.kill(held)


def prepared(spec: ModelSpec, engine: str, draws: Sequence[Draw]) -> Any:
    """The rendered prompt and the features of each clip (`engines.listening.prepared`), made by a
    process of the running Ray without weights and without a GPU. Raises what that raises.
    """
    import ray

    def task(draws: list[Draw]) -> Any:
        from ambiemo.engines.listening import prepared

        asked = [as_request(draw, spec.audio_seconds) for draw in draws]
        return prepared(spec, engine, asked[0].prompt, [one.audio for one in asked])

    ready: Any = ray.remote(task).options(num_cpus=1, max_retries=0)
    try:
        return ray.get(ready.remote([_absolute(draw) for draw in draws]), timeout=LOAD_S)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _absolute(draw: Draw) -> Draw:
    """The same draw for another process, whose current folder is not the driver's."""
    path = draw.audio_path
    return replace(draw, audio_path=str(Path(path).absolute())) if path else draw


@contextmanager
def watched() -> Iterator[list[float]]:
    """A list that fills with how busy the GPUs are, 0 to 1, while the block runs; empty without
    one.
    """
    shares: list[float] = []
    end = threading.Event()

    def look() -> None:
        while (share := busy_share()) is not None:
            shares.append(share)
            if end.wait(LOOKS_S):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield shares
    finally:
        end.set()
        thread.join(timeout=30)


def busy_share() -> float | None:
    """How busy the GPUs that this process sees are, by nvidia-smi, 0 to 1; None without one."""
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    if seen := os.environ.get("CUDA_VISIBLE_DEVICES"):
        asked.append(f"--id={seen}")
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        each = [float(line) for line in lines.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return sum(each) / len(each) / 100 if each else None
