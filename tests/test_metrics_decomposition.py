"""The decomposition: parts add up, averaging never hurts, no order matters, and what failed is left
out everywhere."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always

from ambiemo.metrics.decomposition import (
    PARTS,
    candidate_losses,
    decompose,
    linear_pool,
    realised,
    shared_win,
)
from ambiemo.metrics.distribution import brier, js_divergence_bits, mean
from ambiemo.metrics.floors import statistics_of
from ambiemo.metrics.jackknife import jackknife
from ambiemo.strategies.aggregators import best


def pool_case(seed, n=8, many=5, labels=4, unparsed=0.2):
    """truth, greedy, pool, scores."""
    random = np.random.default_rng(seed)
    pool = random.dirichlet(np.ones(labels), size=(n, many))
    pool[random.random((n, many)) < unparsed] = np.nan
    truth, greedy = random.dirichlet(np.ones(labels), size=(2, n))
    return truth, greedy, pool, random.integers(0, 4, (n, many)).astype(float)


def best_of(scores, pool):
    found = np.full((len(pool), pool.shape[2]), np.nan)
    for row, (distributions, given) in enumerate(zip(pool, scores, strict=True)):
        if not np.isnan(distributions).any(axis=1).all():
            found[row] = best(distributions, given)
    return found


@always(st.integers(0, 2**32 - 1))
def test_the_parts_add_up_to_the_total(seed):
    truth, greedy, pool, scores = pool_case(seed)
    found = decompose(truth, greedy, pool, shared_win(scores, pool), best_of(scores, pool))
    np.testing.assert_allclose(
        found.decoding + found.averaging + found.choice, found.total, atol=1e-12, equal_nan=True
    )


@pytest.mark.parametrize("loss", [js_divergence_bits, brier])
def test_averaging_never_hurts_a_convex_loss(loss):
    truth, greedy, pool, scores = pool_case(1, n=200)
    found = decompose(truth, greedy, pool, shared_win(scores, pool), best_of(scores, pool), loss)
    known = ~np.isnan(found.averaging)
    assert known.any()
    assert (found.averaging[known] <= 1e-12).all()
    assert (found.oracle[known] <= found.single[known] + 1e-12).all()


def test_it_is_the_same_by_hand():
    truth, greedy, pool, scores = pool_case(2, n=1, many=3, unparsed=0)
    weights = shared_win(scores, pool)
    strategy = (weights[0][:, None] * pool[0]).sum(axis=0)[None]
    found = decompose(truth, greedy, pool, weights, strategy, brier)
    t, g, c = truth[0], greedy[0], pool[0]
    alone = [((t - x) ** 2).sum() for x in c]
    pooled = ((t - c.mean(axis=0)) ** 2).sum()
    assert found.decoding[0] == pytest.approx(np.mean(alone) - ((t - g) ** 2).sum(), abs=1e-12)
    assert found.averaging[0] == pytest.approx(pooled - np.mean(alone), abs=1e-12)
    assert found.choice[0] == pytest.approx(((t - strategy[0]) ** 2).sum() - pooled, abs=1e-12)
    assert found.regret[0] == pytest.approx(((t - strategy[0]) ** 2).sum() - min(alone), abs=1e-12)
    assert found.effective[0] == pytest.approx(1 / (weights[0] ** 2).sum())


@always(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_no_order_of_the_candidates_changes_a_bit(seed, random):
    truth, greedy, pool, scores = pool_case(seed)
    order = list(range(pool.shape[1]))
    random.shuffle(order)
    strategy = best_of(scores, pool)
    straight = decompose(truth, greedy, pool, shared_win(scores, pool), strategy)
    shuffled = decompose(
        truth, greedy, pool[:, order], shared_win(scores[:, order], pool[:, order]), strategy
    )
    for one, two in zip(straight, shuffled, strict=True):
        assert one.tobytes() == two.tobytes()


@always(st.integers(0, 2**32 - 1))
def test_the_shared_win_is_what_best_does(seed):
    truth, _, pool, scores = pool_case(seed)
    weights = shared_win(scores, pool)
    for row in range(len(truth)):
        if np.isnan(pool[row]).any(axis=1).all():
            assert not weights[row].any()
            continue
        mixed = (weights[row][:, None] * np.nan_to_num(pool[row])).sum(axis=0)
        np.testing.assert_allclose(mixed, best(pool[row], scores[row]), atol=1e-12)


def test_all_candidates_failed_is_nan_in_every_part_and_the_rest_stands():
    truth, greedy, pool, scores = pool_case(3, n=4, unparsed=0)
    pool[0] = np.nan
    greedy[1] = np.nan
    strategy = best_of(scores, pool)
    strategy[2] = np.nan
    found = decompose(truth, greedy, pool, shared_win(scores, pool), strategy)
    for part in (*PARTS, "single", "pool", "oracle", "regret", "effective", "tied"):
        assert np.isnan(getattr(found, part)).tolist() == [True, True, True, False], part
    assert found.parsed.tolist() == [0, 5, 5, 5]
    nothing = decompose(truth, greedy, np.full_like(pool, np.nan), np.zeros((4, 5)), strategy)
    assert np.isnan(nothing.total).all()
    assert "not estimable" in jackknife(statistics_of(nothing.total), list("abcd"), mean).reason


def test_ties_everywhere_weigh_alike_and_one_candidate_never_ties():
    truth, greedy, pool, scores = pool_case(4, n=3, unparsed=0)
    found = decompose(
        truth, greedy, pool, shared_win(np.ones_like(scores), pool), linear_pool(pool)
    )
    assert found.tied.tolist() == [1, 1, 1]
    np.testing.assert_allclose(found.effective, 5)
    np.testing.assert_allclose(found.choice, 0, atol=1e-12)
    alone = decompose(truth, greedy, pool[:, :1], np.ones((3, 1)), pool[:, 0])
    assert alone.tied.tolist() == [0, 0, 0]
    np.testing.assert_allclose(alone.averaging, 0, atol=1e-12)


def test_equal_candidates_leave_nothing_to_realise():
    truth, greedy, _, scores = pool_case(5, n=3)
    pool = np.repeat(greedy[:, None, :], 5, axis=1)
    found = decompose(truth, greedy, pool, shared_win(scores, pool), greedy)
    assert math.isnan(realised(found.realised_statistics().sum(axis=0)))
    np.testing.assert_allclose(found.total, 0, atol=1e-15)


def test_the_oracles_own_prediction_realises_everything_and_a_random_one_nothing():
    truth, greedy, pool, _ = pool_case(6, n=40, unparsed=0)
    losses = candidate_losses(truth, pool, js_divergence_bits)
    strategy = pool[np.arange(40), losses.argmin(axis=1)]
    found = decompose(truth, greedy, pool, shared_win(-losses, pool), strategy)
    assert realised(found.realised_statistics().sum(axis=0)) == pytest.approx(1)
    np.testing.assert_allclose(found.regret, 0, atol=1e-15)


def test_unlike_shapes_and_negative_weights_are_refused():
    truth, greedy, pool, scores = pool_case(7)
    with pytest.raises(ValueError, match="expected \\(n, N, K\\)"):
        decompose(truth, greedy, pool, scores[:, :2], greedy)
    with pytest.raises(ValueError, match="strategy has shape"):
        decompose(truth, greedy, pool, scores, greedy[:2])
    with pytest.raises(ValueError, match="negative"):
        decompose(truth, greedy, pool, scores - 10, greedy)
