"""Curves over all subsets: equal to listing them, exact for Brier, and a limit that 8 samples
already know."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always

from ambiemo.metrics.curves import best_at, brier_pool_curve, limit, pool_at, subsets
from ambiemo.metrics.distribution import brier, js_divergence_bits
from ambiemo.strategies.aggregators import best


def pool_case(seed, n=4, many=6, labels=4, unparsed=0.15):
    random = np.random.default_rng(seed)
    pool = random.dirichlet(np.ones(labels), size=(n, many))
    pool[random.random((n, many)) < unparsed] = np.nan
    return (
        random.dirichlet(np.ones(labels), size=n),
        pool,
        random.integers(0, 3, (n, many)).astype(float),
    )


def listed(truth, pool, k, loss, answer):
    """Mean loss over all subsets of k parsed candidates, clip by clip; answer(places) makes the
    prediction."""
    found = []
    for clip, t in enumerate(truth):
        places = np.flatnonzero(~np.isnan(pool[clip]).any(axis=1))
        losses = [
            loss(t[None], answer(clip, list(chosen))[None])[0]
            for chosen in itertools.combinations(places, k)
        ]
        found.append(np.mean(losses) if losses else np.nan)
    return np.array(found)


@always(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_pools_curve_is_the_mean_over_all_subsets(seed, k):
    truth, pool, _ = pool_case(seed)
    for loss in (brier, js_divergence_bits):
        expected = listed(
            truth, pool, k, loss, lambda clip, chosen: pool[clip, chosen].mean(axis=0)
        )
        np.testing.assert_allclose(pool_at(truth, pool, k, loss), expected, atol=1e-9)


@always(st.integers(0, 2**32 - 1))
def test_for_brier_it_is_a_plus_b_over_k_exactly(seed):
    truth, pool, _ = pool_case(seed)
    curve = brier_pool_curve(truth, pool)
    for k in range(1, 7):
        at = pool_at(truth, pool, k, brier)
        known = ~np.isnan(at) & ~np.isnan(curve.a)
        np.testing.assert_allclose(at[known], curve.at(k)[known], atol=1e-12)


@always(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_best_of_k_is_the_mean_over_all_subsets_with_ties_shared(seed, k):
    truth, pool, scores = pool_case(seed)
    expected = listed(
        truth,
        pool,
        k,
        js_divergence_bits,
        lambda clip, chosen: best(pool[clip, chosen], scores[clip, chosen]),
    )
    np.testing.assert_allclose(
        best_at(truth, pool, scores, k, js_divergence_bits), expected, atol=1e-9
    )


@always(st.integers(0, 2**32 - 1), st.integers(1, 5), st.randoms(use_true_random=False))
def test_no_order_of_the_candidates_changes_a_bit(seed, k, random):
    truth, pool, scores = pool_case(seed)
    order = list(range(6))
    random.shuffle(order)
    for straight, shuffled in (
        (pool_at(truth, pool, k, brier), pool_at(truth, pool[:, order], k, brier)),
        (
            best_at(truth, pool, scores, k, brier),
            best_at(truth, pool[:, order], scores[:, order], k, brier),
        ),
        (brier_pool_curve(truth, pool).a, brier_pool_curve(truth, pool[:, order]).a),
    ):
        assert straight.tobytes() == shuffled.tobytes()


def test_best_of_one_is_a_random_candidate_and_ties_everywhere_are_the_pool():
    truth, pool, scores = pool_case(1, unparsed=0)
    alone = np.mean([brier(truth, pool[:, place]) for place in range(6)], axis=0)
    np.testing.assert_allclose(best_at(truth, pool, scores, 1, brier), alone, atol=1e-12)
    tied = best_at(truth, pool, np.zeros_like(scores), 3, brier)
    np.testing.assert_allclose(tied, pool_at(truth, pool, 3, brier), atol=1e-12)


def test_the_limit_of_infinitely_many_samples_is_known_from_eight():
    random = np.random.default_rng(2)
    n, centre = 3000, np.array([0.5, 0.3, 0.15, 0.05])
    truth = np.tile([0.4, 0.3, 0.2, 0.1], (n, 1))
    pool = random.dirichlet(6 * centre, size=(n, 8))
    for loss, off in ((brier, 0.0), (js_divergence_bits, 1e-3)):
        exact = float(loss(truth[:1], centre[None])[0])
        curve = [pool_at(truth, pool, k, loss) for k in range(4, 9)]
        found = limit(curve, range(4, 9))
        error = found.std() / math.sqrt(n)
        assert found.mean() == pytest.approx(exact, abs=4 * error + off)
        assert abs(found.mean() - exact) < 0.2 * (curve[-1].mean() - exact)
    a = brier_pool_curve(truth, pool).a
    np.testing.assert_allclose(
        limit([pool_at(truth, pool, k, brier) for k in (2, 8)], (2, 8)), a, atol=1e-12
    )


def test_too_few_candidates_are_nan_and_all_failed_too():
    truth, pool, scores = pool_case(3, unparsed=0)
    pool[0, 1:] = np.nan
    pool[1] = np.nan
    curve = brier_pool_curve(truth, pool)
    assert np.isnan(curve.a).tolist() == [True, True, False, False]
    assert np.isnan(pool_at(truth, pool, 2, brier)).tolist() == [True, True, False, False]
    assert np.isnan(best_at(truth, pool, scores, 2, brier)).tolist() == [True, True, False, False]
    assert np.isnan(best_at(truth, np.full_like(pool, np.nan), scores, 1, brier)).all()


def test_constant_candidates_have_no_slope():
    truth, pool, _ = pool_case(4, unparsed=0)
    same = np.repeat(pool[:, :1], 6, axis=1)
    curve = brier_pool_curve(truth, same)
    np.testing.assert_allclose(curve.b, 0, atol=1e-30)
    np.testing.assert_allclose(curve.a, brier(truth, same[:, 0]), atol=1e-12)


def test_many_subsets_are_64_seeded_ones_and_few_are_all():
    assert subsets(8, 4) == list(itertools.combinations(range(8), 4))
    many = subsets(20, 5)
    assert len(many) == 64
    assert all(len(set(one)) == 5 and max(one) < 20 for one in many)
    assert len(set(many)) > 60
    assert many == subsets(20, 5)
    shares = np.bincount(np.ravel(many), minlength=20) / 64
    assert abs(shares - 0.25).max() < 0.25
    for bad in (0, 21):
        with pytest.raises(ValueError, match="subsets"):
            subsets(20, bad)


def test_nonsense_is_refused():
    truth, pool, scores = pool_case(5)
    with pytest.raises(ValueError, match="scores"):
        best_at(truth, pool, scores[:, :2], 1, brier)
    with pytest.raises(ValueError, match="k: found 0"):
        best_at(truth, pool, scores, 0, brier)
    with pytest.raises(ValueError, match="two sizes"):
        limit([truth[:, 0]], [4])
