"""Processors for a random Ultravox checkpoint. They are copied into its folder and loaded as remote
code: they import nothing of ours.

RandomUltravoxProcessor is written from what vLLM 0.32 asks of one. UltravoxAsPublished is the same,
loaded as the published one loads itself: a whole WhisperProcessor is handed over as
`audio_processor`, which transformers 5.19 refuses with a TypeError, and the hop length is read from
the `feature_extractor` inside it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    BatchFeature,
    ProcessorMixin,
    WhisperFeatureExtractor,
    WhisperProcessor,
)

STACKED = 8
"""Encoder frames in one token of the language model: the configuration's stack_factor."""


class RandomUltravoxProcessor(ProcessorMixin):
    """Clips to mel features of their own length, with the number of tokens each takes."""

    def __init__(
        self, audio_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None
    ) -> None:
        super().__init__(
            audio_processor=audio_processor, tokenizer=tokenizer, chat_template=chat_template
        )

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
            found["input_ids"] = torch.tensor(
                [self.tokenizer.encode(text, add_special_tokens=False)]
            )
        if audios is not None:
            window = self.audio_processor.n_samples
            pieces = [
                [clip[i : i + window] for i in range(0, len(clip), window)] for clip in audios
            ]
            heard = self.audio_processor(
                [piece for clip in pieces for piece in clip],
                sampling_rate=sampling_rate,
                padding="longest",
                pad_to_multiple_of=self.hop(),
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

    def hop(self) -> int:
        return self.audio_processor.hop_length


class UltravoxAsPublished(RandomUltravoxProcessor):
    """Loads its parts as the published processor does: from the place that the configuration names,
    as a whole processor.
    """

    @classmethod
    def from_pretrained(cls, where: str, **_: Any) -> "UltravoxAsPublished":
        whisper = json.loads((Path(where) / "config.json").read_text())["audio_model_id"]
        assert Path(whisper).is_dir(), whisper
        words = AutoTokenizer.from_pretrained(where)
        return cls(
            audio_processor=WhisperProcessor(WhisperFeatureExtractor.from_pretrained(where), words),
            tokenizer=words,
        )

    def hop(self) -> int:
        return self.audio_processor.feature_extractor.hop_length
