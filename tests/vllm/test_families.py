"""Each family of the registry in vLLM, on a tiny random checkpoint, through our engine: it hears,
and it agrees with transformers.

vLLM 0.32, the community CPU build. Ultravox has no class in transformers 5.19: it is held against
its own parts put together by hand.
"""

import importlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from ambiemo.draws import Answer, Candidate, Decoding
from ambiemo.engines import Request
from ambiemo.engines.beams import BeamSearch
from ambiemo.models import MODELS, ModelSpec, WeightsPart

FAMILIES = ("qwen2_audio", "qwen2_5_omni", "audioflamingo3", "ultravox")
LABELS = ("anger", "sad", "happy")
GREEDY = Decoding("greedy", max_tokens=12)
SAMPLES = Decoding("sample", count=3, temperature=0.8, top_p=0.95, max_tokens=12)
BEAMS = Decoding("beam", count=3, max_tokens=12)
FORCED = Decoding("forced", count=3, max_tokens=0)
HERE = Path(__file__).parent


def requests(*lengths: float) -> list[Request]:
    def clip(number: int, seconds: float) -> np.ndarray:
        return (
            np.random.default_rng(number)
            .uniform(-0.5, 0.5, int(16000 * seconds))
            .astype(np.float32)
        )

    return [
        Request(str(n), "How does it sound?", clip(n, seconds), seed=n * 7919 + 1, labels=LABELS)
        for n, seconds in enumerate(lengths or (1.0, 2.7, 0.6))
    ]


def remote(folder: Path, module: str, file: str, **names: str) -> None:
    """Put a module of ours beside a checkpoint and name its classes as remote code in one of the
    checkpoint's files.
    """
    shutil.copy(HERE / f"{module}.py", folder)
    known = json.loads((folder / file).read_text()) if (folder / file).is_file() else {}
    auto = {"auto_map": {kind: f"{module}.{name}" for kind, name in names.items()}}
    (folder / file).write_text(json.dumps(known | auto))


@pytest.fixture(scope="module", params=FAMILIES)
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp("random") / request.param
    checkpoints.save(request.param, folder)
    if request.param == "ultravox":
        remote(
            folder,
            "ultravox_processor",
            "preprocessor_config.json",
            AutoProcessor="UltravoxAsPublished",
        )
    if request.param == "qwen2_5_omni":
        remote(
            folder,
            "blind_video_processor",
            "video_preprocessor_config.json",
            AutoVideoProcessor="BlindVideoProcessor",
        )
    parts = ()
    if request.param == "ultravox":
        # the checkpoint names repositories, as the published ones do; the row says where they are
        config = json.loads((folder / "config.json").read_text())
        parts = tuple(
            WeightsPart(key=key, weights=f"file:{config[key]}")
            for key in ("text_model_id", "audio_model_id")
        )
        named = dict.fromkeys(("text_model_id", "audio_model_id"), "nobody/nothing")
        (folder / "config.json").write_text(json.dumps(config | named))
    return MODELS["tiny"].changed(
        id=request.param,
        family=request.param,
        weights=f"file:{folder}",
        parts=parts,
        trust_remote_code=request.param in ("ultravox", "qwen2_5_omni"),
    )


def omni_without_torchvision(patch: pytest.MonkeyPatch) -> None:
    """Let vLLM import its Qwen2.5-Omni where torchvision is not, as it is in the environment of
    `make test-vllm`.

    torchvision's published builds do not load beside a CPU torch. vLLM asks for it in one import of
    a function that transformers has a second time; transformers itself forgets to name a class that
    it compares with. Sound passes through none of it.
    """
    if importlib.util.find_spec("torchvision"):
        return
    from transformers import processing_utils
    from transformers.video_processing_utils import VideoProcessorMixin

    twin = importlib.import_module("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    patch.setitem(sys.modules, "transformers.models.qwen2_vl.image_processing_qwen2_vl", twin)
    patch.setattr(
        processing_utils.transformers_module,
        "VideoProcessorMixin",
        VideoProcessorMixin,
        raising=False,
    )
    from vllm import ModelRegistry
    from vllm.model_executor.models.qwen2_5_omni_thinker import (
        Qwen2_5OmniThinkerForConditionalGeneration,
    )

    # as a class: under its name vLLM would look at it in a process of its own, which knows nothing
    # of the above
    ModelRegistry.register_model("Qwen2_5OmniModel", Qwen2_5OmniThinkerForConditionalGeneration)


@pytest.fixture(scope="module")
def engine(spec: ModelSpec) -> Iterator[Any]:
    from ambiemo.engines.vllm import VLLMEngine

    with pytest.MonkeyPatch.context() as patch:
        sees: dict[str, Any] = {}
        if spec.family == "qwen2_5_omni":
            omni_without_torchvision(patch)
            sees = {"limit_mm_per_prompt": {"audio": 1, "image": 0, "video": 0}}
        made = VLLMEngine(spec, max_model_len=1024, **sees)
        yield made
        made.close()


def likelihoods(answer: Answer) -> list[float]:
    return [candidate.log_likelihood for candidate in answer.candidates]


def test_every_family_of_the_registry_is_run_here():
    assert set(FAMILIES) == {spec.family for spec in MODELS.values() if not spec.is_remote}


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLES, BEAMS, FORCED], ids=str)
def test_every_clip_is_answered_by_what_is_heard(engine, decoding):
    answers = engine.draw(requests(1.0, 1.0, 1.0), decoding)
    assert [answer.failure for answer in answers] == [""] * 3
    assert [len(answer.candidates) for answer in answers] == [decoding.count] * 3
    assert len({likelihoods(answer)[0] for answer in answers}) == 3


@pytest.fixture(scope="module")
def other(spec: ModelSpec, engine: Any) -> Iterator[Any]:
    """The same checkpoint without vLLM. Asks for `engine`, so that both are of one family at a
    time.
    """
    if spec.family == "ultravox":
        yield UltravoxByHand(spec.path())
        return
    from ambiemo.engines.transformers import TransformersEngine

    made = TransformersEngine(spec)
    yield made
    made.close()


class UltravoxByHand:
    """Ultravox from transformers' Whisper and Llama and the published shape of the projector, one
    clip at a time, without a cache.
    """

    def __init__(self, folder: Path) -> None:
        import transformers
        from safetensors.torch import load_file

        self.words = transformers.AutoTokenizer.from_pretrained(folder)
        self.extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
        self.llama = transformers.LlamaForCausalLM.from_pretrained(folder / "text").eval()
        whisper = transformers.WhisperForConditionalGeneration.from_pretrained(folder / "audio")
        self.encoder = whisper.model.encoder.eval()
        self.projector = load_file(folder / "model.safetensors")

    def heard(self, clip: np.ndarray) -> Any:
        """The clip as tokens of the language model, (tokens, its width): encoder frames by eights,
        through the projector.
        """
        from torch.nn import functional as f

        found = self.extractor(
            clip,
            sampling_rate=16000,
            padding="longest",
            pad_to_multiple_of=160,
            return_tensors="pt",
        )
        encoder, part = (
            self.encoder,
            {k.removeprefix("multi_modal_projector."): v for k, v in self.projector.items()},
        )
        frames = f.gelu(encoder.conv2(f.gelu(encoder.conv1(found["input_features"])))).permute(
            0, 2, 1
        )
        frames = frames + encoder.embed_positions.weight[: frames.shape[1]]
        for layer in encoder.layers:
            frames = layer(frames, None)
        frames = encoder.layer_norm(frames)[0]
        frames = f.pad(frames, (0, 0, 0, -len(frames) % 8)).reshape(-1, 8 * frames.shape[1])
        stacked = f.rms_norm(frames, frames.shape[-1:], part["ln_pre.weight"], 1e-6)
        value, gate = (stacked @ part["linear_1.weight"].T).chunk(2, -1)
        spoken = (value * f.silu(gate)) @ part["linear_2.weight"].T
        return f.rms_norm(spoken, spoken.shape[-1:], part["ln_post.weight"], 1e-6)

    def draw(self, asked: list[Request], decoding: Decoding) -> list[Answer]:
        import torch

        with torch.inference_mode():
            return [self.answer(one, decoding) for one in asked]

    def answer(self, one: Request, decoding: Decoding) -> Answer:
        import torch

        turn = [{"role": "user", "content": f"<|audio|>\n{one.prompt}"}]
        rendered = self.words.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        embed = self.llama.get_input_embeddings()
        before, after = (
            self.words.encode(part, add_special_tokens=False, return_tensors="pt")[0]
            for part in rendered.split("<|audio|>")
        )
        prompt = torch.cat([embed(before), self.heard(one.audio), embed(after)])

        def after_prompt(tokens: list[int]) -> Any:
            shown = torch.cat([prompt, embed(torch.tensor(tokens, dtype=torch.long))])
            logits = self.llama(inputs_embeds=shown[None]).logits[0, len(prompt) - 1 :]
            return logits.double().log_softmax(-1)

        def candidate(tokens: list[int], how: Any) -> Candidate:
            steps = after_prompt(tokens)[: len(tokens)].gather(1, torch.tensor(tokens)[:, None])
            return Candidate(
                self.words.decode(tokens, skip_special_tokens=True),
                len(tokens),
                float(steps.sum()),
                how,
            )

        if decoding.kind == "forced":
            spelled = [self.words.encode(label, add_special_tokens=False) for label in one.labels]
            found = [candidate(tokens, "forced") for tokens in spelled]
        elif decoding.kind == "beam":
            end, special = self.words.eos_token_id, self.words.all_special_ids
            search = BeamSearch(decoding.count, {end}, decoding.max_tokens)
            while not search.finished:
                steps = [after_prompt(list(beam.tokens))[-1].tolist() for beam in search.open]
                likely = [
                    {t: p for t, p in enumerate(step) if t == end or t not in special}
                    for step in steps
                ]
                search.advance(likely)
            found = [
                candidate(list(beam.tokens), "stop" if beam.ended else "length")
                for beam in search.complete
            ]
        else:
            said: list[int] = []
            while len(said) < decoding.max_tokens and self.words.eos_token_id not in said:
                said.append(int(after_prompt(said)[-1].argmax()))
            found = [candidate(said, "stop" if said[-1] == self.words.eos_token_id else "length")]
        return Answer(one.key, tuple(found), decoding, prompt_tokens=len(prompt))


def agree(engine: Any, other: Any, groups: list[list[Request]], decoding: Decoding) -> None:
    for group in groups:
        for ours, theirs in zip(
            engine.draw(group, decoding), other.draw(group, decoding), strict=True
        ):
            assert ours.failure == ""
            assert [c.text for c in ours.candidates] == [c.text for c in theirs.candidates]
            assert likelihoods(ours) == pytest.approx(likelihoods(theirs), abs=1e-3)
            assert ours.prompt_tokens == theirs.prompt_tokens


def test_a_clip_is_encoded_alone_once_and_under_no_further_question(engine, spec, monkeypatch):
    alone, whole = [], engine._run
    monkeypatch.setattr(
        engine,
        "_run",
        lambda prompts, params: alone.append(len(prompts) == 1) or whole(prompts, params),
    )
    asked = [replace(one, audio=one.audio / 3) for one in requests()]
    first = engine.draw(asked, GREEDY)
    assert sum(alone) == (3 if spec.family == "ultravox" else 0)
    alone.clear()
    again = engine.draw([replace(one, prompt="Who is it?") for one in asked], GREEDY)
    assert sum(alone) == 0
    assert likelihoods(again[0]) != likelihoods(first[0])
    assert engine.draw(asked, GREEDY) == first


@pytest.mark.parametrize("decoding", [GREEDY, FORCED, BEAMS], ids=str)
def test_a_clip_alone_is_answered_as_it_is_without_vllm(engine, other, decoding):
    agree(engine, other, [[one] for one in requests()], decoding)


@pytest.mark.parametrize("decoding", [GREEDY, FORCED, BEAMS], ids=str)
def test_clips_of_different_lengths_together_are_answered_as_they_are_without_vllm(
    engine, other, decoding
):
    # quieter, so that none was heard alone before: vLLM keeps what it has encoded
    quieter = [replace(one, audio=one.audio / 2) for one in requests()]
    agree(engine, other, [quieter], decoding)
