"""How far a clip is padded before its features are made: to its own end, where the model cuts the
rest off again.

Qwen2.5-Omni's window is 300 s. Padded to it, a clip of 5 s costs 203 ms of one thread and 15 MB;
padded to its end, 1.5 ms.
"""

import functools
from typing import Any

WHISPERS_WINDOW = 30
"""Seconds. Models with this window want all of it; those with a longer one cut their features by
the mask.
"""


def padded_samples(samples: int, extractor: Any) -> int:
    """Samples that a clip is padded to: half a transform of silence after its end, in whole hops,
    at most the window.

    The last frame of the clip then hears what it would hear in the whole window.
    """
    hop = extractor.hop_length
    return min(-(-(samples + extractor.n_fft // 2) // hop) * hop, extractor.n_samples)


def pad_long_windows_to_the_clip() -> None:
    """Let Whisper's feature extractors with a window beyond 30 s pad to the longest clip they are
    given.

    For vLLM, whose processor is handed one clip at a time and always asks for the whole window.
    Changes `WhisperFeatureExtractor.__call__` of this process, where vLLM makes all features; a
    second call changes nothing.
    """
    from transformers import WhisperFeatureExtractor

    whole = WhisperFeatureExtractor.__call__
    if getattr(whole, "_pads_to_clip", False):
        return

    @functools.wraps(whole)
    def padding_to_clip(self: Any, raw_speech: Any, *rest: Any, **how: Any) -> Any:
        window = self.n_samples > WHISPERS_WINDOW * self.sampling_rate
        if window and not rest and how.get("padding") == "max_length" and not how.get("max_length"):
            clips = [raw_speech] if getattr(raw_speech, "ndim", 0) == 1 else list(raw_speech)
            how["max_length"] = padded_samples(max(map(len, clips)), self)
        return whole(self, raw_speech, *rest, **how)

    padding_to_clip._pads_to_clip = True  # type: ignore[attr-defined]
    WhisperFeatureExtractor.__call__ = padding_to_clip  # type: ignore[method-assign]
