"""The audio encoder runs once per clip, alone, and nobody can tell from the answers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the transformers extra is not installed")

from ambiemo import models  # noqa: E402
from ambiemo.draws import Decoding  # noqa: E402
from ambiemo.engines import Request, encoder  # noqa: E402
from ambiemo.engines.encoder import FeaturesOnce, Kept  # noqa: E402

GREEDY = Decoding("greedy", max_tokens=8)


def clip(number: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(number).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


def requests(
    *numbers: int, prompt: str = "How does it sound?", seconds: float = 1.0
) -> list[Request]:
    return [Request(str(n), prompt, clip(n, seconds), n) for n in numbers]


def likelihoods(answers) -> list[float]:
    return [candidate.log_likelihood for answer in answers for candidate in answer.candidates]


def hidden(engine, numbers: tuple[int, ...], row: int) -> torch.Tensor:
    inputs = engine.inputs([engine.render("Listen.")] * len(numbers), [clip(n) for n in numbers])
    tower = next(
        part for name, part in engine.model.named_modules() if name.endswith("audio_tower")
    )
    heard = []
    hook = tower.register_forward_hook(lambda *call: heard.append(call[-1].last_hidden_state))
    with torch.inference_mode():
        engine._prefill(inputs)
    hook.remove()
    return heard[0][row]


def loaded():
    # imported when it is needed: it takes longer than all tests of this file
    from ambiemo.engines.transformers import TransformersEngine

    return TransformersEngine(models.model("tiny"))


@pytest.fixture
def engine():
    return loaded()


def test_two_questions_about_three_clips_run_the_encoder_three_times(engine) -> None:
    engine.draw(requests(1, 2, 3), GREEDY)
    engine.draw(requests(1, 2, 3), Decoding("sample", 4, 1.0, 1.0, 8))
    engine.draw(requests(3, 1, prompt="Who is it?"), Decoding("beam", 2, max_tokens=8))
    assert (engine.encoded.misses, engine.encoded.hits) == (3, 5)
    assert engine.processor.feature_extractor.kept.misses == 3


def test_what_was_heard_before_changes_no_bit_of_an_answer(engine) -> None:
    fresh = engine.draw(requests(1, 2), GREEDY)
    engine.draw(requests(5, 6), GREEDY)
    assert engine.draw(requests(1, 2), GREEDY) == fresh
    assert loaded().draw(requests(1, 2), GREEDY) == fresh


def test_batch_mates_change_no_bit_of_what_is_heard(engine) -> None:
    among_others = hidden(engine, (4, 5, 6), 1)
    other = loaded()
    assert torch.equal(hidden(other, (5,), 0), among_others)


def test_the_features_are_those_of_the_library_s_batch(engine) -> None:
    plain = engine.processor.feature_extractor.extractor
    how = {
        "sampling_rate": 16000,
        "padding": "max_length",
        "return_attention_mask": True,
        "return_tensors": "pt",
    }
    clips = [clip(1), clip(2, 2.5)]
    ours, theirs = FeaturesOnce(plain)(clips, **how), plain(clips, **how)
    assert set(ours) == set(theirs)
    for name in ours:
        assert torch.allclose(ours[name].float(), theirs[name].float(), atol=1e-5), name


def test_features_padded_to_the_clip_are_those_of_a_window_of_300_s_as_far_as_the_mask_goes() -> (
    None
):
    from transformers import WhisperFeatureExtractor

    plain = WhisperFeatureExtractor(feature_size=128, chunk_length=300)
    how = {
        "sampling_rate": 16000,
        "padding": "max_length",
        "return_attention_mask": True,
        "return_tensors": "pt",
    }
    clips = [clip(1), clip(2, 2.5), clip(3, 0.7131)]
    ours, theirs = FeaturesOnce(plain, to_clip=True)(clips, **how), plain(clips, **how)
    assert ours["input_features"].shape[-1] < 300
    assert theirs["input_features"].shape[-1] == 30000
    for row in range(3):
        heard = [
            one["input_features"][row][:, one["attention_mask"][row].bool()]
            for one in (ours, theirs)
        ]
        assert heard[0].shape == heard[1].shape
        assert torch.allclose(*heard, atol=1e-5)


def test_vllm_s_extractor_pads_a_window_of_300_s_to_the_clip_and_one_of_30_s_not(
    monkeypatch,
) -> None:
    from transformers import WhisperFeatureExtractor

    from ambiemo.engines.padding import pad_long_windows_to_the_clip

    start = WhisperFeatureExtractor.__call__
    monkeypatch.setattr(WhisperFeatureExtractor, "__call__", getattr(start, "__wrapped__", start))
    how = {
        "sampling_rate": 16000,
        "padding": "max_length",
        "return_attention_mask": True,
        "return_tensors": "pt",
    }
    omni, whisper = (
        WhisperFeatureExtractor(chunk_length=300),
        WhisperFeatureExtractor(chunk_length=30),
    )
    whole = omni([clip(1)], **how)
    pad_long_windows_to_the_clip()
    short = omni([clip(1)], **how)
    assert short["input_features"].shape[-1] < 110
    heard = [one["input_features"][0][:, one["attention_mask"][0].bool()] for one in (whole, short)]
    assert torch.allclose(*heard, atol=1e-5)
    assert omni([clip(1), clip(2, 2.0)], **how)["input_features"].shape[-1] < 210
    assert whisper([clip(1)], **how)["input_features"].shape[-1] == 3000


def test_a_window_of_300_s_costs_a_short_clip_no_features_of_300_s() -> None:
    from transformers import WhisperFeatureExtractor

    how = {
        "sampling_rate": 16000,
        "padding": "max_length",
        "return_attention_mask": True,
        "return_tensors": "pt",
    }
    once = FeaturesOnce(WhisperFeatureExtractor(feature_size=128, chunk_length=300), to_clip=True)
    once([clip(1, 5.0)], **how)
    assert once.kept.bytes < 300_000


def test_clips_whose_features_differ_in_shape_go_to_the_extractor_together(engine) -> None:
    plain = engine.processor.feature_extractor.extractor
    found = FeaturesOnce(plain)(
        [clip(1), clip(2, 2.5)], sampling_rate=16000, padding="longest", return_tensors="np"
    )
    assert found["input_features"].shape[0] == 2


def test_a_clip_that_fills_the_window_is_heard_alike_beside_a_short_one(engine) -> None:
    full, short = Request("f", "Listen.", clip(1, 30.0), 1), Request("s", "Listen.", clip(2), 2)
    alone = engine.draw([full], GREEDY)
    engine.encoded.forget()
    made = engine.encoded.misses
    beside = engine.draw([full, short], GREEDY)
    assert engine.encoded.misses == made + 2
    assert likelihoods(beside[:1]) == pytest.approx(likelihoods(alone), abs=1e-3)


def test_no_more_than_so_many_bytes_are_kept_and_the_oldest_go_first(monkeypatch) -> None:
    monkeypatch.setattr(encoder, "ROOM", 2 * 800)
    kept = Kept()
    for name in ("a", "b", "a", "c", "a", "b"):
        kept.get(name, lambda: {"x": np.zeros(100)})
    assert list(kept.values) == ["a", "b"]
    assert (kept.misses, kept.hits, kept.bytes) == (4, 2, 1600)
    kept.get("larger than the room", lambda: {"x": np.zeros(1000)})
    assert list(kept.values) == ["larger than the room"]
