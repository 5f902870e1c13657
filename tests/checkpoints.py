"""Tiny random checkpoints of the architectures that the paper's models have: right shapes, real
processors, no knowledge.

`save(family, folder)` writes one that transformers loads as it would the real one. torch and
transformers are imported when called.
"""

import json
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
# The shape of the families' own templates: a default system turn, then the turns, with the clip as
# a placeholder.
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] in ('audio', 'audio_url', 'input_audio') %}PLACEHOLDER{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PLACEHOLDER = {
    "qwen2_audio": "Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n",
    "qwen2_5_omni": "<|audio_bos|><|AUDIO|><|audio_eos|>",
    "audioflamingo3": "<sound>",
    "ultravox": "<|audio|>",
}
OMNI_PROCESSOR = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
)
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
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special, text = list(SPECIAL), TEXT * 9
    if family == "ultravox":
        # Llama 3 joins a line's end to the signs before it, so the placeholder, which is no token
        # of its own, may share one with the text
        pieces = pre_tokenizers.Split(Regex(LLAMA_PIECES), "isolated")
        words.pre_tokenizer = pre_tokenizers.Sequence(
            [pieces, pre_tokenizers.ByteLevel(False, use_regex=False)]
        )
        text = [*text, *["<|audio|>\n<|audio|>"] * 9]
    else:
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
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
    extractor = transformers.WhisperFeatureExtractor(feature_size=64)
    if family == "qwen2_audio":
        return transformers.Qwen2AudioProcessor(extractor, words, template)
    return transformers.AudioFlamingo3Processor(extractor, words, template)


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
            vision_start_token_id=token("<|vision_bos|>"),
            vision_end_token_id=token("<|vision_eos|>"),
        )  # fmt: skip
        made = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
    randomize(made, words)
    made.generation_config = transformers.GenerationConfig(
        eos_token_id=token("<|im_end|>"), pad_token_id=token("<|endoftext|>")
    )
    return made.float().eval()


def randomize(network: Any, words: Any = None) -> None:
    """Larger weights than a library's own start, so that no answer is nearly as likely as another;
    and none is a placeholder.
    """
    import torch

    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.15)
        if words is not None:
            silent = set(words.all_special_ids) - {words.eos_token_id}
            network.get_output_embeddings().weight[sorted(silent)] = 0


def save(family: str, folder: Path) -> None:
    """Write a random checkpoint of a family: configuration, weights, tokenizer, processor, chat
    template.
    """
    words = tokenizer(family)
    if family == "ultravox":
        save_ultravox(words, folder)
        return
    made = network(family, words)
    if family == "qwen2_5_omni":
        save_omni(made, words, folder)
    else:
        made.save_pretrained(folder)
        processor(family, words).save_pretrained(folder)
    mend(folder)


def save_omni(thinker: Any, words: Any, folder: Path) -> None:
    """Write a thinker as Qwen2.5-Omni is published: inside a model that also speaks, whose other
    weights nobody here should load.

    The parts of the processor are written by hand, in the one file that the published checkpoint
    has: those for images and video can be made only where torchvision is.
    """
    import torch
    import transformers
    from safetensors.torch import save_file

    config = transformers.Qwen2_5OmniConfig(
        thinker_config=thinker.config.to_dict(), architectures=["Qwen2_5OmniModel"]
    )
    config.save_pretrained(folder)
    thinker.generation_config.save_pretrained(folder)
    weights = {
        f"thinker.{name}": value.contiguous() for name, value in thinker.state_dict().items()
    }
    spoken = {
        "talker.codec_head.weight": torch.zeros(2, 2),
        "token2wav.code2wav_dit_model.proj_out.bias": torch.zeros(2),
    }
    save_file(weights | spoken, folder / "model.safetensors", metadata={"format": "pt"})
    words.save_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor(feature_size=64, return_attention_mask=True)
    vision = {
        "image_processor_type": "Qwen2VLImageProcessor", "merge_size": 2, "patch_size": 14, "temporal_patch_size": 2,
        "min_pixels": 3136, "max_pixels": 12845056,
    }  # fmt: skip
    parts = {**vision, **extractor.to_dict(), "processor_class": "Qwen2_5OmniProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(parts), encoding="utf-8")


def save_ultravox(words: Any, folder: Path) -> None:
    """Write an Ultravox as v0.3 and v0.4 are published: the projector alone, and the names of a
    language model and of a Whisper.

    The processor is not written here: transformers has none (tests/vllm/ultravox_processor.py).
    """
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(0)
    text = {name: value for name, value in QWEN2.items() if name != "model_type"}
    end = words.convert_tokens_to_ids("<|im_end|>")
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            **text, head_dim=64, vocab_size=len(words), eos_token_id=end, pad_token_id=0
        )
    )
    encoder = {
        **ENCODER,
        "num_mel_bins": 64,
        "decoder_layers": 1,
        "decoder_attention_heads": 1,
        "decoder_ffn_dim": 64,
    }
    start = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 0}
    whisper = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**encoder, **start, vocab_size=64, begin_suppress_tokens=None)
    )
    randomize(llama, words)
    randomize(whisper)
    llama.save_pretrained(folder / "text")
    whisper.save_pretrained(folder / "audio")
    width, stacked = 128, 8 * ENCODER["d_model"]
    projector = {
        "ln_pre.weight": torch.ones(stacked),
        "linear_1.weight": torch.randn(width, stacked) * 0.15,
        "linear_2.weight": torch.randn(text["hidden_size"], width // 2) * 0.15,
        "ln_post.weight": torch.ones(text["hidden_size"]),
    }
    save_file(
        {f"multi_modal_projector.{name}": value for name, value in projector.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = {
        "model_type": "ultravox", "architectures": ["UltravoxModel"], "hidden_size": width, "stack_factor": 8, "projector_act": "swiglu",
        "text_model_id": str(folder / "text"), "audio_model_id": str(folder / "audio"), "vocab_size": len(words),
        "audio_token_index": words.convert_tokens_to_ids("<|AUDIO|>"), "torch_dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    transformers.GenerationConfig(eos_token_id=end, pad_token_id=0).save_pretrained(folder)
    words.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=64).save_pretrained(folder)


def mend(folder: Path) -> None:
    """Give the weights the names of the published checkpoints: transformers 5.19 writes one
    "model." too many for a nested Qwen2.
    """
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = {
        name.replace("language_model.model.model.", "language_model.model."): value
        for name, value in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
