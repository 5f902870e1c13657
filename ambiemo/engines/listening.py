"""What a model is given of a clip, without its weights: the rendered prompt and the features.

An engine that drops the audio answers all the same. Here it can be seen before a GPU is asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ambiemo.corpora.audio import RATE
from ambiemo.durable import sha256
from ambiemo.engines.chat import canonical, messages, to_wav
from ambiemo.engines.rendering import chat_text

if TYPE_CHECKING:
    from ambiemo.models import ModelSpec


@dataclass(frozen=True)
class Prepared:
    """rendered: the text that the model reads. features: one hash per clip, of all its
    features.
    """

    rendered: str
    features: tuple[str, ...]


def prepared(spec: "ModelSpec", engine: str, prompt: str, clips: Sequence[np.ndarray]) -> Prepared:
    """What each clip becomes, alone. clips: float32, mono, RATE.

    Raises RuntimeError where the processor returns no audio features, and what the library raises
    where it cannot be loaded.
    """
    return WAYS[engine](spec, prompt, clips)


def _as_sent(spec: "ModelSpec", prompt: str, clips: Sequence[np.ndarray]) -> Prepared:
    rendered = canonical(messages(prompt, "", spec.accepts.audio))
    return Prepared(rendered, tuple(sha256(to_wav(clip)) for clip in clips))


def _as_loaded(spec: "ModelSpec", prompt: str, clips: Sequence[np.ndarray]) -> Prepared:
    import tempfile
    from pathlib import Path

    from transformers import AutoConfig

    from ambiemo.engines.transformers import PROCESSORS
    from ambiemo.engines.ultravox import accept_whisper_processors, with_parts
    from ambiemo.models.fetching import part_folder, snapshot

    with tempfile.TemporaryDirectory(prefix="ambiemo-") as scratch:
        source, revision = spec.location(), None if spec.path() else spec.revision
        if spec.parts:
            folder = spec.path() or snapshot(spec.weights, spec.revision or "", spec.gated)
            named = {
                part.key: part_folder(part.weights, part.pinned, spec.gated) for part in spec.parts
            }
            source, revision = str(with_parts(folder, named, Path(scratch) / "model")), None
        if spec.family == "ultravox":
            accept_whisper_processors()
        how = {"revision": revision, "trust_remote_code": spec.trust_remote_code}
        kind = AutoConfig.from_pretrained(source, **how).model_type
        processor: Any = _processor(PROCESSORS, kind).from_pretrained(source, **how)
    rendered = chat_text(processor, processor.tokenizer, spec.family, prompt)
    call = CALLS.get(spec.family, _called)
    return Prepared(rendered, tuple(_hash(call(processor, rendered, clip)) for clip in clips))


def _processor(own: dict[str, Any], kind: str) -> Any:
    from transformers import AutoProcessor

    return own.get(kind, AutoProcessor)


def _called(processor: Any, rendered: str, clip: np.ndarray) -> Any:
    return processor(
        text=[rendered],
        audio=[clip],
        return_tensors="pt",
        text_kwargs={"padding": True},
        audio_kwargs={"sampling_rate": RATE},
    )


def _ultravox(processor: Any, rendered: str, clip: np.ndarray) -> Any:
    return processor(text=rendered, audio=clip, sampling_rate=RATE)


CALLS: dict[str, Callable[[Any, str, np.ndarray], Any]] = {"ultravox": _ultravox}
"""How a family's processor is called, where its own code wants it otherwise."""


def _hash(inputs: Any) -> str:
    """A hash over the arrays of real numbers, which are the audio's; text becomes whole numbers."""
    arrays = {
        name: np.ascontiguousarray(np.asarray(value))
        for name, value in inputs.items()
        if np.asarray(value).dtype.kind == "f"
    }
    if not arrays:
        raise RuntimeError(
            f"the processor returns no audio features (only {', '.join(sorted(inputs))})"
        )
    return sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays)))


WAYS: dict[str, Callable[["ModelSpec", str, Sequence[np.ndarray]], Prepared]] = {
    "openai": _as_sent,
    "transformers": _as_loaded,
    "vllm": _as_loaded,
}
