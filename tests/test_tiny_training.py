"""The lessons of the tiny ALM (the packed forward pass is compared with the plain one in
test_tiny_checkpoint).
"""

from dataclasses import asdict

import numpy as np
import pytest

from ambiemo.labels import entropy_bits
from ambiemo.tiny import features, raters, speech, training


@pytest.fixture(scope="module")
def some() -> training.Data:
    """300 training utterances, rated but not spoken."""
    items = speech.training(300)
    votes = np.array(
        [[raters.vote(i.weights, i.intensity, i.utterance_id, p) for p in range(3)] for i in items],
        float,
    )
    return training.Data(
        items,
        np.zeros((300, 1, 1), np.float16),
        np.full(300, 100),
        votes / votes.sum(-1, keepdims=True),
        [asdict(i.prosody) for i in items],
    )


def test_smoothed_shares_are_distributions_less_sure_than_the_raters(some):
    soft = training.smoothed(some)
    assert soft.shape == (300, 6)
    assert soft.sum(1) == pytest.approx(np.ones(300))
    assert entropy_bits(soft).mean() > entropy_bits(some.shares.mean(1)).mean()


def test_smoothing_keeps_what_the_raters_heard(some):
    soft, raw = training.smoothed(some), some.shares.mean(1)
    assert (soft.argmax(1) == raw.argmax(1)).mean() > 0.6


def test_another_voice_keeps_shape_and_time(some):
    mel = np.random.default_rng(0).normal(size=(128, 40)).astype(np.float32)
    mel[:, 20:] = 0
    out = training.other_voice(mel, 0.0, np.random.default_rng(1))
    assert out.shape == mel.shape
    assert np.abs(out[:, 20:]).max() == 0


def test_augmented_clips_keep_their_speech_inside_the_counted_frames():
    mel = np.full((4, 128, 400), -1.0, np.float16)
    frames = np.array([100, 150, 200, 396])
    for row, n in enumerate(frames):
        mel[row, :, :n] = 1.0
    out, lengths = training.augmented(mel, frames, np.random.default_rng(3))
    assert (lengths.numpy() >= frames).all()
    assert out.shape[2] <= 400
    for clip, length in zip(out.numpy(), lengths.numpy(), strict=True):
        assert clip[:, length:].max(initial=-1.0) < 0


def test_the_learning_rate_rises_twice_and_falls_to_almost_nothing():
    rates = [training.learning_rate(step, (1900, 600)) for step in range(2500)]
    assert max(rates[:1900]) == pytest.approx(training.PEAKS[0], rel=0.02)
    assert max(rates[1900:]) == pytest.approx(training.PEAKS[1], rel=0.02)
    assert rates[1899] < 0.03 * training.PEAKS[0]
    assert rates[-1] < 0.03 * training.PEAKS[1]


def test_audio_tokens_follow_the_processors_rule():
    for frames in (2, 99, 100, 101, 3000):
        assert features.audio_tokens(frames) == (((frames - 1) // 2 + 1) - 2) // 2 + 1
    assert features.audio_tokens(3000) == 750
