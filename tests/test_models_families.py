"""Each family's own processor and model on a tiny random checkpoint: the clip is heard; the
`audios=` trap stays shut.
"""

from dataclasses import replace

import checkpoints
import numpy as np
import pytest

from ambiemo.draws import Decoding
from ambiemo.engines import Request
from ambiemo.engines.rendering import chat_text
from ambiemo.models import MODELS

transformers = pytest.importorskip("transformers")

FAMILIES = ("qwen2_audio", "qwen2_5_omni", "audioflamingo3")
ULTRAVOX = "ultravox"  # no class in transformers 5.19: vLLM has one, and tests/vllm/test_families.py runs it
LENGTHS = ((1, 1.0), (2, 2.7), (3, 0.6))


def clip(number: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(number).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    checkpoints.save(request.param, folder)
    return request.param, folder


def load(name, folder, dtype: str = "float32"):
    from ambiemo.engines.transformers import TransformersEngine

    spec = MODELS["tiny"].changed(id=name, family=name, weights=f"file:{folder}", dtype=dtype)
    return TransformersEngine(spec)


@pytest.fixture(scope="module")
def engine(family):
    made = load(*family)
    yield made
    made.close()


def requests(prompt: str = "How does it sound?", lengths=LENGTHS) -> list[Request]:
    return [
        Request(key=str(n), prompt=prompt, audio=clip(n, seconds), seed=n) for n, seconds in lengths
    ]


def library(engine, one: Request, **how) -> tuple[list[str], list[float]]:
    """What the library's own `generate` says of one clip alone: texts, and the plain sums of
    log-probabilities.
    """
    import torch

    inputs = engine.inputs([engine.render(one.prompt)], [one.audio])
    plain = {
        "do_sample": False,
        "max_new_tokens": 12,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    with torch.inference_mode():
        said = engine.model.generate(**inputs, **plain, **how)
    beams = getattr(said, "beam_indices", None)
    steps = engine.model.compute_transition_scores(
        said.sequences, said.scores, beams, normalize_logits=beams is None
    )
    answers = said.sequences[:, inputs["input_ids"].shape[1] :]
    return engine.tokenizer.batch_decode(answers, skip_special_tokens=True), steps.sum(1).tolist()


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
    short, long = (
        engine.inputs([rendered], [clip(0, seconds)])["input_ids"].shape[1] for seconds in (1, 3)
    )
    assert long > short


def test_the_old_name_of_the_argument_never_answers_deaf(engine, monkeypatch):
    rendered, real = engine.render("How does it sound?"), engine.processor
    monkeypatch.setattr(engine, "processor", lambda audio, **rest: real(audios=audio, **rest))
    with pytest.raises((RuntimeError, ValueError), match=r"audios|no audio features"):
        engine.inputs([rendered], [clip(0)])


def test_inputs_without_a_clip_in_them_are_refused_where_the_library_does_not_even_warn(
    engine, monkeypatch
):
    rendered = engine.render("How does it sound?")
    monkeypatch.setattr(
        engine, "processor", lambda text, audio, **rest: engine.tokenizer(text, return_tensors="pt")
    )
    with pytest.raises(RuntimeError, match="no audio features"):
        engine.inputs([rendered], [clip(0)])


def test_the_answer_depends_on_the_clip(engine):
    requests = [
        Request(key=str(n), prompt="How does it sound?", audio=clip(n), seed=1) for n in range(4)
    ]
    answers = engine.draw(requests, Decoding("greedy", max_tokens=12))
    assert [answer.failure for answer in answers] == [""] * 4
    assert len({answer.candidates[0].log_likelihood for answer in answers}) == 4


def test_the_template_is_the_checkpoints_own_and_holds_the_prompt(engine, family):
    text = chat_text(engine.processor, engine.processor.tokenizer, family[0], "How does it sound?")
    assert text == engine.render("How does it sound?")
    assert text.count("How does it sound?") == 1
    assert text.endswith("assistant\n")
    assert checkpoints.PLACEHOLDER[family[0]] in text


@pytest.mark.parametrize(
    "decoding", [Decoding("greedy", max_tokens=12), Decoding("beam", 3, max_tokens=12)], ids=str
)
def test_clips_of_different_lengths_together_are_answered_as_the_library_answers_each_alone(
    engine, decoding
):
    how = (
        {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 0.0}
        if decoding.kind == "beam"
        else {}
    )
    # groups of other sizes in between: a model may remember positions of the group before
    for group in (requests(), requests()[1:], requests()[:1], requests()):
        for one, answer in zip(group, engine.draw(group, decoding), strict=True):
            texts, likelihoods = library(engine, one, **how)
            assert [candidate.text for candidate in answer.candidates] == texts
            found = [candidate.log_likelihood for candidate in answer.candidates]
            assert found == pytest.approx(likelihoods, abs=1e-3)


def test_forced_labels_weigh_the_same_alone_and_in_a_group(engine):
    forced = Decoding("forced", 3, max_tokens=0)
    group = [replace(one, labels=("anger", "sad", "happy")) for one in requests()]
    for one, answer in zip(group, engine.draw(group, forced), strict=True):
        alone = [candidate.log_likelihood for candidate in engine.draw([one], forced)[0].candidates]
        assert [candidate.log_likelihood for candidate in answer.candidates] == pytest.approx(
            alone, abs=1e-3
        )


def test_a_clip_heard_alone_and_once_sounds_as_the_model_has_it(family):
    """The hidden states of the unwrapped encoder on the whole batch, within rounding; a second
    question runs it no more.
    """
    import torch

    made = load(*family)
    tower = next(part for name, part in made.model.named_modules() if name.endswith("audio_tower"))
    heard = []
    tower.register_forward_hook(lambda *call: heard.append(call[-1].last_hidden_state))
    asked = requests()
    inputs = made.inputs([made.render(one.prompt) for one in asked], [one.audio for one in asked])
    with torch.inference_mode():
        made._prefill(inputs)
        assert (made.encoded.misses, made.encoded.hits) == (3, 0)
        del tower.forward  # the class's own comes back
        made._prefill(inputs)
    assert torch.allclose(heard[0], heard[1], atol=1e-5)

    again = load(*family)
    for prompt in ("How does it sound?", "Who is it?"):
        again.draw(requests(prompt), Decoding("greedy", max_tokens=2))
    assert (again.encoded.misses, again.encoded.hits) == (3, 3)


def test_every_decoding_works_in_the_number_format_the_rows_declare(family, engine):
    """The rows say bfloat16. Rounding moves a label's likelihood a little; a clip that is not heard
    moves it a lot.
    """
    assert {spec.dtype for spec in MODELS.values() if spec.family in FAMILIES} == {
        "bfloat16",
        "float32",
    }
    made = load(*family, dtype="bfloat16")
    asked = [replace(one, labels=("anger", "sad", "happy")) for one in requests()]
    for decoding in (
        Decoding("greedy", max_tokens=6),
        Decoding("sample", 2, 1.0, 0.9, 6),
        Decoding("beam", 3, max_tokens=6),
        Decoding("forced", 3, max_tokens=0),
    ):
        answers = made.draw(asked, decoding)
        assert [len(answer.candidates) for answer in answers] == [decoding.count] * 3
        likelihoods = [answer.candidates[0].log_likelihood for answer in answers]
        assert np.isfinite(likelihoods).all()
        assert len(set(likelihoods)) == 3
    exact = engine.draw(asked, Decoding("forced", 3, max_tokens=0))
    for rounded, one in zip(answers, exact, strict=True):
        for a, b in zip(rounded.candidates, one.candidates, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=0.05)


def test_the_thinker_alone_answers_as_it_does_inside_the_whole_of_omni(tmp_path):
    whole, alone = tmp_path / "whole", tmp_path / "alone"
    checkpoints.save("qwen2_5_omni", whole)
    inside = load("qwen2_5_omni", whole)
    assert type(inside.model).__name__ == "Qwen2_5OmniThinkerForConditionalGeneration"
    inside.model.save_pretrained(alone)
    for name in checkpoints.OMNI_PROCESSOR:
        (alone / name).write_bytes((whole / name).read_bytes())
    greedy = Decoding("greedy", max_tokens=12)
    assert load("qwen2_5_omni", alone).draw(requests(), greedy) == inside.draw(requests(), greedy)


def test_a_checkpoint_that_names_no_end_of_text_ends_at_its_tokenizers(tmp_path):
    checkpoints.save("qwen2_5_omni", tmp_path)
    (tmp_path / "generation_config.json").unlink()
    assert load("qwen2_5_omni", tmp_path).ends == [
        checkpoints.tokenizer("qwen2_5_omni").eos_token_id
    ]
