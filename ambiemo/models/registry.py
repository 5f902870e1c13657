"""The table of models: the paper's eight, the stated stand-in, and the tiny one that ships with the
package.

The list is the paper's as reported second-hand (grade S). Memory is the weights in the given dtype
plus a fifth, our estimate (I).
"""

from ambiemo.models.spec import CAPABILITIES, Accepts, Capability, ModelSpec, Price, WeightsPart

ALL: frozenset[Capability] = frozenset(CAPABILITIES)
SAMPLES: frozenset[Capability] = frozenset({"sampling", "verifier"})

META_GATE = (
    "the language model's configuration and tokenizer are Meta's: accept the licence of "
    "meta-llama/Llama-3.1-8B-Instruct on huggingface.co and set HF_TOKEN"
)
NO_SEED = (
    "Google's compatible endpoint answers 400 to a request with a seed (mcpchecker#188, ChatterUI#227), "
    "so none is sent and samples differ from run to run"
)
# The commits seen as cache snapshots in public code, by several unrelated projects each (read in
# 2026).
LLAMA = WeightsPart(
    key="text_model_id",
    weights="meta-llama/Llama-3.1-8B-Instruct",
    pinned="0e9e39f249a16976918f6564b8830bc894c89659",
)
WHISPER_SMALL = WeightsPart(
    key="audio_model_id",
    weights="openai/whisper-small",
    pinned="973afd24965f72e36ca33b3055d56a652f456b4d",
)
WHISPER_MEDIUM = WeightsPart(
    key="audio_model_id",
    weights="openai/whisper-medium",
    pinned="abdf7c39ab9d0397620ccaea8974cc764cd0953e",
)
SNAPSHOT = "commit seen as the cache snapshot of this repository in public code"

_ROWS = (
    ModelSpec(
        id="tiny",
        title="Tiny ALM (ours, Qwen2-Audio architecture)",
        weights="package:tiny/checkpoint",
        revision_note="the hash of the checkpoint's own files",
        family="qwen2_audio",
        parameters="1.8M",
        licence="Apache-2.0",
        engines=("transformers", "vllm"),
        audio_seconds=30,
        capabilities=ALL,
        memory_gib=0.1,
        dtype="float32",
        source="P: made by `make tiny`; it says nothing about the paper's models",
    ),
    ModelSpec(
        id="qwen2-audio-7b",
        title="Qwen2-Audio-7B-Instruct",
        weights="Qwen/Qwen2-Audio-7B-Instruct",
        pinned="0a095220c30b7b31434169c3086508ef3ea5bf0a",
        revision_note=f"{SNAPSHOT} (six unrelated projects, 2025-2026); the paper names no revision",
        family="qwen2_audio",
        parameters="8.4B",
        licence="Apache-2.0",
        engines=("vllm", "transformers"),
        audio_seconds=30,
        capabilities=ALL,
        memory_gib=20,
        max_model_len=4096,
        source="S: the paper says Qwen2-Audio-7B; the Instruct weights are our reading (I): the base follows no prompt",
    ),
    ModelSpec(
        id="qwen2.5-omni-7b",
        title="Qwen2.5-Omni-7B (thinker only: text answers)",
        weights="Qwen/Qwen2.5-Omni-7B",
        pinned="ae9e1690543ffd5c0221dc27f79834d0294cba00",
        revision_note=f"{SNAPSHOT} (four unrelated projects, 2025-2026); the paper names no revision",
        family="qwen2_5_omni",
        parameters="10.7B with the talker, which is not loaded",
        licence="Apache-2.0",
        engines=("vllm", "transformers"),
        audio_seconds=300,
        capabilities=ALL,
        memory_gib=22,
        max_model_len=8192,  # 300 s are 7,500 tokens
        source="S: named in the paper; 300 s of audio is its processor's window as we remember it (I)",
    ),
    ModelSpec(
        id="audio-flamingo-2",
        title="Audio Flamingo 2 (3B), behind its owner's code",
        weights="nvidia/audio-flamingo-2",
        pinned="3a7f4aea17e72c7367940affea6749069a7095fc",
        revision_note=f"{SNAPSHOT} (one project, 2026); this engine cannot check what the server has loaded",
        family="openai",
        parameters="3B language model",
        licence="NVIDIA OneWay Noncommercial",
        engines=("openai",),
        audio_seconds=300,
        capabilities=SAMPLES,
        base_url_env="AUDIO_FLAMINGO_2_BASE_URL",
        availability="out of reach unless you serve it: vLLM and transformers lack it. reproduce/audio_flamingo_2.py is a "
        "server around its owner's inference.py (not run on the real weights); audio-flamingo-3 is the stated stand-in",
        price_note="local server: no price",
        source="S: named in the paper; 5 minutes of audio: its model card (P)",
    ),
    ModelSpec(
        id="audio-flamingo-3",
        title="Audio Flamingo 3 (stated stand-in for Audio Flamingo 2)",
        weights="nvidia/audio-flamingo-3-hf",
        pinned="1b7715c1cbdfcaa5042e79cc3c814f6625681cc7",
        revision_note=f"{SNAPSHOT} (three projects, 2026)",
        family="audioflamingo3",
        parameters="8B",
        licence="NVIDIA OneWay Noncommercial",
        engines=("vllm", "transformers"),
        audio_seconds=600,
        capabilities=ALL,
        memory_gib=20,
        max_model_len=16384,  # 600 s are 15,000 tokens
        default_on=False,
        stands_in_for="audio-flamingo-2",
        source="I: not in the paper; off by default, and every table that has it says so",
    ),
    ModelSpec(
        id="ultravox-v0.3",
        title="Ultravox v0.3 (Llama 3.1 8B, Whisper small)",
        weights="fixie-ai/ultravox-v0_3",
        revision_note="not pinned: commit a3ef920 of April 2025 is known in short form only "
        "(huggingface.co/fixie-ai/ultravox-v0_3/commits/main); the earlier ones known in full lack processor files; "
        "`ambiemo models --resolve` prints the full one",
        family="ultravox",
        parameters="8B and Whisper small's encoder",
        licence="MIT; Llama 3.1 Community Licence",
        gated=META_GATE,
        engines=("vllm",),
        audio_seconds=30,
        capabilities=ALL,
        memory_gib=20,
        max_model_len=4096,
        parts=(LLAMA, WHISPER_SMALL),
        trust_remote_code=True,
        source="S: named in the paper; files and sizes: its repository's listing (P); Whisper small: by its model card (S)",
    ),
    ModelSpec(
        id="ultravox-v0.4",
        title="Ultravox v0.4 (Llama 3.1 8B, Whisper medium)",
        weights="fixie-ai/ultravox-v0_4",
        revision_note="not pinned: commit 3867238 of April 2025 is known in short form only "
        "(huggingface.co/fixie-ai/ultravox-v0_4/commits/main); the earlier ones known in full lack processor files; "
        "`ambiemo models --resolve` prints the full one",
        family="ultravox",
        parameters="8B and Whisper medium's encoder",
        licence="MIT; Llama 3.1 Community Licence",
        gated=META_GATE,
        engines=("vllm",),
        audio_seconds=30,
        capabilities=ALL,
        memory_gib=20,
        max_model_len=4096,
        parts=(LLAMA, WHISPER_MEDIUM),
        trust_remote_code=True,
        source="S: named in the paper, v0.4 and not v0.4.1; files and sizes: its repository's listing (P)",
    ),
    ModelSpec(
        id="gpt-4o",
        title="GPT-4o audio",
        weights="gpt-4o-audio-preview-2024-12-17",
        pinned="gpt-4o-audio-preview-2024-12-17",
        family="openai",
        parameters="not published",
        licence="OpenAI terms of use",
        engines=("openai",),
        audio_seconds=None,
        capabilities=SAMPLES,
        key_env="OPENAI_API_KEY",
        base_url="https://api.openai.com/v1",
        availability="OpenAI answers 404 model_not_found to this name (simonw/llm#1553), and its model page marks it as "
        "shut down (stored copy of 2026); the day is not known. Its successor there is gpt-audio, which is another model",
        price=Price(
            text_in=2.5,
            audio_in=40,
            out=10,
            audio_tokens_per_second=10,
            date="2026 (stored copy)",
            where="developers.openai.com/api/docs/models/gpt-4o-audio-preview",
        ),
        price_note="10 audio tokens a second is our estimate (I); what the API reports is what is charged and counted",
        source="S: the paper says GPT-4o; the audio snapshot is our reading (I)",
    ),
    ModelSpec(
        id="gemini-2.0-flash",
        title="Gemini 2.0 Flash",
        weights="gemini-2.0-flash-001",
        pinned="gemini-2.0-flash-001",
        family="openai",
        parameters="not published",
        licence="Gemini API terms of service",
        engines=("openai",),
        audio_seconds=34200,
        capabilities=SAMPLES,
        key_env="GEMINI_API_KEY",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        retired_since="2026-06-01",
        availability="shut down on 2026-06-01 (as two third-party pages report Google's deprecations page)",
        price_note="unknown: no longer on Google's price page of 2026-09",
        accepts=Accepts(seed=False),
        revision_note=NO_SEED,
        source="S: named in the paper; 9.5 h of audio: ai.google.dev/gemini-api/docs/audio (P)",
    ),
    ModelSpec(
        id="gemini-2.5-pro",
        title="Gemini 2.5 Pro",
        weights="gemini-2.5-pro",
        pinned="gemini-2.5-pro",
        revision_note="Google names no dated snapshot of it; the stable name is the most that can be pinned; "
        + NO_SEED,
        family="openai",
        parameters="not published",
        licence="Gemini API terms of service",
        engines=("openai",),
        audio_seconds=34200,
        capabilities=SAMPLES,
        key_env="GEMINI_API_KEY",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        retired_since="2026-12-01",
        availability="retired on 2026-12-01; from then on Google answers with gemini-3.8-flash under this name "
        "(dev.to/aideprecations, 2026-11-10): the engine refuses an answer from another model",
        price=Price(
            text_in=1.25,
            audio_in=1.25,
            out=10,
            audio_tokens_per_second=32,
            date="2026-09-20",
            where="Google's price page by way of api-evangelist/gemini; output: crate gemini-cost 0.1.0",
        ),
        price_note="up to 200k tokens; one input price for text and audio is our reading (I); thinking counts as output",
        # "low" is a budget of 1,024 tokens, which the model may overrun. It cannot be turned off.
        # Unasked, the model thinks up to 8,192 tokens and often has none left for the answer.
        accepts=Accepts(seed=False, reasoning_effort="low"),
        thinking_tokens=4096,
        source="S: named in the paper; 32 tokens a second and 9.5 h of audio: ai.google.dev/gemini-api/docs/audio (P)",
    ),
)

MODELS: dict[str, ModelSpec] = {row.id: row for row in _ROWS}
