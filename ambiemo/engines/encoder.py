"""A clip's features and its run through the audio encoder, made once per clip and alone.

Every question about a clip (each prompt, decoding and verifier's turn) needs the same features and
the same encoding, and on a CPU they cost more than the decoding does. An actor keeps those of the
last clips it heard. Alone means in a batch of one: what a clip sounds like to the model then
depends on no batch mate, and an answer drawn from a kept encoding equals the answer of a run that
was killed and resumed.

Known limit: each actor of a pool keeps its own, so a clip may be encoded once per actor.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ambiemo.durable import sha256
from ambiemo.engines.padding import padded_samples

ROOM = 512 * 2**20
"""Bytes of features (host memory; 1.5 MB per clip of 30 s at 128 mel bands) and again of encodings
(where the model is; about 2 MB per clip for a 7B) that an actor keeps.
A group whose clips need more is encoded again under each question."""


class Kept:
    """The last values by key, as many as fit into `ROOM` bytes (one at least).

    misses: how many values were computed. hits: how many were reused.
    """

    def __init__(self) -> None:
        self.values: OrderedDict[str, Any] = OrderedDict()
        self.misses = self.hits = self.bytes = 0

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of `key`; computed by `make` if it is not kept."""
        if key in self.values:
            self.hits += 1
            self.values.move_to_end(key)
            return self.values[key]
        self.misses += 1
        self.values[key] = value = make()
        self.bytes += _size(value)
        while self.bytes > ROOM and len(self.values) > 1:
            self.bytes -= _size(self.values.popitem(last=False)[1])
        return value

    def forget(self) -> None:
        """Drop all values."""
        self.values.clear()
        self.bytes = 0


def _size(value: Any) -> int:
    """Bytes of the arrays or tensors in a mapping of them."""
    return sum(one.nbytes for one in value.values() if hasattr(one, "nbytes"))


class FeaturesOnce:
    """A processor's feature extractor that is asked about each clip alone, and once.

    Only where every clip gets features of one shape, as Whisper's 30 s window does; otherwise the
    batch goes to the extractor as it is. to_clip: for a model that cuts the padding off by the
    mask. A clip is then padded to its own end and not to the window (300 s for Qwen2.5-Omni), and
    the shorter ones of a batch to the longest.
    """

    def __init__(self, extractor: Any, to_clip: bool = False) -> None:
        self.extractor, self.kept, self.to_clip = extractor, Kept(), to_clip

    def __getattr__(self, name: str) -> Any:
        return getattr(self.extractor, name)

    def __call__(self, audio: Any, **how: Any) -> Any:
        clips = [audio] if isinstance(audio, np.ndarray) and audio.ndim == 1 else list(audio)
        settings = repr(sorted(how.items())).encode("utf-8")
        each = [
            self.kept.get(
                sha256(settings + np.ascontiguousarray(clip).tobytes()),
                functools.partial(self._alone, clip, how),
            )
            for clip in clips
        ]
        if self.to_clip:
            each = _padded(each)
        shapes = {tuple((name, value.shape) for name, value in one.items()) for one in each}
        if len(shapes) > 1:
            return self.extractor(audio, **how)
        join = (
            torch.cat if isinstance(next(iter(each[0].values())), torch.Tensor) else np.concatenate
        )
        return type(each[0])({name: join([one[name] for one in each]) for name in each[0]})

    def _alone(self, clip: np.ndarray, how: dict[str, Any]) -> Any:
        if self.to_clip:
            how = how | {
                "padding": "max_length",
                "max_length": padded_samples(len(clip), self.extractor),
            }
        features = self.extractor([clip], **how)
        if any(
            not hasattr(value, "shape") for value in features.values()
        ):  # lists, where no tensor type was asked for
            features = type(features)({name: np.asarray(value) for name, value in features.items()})
        return features


def _padded(each: list[Any]) -> list[Any]:
    """Features and masks of several clips, all as long as the longest, filled up with zeros."""
    longest = max(value.shape[-1] for one in each for value in one.values())

    def filled(value: Any) -> Any:
        more = longest - value.shape[-1]
        if isinstance(value, torch.Tensor):
            return torch.nn.functional.pad(value, (0, more))
        return np.pad(value, [(0, 0)] * (value.ndim - 1) + [(0, more)])

    return [type(one)({name: filled(value) for name, value in one.items()}) for one in each]


def encode_once(tower: torch.nn.Module, family: str) -> Kept | None:
    """Make a model's audio encoder run each clip alone and once; returns what it keeps, or None for
    a family it does not know.

    `family` is the configuration's `model_type`. Changes `tower.forward` in place.
    """
    if family not in PARTS:
        return None
    parts, whole, kept = PARTS[family], tower.forward, Kept()

    def forward(features: torch.Tensor, **rest: Any) -> Any:
        outputs = []
        for part, its in parts(features, rest):
            key = sha256(
                b"".join(
                    map(_bytes, [part, *(v for v in its.values() if isinstance(v, torch.Tensor))])
                )
            )
            outputs.append(kept.get(key, functools.partial(whole, part, **its)))
        joined = torch.cat([one.last_hidden_state for one in outputs])
        return type(outputs[0])(last_hidden_state=joined)

    tower.forward = forward  # type: ignore[method-assign]
    return kept


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


Parts = Sequence[tuple[torch.Tensor, dict[str, Any]]]


def _rows(features: torch.Tensor, rest: dict[str, Any]) -> Parts:
    """Batches of windows, (windows, bands, frames): every argument of that length is cut alike."""
    parts = []
    for row in range(len(features)):
        its = {
            name: value[row : row + 1]
            if isinstance(value, torch.Tensor) and len(value) == len(features)
            else value
            for name, value in rest.items()
        }
        mask = its.get("attention_mask")
        if mask is not None and mask.dtype == torch.bool and bool(mask.all()):
            its["attention_mask"] = (
                None  # as the model has it where no clip of the batch is shorter than the window
            )
        parts.append((features[row : row + 1], its))
    return parts


def _packed(features: torch.Tensor, rest: dict[str, Any]) -> Parts:
    """Clips one after the other, (bands, frames of all clips), with the length of each."""
    lengths = rest["feature_lens"]
    starts = [0, *lengths.cumsum(0).tolist()]
    return [
        (
            features[:, starts[i] : starts[i + 1]],
            rest | {name: rest[name][i : i + 1] for name in ("feature_lens", "aftercnn_lens")},
        )
        for i in range(len(lengths))
    ]


CUTS_TO_CLIP = {"qwen2_5_omni_thinker"}
"""By `model_type`: models that read of the features what the mask says, so that what follows may be
anything.
"""

PARTS: dict[str, Callable[[torch.Tensor, dict[str, Any]], Parts]] = {
    "qwen2_audio": _rows,
    "audioflamingo3": _rows,
    "qwen2_5_omni_thinker": _packed,
}
