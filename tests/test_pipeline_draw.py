"""Groups of draws, and what an actor does with a clip before any model hears it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ambiemo.corpora.audio import BadAudio
from ambiemo.draws import Decoding, Draw
from ambiemo.durable import sha256_file
from ambiemo.errors import BadInput
from ambiemo.pipeline.draw import enough, groups, load_audio
from ambiemo.plan.schema import ModelEntry

ONE = Draw("tiny", "r", "null", "c", "u", "a", "x", "direct", "Listen.", Decoding("greedy"), 1)
MANY = [replace(ONE, audio_sha256=str(i)) for i in range(10)]


def nothing(key: str) -> bool:
    return False


def test_groups_depend_on_the_plan_alone_not_on_the_order_of_its_draws() -> None:
    assert list(groups(MANY, 4, nothing)) == list(groups(MANY[::-1], 4, nothing))
    assert [len(group) for group in groups(MANY, 4, nothing)] == [4, 4, 2]


def test_a_group_has_one_decoding_and_one_prompt() -> None:
    mixed = (
        MANY
        + [replace(one, decoding=Decoding("beam", 5)) for one in MANY]
        + [replace(one, prompt_id="cot") for one in MANY]
    )
    for group in groups(mixed, 32, nothing):
        assert len({(one.decoding, one.prompt_id) for one in group}) == 1


def test_the_same_clips_follow_each_other_under_every_question() -> None:
    asked = [replace(one, prompt_id=prompt, prompt=prompt) for prompt in ("direct", "cot") for one in MANY]
    heard = [tuple(one.audio_sha256 for one in group) for group in groups(asked, 4, nothing)]
    assert heard == [clips for clips in dict.fromkeys(heard) for _ in range(2)]


def test_a_resumed_run_draws_the_groups_that_are_missing_as_they_were() -> None:
    whole = list(groups(MANY, 4, nothing))
    stored = {one.key for one in whole[1]}
    assert list(groups(MANY, 4, stored.__contains__)) == [whole[0], whole[2]]


def test_equal_questions_are_one_draw() -> None:
    assert sum(map(len, groups([ONE, replace(ONE, utterance_id="v")], 4, nothing))) == 1


def wav(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> str:
    soundfile.write(path, samples, rate, subtype=subtype)
    return sha256_file(path)


def tone(seconds: float, rate: int = 16_000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)


def test_stereo_at_another_rate_and_eight_bit_clips_are_heard(tmp_path: Path) -> None:
    stereo = wav(tmp_path / "s.wav", np.stack([tone(1, 44_100)] * 2, 1), 44_100)
    samples, cut = load_audio(str(tmp_path / "s.wav"), stereo, "clip", 30)
    assert (samples.dtype, samples.ndim, len(samples), cut) == (np.float32, 1, 16_000, False)
    coarse = wav(tmp_path / "u.wav", tone(1), subtype="PCM_U8")
    assert abs(float(load_audio(str(tmp_path / "u.wav"), coarse, "clip", 30)[0].max()) - 0.3) < 0.02


def test_a_long_clip_is_cut_to_what_the_model_hears_and_says_so(tmp_path: Path) -> None:
    digest = wav(tmp_path / "long.wav", tone(90))
    samples, cut = load_audio(str(tmp_path / "long.wav"), digest, "clip", 30)
    assert (len(samples), cut) == (480_000, True)


def test_silence_is_as_long_as_the_clip_and_empty(tmp_path: Path) -> None:
    digest = wav(tmp_path / "a.wav", tone(1.5))
    samples, _ = load_audio(str(tmp_path / "a.wav"), digest, "silence", 30)
    assert len(samples) == 24_000
    assert not samples.any()


@pytest.mark.parametrize(
    "content", [b"", b"not a sound", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"]
)
def test_what_is_no_audio_is_a_reason_not_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(BadAudio):
        load_audio(str(path), sha256_file(path), "clip", 30)


def test_a_clip_of_a_tenth_of_a_second_and_one_that_changed_are_reasons(tmp_path: Path) -> None:
    digest = wav(tmp_path / "short.wav", tone(0.1))
    with pytest.raises(BadAudio, match=r"0\.1"):
        load_audio(str(tmp_path / "short.wav"), digest, "clip", 30)
    with pytest.raises(BadAudio, match="changed since"):
        load_audio(str(tmp_path / "short.wav"), "0" * 64, "clip", 30)
    with pytest.raises(BadAudio, match="has no audio"):
        load_audio("", "", "clip", 30)


def test_a_pool_larger_than_the_cluster_is_refused_before_ray_waits_for_ever() -> None:
    with pytest.raises(BadInput, match="2 actors with 1 GPU each need 2, Ray has 1"):
        enough("tiny", ModelEntry(id="tiny", actors=2, gpus=1), {"CPU": 8, "GPU": 1})
    enough("tiny", ModelEntry(id="tiny"), {"CPU": 2})
