"""The sign flip: equal to trying every pattern by hand, exact under the null, and never below its
floor."""

import hashlib
import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always, random_case

from ambiemo.metrics import metric
from ambiemo.metrics.inference import cluster_sums
from ambiemo.metrics.signflip import FLIPS, exchange, floor, patterns, sign_flip, sign_flips
from ambiemo.seeds import seed


def by_hand(values):
    """Share of all 2^C patterns at least as extreme as the data."""
    observed = abs(sum(values))
    found = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return sum(value >= observed - 1e-9 for value in found) / len(found)


@always(st.lists(st.integers(-20, 20), min_size=2, max_size=9))
def test_it_is_the_share_of_all_patterns(values):
    assert sign_flip(values) == by_hand(values)


@always(st.lists(st.floats(-1, 1), min_size=2, max_size=24), st.randoms(use_true_random=False))
def test_no_order_and_no_mirror_changes_p(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert sign_flip(values) == sign_flip(shuffled)
    if len(values) <= 16:
        assert sign_flip(values) == pytest.approx(sign_flip([-v for v in values]))


def test_p_reaches_its_floor_and_never_less():
    for clusters in (2, 6, 12, 16, 17, 91):
        p = sign_flip(np.arange(1, clusters + 1) / 7)
        assert p == pytest.approx(floor(clusters)) if clusters != 17 else p >= floor(clusters)


def test_nothing_differs_and_nothing_to_say():
    assert sign_flip([0.0] * 12) == 1
    assert math.isnan(sign_flip([1.0]))
    assert math.isnan(sign_flip([]))
    with pytest.raises(ValueError, match="finite"):
        sign_flip([1.0, math.nan])
    with pytest.raises(ValueError, match="shapes"):
        exchange(np.ones((3, 2)), np.ones((4, 2)), lambda sums: sums[..., 0])


@pytest.mark.parametrize("clusters", [8, 12, 30])
def test_it_calls_a_difference_of_nothing_no_oftener_than_it_says(clusters):
    random = np.random.default_rng(2)
    skewed = random.gamma(0.3, size=(1000, clusters)) * random.choice([-1, 1], (1000, clusters))
    p = np.array([sign_flip(row) for row in skewed])
    assert np.mean(p < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(p < 0.01) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 1000)


@pytest.mark.parametrize("clusters", [5, 11, 20])
def test_exchanging_predictions_is_flipping_signs_for_a_mean(clusters):
    truth, a = random_case(12, n=60)
    _, b = random_case(13, n=60)
    names = [f"speaker {i % clusters:02}" for i in range(60)]
    brier = metric("brier")
    left = cluster_sums(brier.statistics(truth, a), names)
    right = cluster_sums(brier.statistics(truth, b), names)
    flipped = sign_flip(left[:, 0] - right[:, 0])
    assert exchange(left, right, brier.value) == pytest.approx(
        flipped, abs=0 if clusters < 17 else 0.02
    )


def test_exchange_is_the_share_of_all_exchanges_for_an_f1():
    truth, a = random_case(14, n=30)
    _, b = random_case(15, n=30)
    names = np.array([f"speaker {i % 6}" for i in range(30)])
    row = metric("macro_f1")
    observed, extreme = None, []
    for signs in itertools.product((0, 1), repeat=6):
        swap = np.array(signs, dtype=bool)[[int(name[-1]) for name in names]][:, None]
        one, two = np.where(swap, b, a), np.where(swap, a, b)
        found = [float(row.value(row.statistics(truth, x).sum(axis=0))) for x in (one, two)]
        extreme.append(abs(found[0] - found[1]))
        observed = extreme[0]
    expected = np.mean(np.array(extreme) >= observed - 1e-9)
    sums = [cluster_sums(row.statistics(truth, x), names.tolist()) for x in (a, b)]
    assert exchange(*sums, row.value) == pytest.approx(expected)


def test_the_seeded_patterns_are_the_bits_of_shake_256():
    found = np.concatenate(list(patterns(20)))
    assert found.shape == (FLIPS, 20)
    stream = hashlib.shake_256(str(seed("sign flip", 20)).encode()).digest(FLIPS * 3)
    for row in (0, 7, FLIPS - 1):
        bits = "".join(f"{byte:08b}" for byte in stream[3 * row : 3 * row + 3])[:20]
        assert found[row].tolist() == [1 - 2 * int(bit) for bit in bits]
    assert abs(found.mean()) < 0.005


def test_every_pattern_is_tried_once_up_to_16_clusters():
    assert len({tuple(row) for row in np.concatenate(list(patterns(10))).tolist()}) == 2**9


def test_it_is_fast():
    random = np.random.default_rng(3)
    values = random.normal(size=(200, 12))
    start = time.perf_counter()
    for row in values:
        sign_flip(row)
    assert time.perf_counter() - start < 2


def test_several_at_once_are_each_alone():
    random = np.random.default_rng(4)
    for clusters in (9, 40):
        values = random.normal(0.2, 1, (clusters, 5))
        assert sign_flips(values).tolist() == [sign_flip(column) for column in values.T]


def test_the_last_bit_of_opposite_sums_does_not_decide_p():
    sums = np.array([1 / 3, -1 / 3] * 9 + [2 / 3, 1.0])
    nudged = sums * (1 + np.random.default_rng(0).choice([-1, 0, 1], 20) * 2**-52)
    assert sign_flip(sums) == sign_flip(nudged)
