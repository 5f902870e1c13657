"""The ambiguity test: equal to drawing splits by hand, right on planted worlds, silent where the
old one was wrong."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always

from ambiemo.labels import entropy_bits
from ambiemo.metrics.ambiguity import (
    EXPONENTS,
    ambiguity_test,
    fit_tempering,
    level_raters,
    levels,
    temper,
    tempered,
)
from ambiemo.metrics.floors import brier_unbiased


def speakers(n, count):
    return [f"speaker {i % count:02}" for i in range(n)]


def small(seed, n=12, labels=4, raters=6):
    random = np.random.default_rng(seed)
    votes = random.multinomial(raters, random.dirichlet(np.ones(labels), size=n))
    return (
        votes,
        random.dirichlet(np.ones(labels), size=n),
        random.dirichlet(np.ones(labels), size=n),
    )


def calibrated_world(seed, shares, count=91, clips=40, raters=9, kappa=4.0):
    """Votes, strategy, reference and clusters. The reference is the mean of the true distributions
    it may stand for, so tempering gains nothing; the strategy removes `shares` of its squared error
    by true level.
    """
    random = np.random.default_rng(seed)
    n = count * clips
    speaker = np.repeat(np.arange(count), clips)
    base = np.array([0.18, 0.12, 0.12, 0.12, 0.34, 0.12])
    spread = 3 * np.exp(random.normal(0, 0.5, count))[speaker]
    r = np.array([random.dirichlet(c * base) for c in spread]) * 0.98 + 0.02 / 6
    p = np.array([random.dirichlet(kappa * row) for row in r])
    third = np.argsort(np.argsort(entropy_bits(p))) * 3 // n
    s = r + (1 - np.sqrt(1 - np.array(shares)))[third][:, None] * (p - r)
    votes = np.array([random.multinomial(raters, row) for row in p])
    return votes, s, r, [f"s{i:02}" for i in speaker]


def same_truth_world(seed, count=40, clips=20, raters=9):
    """Every clip has one true distribution; the reference is one-hot, the strategy 30 % nearer to
    the truth."""
    random = np.random.default_rng(seed)
    n = count * clips
    p = np.tile([0.5, 0.25, 0.15, 0.05, 0.03, 0.02], (n, 1))
    r = np.eye(6)[(p * np.exp(random.normal(0, 0.7, p.shape))).argmax(axis=1)]
    votes = np.array([random.multinomial(raters, row) for row in p])
    return votes, r + 0.3 * (p - r), r, [f"s{i % count:02}" for i in range(n)]


@always(st.integers(0, 2**32 - 1), st.integers(4, 7))
def test_the_levels_are_those_of_all_splits_listed_by_hand(seed, raters):
    votes, predicted, _ = small(seed, n=4, labels=3, raters=raters)
    entropies, scored = [], []
    for row, p in zip(votes, predicted, strict=True):
        labels = [label for label, count in enumerate(row) for _ in range(count)]
        for chosen in itertools.combinations(range(raters), raters // 2):
            half = np.bincount([labels[i] for i in chosen], minlength=3)
            entropies.append(round(float(entropy_bits(half / half.sum())), 9))
            scored.append(float(brier_unbiased((row - half)[None], p[None])[0]))
    middles = {e: np.mean([entropies.index(e), 0]) for e in set(entropies)}
    ordered = sorted(entropies)
    middles = {e: ordered.index(e) + ordered.count(e) / 2 for e in middles}
    third = [min(int(3 * middles[e] / len(ordered) + 1e-12), 2) for e in entropies]
    found = levels(votes)
    error = found.error(predicted)
    many = math.comb(raters, raters // 2)
    for clip in range(4):
        inside = slice(clip * many, (clip + 1) * many)
        for level in range(3):
            of = [b for b, t in zip(scored[inside], third[inside], strict=True) if t == level]
            assert found.weight[clip, level] == pytest.approx(len(of) / many, abs=1e-9)
            assert error[clip, level] == pytest.approx(sum(of) / many, abs=1e-9)


@always(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_no_order_of_the_utterances_changes_a_bit(seed, random):
    votes, s, r = small(seed, n=30)
    clusters = speakers(30, 5)
    order = list(range(30))
    random.shuffle(order)
    again = ambiguity_test(votes[order], s[order], r[order], [clusters[i] for i in order])
    assert repr(ambiguity_test(votes, s, r, clusters)) == repr(again)


def test_the_share_that_grows_is_found_the_share_that_falls_is_not_and_neither_is_an_even_one():
    grows = ambiguity_test(*calibrated_world(1, (0.1, 0.25, 0.4)))
    falls = ambiguity_test(*calibrated_world(2, (0.4, 0.25, 0.1)))
    even = ambiguity_test(*calibrated_world(3, (0.3, 0.3, 0.3)))
    assert [found.verdict for found in (grows, falls, even)] == [
        "HOLDS",
        "NOT REPRODUCED",
        "NOT SHOWN",
    ]
    assert all(row.estimate.low > 0 for row in grows.rows)
    assert [(row.reference, row.contrast) for row in grows.rows] == [
        ("first", "share_removed"),
        ("first", "gain"),
        ("first_tempered", "share_removed"),
        ("first_tempered", "gain"),
    ]
    assert sum(grows.shares) == pytest.approx(1)
    assert grows.n == 91 * 40


def test_where_all_clips_have_one_truth_nothing_is_found():
    called = Counter(ambiguity_test(*same_truth_world(seed)).verdict for seed in range(12))
    assert called["HOLDS"] == 0
    assert called["NOT REPRODUCED"] <= 1


@pytest.mark.parametrize("flat", [0.3, 0.6, 0.9])
def test_flattening_is_no_hearing(flat):
    votes, _, r, clusters = same_truth_world(4)
    random = np.random.default_rng(4)
    sharpness = random.dirichlet(np.ones(6) * 0.7, size=len(r))
    votes = np.array([random.multinomial(9, row) for row in 0.7 * sharpness + 0.05])
    r = np.eye(6)[sharpness.argmax(axis=1)]
    found = ambiguity_test(votes, (1 - flat) * r + flat / 6, r, clusters)
    assert found.verdict == "NOT SHOWN"
    first = {row.contrast: row.estimate for row in found.rows if row.reference == "first"}
    assert first["gain"].low > 0  # against greedy alone it would have been called


VOTES, S, R = small(5, n=60, raters=6)


NOT_TESTED = {
    "shares": ({"votes": VOTES / 6}, "not whole numbers"),
    "three raters": ({"votes": np.minimum(VOTES, 1)}, "have 4 or more raters"),
    "no votes": ({"votes": np.where(np.arange(60)[:, None] == 3, 0, VOTES)}, "no votes"),
    "one speaker": ({"clusters": ["a"] * 60}, "one cluster"),
    "not heard": ({"heard": False}, "not shown to hear"),
    "unanimous": ({"votes": np.eye(4, dtype=int)[np.arange(60) % 4] * 6}, "is ever 'low'"),
    "a reference with no error": ({"reference": VOTES / 6}, "standard errors above 0"),
}


@pytest.mark.parametrize(("change", "reason"), NOT_TESTED.values(), ids=NOT_TESTED)
def test_what_the_data_cannot_answer_is_not_tested_with_its_reason(change, reason):
    given = {"votes": VOTES, "strategy": S, "reference": R, "clusters": speakers(60, 6)} | change
    found = ambiguity_test(**given)
    assert found.verdict == "NOT TESTED"
    assert reason in found.reason


def test_one_utterance_and_none_are_not_tested():
    assert ambiguity_test(VOTES[:1], S[:1], R[:1], ["a"]).verdict == "NOT TESTED"
    assert ambiguity_test(VOTES[:0], S[:0], R[:0], []).reason == "no utterances"


def test_two_speakers_have_a_defined_verdict():
    found = ambiguity_test(VOTES, S, R, speakers(60, 2))
    assert found.verdict in ("NOT SHOWN", "NOT TESTED")
    assert found.reason


def test_equal_predictions_are_not_shown_to_differ():
    votes, _, r, clusters = calibrated_world(6, (0.3,) * 3, count=12, clips=30)
    found = ambiguity_test(votes, r, r, clusters)
    assert found.verdict == "NOT SHOWN"
    assert found.rows[0].estimate.value == 0


def test_failed_predictions_and_a_wrong_length_are_refused():
    with pytest.raises(ValueError, match="row 0"):
        ambiguity_test(VOTES, np.where(np.arange(60)[:, None] == 0, np.nan, S), R, speakers(60, 6))
    with pytest.raises(ValueError, match="cluster names"):
        ambiguity_test(VOTES, S, R, ["a"])


def test_tempering_finds_what_was_done_to_the_truth():
    random = np.random.default_rng(7)
    p = random.dirichlet(np.ones(5), size=400)
    sharpened = temper(p, 2.0, 0.0)
    beta, mix = fit_tempering(p * 1000, sharpened)
    assert (beta, mix) == (0.5, pytest.approx(0, abs=1e-9))
    assert fit_tempering(p * 1000, p) == (1.0, pytest.approx(0, abs=1e-12))
    sure = np.eye(5)[p.argmax(axis=1)]
    beta, mix = fit_tempering(p * 1000, sure)
    assert 0 < mix < 1
    assert 1.0 in EXPONENTS


def test_tempering_never_looks_at_the_cluster_it_tempers():
    votes, _, r = small(8, n=40)
    clusters = speakers(40, 8)
    before = tempered(votes, r, clusters)
    changed = votes.copy()
    own = [i for i, name in enumerate(clusters) if name == "speaker 03"]
    changed[own] = changed[own][:, ::-1]
    np.testing.assert_array_equal(tempered(changed, r, clusters)[own], before[own])
    with pytest.raises(ValueError, match="at least 2"):
        tempered(votes, r, ["a"] * 40)


def test_a_one_hot_answer_with_zeros_tempers_to_a_distribution():
    for beta in EXPONENTS:
        found = temper([[1.0, 0, 0], [0.5, 0.5, 0], [1e-300, 1.0, 0]], beta, 0.1)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert (found > 0).all()


def test_the_level_half_depends_on_the_number_of_raters_only():
    assert [level_raters(n, 6) for n in (4, 5, 9, 10, 22)] == [2, 2, 4, 5, 11]
    assert level_raters(200, 6) == 11
    assert level_raters(8, 40) == 2
