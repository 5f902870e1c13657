"""Tiny random checkpoints of the architectures that the paper's models have: right shapes, real processors, no knowledge.

`save(family, folder)` writes one that transformers loads as it would the real one. torch and transformers are imported when called.
"""

from pathlib import Path
from typing import Any

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<sound>", "<|IMAGE|>", "<|VIDEO|>",
    "<|vision_bos|>", "<|vision_eos|>",
)  # fmt: skip
TEXT = [
    "Listen to the voice. Listeners disagree about the emotion they hear. Estimate the share of listeners.",
    '{"anger": 0.1, "disgust": 0.2, "fear": 0.3, "happy": 0.4, "neutral": 0.5, "sad": 0.6}',
    "user assistant system You are a helpful assistant.",
]
# The shape of the families' own templates: a default system turn, then the turns, with the clip as a placeholder.
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] in ('audio', 'audio_url', 'input_audio') %}PLACEHOLDER{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLACEHOLDER = {
    "qwen2_audio": "Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n",
    "qwen2_5_omni": "<|audio_bos|><|AUDIO|><|audio_eos|>",
    "audioflamingo3": "<sound>",
}
# Heads of 64, as vLLM's CPU build refuses smaller ones.
QWEN2 = {
    "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 1,
    "num_key_value_heads": 1, "max_position_embeddings": 4096, "tie_word_embeddings": False, "bos_token_id": None,
}  # fmt: skip
ENCODER = {
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 1,
    "encoder_ffn_dim": 128,
    "max_source_positions": 1500,
}


def tokenizer(family: str) -> Any:
    """A byte-level BPE tokenizer with every family's special tokens, padding on the left."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(
        TEXT * 9, trainers.BpeTrainer(vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    )
    named = {
        "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>", "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>", "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
    }  # fmt: skip
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:2] + SPECIAL[3:]),
        extra_special_tokens=named if family == "qwen2_5_omni" else None,
        padding_side="left",
    )
    made.chat_template = TEMPLATE.replace("PLACEHOLDER", PLACEHOLDER[family])
    return made


def processor(family: str, words: Any) -> Any:
    """The family's own processor class around the tokenizer."""
    import transformers

    template = words.chat_template
    if family == "qwen2_audio":
        return transformers.Qwen2AudioProcessor(transformers.WhisperFeatureExtractor(feature_size=64), words, template)
    if family == "audioflamingo3":
        return transformers.AudioFlamingo3Processor(
            transformers.WhisperFeatureExtractor(feature_size=64), words, template
        )
    return transformers.Qwen2_5OmniProcessor(
        transformers.Qwen2VLImageProcessor(),
        transformers.Qwen2VLVideoProcessor(),
        transformers.WhisperFeatureExtractor(feature_size=64, chunk_length=30),
        words,
        template,
    )


def network(family: str, words: Any) -> Any:
    """The family's own model class with random weights from a fixed seed."""
    import torch
    import transformers

    token = words.convert_tokens_to_ids
    text = QWEN2 | {
        "vocab_size": len(words),
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
    }
    torch.manual_seed(0)
    if family == "qwen2_audio":
        config = transformers.Qwen2AudioConfig(
            audio_config={**ENCODER, "model_type": "qwen2_audio_encoder", "num_mel_bins": 64},
            text_config=text,
            audio_token_index=token("<|AUDIO|>"),
        )
        made = transformers.Qwen2AudioForConditionalGeneration(config)
    elif family == "audioflamingo3":
        config = transformers.AudioFlamingo3Config(
            audio_config={
                "num_mel_bins": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 128, "hidden_size": 64,
            },
            text_config=text,
            audio_token_id=token("<sound>"),
        )  # fmt: skip
        made = transformers.AudioFlamingo3ForConditionalGeneration(config)
    else:
        config = transformers.Qwen2_5OmniThinkerConfig(
            audio_config={**ENCODER, "num_mel_bins": 64, "output_dim": 64},
            vision_config={
                "depth": 1, "hidden_size": 64, "intermediate_size": 64, "num_heads": 1, "out_hidden_size": 64, "fullatt_block_indexes": [0],
            },
            text_config={
                **{k: v for k, v in text.items() if k != "model_type"}, 
                "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 10000.0},
            },
            audio_token_index=token("<|AUDIO|>"),
            image_token_index=token("<|IMAGE|>"),
            video_token_index=token("<|VIDEO|>"),
            audio_start_token_id=token("<|audio_bos|>"),
            audio_end_token_id=token("<|audio_eos|>"),
        )  # fmt: skip
        made = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.15)
    made.generation_config = transformers.GenerationConfig(
        eos_token_id=token("<|im_end|>"), pad_token_id=token("<|endoftext|>")
    )
    return made.float().eval()


def save(family: str, folder: Path) -> None:
    """Write a random checkpoint of a family: configuration, weights, tokenizer, processor, chat template."""
    words = tokenizer(family)
    network(family, words).save_pretrained(folder)
    processor(family, words).save_pretrained(folder)
    mend(folder)


def mend(folder: Path) -> None:
    """Give the weights the names of the published checkpoints: transformers 5.19 writes one "model." too many for a nested Qwen2."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = {
        name.replace("language_model.model.model.", "language_model.model."): value
        for name, value in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
