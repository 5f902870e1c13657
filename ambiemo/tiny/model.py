"""The tiny ALM: a Qwen2-Audio checkpoint of two million parameters, its tokenizer and processor.

The architecture is `Qwen2AudioForConditionalGeneration` (Whisper-style encoder, linear projector,
Qwen2 language model); only the sizes differ from Qwen2-Audio-7B. Attention heads have size 64, as
vLLM on CPU wants. `tie_word_embeddings` is False inside `text_config` and said so: transformers
ignores it there and vLLM obeys it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ambiemo.durable import write
from ambiemo.tiny import features
from ambiemo.tiny.texts import LABELS

PROMPTS = Path(__file__).parent.parent / "models" / "prompts"
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
)
VOCABULARY = 512
POSITIONS = 1500  # rows of the encoder's position table: 30 s, what vLLM insists on
# One pre-token each: a JSON key with the start of its number, a digit, a word, a line break, other
# signs, a space.
PIECES = r"""[{,]? ?"[a-z]+": (?:[01]\.)?|\d| ?[A-Za-z]+|\n|[^\sA-Za-z\d]+|\s"""


def prompt(name: str, candidate: str = "") -> str:
    """The text of a prompt (`direct`, `cot`, `verifier`) with the six labels and the candidate
    filled in.
    """
    text = (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()
    return text.replace("{labels}", ", ".join(LABELS)).replace("{candidate}", candidate)


def phrases() -> tuple[str, ...]:
    """The fixed stretches of the prompts and of the chat template; each is one token, so that a
    request is short.

    Any other text is still encoded (byte-level BPE), but the model was taught nothing else.
    """
    pieces = {"system\nYou are a helpful assistant.", "user\nAudio 1: ", "assistant\n"}
    for name in ("direct", "cot", "verifier"):
        text = (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()
        for part in text.replace("{labels}", "\0").replace("{candidate}", "\0").split("\0"):
            pieces.update(piece for piece in _sentences(part) if len(piece) > 3)
    return tuple(sorted(pieces))


def _sentences(text: str) -> list[str]:
    """Text cut after every full stop or colon that a space follows, the space going to the next
    piece; line breaks stay apart.
    """
    import re

    return [piece for line in text.split("\n") for piece in re.split(r"(?<=[.:?])(?= )", line)]


def tokenizer(texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer of `VOCABULARY` tokens trained on `texts`, plus one token for each
    of the `phrases`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in phrases()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"],
        padding_side="left",
        model_max_length=2048,
    )


def processor(words: Any, seconds: int) -> Any:
    """The Qwen2-Audio processor: feature extractor with a window of `seconds`, the tokenizer,
    Qwen2-Audio's chat template.
    """
    from transformers import Qwen2AudioProcessor

    return Qwen2AudioProcessor(feature_extractor=features.extractor(seconds), tokenizer=words)


def rendered(proc: Any, text: str) -> str:
    """The request as the chat template renders it: system message, one audio, the text, the
    assistant's turn opened.
    """
    turn = [
        {
            "role": "user",
            "content": [{"type": "audio", "audio_url": "clip"}, {"type": "text", "text": text}],
        }
    ]
    return proc.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)


def config(words: Any, positions: int) -> Any:
    """The checkpoint's configuration; `positions` is the encoder's window (50 per second)."""
    from transformers import Qwen2AudioConfig

    ids = words.convert_tokens_to_ids
    return Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "d_model": 128,
            "encoder_layers": 4,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 512,
            "num_mel_bins": features.MELS,
            "max_source_positions": positions,
            "initializer_range": 0.04,
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "intermediate_size": 384,
            "vocab_size": len(words),
            "max_position_embeddings": 2048,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "initializer_range": 0.04,
            "bos_token_id": None,
            "eos_token_id": ids("<|im_end|>"),
            "pad_token_id": ids("<|endoftext|>"),
        },
        audio_token_index=ids("<|AUDIO|>"),
        initializer_range=0.04,  # type: ignore[call-arg]  # for the projector
    )


def sinusoids(rows: int, width: int) -> Any:
    """Whisper's fixed position table (rows, width): a shorter table is the start of a longer
    one.
    """
    import torch

    scale = np.log(10000) / (width // 2 - 1)
    angle = np.arange(rows)[:, None] * np.exp(-scale * np.arange(width // 2))[None, :]
    return torch.tensor(np.concatenate([np.sin(angle), np.cos(angle)], axis=1), dtype=torch.float32)


def built(words: Any, positions: int, seed: int) -> Any:
    """A model with fresh weights drawn from `seed`."""
    import torch
    from transformers import GenerationConfig, Qwen2AudioForConditionalGeneration

    torch.manual_seed(seed)
    model = Qwen2AudioForConditionalGeneration(config(words, positions))
    table = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():
        table.copy_(sinusoids(*table.shape))
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=96,
        eos_token_id=[
            words.convert_tokens_to_ids("<|im_end|>"),
            words.convert_tokens_to_ids("<|endoftext|>"),
        ],
        pad_token_id=words.convert_tokens_to_ids("<|endoftext|>"),
    )
    return model


def resized(model: Any, words: Any, positions: int) -> Any:
    """The same weights under a window of `positions`. Padding is masked in the encoder, so a clip
    that fits both gets the same answers.
    """
    other = built(words, positions, 0)
    state = {k: v for k, v in model.state_dict().items() if "embed_positions" not in k}
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert [k for k in missing if "embed_positions" not in k] + unexpected == []
    return other.eval()


def save(model: Any, words: Any, folder: Path) -> None:
    """Write the checkpoint (config, generation config, safetensors, tokenizer, processor, chat
    template) with a 30 s window.
    """
    folder.mkdir(parents=True, exist_ok=True)
    resized(model, words, POSITIONS).save_pretrained(folder)
    processor(words, 30).save_pretrained(folder)
    named_as_vllm_reads(folder / "model.safetensors")


def named_as_vllm_reads(file: Path) -> None:
    """Take one `model.` too many out of the names that transformers 5.19 writes: transformers reads
    both, vLLM 0.32 refuses the longer ones.
    """
    from safetensors.torch import load_file, save

    tensors = {
        name.replace("language_model.model.model.", "language_model.model."): t
        for name, t in load_file(file).items()
    }
    write(file, save(tensors, metadata={"format": "pt"}))
