"""Answers, scores and raters of the tiny ALM's lessons."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.models.parsing import parse_distribution, parse_score
from ambiemo.tiny import raters, texts
from ambiemo.tiny.candidates import KINDS, candidate, drawn

STILL = dict.fromkeys(
    ("pitch", "range", "rate", "loudness", "tilt", "slope", "breathiness", "roughness", "tremor"),
    0.0,
)
votes = st.lists(st.integers(0, 9), min_size=6, max_size=6).filter(lambda v: sum(v) > 0)


@given(votes)
def test_an_answer_that_was_taught_is_read_exactly(counts):
    p = texts.shares(counts)
    for text in (texts.direct_answer(p), texts.cot_answer(STILL, p)):
        found = parse_distribution(text, texts.LABELS)
        assert found.verdict == "exact"
        assert np.abs(np.array(found.distribution) - p).max() < 0.03


@given(votes, votes)
def test_our_divergence_is_the_benchmarks(a, b):
    p, q = texts.shares(a), texts.shares(b)
    assert texts.js_bits(p, q) == pytest.approx(
        float(js_divergence_bits(p[None], q[None])[0]), abs=1e-9
    )


def test_the_verifier_scores_the_truth_ten_and_the_opposite_zero():
    truth = np.array([0.5, 0.5, 0, 0, 0, 0])
    assert texts.verifier_score(truth, truth) == 10
    assert texts.verifier_score(truth[::-1], truth) == 0


@given(st.integers(0, 10))
def test_a_taught_score_is_read_exactly(score):
    assert parse_score(texts.verifier_answer(score)).score == score
    assert parse_score(texts.verifier_answer(score)).verdict == "exact"


@given(votes, votes)
def test_the_score_falls_as_a_candidate_moves_away(a, b):
    p, q = texts.shares(a), texts.shares(b)
    scores = [texts.verifier_score((1 - t) * p + t * q, p) for t in (0, 0.25, 0.5, 0.75, 1)]
    assert scores == sorted(scores, reverse=True)


def test_the_description_names_what_is_far_from_neutral():
    assert (
        texts.description(STILL)
        == "Pitch: medium, even. Pace: medium. Loudness: medium. Voice: clear."
    )
    fast = texts.description(STILL | {"rate": 0.4, "pitch": 6, "tremor": 1.0, "loudness": -5})
    assert fast == "Pitch: very high, even. Pace: very fast. Loudness: very soft. Voice: trembling."


def test_raters_agree_on_a_clear_clip_and_split_over_a_mixture():
    clear, mixed = (
        raters.heard((0, 0, 0, 0, 0, 1), 1.0).mean(0),
        raters.heard((0.5, 0, 0, 0, 0, 0.5), 1.0).mean(0),
    )
    assert clear[5] > 0.75
    assert min(mixed[0], mixed[5]) > 0.25


def test_a_weak_portrayal_sounds_neutral():
    strong, weak = (raters.heard((1, 0, 0, 0, 0, 0), s).mean(0)[raters.NEUTRAL] for s in (1.0, 0.5))
    assert weak > strong + 0.2


def test_a_panel_is_nine_different_raters_and_always_the_same_nine():
    first = raters.vote((0, 0, 1, 0, 0, 0), 0.8, "some clip")
    assert first.sum() == 9
    assert (first == raters.vote((0, 0, 1, 0, 0, 0), 0.8, "some clip")).all()
    assert any(
        (first != raters.vote((0, 0, 1, 0, 0, 0), 0.8, "some clip", p)).any() for p in range(1, 6)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_candidate_is_a_distribution(kind):
    rng = np.random.default_rng(1)
    truth, other = texts.shares([3, 0, 0, 0, 6, 0]), texts.shares([0, 9, 0, 0, 0, 0])
    for _ in range(20):
        p = drawn(kind, truth, truth, other, rng)
        assert p.min() >= 0
        assert p.sum() == pytest.approx(1)


def test_a_candidate_reads_as_the_distribution_that_is_scored():
    rng = np.random.default_rng(2)
    truth, other = texts.shares([3, 0, 0, 0, 6, 0]), texts.shares([0, 9, 0, 0, 0, 0])
    for _ in range(50):
        text, p = candidate(truth, truth, other, STILL, STILL | {"pitch": 5.0}, [], rng)
        found = json.loads(text[text.index("{") :])
        assert np.abs(np.array([found[label] for label in texts.LABELS]) - p).max() < 0.04


@given(votes)
def test_twentieths_sum_to_one_and_move_no_share_by_a_step(counts):
    p = texts.shares(counts)
    q = texts.twentieths(p)
    assert q.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(q - p).max() < 0.05 + 1e-9
    assert parse_distribution(texts.direct_answer(q), texts.LABELS).verdict == "exact"
