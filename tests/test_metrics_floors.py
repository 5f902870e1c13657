"""Floors and corrections: unbiased in simulation, equal to the definition by hand, and NaN where
nothing is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always
from sklearn.metrics import f1_score

from ambiemo.metrics import evaluate
from ambiemo.metrics.classification import accuracy, confusion_statistics, macro_f1
from ambiemo.metrics.distribution import js_divergence_bits, mean
from ambiemo.metrics.floors import (
    accuracy_any_tied,
    accuracy_untied,
    best_accuracy,
    brier_unbiased,
    js_divergence_bits_vote_jackknife,
    leave_one_rater_out_accuracy,
    macro_f1_truth_labels,
    prior_leave_cluster_out,
    second_panel_curve,
    second_panel_js_bits,
    skill,
    skill_statistics,
    statistics_of,
)
from ambiemo.metrics.jackknife import jackknife
from ambiemo.metrics.panels import subpanels, whole_votes


def panel(seed, n=40, labels=5, raters=6):
    """Votes (n, K) and predictions (n, K)."""
    random = np.random.default_rng(seed)
    votes = random.multinomial(raters, random.dirichlet(np.ones(labels), size=n))
    return votes, random.dirichlet(np.ones(labels), size=n)


def by_rater(row):
    """The label of each rater of one clip."""
    return [label for label, count in enumerate(row) for _ in range(count)]


def counted(labels, k):
    return np.bincount(labels, minlength=k)


@pytest.mark.parametrize("raters", [2, 3, 5, 10])
def test_brier_unbiased_is_unbiased(raters):
    random = np.random.default_rng(raters)
    true, p = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.1, 0.6, 0.2, 0.1])
    votes = random.multinomial(raters, true, size=40000)
    found = brier_unbiased(votes, np.repeat(p[None, :], len(votes), axis=0))
    error = found.std() / math.sqrt(len(found))
    assert found.mean() == pytest.approx(np.sum((true - p) ** 2), abs=4 * error)


@pytest.mark.parametrize("raters", [3, 5, 10])
def test_the_vote_jackknife_removes_most_of_the_bias_of_js(raters):
    random = np.random.default_rng(raters)
    true, p = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.2, 0.5, 0.2, 0.1])
    votes = random.multinomial(raters, true, size=20000)
    predicted = np.repeat(p[None, :], len(votes), axis=0)
    exact = float(js_divergence_bits(true[None, :], p[None, :])[0])
    raw = js_divergence_bits(votes / raters, predicted).mean() - exact
    left = js_divergence_bits_vote_jackknife(votes, predicted).mean() - exact
    assert abs(left) < 0.35 * raw


@always(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_the_vote_jackknife_is_leaving_each_rater_out(seed, raters):
    votes, predicted = panel(seed, n=3, labels=4, raters=raters)
    for row, p, found in zip(
        votes, predicted, js_divergence_bits_vote_jackknife(votes, predicted), strict=True
    ):
        labels = by_rater(row)
        full = js_divergence_bits(row[None] / raters, p[None])[0]
        fewer = [
            js_divergence_bits(
                counted(labels[:i] + labels[i + 1 :], 4)[None] / (raters - 1), p[None]
            )[0]
            for i in range(raters)
        ]
        assert found == pytest.approx(raters * full - (raters - 1) * np.mean(fewer), abs=1e-9)


@always(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 3))
def test_the_second_panel_is_the_mean_over_all_pairs_of_raters(seed, raters, size):
    votes, _ = panel(seed, n=2, labels=3, raters=raters)
    for row, found in zip(votes, second_panel_js_bits(votes, size), strict=True):
        if raters < 2 * size:
            assert math.isnan(found)
            continue
        labels, apart = by_rater(row), []
        for one in itertools.combinations(range(raters), size):
            rest = [i for i in range(raters) if i not in one]
            for two in itertools.combinations(rest, size):
                a, b = (
                    counted([labels[i] for i in chosen], 3)[None] / size for chosen in (one, two)
                )
                apart.append(js_divergence_bits(a, b)[0])
        assert found == pytest.approx(np.mean(apart), abs=1e-9)


def test_a_larger_second_panel_is_closer_and_a_sure_one_is_equal():
    votes, _ = panel(1, n=200, raters=10)
    curve = second_panel_curve(votes)
    assert list(curve) == [1, 2, 3, 4, 5]
    means = [float(np.mean(values)) for values in curve.values()]
    assert means == sorted(means, reverse=True)
    assert second_panel_js_bits([[8, 0, 0]], 4).tolist() == [0]
    with pytest.raises(ValueError, match="size"):
        second_panel_js_bits(votes, 0)


@always(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_leaving_one_rater_out_is_that_by_hand(seed, raters):
    votes, _ = panel(seed, n=3, labels=4, raters=raters)
    for row, found in zip(votes, leave_one_rater_out_accuracy(votes), strict=True):
        labels, hits = by_rater(row), []
        for i, label in enumerate(labels):
            others = counted(labels[:i] + labels[i + 1 :], 4)
            hits.append((others[label] == others.max()) / np.sum(others == others.max()))
        assert found == pytest.approx(np.mean(hits), abs=1e-12)


def test_the_three_accuracies_and_the_best_possible():
    truth = np.array([[0.5, 0.5, 0.0], [0.6, 0.2, 0.2], [0.6, 0.2, 0.2]])
    predicted = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert accuracy(truth, predicted).tolist() == [0.5, 1, 0]
    np.testing.assert_array_equal(accuracy_untied(truth, predicted), [np.nan, 1, 0])
    assert accuracy_any_tied(truth, predicted).tolist() == [1, 1, 0]
    assert best_accuracy(truth).tolist() == [0.5, 1, 1]


@always(st.integers(0, 2**32 - 1))
def test_no_accuracy_is_above_the_best_and_any_tied_is_the_most_lenient(seed):
    votes, predicted = panel(seed, n=12, labels=4, raters=4)
    truth = votes / 4
    assert (accuracy(truth, predicted) <= best_accuracy(truth) + 1e-12).all()
    assert (accuracy(truth, predicted) <= accuracy_any_tied(truth, predicted) + 1e-12).all()


def test_the_prior_leaves_the_speaker_out():
    truth = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    found = prior_leave_cluster_out(truth, ["a", "a", "b", "b"])
    np.testing.assert_allclose(found, [[0.75, 0.25], [0.75, 0.25], [0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match="at least 2"):
        prior_leave_cluster_out(truth, ["a"] * 4)
    with pytest.raises(ValueError, match="cluster names"):
        prior_leave_cluster_out(truth, ["a"])


def test_skill_is_1_for_the_true_distribution_and_0_for_the_prior():
    random = np.random.default_rng(5)
    true = random.dirichlet(np.ones(4), size=6000)
    votes = random.multinomial(8, true[:, None, :].repeat(1, axis=1)[:, 0])
    clusters = [f"s{i % 30}" for i in range(6000)]
    knows = jackknife(skill_statistics(votes, true, clusters), clusters, skill)
    assert knows.low <= 1 <= knows.high
    assert knows.se < 0.02
    prior = prior_leave_cluster_out(votes / 8, clusters)
    assert jackknife(skill_statistics(votes, prior, clusters), clusters, skill).value == 0


def test_skill_has_no_value_where_the_prior_has_nothing_to_explain():
    votes = np.array([[2, 2], [2, 2], [2, 2]])
    found = jackknife(skill_statistics(votes, votes / 4, ["a", "b", "c"]), ["a", "b", "c"], skill)
    assert math.isnan(found.value)
    assert "not estimable" in found.reason


def test_one_stray_label_does_not_move_the_f1_over_the_truths_labels():
    y_true, y_pred = [0, 0, 1, 1, 0, 1], [0, 0, 1, 1, 0, 2]
    sums = confusion_statistics(np.eye(3)[y_true], np.eye(3)[y_pred]).sum(axis=0)
    expected = f1_score(y_true, y_pred, labels=[0, 1], average="macro")
    assert macro_f1_truth_labels(sums) == pytest.approx(expected, abs=1e-12)
    assert macro_f1_truth_labels(sums) > macro_f1(sums) + 0.2
    assert math.isnan(macro_f1_truth_labels(np.zeros(9)))


def test_one_vote_has_no_correction():
    votes, uniform = [[1, 0, 0]], [[1 / 3] * 3]
    assert np.isnan(brier_unbiased(votes, uniform)).all()
    assert np.isnan(js_divergence_bits_vote_jackknife(votes, uniform)).all()
    assert np.isnan(leave_one_rater_out_accuracy(votes)).all()
    assert skill_statistics([[1, 0, 0], [0, 1, 0]], uniform * 2, ["a", "b"]).tolist() == [
        [0, 0],
        [0, 0],
    ]


@pytest.mark.parametrize("bad", [[[0.5, 0.5]], [[-1, 2]], [[math.nan, 1]], [[math.inf, 1]], [1, 2]])
def test_votes_that_are_no_whole_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="votes: "):
        whole_votes(bad)
    with pytest.raises(ValueError, match="votes: "):
        brier_unbiased(bad, [[0.5, 0.5]])


def test_a_clip_without_votes_is_refused():
    with pytest.raises(ValueError, match="row 0 has no votes"):
        brier_unbiased([[0, 0]], [[0.5, 0.5]])


@always(st.lists(st.integers(0, 5), min_size=2, max_size=5), st.integers(0, 8))
def test_the_panels_are_all_choices_of_raters(votes, size):
    panels, ways = subpanels(tuple(votes), size)
    assert sum(ways) == math.comb(sum(votes), size)
    assert len({tuple(row) for row in panels.tolist()}) == len(panels)
    if len(panels):
        assert (panels <= np.array(votes)).all()
        assert (panels.sum(axis=1) == size).all()


@always(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_no_order_changes_a_bit(seed, random):
    votes, predicted = panel(seed, n=10, raters=7)
    clusters = [f"s{i % 3}" for i in range(10)]
    order = list(range(10))
    random.shuffle(order)
    again = [clusters[i] for i in order]
    for statistics, value in (
        (lambda v, p, c: statistics_of(brier_unbiased(v, p)), mean),
        (lambda v, p, c: statistics_of(js_divergence_bits_vote_jackknife(v, p)), mean),
        (lambda v, p, c: statistics_of(second_panel_js_bits(v, 2)), mean),
        (skill_statistics, skill),
    ):
        straight = jackknife(statistics(votes, predicted, clusters), clusters, value)
        shuffled = jackknife(statistics(votes[order], predicted[order], again), again, value)
        assert repr(straight) == repr(shuffled)


def test_statistics_of_leave_nan_out_and_keep_infinity():
    assert mean(statistics_of([1.0, np.nan, 2.0]).sum(axis=0)) == 1.5
    assert mean(statistics_of([1.0, np.inf]).sum(axis=0)) == np.inf
    truth, predicted = panel(9)[0] / 6, panel(9)[1]
    assert mean(statistics_of(accuracy(truth, predicted)).sum(axis=0)) == pytest.approx(
        evaluate(truth, predicted)["accuracy"]
    )
