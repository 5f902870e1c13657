"""Ultravox's own processor under transformers 5, and the weights that its repository only names.

Two things that the published checkpoints (v0.3, v0.4) leave open:

- Their processor (remote code) loads a WhisperProcessor as its `audio_processor`. transformers 5.19 takes a feature
  extractor there and raises TypeError: "Received a WhisperProcessor for argument audio_processor, but a
  FeatureExtractionMixin was expected." The extractor inside is handed over instead (`accept_whisper_processors`).
- Their config.json names the language model and the audio encoder by repository, without a commit. A folder is made
  that names local snapshots of pinned commits instead (`with_parts`).
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def accept_whisper_processors() -> None:
    """Let a processor class that is handed a whole processor as `audio_processor` keep its feature
    extractor.

    Changes `ProcessorMixin.__init__` of this process; a second call changes nothing. vLLM patches
    it the same way. Known limit: a worker process that vLLM starts itself (tensor_parallel_size >
    1) does not have the change.
    """
    from transformers import ProcessorMixin

    whole = ProcessorMixin.__init__
    if getattr(whole, "_hands_extractor", False):
        return

    @functools.wraps(whole)
    def handing_extractor(self: Any, *parts: Any, **named: Any) -> None:
        given = named.get("audio_processor")
        if isinstance(given, ProcessorMixin) and hasattr(given, "feature_extractor"):
            named["audio_processor"] = _own_extractor(given.feature_extractor)
        whole(self, *parts, **named)

    handing_extractor._hands_extractor = True  # type: ignore[attr-defined]
    ProcessorMixin.__init__ = handing_extractor  # type: ignore[method-assign]


def _own_extractor(extractor: Any) -> Any:
    """The extractor, which is also its own `feature_extractor`: the owner's code asks the processor
    for that.
    """
    kind = type(extractor)
    extractor.__class__ = type(
        kind.__name__, (kind,), {"feature_extractor": property(lambda self: self)}
    )
    return extractor


def with_parts(folder: Path, parts: Mapping[str, Path], into: Path) -> Path:
    """A copy of a checkpoint's folder (links, not bytes) whose config.json names other places;
    returns `into`.

    folder: a local snapshot.
    parts: key of config.json -> local folder that takes the place of the repository named there.
    """
    into.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if file.name != "config.json":
            (into / file.name).symlink_to(file.resolve())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {key: str(place) for key, place in parts.items()}
    (into / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return into
