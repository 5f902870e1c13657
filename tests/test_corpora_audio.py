"""Decoding: what a model hears of any file, and the reason where it can hear nothing."""

from pathlib import Path

import numpy as np
import pytest
from corpora_fixtures import LFS_POINTER, put, wav

from ambiemo.corpora.audio import RATE, BadAudio, decode, header


@pytest.mark.parametrize(
    ("data", "rate", "channels"),
    [
        (wav(1.0), 16_000, 1),
        (wav(1.0, 8_000, 1, "PCM_U8"), 8_000, 1),
        (wav(1.0, 44_100, 2), 44_100, 2),
        (wav(1.0, 48_000, 1, "FLOAT"), 48_000, 1),
        (wav(1.0, 22_050, 1, "PCM_24"), 22_050, 1),
        (wav(1.0, 16_000, 1, "PCM_16", "FLAC"), 16_000, 1),
    ],
)
def test_every_format_becomes_float32_mono_16_khz(data: bytes, rate: int, channels: int) -> None:
    clip = decode(data)
    assert (clip.samples.dtype, clip.samples.shape) == (np.float32, (RATE,))
    assert (clip.source_rate, clip.channels, clip.truncated) == (rate, channels, False)
    assert clip.seconds == clip.source_seconds == pytest.approx(1.0)
    loudness = 0.3 * (0.75 if channels == 2 else 1.0) / np.sqrt(2)
    assert np.sqrt(np.mean(clip.samples[2000:-2000] ** 2)) == pytest.approx(loudness, rel=0.02)


def test_resampling_keeps_the_tone_and_drops_what_16_khz_cannot_hold() -> None:
    tone = decode(wav(1.0, 44_100, pitch=1000.0)).samples
    assert int(np.argmax(np.abs(np.fft.rfft(tone)))) == 1000
    assert np.abs(decode(wav(1.0, 44_100, pitch=12_000.0)).samples[2000:-2000]).max() < 1e-3


def test_a_path_and_its_bytes_sound_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, "Clip.WAV", wav(0.7, 44_100, 2))
    assert np.array_equal(decode(path).samples, decode(path.read_bytes()).samples)
    assert np.array_equal(decode(str(path)).samples, decode(path).samples)


def test_ninety_seconds_are_cut_to_what_the_model_hears_and_the_cut_is_recorded() -> None:
    clip = decode(wav(90, 8_000), max_seconds=30)
    assert (clip.seconds, clip.source_seconds, clip.truncated) == (30.0, 90.0, True)
    assert not decode(wav(30, 8_000), max_seconds=30).truncated


def test_the_first_samples_do_not_depend_on_the_cut() -> None:
    data = wav(3.0)
    assert np.array_equal(decode(data, max_seconds=1).samples, decode(data).samples[:RATE])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (LFS_POINTER, "Git LFS pointer.*git lfs pull"),
        (b"This is a text file, not a sound.\n" * 20, "not audio that libsndfile reads"),
        (wav(0.1), "0.1 s of sound, expected at least 0.2 s"),
        (
            wav(1.0)[:-8000],
            "cut short: its header promises 32000 bytes of samples, 24000 are there",
        ),
        (wav(1.0)[:40], "cut short"),
        (wav(1.0, fmt="FLAC")[:3000], "damaged or cut short"),
        (
            wav(0.5, subtype="FLOAT")[:-8] + np.array([np.nan, 0.0], dtype="<f4").tobytes(),
            "not finite",
        ),
    ],
)
def test_a_clip_that_cannot_be_decoded_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadAudio, match=reason) as caught:
        decode(data)
    assert "\n" not in caught.value.reason


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadAudio, match="No such file"):
        decode(tmp_path / "none.wav")


def test_a_header_tells_the_length_without_decoding() -> None:
    found = header(wav(2.5, 44_100, 2))
    assert (found.seconds, found.rate, found.channels) == (2.5, 44_100, 2)
    with pytest.raises(BadAudio, match=r"0\.2 s"):
        header(wav(0.1))


def test_the_real_clips_can_be_decoded(shared_data: Path) -> None:
    clips = sorted(shared_data.glob("crema_d/AudioWAV/*.wav")) + sorted(
        shared_data.glob("emodb/wav/*.wav")
    )
    assert len(clips) >= 10
    for path in clips:
        clip = decode(path)
        assert 0.9 < clip.seconds < 12
        assert 0.001 < float(np.abs(clip.samples).max()) <= 1.0
