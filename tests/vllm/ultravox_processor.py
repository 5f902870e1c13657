"""A processor for a random Ultravox checkpoint, written from what vLLM 0.32 asks of one; the published ones come with their repositories.

It is copied into the checkpoint's folder and loaded from there as remote code, the way the published one is: it imports nothing of ours.
"""

from typing import Any

import torch
from transformers import BatchFeature, ProcessorMixin

STACKED = 8
"""Encoder frames in one token of the language model: the configuration's stack_factor."""


class RandomUltravoxProcessor(ProcessorMixin):
    """Clips to mel features of their own length, with the number of tokens each takes."""

    def __init__(self, audio_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(audio_processor, tokenizer, chat_template=chat_template)

    def __call__(
        self,
        text: str | None = None,
        audios: Any = None,
        sampling_rate: int = 16000,
        include_audio_num_chunks: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        found: dict[str, Any] = {}
        if text is not None:
            found["input_ids"] = torch.tensor([self.tokenizer.encode(text, add_special_tokens=False)])
        if audios is not None:
            window = self.audio_processor.n_samples
            pieces = [[clip[i : i + window] for i in range(0, len(clip), window)] for clip in audios]
            heard = self.audio_processor(
                [piece for clip in pieces for piece in clip],
                sampling_rate=sampling_rate,
                padding="longest",
                pad_to_multiple_of=self.audio_processor.hop_length,
                truncation=False,
                return_attention_mask=True,
                return_tensors="pt",
            )
            frames = heard["attention_mask"].sum(-1)
            found["audio_values"] = heard["input_features"]
            found["audio_lens"] = frames
            found["audio_token_len"] = -(-((frames - 1) // 2 + 1) // STACKED)
            if include_audio_num_chunks:
                found["audio_num_chunks"] = torch.tensor([len(clip) for clip in pieces])
        return BatchFeature(found)
