"""Each family's own processor and model on a tiny random checkpoint: the clip is heard; the `audios=` trap stays shut."""

import checkpoints
import numpy as np
import pytest

from ambiemo.draws import Decoding
from ambiemo.engines import Request
from ambiemo.engines.rendering import chat_text
from ambiemo.models import MODELS

transformers = pytest.importorskip("transformers")

FAMILIES = ("qwen2_audio", "qwen2_5_omni", "audioflamingo3")
ULTRAVOX = "ultravox"  # no class in transformers 5.19; its own code comes with its repository, and vLLM has it natively


def clip(number: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(number).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    try:
        checkpoints.save(request.param, folder)
    except ImportError as error:
        pytest.skip(f"{request.param}: its processor needs more than is installed: {str(error).splitlines()[0]}")
    return request.param, folder


@pytest.fixture(scope="module")
def engine(family):
    from ambiemo.engines.transformers import TransformersEngine

    name, folder = family
    spec = MODELS["tiny"].changed(id=name, family=name, weights=f"file:{folder}")
    made = TransformersEngine(spec)
    yield made
    made.close()


def test_every_family_of_the_registry_is_tested_here_or_said_why_not():
    local = {spec.family for spec in MODELS.values() if not spec.is_remote}
    assert local == {*FAMILIES, ULTRAVOX}


def test_two_clips_give_two_features(engine):
    rendered = engine.render("How does it sound?")
    features = [engine.inputs([rendered], [clip(n)])["input_features"] for n in (0, 1)]
    assert features[0].shape == features[1].shape
    assert not np.allclose(*(one.numpy() for one in features))


def test_a_longer_clip_takes_more_audio_tokens(engine):
    rendered = engine.render("How does it sound?")
    short, long = (engine.inputs([rendered], [clip(0, seconds)])["input_ids"].shape[1] for seconds in (1, 3))
    assert long > short


def test_the_old_name_of_the_argument_never_answers_deaf(engine):
    rendered = engine.render("How does it sound?")
    try:
        inputs = engine.processor(text=[rendered], audios=[clip(0)], return_tensors="pt", padding=True)
    except Exception:
        return  # refused: as it should be
    assert not {"input_features", "input_values"} & set(inputs), (
        "this version hears `audios=`; the guard below is then idle"
    )
    real = engine.processor
    engine.processor = lambda audio, **rest: real(audios=audio, **rest)
    engine.processor.tokenizer = real.tokenizer
    try:
        with pytest.raises(RuntimeError, match=r"no audio features|the model would answer wrongly"):
            engine.inputs([rendered], [clip(0)])
    finally:
        engine.processor = real


def test_the_answer_depends_on_the_clip(engine):
    requests = [Request(key=str(n), prompt="How does it sound?", audio=clip(n), seed=1) for n in range(4)]
    answers = engine.draw(requests, Decoding("greedy", max_tokens=12))
    assert [answer.failure for answer in answers] == [""] * 4
    assert len({answer.candidates[0].log_likelihood for answer in answers}) == 4


def test_the_template_is_the_checkpoints_own_and_holds_the_prompt(engine, family):
    text = chat_text(engine.processor, engine.processor.tokenizer, family[0], "How does it sound?")
    assert text == engine.render("How does it sound?")
    assert text.count("How does it sound?") == 1
    assert text.endswith("assistant\n")
    assert checkpoints.PLACEHOLDER[family[0]] in text
