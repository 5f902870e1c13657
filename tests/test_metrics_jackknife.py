"""The jackknife over clusters: equal to leaving the rows out by hand, blind to order, and a named
refusal where nothing is known."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always, cases, random_case
from scipy import stats

from ambiemo.metrics import METRICS, evaluate, metric
from ambiemo.metrics.jackknife import Estimate, detectable, effective_clusters, estimate, paired
from ambiemo.metrics.signflip import floor, sign_flip, sign_flips
from ambiemo.metrics.student import critical, two_sided_p

BRIER = metric("brier")
SMOOTH = [row for row in METRICS if row.name != "kl_nats"]


def speakers(n, count):
    return [f"speaker {i % count}" for i in range(n)]


def by_hand(values_without, value, sizes, level=0.95):
    """Interval from the leave-one-out values, with scipy's t."""
    c = len(values_without)
    se = np.sqrt((c - 1) / c * np.sum((values_without - np.mean(values_without)) ** 2))
    df = np.sum(sizes) ** 2 / np.sum(np.square(sizes)) - 1
    margin = stats.t.ppf((1 + level) / 2, df) * se
    return se, value - margin, value + margin, 2 * stats.t.sf(abs(value / se), df)


@pytest.mark.parametrize("row", SMOOTH, ids=lambda row: row.name)
def test_the_interval_is_that_of_leaving_the_rows_out_by_hand(row):
    truth, predicted = random_case(3, n=50)
    clusters = np.array(speakers(50, 7))
    clusters[:6] = "speaker 0"
    names = sorted(set(clusters))
    without = np.array(
        [evaluate(truth[clusters != c], predicted[clusters != c])[row.name] for c in names]
    )
    value = evaluate(truth, predicted)[row.name]
    expected = by_hand(without, value, [np.sum(clusters == c) for c in names])
    found = estimate(row, truth, predicted, clusters.tolist())
    assert found.reason == ""
    np.testing.assert_allclose(
        [found.se, found.low, found.high, found.p], expected, atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("row", SMOOTH, ids=lambda row: row.name)
def test_a_paired_difference_is_that_of_leaving_the_rows_out_by_hand(row):
    truth, a = random_case(4, n=60)
    _, b = random_case(5, n=60)
    clusters = np.array(speakers(60, 9))
    names = sorted(set(clusters))

    def difference(kept):
        return evaluate(truth[kept], a[kept])[row.name] - evaluate(truth[kept], b[kept])[row.name]

    known = np.ones(60, dtype=bool)
    if row.name == "r2_pearson":
        from ambiemo.metrics.distribution import r2_pearson

        known = ~np.isnan(r2_pearson(truth, a)) & ~np.isnan(r2_pearson(truth, b))
    without = np.array([difference(known & (clusters != c)) for c in names])
    expected = by_hand(without, difference(known), [np.sum(known & (clusters == c)) for c in names])
    found = paired(row, truth, a, b, clusters.tolist())
    assert found.n == known.sum()
    np.testing.assert_allclose(
        [found.se, found.low, found.high, found.p], expected, atol=1e-9, rtol=1e-9
    )


def test_for_a_mean_over_equal_clusters_it_is_the_t_interval_of_the_cluster_means():
    truth, predicted = random_case(6, n=48)
    clusters = speakers(48, 12)
    errors = ((truth - predicted) ** 2).sum(axis=1)
    means = [errors[i::12].mean() for i in range(12)]
    found = estimate(BRIER, truth, predicted, clusters)
    expected = stats.t.interval(0.95, 11, np.mean(means), stats.sem(means))
    np.testing.assert_allclose((found.low, found.high), expected, atol=1e-12)
    assert found.effective == pytest.approx(12)


@always(cases(least=2, most=12), st.randoms(use_true_random=False))
def test_no_order_of_the_utterances_changes_a_bit(case, random):
    truth, predicted = case
    clusters = speakers(len(truth), 4)
    order = list(range(len(truth)))
    random.shuffle(order)
    for row in METRICS:
        straight = estimate(row, truth, predicted, clusters)
        shuffled = estimate(row, truth[order], predicted[order], [clusters[i] for i in order])
        assert repr(straight) == repr(shuffled), row.name


@always(cases(least=1, most=6), st.integers(1, 3))
def test_there_is_an_interval_or_a_reason_and_never_nan_without_one(case, count):
    truth, predicted = case
    for row in METRICS:
        found = estimate(row, truth, predicted, speakers(len(truth), count))
        numbers = (found.se, found.low, found.high, found.p)
        assert (
            all(map(math.isnan, numbers)) if found.reason else all(map(math.isfinite, numbers))
        ), row.name


REFUSED = {
    "one cluster": ([0, 0, 0, 0], "one cluster"),
    "nearly one cluster": ([0] * 50 + [1], "effective clusters"),
}


@pytest.mark.parametrize(("numbers", "reason"), REFUSED.values(), ids=REFUSED)
def test_too_few_clusters_are_refused(numbers, reason):
    truth, predicted = random_case(7, n=len(numbers))
    found = estimate(BRIER, truth, predicted, list(map(str, numbers)))
    assert reason in found.reason
    assert math.isfinite(found.value)
    assert math.isnan(found.low)


def test_one_utterance_and_none_are_refused():
    truth, predicted = random_case(8, n=1)
    assert "one utterance" in estimate(BRIER, truth, predicted, ["a"]).reason
    assert "no utterances" in estimate(BRIER, truth[:0], predicted[:0], []).reason


def test_two_clusters_give_a_very_wide_interval():
    truth, predicted = random_case(9, n=20)
    found = estimate(BRIER, truth, predicted, speakers(20, 2))
    assert found.reason == ""
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 1) * found.se)


def test_an_infinite_value_is_refused_and_so_is_a_constant_one():
    truth = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    hard = np.array([[1.0, 0.0]] * 3)
    assert "infinite" in estimate(metric("kl_nats"), truth, hard, ["a", "b", "c"]).reason
    flat = np.full((3, 2), 0.5)
    assert "same whichever" in estimate(metric("accuracy"), truth, flat, ["a", "b", "c"]).reason
    assert "not estimable" in estimate(metric("r2_pearson"), truth, flat, ["a", "b", "c"]).reason


def test_equal_predictions_differ_by_exactly_nothing():
    truth, predicted = random_case(10)
    for row in SMOOTH:
        found = paired(row, truth, predicted, predicted, speakers(60, 6))
        assert (found.value, found.low, found.high, found.p, found.reason) == (0, 0, 0, 1, ""), (
            row.name
        )


def test_abstaining_on_hard_utterances_wins_nothing_in_r2():
    truth, predicted = random_case(11)
    abstains = predicted.copy()
    abstains[::2] = 1 / 6
    found = paired(metric("r2_pearson"), truth, abstains, predicted, speakers(60, 6))
    assert (found.value, found.p) == (0, 1)
    assert found.n <= 30


def test_effective_clusters_are_the_clusters_if_equal_and_fewer_if_not():
    assert effective_clusters([8] * 12) == 12
    assert effective_clusters([1, 1, 8]) == pytest.approx(100 / 66)
    assert math.isnan(effective_clusters([]))


def test_the_detectable_difference_is_found_as_often_as_it_says():
    random = np.random.default_rng(1)
    df, runs = 11, 20000
    shift = (critical(0.05, df) + critical(0.4, df)) * 1.0
    normal, spread = random.standard_normal(runs), np.sqrt(random.chisquare(df, runs) / df)
    called = np.mean(np.abs((normal + shift) / spread) > critical(0.05, df))
    assert called == pytest.approx(0.8, abs=0.02)
    found = Estimate(0, 1.0, 0, 0, 1, 12, 12.0, 96)
    assert detectable(found) == pytest.approx(shift)
    assert detectable(found, family=19) > detectable(found)
    assert math.isnan(detectable(found._replace(se=math.nan)))
    with pytest.raises(ValueError, match="family"):
        detectable(found, family=0)


@pytest.mark.parametrize("family", [1, 7])
@pytest.mark.parametrize("clusters", [4, 5, 6, 8, 9, 12])
def test_what_is_called_detectable_is_called_by_the_sign_flip(clusters: int, family: int):
    one = Estimate(0, 1.0, 0, 0, 1, clusters, float(clusters), 8 * clusters)
    shift = detectable(one, family, least_p=floor(clusters))
    if math.isnan(shift):  # then the largest difference there is would not be called either
        assert sign_flip(np.full(clusters, 1e6)) * family >= 0.05
        return
    noise = np.random.default_rng(3).standard_normal((clusters, 1000)) * np.sqrt(clusters)
    called = np.mean(sign_flips(noise + shift) * family < 0.05)
    assert called > 0.5


@pytest.mark.parametrize("df", [0.6, 1, 2.7, 11, 90.3, 2000])
def test_t_is_scipys(df):
    for t in (1e-3, 0.5, 1.0, 2.2, 5.0, 40.0):
        assert two_sided_p(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-10)
    for alpha in (0.9, 0.05, 0.05 / 19, 1e-5):
        assert critical(alpha, df) == pytest.approx(stats.t.isf(alpha / 2, df), rel=1e-10)


def test_t_of_nonsense_is_refused():
    assert two_sided_p(0, 3) == 1
    assert two_sided_p(math.inf, 3) == 0
    assert math.isnan(two_sided_p(math.nan, 3))
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="df"):
            two_sided_p(1, bad)
    with pytest.raises(ValueError, match="alpha"):
        critical(1.5, 3)


def test_statistics_that_are_not_finite_are_refused_by_row():
    from ambiemo.metrics.jackknife import jackknife

    with pytest.raises(ValueError, match="row 1"):
        jackknife([[1.0], [math.nan]], ["a", "b"], lambda sums: sums[..., 0])
