"""Ultravox's published processor and its parts, by a class of ours that does what the owner's does
under transformers 5.19.

The owner's code is not ours to keep here. What it does, read in
`ultravox/model/ultravox_processing.py` of fixie-ai/ultravox: it loads a whole processor as
`audio_processor`, hands it to ProcessorMixin, and reads the hop length from the `feature_extractor`
inside.
"""

import json
from pathlib import Path

import numpy as np
import pytest

transformers = pytest.importorskip("transformers", reason="the transformers extra is not installed")

import checkpoints  # noqa: E402

from ambiemo.engines.ultravox import accept_whisper_processors, with_parts  # noqa: E402


class AsPublished(transformers.ProcessorMixin):
    """Loads and calls its parts as the owner's class does."""

    attributes = ("audio_processor", "tokenizer")
    audio_processor_class = ("Wav2Vec2Processor", "SeamlessM4TFeatureExtractor", "WhisperProcessor")
    tokenizer_class = ("PreTrainedTokenizer", "PreTrainedTokenizerFast")

    def __init__(self, audio_processor=None, tokenizer=None, stack_factor: int = 8) -> None:
        self.stack_factor = stack_factor
        super().__init__(audio_processor=audio_processor, tokenizer=tokenizer)

    def __call__(self, audios, sampling_rate: int = 16000):
        hop = self.audio_processor.feature_extractor.hop_length
        return self.audio_processor(
            audios,
            sampling_rate=sampling_rate,
            padding="longest",
            pad_to_multiple_of=hop,
            return_attention_mask=True,
        )


@pytest.fixture
def whisper() -> "transformers.WhisperProcessor":
    words = checkpoints.tokenizer("qwen2_audio")
    return transformers.WhisperProcessor(
        transformers.WhisperFeatureExtractor(feature_size=64), words
    )


@pytest.fixture
def unpatched(monkeypatch):
    """ProcessorMixin as the library has it, whatever an engine of an earlier test did to it; put
    back afterwards.
    """
    start = transformers.ProcessorMixin.__init__
    monkeypatch.setattr(
        transformers.ProcessorMixin, "__init__", getattr(start, "__wrapped__", start)
    )


def test_the_library_refuses_the_published_processor(unpatched, whisper):
    with pytest.raises(TypeError, match="Received a WhisperProcessor for argument audio_processor"):
        AsPublished(whisper, whisper.tokenizer)


def test_the_published_processor_is_handed_the_extractor_and_hears(unpatched, whisper):
    accept_whisper_processors()
    accept_whisper_processors()
    made = AsPublished(audio_processor=whisper, tokenizer=whisper.tokenizer)
    assert isinstance(made.audio_processor, transformers.WhisperFeatureExtractor)
    clips = [
        np.random.default_rng(n).uniform(-0.5, 0.5, 16000).astype(np.float32) for n in range(2)
    ]
    heard = made(clips)["input_features"]
    plain = transformers.WhisperFeatureExtractor(feature_size=64)
    expected = plain(
        clips, sampling_rate=16000, padding="longest", pad_to_multiple_of=plain.hop_length
    )
    assert np.allclose(heard, expected["input_features"])
    assert not np.allclose(heard[0], heard[1])
    assert made.audio_processor.to_dict()["feature_size"] == 64


def test_other_processors_are_left_as_they_are(unpatched):
    accept_whisper_processors()
    words = checkpoints.tokenizer("qwen2_audio")
    made = checkpoints.processor("qwen2_audio", words)
    assert type(made.feature_extractor) is transformers.WhisperFeatureExtractor


def test_the_parts_of_a_checkpoint_are_named_by_folder(tmp_path: Path):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "ultravox", "text_model_id": "meta-llama/x"})
    )
    (folder / "model.safetensors").write_bytes(b"weights")
    made = with_parts(folder, {"text_model_id": tmp_path / "text"}, tmp_path / "made")
    assert (made / "model.safetensors").is_symlink()
    assert (made / "model.safetensors").read_bytes() == b"weights"
    config = json.loads((made / "config.json").read_text())
    assert config == {"model_type": "ultravox", "text_model_id": str(tmp_path / "text")}
    assert json.loads((folder / "config.json").read_text())["text_model_id"] == "meta-llama/x"
