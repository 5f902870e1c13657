"""Engines: what runs an ALM. One file per engine, one small protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from ambiemo.draws import Answer, Decoding
from ambiemo.errors import BadInput, Broken, nearest

if TYPE_CHECKING:
    import numpy as np

    from ambiemo.models import ModelSpec


@dataclass(frozen=True)
class Request:
    """One draw as an engine sees it: key, prompt text, the decoded audio (float32, mono, 16 kHz),
    the draw's seed, the labels to force. `prepared` is what the engine's own `prepare` made of it.
    """

    key: str
    prompt: str
    audio: "np.ndarray"
    seed: int
    audio_sha256: str = ""
    truncated: bool = False
    labels: tuple[str, ...] = ()
    prepared: Any = None


class ModelStopped(Broken):
    """No further request to this model can succeed in this run: the key is refused, the day's quota
    is spent, ...

    The message is the reason in one line. What the model answered before is kept. Other models are
    not concerned.
    """


class Engine(Protocol):
    """Holds one ALM. Made inside an actor by `Class(spec: ModelSpec, **options)`, which loads the
    weights.

    `draw` answers a group of requests with one decoding. It returns one Answer per request, in
    order; a request that cannot be answered is an Answer with `failure` set, never an exception. An
    exception means that the engine itself is dead: MemoryError and SystemError mean that another
    actor may go on, ModelStopped that none can. `stopped` is "" or, once the model has stopped, the
    reason in one line. The `draw` in which that happens still returns the answers that came; the
    next one raises ModelStopped and asks nothing. `Decoding("forced")` asks for the log-probability
    of each of the request's labels as the beginning of the answer, summed over the label's tokens
    (tokenised by itself) right after the rendered prompt, nothing normalised over the labels. Every
    Answer's `decoding` is what the engine really applied: the pipeline compares it with what was
    asked for.

    An engine may also have `prepare(request: Request) -> Request`, called from one other thread
    while `draw` runs: work on one request that needs no model, kept in the request's `prepared`. It
    changes no answer, and it never raises: a request that cannot be prepared is returned as it is,
    and `draw` says what is wrong with it.
    """

    stopped: str

    def __init__(self, spec: "ModelSpec", **options: object) -> None: ...

    def draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class EngineRow:
    """Where an engine lives, the module it needs, the extra that installs it, whether it needs a
    GPU for real sizes.
    """

    target: str
    needs: str
    extra: str
    local: bool


ENGINES: dict[str, EngineRow] = {
    "transformers": EngineRow(
        "ambiemo.engines.transformers:TransformersEngine",
        "transformers",
        "transformers",
        local=True,
    ),
    "vllm": EngineRow("ambiemo.engines.vllm:VLLMEngine", "vllm", "vllm", local=True),
    "openai": EngineRow("ambiemo.engines.openai:OpenAIEngine", "openai", "openai", local=False),
    "null": EngineRow("ambiemo.engines.null:NullEngine", "numpy", "", local=False),
}

MOST_BEAMS = {"vllm": 16}
"""How wide an engine can search, where it has a limit (what an engine cannot do at all:
`models.spec.ENGINE_LACKS`).
"""


THOUGHT_AWAY = "empty at the token limit"
"""How the failure of a draw begins whose answer is empty because the token limit came first.

It says nothing about what the model can do: the draw is asked again by the next run.
"""


NO_ROOM = "not asked: the ceiling of"
"""How the failure of a sample begins that `max_dollars` left no room for. The next run asks again."""


def engine_class(name: str) -> type[Engine]:
    """The class behind an engine's name. Raises BadInput for an unknown name."""
    if name not in ENGINES:
        raise BadInput(f"engine '{name}': unknown; {nearest(name, ENGINES)}")
    module, _, attribute = ENGINES[name].target.partition(":")
    return getattr(import_module(module), attribute)


def lost(request: Request, decoding: Decoding, error: BaseException) -> Answer:
    """The answer of a draw whose engine broke: the exception in one line. Cancellations and
    exits are re-raised.
    """
    if not isinstance(error, Exception):
        raise error
    why = f"engine: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return Answer(request.key, (), decoding, failure=why)


def missing_module(name: str) -> str | None:
    """Name of the module an engine lacks on this machine, or None. Imports nothing heavy."""
    needs = ENGINES[name].needs
    spec = find_spec(needs)
    return (
        None if spec and spec.origin else needs
    )  # no origin: just a folder of that name on the path (tests/vllm)
