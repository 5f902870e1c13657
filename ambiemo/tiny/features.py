"""Log-mel features of many utterances, made once, kept as float16 in a file that training maps into
memory.
"""

import json
import os
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambiemo.tiny.speech import RATE_HZ, Utterance, clip

WINDOW_S = 4
FRAMES = WINDOW_S * 100
MELS = 128


def extractor(seconds: int) -> Any:
    """Whisper's feature extractor with 128 mel bands and a window of `seconds` (training: 4; the
    saved checkpoint: 30).
    """
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(
        feature_size=MELS, chunk_length=seconds, sampling_rate=RATE_HZ, return_attention_mask=True
    )


def _start() -> None:
    import torch

    torch.set_num_threads(1)


def log_mel(item: Utterance) -> tuple[NDArray[np.float16], int]:
    """Features (MELS, FRAMES) of an utterance's clip and the number of frames that are speech, as
    the processor would count them.
    """
    samples = clip(item).astype(np.float32) / 32768
    out = extractor(WINDOW_S)(
        samples,
        sampling_rate=RATE_HZ,
        padding="max_length",
        return_attention_mask=True,
        return_tensors="np",
    )
    return out["input_features"][0].astype(np.float16), int(out["attention_mask"][0].sum())


def prepared(
    items: Sequence[Utterance], folder: Path, name: str
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Features (N, MELS, FRAMES) and frame counts (N,) of the items; made by all processor cores
    unless the folder has them already.
    """
    array, counts = folder / f"{name}-{len(items)}.npy", folder / f"{name}-{len(items)}.json"
    if not counts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        table = np.lib.format.open_memmap(
            array, mode="w+", dtype=np.float16, shape=(len(items), MELS, FRAMES)
        )
        lengths = []
        with get_context("spawn").Pool(os.cpu_count(), initializer=_start) as workers:
            for row, (mel, frames) in enumerate(workers.imap(log_mel, items, chunksize=16)):
                table[row] = mel
                lengths.append(frames)
                if row % 500 == 0:
                    print(f"{name}: {row} of {len(items)} clips", flush=True)
        table.flush()
        counts.write_text(json.dumps(lengths), encoding="utf-8")
    return np.load(array, mmap_mode="r"), np.array(json.loads(counts.read_text(encoding="utf-8")))


def audio_tokens(frames: int) -> int:
    """How many audio tokens a clip of so many mel frames has (the processor's rule)."""
    return (((frames - 1) // 2 + 1) - 2) // 2 + 1
