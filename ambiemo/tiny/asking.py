"""Asking the model in transformers, in batches, and reading its answers. For training and for the
model card; the benchmark has its own engine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambiemo.models.parsing import parse_distribution
from ambiemo.tiny import features, model
from ambiemo.tiny.texts import LABELS


def parsed(text: str) -> NDArray[np.float64] | None:
    """The distribution (K,) in an answer, as the benchmark reads it; None if it reads none."""
    distribution = parse_distribution(text, LABELS).distribution
    return None if distribution is None else np.array(distribution)


def answers(
    alm: Any,
    proc: Any,
    mel: NDArray[np.floating[Any]],
    frames: NDArray[np.int64],
    prompts: str | Sequence[str],
    sample: bool = False,
    batch: int = 96,
) -> list[str]:
    """The model's answer to each clip: greedy, or one sample at temperature 1.

    mel (N, 128, T) with T the model's own window, frames (N,); one prompt for all clips or one
    each. Left padding.
    """
    import torch

    asked = [prompts] * len(mel) if isinstance(prompts, str) else list(prompts)
    words, out = proc.tokenizer, []
    window = proc.feature_extractor.nb_max_frames
    for start in range(0, len(mel), batch):
        rows = slice(start, start + batch)
        requests = [
            model.rendered(proc, text).replace(
                "<|AUDIO|>", "<|AUDIO|>" * features.audio_tokens(int(n))
            )
            for text, n in zip(asked[rows], frames[rows], strict=True)
        ]
        inputs = words(
            requests,
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        seen = torch.arange(window)[None, :] < torch.from_numpy(frames[rows])[:, None]
        with torch.inference_mode():
            ids = alm.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                input_features=torch.from_numpy(np.asarray(mel[rows], dtype=np.float32)),
                feature_attention_mask=seen.long(),
                **({"do_sample": True, "top_k": 0} if sample else {"do_sample": False}),
                max_new_tokens=64,
            )
        out += words.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return out


def loaded(folder: Path) -> tuple[Any, Any]:
    """The checkpoint as anybody loads it: model and processor."""
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    return Qwen2AudioForConditionalGeneration.from_pretrained(
        folder
    ).eval(), AutoProcessor.from_pretrained(folder)


def heard(
    proc: Any, clips: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (N, 128, T) and frames (N,) of clips (16 kHz, float32) by the processor's own
    extractor, with its own window T.
    """
    out = proc.feature_extractor(
        list(clips),
        sampling_rate=16_000,
        padding="max_length",
        return_attention_mask=True,
        return_tensors="np",
    )
    return out["input_features"], out["attention_mask"].sum(-1)
