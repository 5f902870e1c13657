"""The clustered bootstrap, paired differences and Holm's correction: right on average, the same to
the bit, and NaN where nothing is known.
"""

import math
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always, random_case

from ambiemo.metrics import METRICS, evaluate, metric
from ambiemo.metrics.arithmetic import grouped_totals, totals
from ambiemo.metrics.inference import (
    Resamples,
    cluster_sums,
    holm,
    interval,
    intervals,
    paired,
    resample_counts,
    statistics_of,
)
from ambiemo.seeds import seed

SEED = seed("test", "inference")
BRIER = metric("brier")


def speakers(n, count):
    return [f"speaker {i % count}" for i in range(n)]


def printed(results):
    return repr(
        {name: tuple(x.hex() for x in map(float, values)) for name, values in results.items()}
    )


def test_a_resample_is_the_metric_of_the_data_with_its_clusters_repeated():
    truth, predicted = random_case(1, n=24)
    clusters = speakers(24, 5)
    (counts,) = resample_counts(5, 6, SEED)
    for row in METRICS:
        sums = cluster_sums(row.statistics(truth, predicted), clusters)
        for drawn in counts:
            rows = [
                i for c, times in enumerate(drawn) for i in range(c, 24, 5) for _ in range(times)
            ]
            expected = evaluate(truth[rows], predicted[rows])[row.name]
            np.testing.assert_allclose(
                row.value((drawn[:, None] * sums).sum(axis=0)), expected, atol=1e-9, rtol=1e-9
            )


def test_every_resample_draws_as_many_clusters_as_there_are_each_equally_often():
    counts = np.concatenate(list(resample_counts(7, 5000, SEED)))
    assert counts.shape == (5000, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert abs(counts.mean(axis=0) - 1).max() < 0.06  # 4 standard errors
    assert counts.var() == pytest.approx(6 / 7, rel=0.05)


def test_the_first_resamples_are_pinned_so_no_version_of_numpy_changes_a_table():
    (counts,) = resample_counts(4, 3, 20260201)
    assert counts.tolist() == [[2, 1, 1, 0], [2, 1, 0, 1], [2, 0, 1, 1]]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    truth, predicted = random_case(2)
    clusters = speakers(60, 8)
    again = [
        printed(intervals(METRICS, truth, predicted, clusters, s, 200))
        for s in (SEED, SEED, SEED + 1)
    ]
    assert again[0] == again[1] != again[2]


@always(st.randoms(use_true_random=False))
def test_permuting_the_utterances_changes_no_bit_of_a_value_or_an_interval(shuffler):
    truth, predicted = random_case(3, n=40)
    clusters = np.array(speakers(40, 6))
    order = list(range(40))
    shuffler.shuffle(order)
    before = intervals(METRICS, truth, predicted, clusters, SEED, 50)
    after = intervals(METRICS, truth[order], predicted[order], clusters[order], SEED, 50)
    assert printed(before) == printed(after)


def test_one_metric_alone_has_the_interval_it_has_among_all():
    truth, predicted = random_case(4)
    clusters = speakers(60, 9)
    among = intervals(METRICS, truth, predicted, clusters, SEED, 100)
    alone = {row.name: interval(row, truth, predicted, clusters, SEED, 100) for row in METRICS}
    assert printed(among) == printed(alone)


def test_one_set_of_resamples_gives_every_metric_the_interval_that_it_has_alone():
    truth, a = random_case(4)
    b = (random_case(5)[1] + 1 / 6) / 2
    clusters = speakers(60, 9)
    drawn = Resamples(clusters, SEED, 100)
    for predicted in (a, b, a):  # used again and again, it stays the same
        points, repeats = drawn.evaluate(METRICS, *statistics_of(METRICS, truth, predicted))
        found = {name: drawn.interval(points[name], repeats[name]) for name in points}
        assert printed(found) == printed(
            {row.name: interval(row, truth, predicted, clusters, SEED, 100) for row in METRICS}
        )
        assert printed(found) == printed(intervals(METRICS, truth, predicted, clusters, SEED, 100))


def test_one_set_of_resamples_gives_every_difference_that_paired_gives():
    truth, a = random_case(4)
    b = (random_case(5)[1] + 1 / 6) / 2
    clusters = speakers(60, 9)
    drawn = Resamples(clusters, SEED, 100)
    sides = [drawn.evaluate(METRICS, *statistics_of(METRICS, truth, side)) for side in (a, b)]
    for row in METRICS:
        one, other = ((points[row.name], repeats[row.name]) for points, repeats in sides)
        for level in (0.95, 0.5):
            found = {"d": drawn.difference(one, other, level)}
            assert printed(found) == printed(
                {"d": paired(row, truth, a, b, clusters, SEED, 100, level)}
            )


def test_a_metric_on_every_resample_is_the_metric_of_the_repeated_utterances():
    truth, predicted = random_case(1, n=24)
    predicted = (predicted + 1 / 6) / 2
    clusters = speakers(24, 5)
    (counts,) = resample_counts(5, 6, SEED)
    points, repeats = Resamples(clusters, SEED, 6).evaluate(
        METRICS, *statistics_of(METRICS, truth, predicted)
    )
    for place, drawn in enumerate(counts):
        rows = [i for c, times in enumerate(drawn) for i in range(c, 24, 5) for _ in range(times)]
        expected = evaluate(truth[rows], predicted[rows])
        for name, values in repeats.items():
            np.testing.assert_allclose(values[place], expected[name], atol=1e-9, rtol=1e-9)
    assert printed({"points": points.values()}) == printed(
        {"points": evaluate(truth, predicted).values()}
    )


def test_resamples_of_fewer_than_two_clusters_are_none():
    truth, predicted = random_case(7)
    for clusters, rows in ((["one"] * 60, slice(None)), ([], slice(0))):
        drawn = Resamples(clusters, SEED, 50)
        _, repeats = drawn.evaluate(
            (BRIER,), *statistics_of((BRIER,), truth[rows], predicted[rows])
        )
        assert repeats["brier"].shape == (0,)
    with pytest.raises(ValueError, match="60 utterances but 59"):
        Resamples(["a"] * 59, SEED).evaluate((BRIER,), *statistics_of((BRIER,), truth, predicted))


def test_metrics_with_the_same_statistics_share_their_columns():
    truth, predicted = random_case(7)
    parts, columns = statistics_of(METRICS, truth, predicted)
    assert columns["macro_f1"] == columns["weighted_f1"] == columns["uar"]
    assert columns["ece_5"] != columns["ece_10"]
    assert parts.shape == (60, max(one.stop for one in columns.values()))
    for row in METRICS:
        assert parts[:, columns[row.name]].tobytes() == row.statistics(truth, predicted).tobytes()


@always(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_grouped_totals_are_fsum_of_each_group_to_the_bit(number, sizes):
    random = np.random.default_rng(number)
    n = sum(sizes)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    statistics = np.stack(
        [
            random.integers(0, 2, n).astype(float),
            random.integers(-(2**31) + 1, 2**31, n).astype(float),
            random.integers(-(2**52), 2**52, n).astype(
                float
            ),  # whole, but their running sum would not be exact
            random.random(n),
            random.normal(size=n) * 10.0 ** random.integers(-30, 30, n),
            random.normal(size=n) * 2.0 ** random.integers(-60, 46, n),
            random.normal(size=n) * 5e-324,
            np.where(random.random(n) < 0.5, random.random(n), random.integers(-9, 9, n)),
            np.zeros(n) * -1.0,
            np.where(random.random(n) < 0.2, np.inf, 1.0),
        ],
        axis=1,
    ).reshape(n, 10)
    expected = [
        [math.fsum(statistics[start:end, column]) for column in range(10)]
        for start, end in pairwise(edges)
    ]
    assert grouped_totals(statistics, edges).tobytes() == np.array(expected).tobytes()
    assert (
        grouped_totals(np.asfortranarray(statistics), edges).tobytes()
        == np.array(expected).tobytes()
    )
    whole = [math.fsum(column) for column in statistics.T.tolist()]
    assert totals(statistics).tobytes() == np.array(whole).tobytes()
    order = random.permutation(n)
    assert totals(statistics[order]).tobytes() == np.array(whole).tobytes()


def test_a_group_with_a_value_that_is_not_estimable_has_no_total_and_the_others_have():
    statistics = np.array([[1.0, 0.5], [np.nan, 0.25], [2.0, np.nan]])
    found = grouped_totals(statistics, np.array([0, 1, 3]))
    np.testing.assert_array_equal(found, [[1.0, 0.5], [np.nan, np.nan]])


def test_clusters_are_summed_in_the_order_of_their_names():
    statistics = np.array([[1.0, 0.1], [2.0, 0.2], [4.0, 0.3], [8.0, 0.4]])
    found = cluster_sums(statistics, ["b", "a", "b", "c"])
    assert found.tolist() == [[2.0, 0.2], [5.0, math.fsum([0.1, 0.3])], [8.0, 0.4]]
    assert cluster_sums(statistics[:0], []).shape == (0, 2)


def test_the_number_of_threads_changes_no_bit():
    program = (
        "from metrics_cases import random_case; from ambiemo.metrics import METRICS;"
        "from ambiemo.metrics.inference import intervals, paired;"
        "t, p = random_case(6, n=1000); c = [str(i % 91) for i in range(1000)];"
        "print(intervals(METRICS, t, p, c, 7, 200)); print(paired(METRICS[0], t, p, p[::-1], c, 7, 200))"
    )
    outputs = set()
    for threads in ("1", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = (
            os.environ | dict.fromkeys(names, threads) | {"PYTHONPATH": os.path.dirname(__file__)}
        )
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        outputs.add(run.stdout)
    assert len(outputs) == 1


def test_large_blocks_and_small_ones_draw_the_same_clusters(monkeypatch):
    whole = np.concatenate(list(resample_counts(11, 50, SEED)))
    monkeypatch.setattr("ambiemo.metrics.inference.BLOCK", 33)
    np.testing.assert_array_equal(np.concatenate(list(resample_counts(11, 50, SEED))), whole)


def clustered_means(random, clusters=30, size=5):
    """Two-label truth and prediction whose Brier score has a cluster effect; its expectation is
    known.
    """
    level = np.repeat(random.uniform(0.1, 0.3, clusters), size)
    miss = level + random.uniform(-0.1, 0.1, clusters * size)
    truth = np.tile([1.0, 0.0], (clusters * size, 1))
    return (
        truth,
        np.stack([1 - miss, miss], axis=1),
        [f"{i // size:02}" for i in range(clusters * size)],
    )


EXPECTED_BRIER = 2 * (0.2**2 + 0.2**2 / 12 + 0.2**2 / 12)


def test_the_interval_covers_the_expectation_about_as_often_as_it_says():
    random = np.random.default_rng(11)
    covered = 0
    for trial in range(300):
        truth, predicted, clusters = clustered_means(random)
        _, low, high = interval(BRIER, truth, predicted, clusters, seed("coverage", trial), 400)
        covered += low <= EXPECTED_BRIER <= high
    assert 0.89 <= covered / 300 <= 0.98


def test_leaving_out_the_clusters_would_make_the_interval_too_short():
    truth, predicted, clusters = clustered_means(np.random.default_rng(12), clusters=20, size=20)
    _, low, high = interval(BRIER, truth, predicted, clusters, SEED)
    alone = [str(i) for i in range(len(clusters))]
    _, low_alone, high_alone = interval(BRIER, truth, predicted, alone, SEED)
    assert high - low > 1.5 * (high_alone - low_alone)


def test_p_is_small_about_as_often_as_it_says_when_nothing_differs():
    random = np.random.default_rng(13)
    small = 0
    for trial in range(200):
        truth, a, clusters = clustered_means(random)
        b = clustered_means(random)[1]
        small += paired(BRIER, truth, a, b, clusters, seed("null", trial), 400).p < 0.05
    assert 0.01 <= small / 200 <= 0.11


@pytest.mark.parametrize("clusters", [2, 4, 5])
def test_with_few_clusters_nothing_is_ever_sure_at_5_percent_when_nothing_differs(clusters):
    random = np.random.default_rng(15)
    for trial in range(60):
        truth, a, names = clustered_means(random, clusters)
        b = clustered_means(random, clusters)[1]
        assert (
            paired(BRIER, truth, a, b, names, seed("few", trial), 400).p
            >= 2.0 ** (1 - clusters)
            > 0.05
        )


@pytest.mark.parametrize("clusters", [2, 3, 6, 8, 10])
def test_few_clusters_that_all_differ_the_same_way_have_the_p_of_a_sign_flip_test(clusters):
    truth = random_case(16)[0]
    found = paired(
        BRIER, truth, truth, np.full(truth.shape, 1 / 6), speakers(60, clusters), SEED, 2000
    )
    assert found.p == 2.0 ** (1 - clusters)


@pytest.mark.parametrize("clusters", [12, 20, 60])
def test_the_floor_changes_no_p_of_12_clusters_or_more(clusters):
    truth, a = random_case(17)
    for b in (truth, random_case(18)[1], 0.9 * a + 0.1 * random_case(19)[1]):
        repeats = []
        for side in (a, b):
            sums = cluster_sums(BRIER.statistics(truth, side), speakers(60, clusters))
            counts = np.concatenate(list(resample_counts(clusters, 2000, SEED)))
            repeats.append(BRIER.value((counts[:, :, None] * sums).sum(axis=1)))
        d = repeats[0] - repeats[1]
        assert min(abs(d)) > 1e-9, "no resample is a tie, so no rounding decides"
        expected = min(1, 2 * (1 + min((d < 0).sum(), (d > 0).sum())) / 2001)
        assert paired(BRIER, truth, a, b, speakers(60, clusters), SEED, 2000).p == expected


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_one_cluster_gives_a_value_and_no_interval_and_no_p(row):
    truth, predicted = random_case(7)
    predicted = (predicted + 1 / 6) / 2  # no zeros, so KL is finite
    value, low, high = interval(row, truth, predicted, ["one"] * 60, SEED, 50)
    assert np.isfinite(value)
    assert np.isnan([low, high]).all()
    difference, low, high, p = paired(row, truth, predicted, truth, ["one"] * 60, SEED, 50)
    assert np.isfinite(difference)
    assert np.isnan([low, high, p]).all()


def test_no_utterances_give_no_value_and_no_interval():
    nothing = np.zeros((0, 4))
    assert np.isnan([interval(row, nothing, nothing, [], SEED, 50) for row in METRICS]).all()


def test_an_infinite_value_has_no_interval():
    value, low, high = interval(
        metric("kl_nats"), [[0.5, 0.5]] * 4, [[0.5, 0.5]] * 3 + [[1, 0]], "abcd", SEED, 50
    )
    assert value == np.inf
    assert np.isnan([low, high]).all()


def test_a_metric_lost_in_too_many_resamples_has_no_interval():
    uniform, sure = [0.5, 0.5], [0.9, 0.1]
    truth = [[0.8, 0.2]] * 6
    few = interval(metric("r2_pearson"), truth, [sure] + [uniform] * 5, "abcdef", SEED, 200)
    most = interval(metric("r2_pearson"), truth, [sure] * 5 + [uniform], "abcdef", SEED, 200)
    assert [few.value, most.value] == pytest.approx([1, 1])
    assert np.isnan([few.low, few.high]).all()
    assert [most.low, most.high] == pytest.approx([1, 1])


def test_equal_predictions_differ_by_exactly_0_with_p_1():
    truth, predicted = random_case(8)
    finite = (predicted + 1 / 6) / 2
    for row in METRICS:
        assert paired(row, truth, finite, finite, speakers(60, 8), SEED, 100) == (0, 0, 0, 1)


def test_swapping_a_and_b_turns_the_difference_around_and_keeps_p():
    truth, a = random_case(9)
    b = random_case(10)[1]
    there = paired(BRIER, truth, a, b, speakers(60, 8), SEED, 500)
    back = paired(BRIER, truth, b, a, speakers(60, 8), SEED, 500)
    np.testing.assert_allclose(there, (-back.difference, -back.high, -back.low, back.p), atol=1e-12)


def test_a_clear_difference_has_an_interval_off_0_and_the_smallest_p():
    truth = random_case(9)[0]
    difference, low, high, p = paired(
        BRIER, truth, truth, np.full(truth.shape, 1 / 6), speakers(60, 12), SEED, 499
    )
    assert low < difference < high < 0
    assert p == pytest.approx(2 / 500)


def test_pairing_is_sharper_than_two_intervals():
    truth, a = random_case(14)
    b = 0.99 * a + 0.01 * truth
    clusters = speakers(60, 12)
    both = [interval(BRIER, truth, side, clusters, SEED, 500) for side in (a, b)]
    difference = paired(BRIER, truth, a, b, clusters, SEED, 500)
    assert difference.high - difference.low < 0.1 * min(x.high - x.low for x in both)
    assert difference.low > 0


def test_unlike_numbers_of_utterances_and_clusters_are_refused():
    with pytest.raises(ValueError, match="60 utterances but 59"):
        interval(BRIER, *random_case(1), ["a"] * 59, SEED)


@always(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_adjusts_to_the_smallest_level_at_which_the_step_down_still_rejects(p):
    def rejected(level):
        found = set()
        for step, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[i] * (len(p) - step) > level:
                break
            found.add(i)
        return found

    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3, *adjusted[adjusted < 1]):
        assert rejected(level) == {i for i, value in enumerate(adjusted) if value <= level}


def test_holm_on_the_textbook_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_counts_a_comparison_that_was_not_estimable_and_gives_it_no_p():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.03, np.nan, 0.08])
    assert holm([]).size == 0


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="0 to 1"):
        holm([0.5, 1.5])
