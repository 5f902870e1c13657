"""Distances between distributions against scipy and scikit-learn, and what must hold whatever the
numbers.
"""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from metrics_cases import always, cases, random_case
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, pearsonr
from sklearn.metrics import r2_score

from ambiemo.metrics import evaluate, metric
from ambiemo.metrics.arithmetic import totals
from ambiemo.metrics.distribution import (
    bhattacharyya,
    brier,
    determination_statistics,
    js_distance_nats,
    js_divergence_bits,
    kl_nats,
    r2_pearson,
    r2_per_emotion,
)

PER_UTTERANCE = (js_divergence_bits, js_distance_nats, bhattacharyya, r2_pearson, brier, kl_nats)
SYMMETRIC = (js_divergence_bits, js_distance_nats, bhattacharyya, r2_pearson, brier)


@always(cases())
def test_js_divergence_is_the_mixture_entropy_minus_the_mean_entropy_in_bits(case):
    truth, predicted = case
    apart = (entropy(truth, base=2, axis=1) + entropy(predicted, base=2, axis=1)) / 2
    np.testing.assert_allclose(
        js_divergence_bits(truth, predicted),
        entropy((truth + predicted) / 2, base=2, axis=1) - apart,
        atol=1e-9,
    )


@always(cases())
def test_js_distance_is_scipys_where_scipy_keeps_its_digits(case):
    truth, predicted = case
    ours = js_distance_nats(truth, predicted)
    apart = (
        np.abs(truth - predicted).max(axis=1) > 1e-6
    )  # closer ones cancel inside scipy: see the next test
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy takes the root of -1e-17 on rows we do not compare
        theirs = jensenshannon(truth, predicted, axis=1)
    np.testing.assert_allclose(ours[apart], theirs[apart], atol=1e-9)
    np.testing.assert_allclose(ours[~apart], np.nan_to_num(theirs[~apart]), atol=1e-7)


def test_js_distance_keeps_its_digits_between_nearly_equal_distributions():
    step = 2.0**-30
    truth, predicted = np.array([0.5, 0.5]), np.array([0.5 + step, 0.5 - step])
    x = Fraction(step) / (1 + Fraction(step)), Fraction(step) / (1 - Fraction(step))
    leading = sum(
        (both * lean**2) / 4
        for both, lean in ((1 + Fraction(step), x[0]), (1 - Fraction(step), x[1]))
    )
    assert js_distance_nats(truth, predicted) == pytest.approx(float(leading) ** 0.5, rel=1e-6)


@always(cases())
def test_bhattacharyya_is_one_minus_the_squared_hellinger_distance(case):
    truth, predicted = case
    hellinger2 = ((np.sqrt(truth) - np.sqrt(predicted)) ** 2).sum(axis=1) / 2
    np.testing.assert_allclose(bhattacharyya(truth, predicted), 1 - hellinger2, atol=1e-9)


@always(cases())
def test_r2_pearson_is_scipys_squared_where_neither_side_is_constant(case):
    for t, p, ours in zip(*case, r2_pearson(*case), strict=True):
        if np.ptp(t) < 1e-9 or np.ptp(p) < 1e-9:
            assert np.isnan(ours)
        elif np.ptp(p) > 1e-5:
            assert ours == pytest.approx(pearsonr(t, p).statistic ** 2, abs=1e-9)


@always(cases())
def test_kl_is_scipys_entropy_and_infinite_exactly_where_a_voted_label_got_nothing(case):
    truth, predicted = case
    ours = kl_nats(truth, predicted)
    np.testing.assert_allclose(ours, entropy(truth, predicted, axis=1), atol=1e-9)
    assert (np.isinf(ours) == ((truth > 0) & (predicted == 0)).any(axis=1)).all()


@always(cases())
def test_brier_is_summed_by_hand(case):
    truth, predicted = case
    by_hand = [
        sum((t - p) ** 2 for t, p in zip(*pair, strict=True))
        for pair in zip(truth, predicted, strict=True)
    ]
    np.testing.assert_allclose(brier(truth, predicted), by_hand, atol=1e-12)


@always(cases(least=2))
def test_r2_determination_is_scikit_learns_over_the_emotions_that_vary(case):
    truth, predicted = case
    varies = np.ptp(truth, axis=0) > 1e-9
    value = evaluate(truth, predicted)["r2_determination"]
    if not varies.any():
        assert np.isnan(value)
        return
    theirs = r2_score(truth[:, varies], predicted[:, varies], multioutput="raw_values")
    np.testing.assert_allclose(value, theirs.mean(), atol=1e-9, rtol=1e-9)


def test_r2_determination_keeps_nine_digits_on_one_rare_vote_in_many_utterances():
    n = 20_000
    truth = np.tile([0.0, 0.4, 0.6], (n, 1))
    truth[7] = [0.02, 0.38, 0.6]
    predicted = np.tile([0.001, 0.399, 0.6], (n, 1))
    ours = r2_per_emotion(totals(determination_statistics(truth, predicted)))
    theirs = r2_score(truth[:, :2], predicted[:, :2], multioutput="raw_values")
    np.testing.assert_allclose(ours[:2], theirs, rtol=1e-9)
    assert np.isnan(ours[2])


@pytest.mark.parametrize("seed", range(5))
def test_every_value_agrees_with_an_independent_one_on_sixty_utterances(seed):
    truth, predicted = random_case(seed)
    values = evaluate(truth, predicted)
    squared = [
        pearsonr(t, p).statistic ** 2
        for t, p in zip(truth, predicted, strict=True)
        if np.ptp(t) > 0
    ]
    distance = jensenshannon(truth, predicted, axis=1)
    expected = {
        "js_divergence_bits": (distance**2 / np.log(2)).mean(),
        "js_distance_nats": distance.mean(),
        "bhattacharyya": np.sqrt(truth * predicted).sum(axis=1).mean(),
        "r2_pearson": np.mean(squared),
        "r2_determination": r2_score(truth, predicted),
        "brier": ((truth - predicted) ** 2).sum(axis=1).mean(),
        "kl_nats": entropy(truth, predicted, axis=1).mean(),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-9), name


@always(cases())
def test_bounds_hold_to_the_last_bit(case):
    assert ((js_divergence_bits(*case) >= 0) & (js_divergence_bits(*case) <= 1)).all()
    assert ((js_distance_nats(*case) >= 0) & (js_distance_nats(*case) <= np.sqrt(np.log(2)))).all()
    assert ((bhattacharyya(*case) >= 0) & (bhattacharyya(*case) <= 1)).all()
    assert (brier(*case) <= 2 + 1e-12).all()
    assert (kl_nats(*case) >= 0).all()
    known = r2_pearson(*case)[~np.isnan(r2_pearson(*case))]
    assert ((known >= 0) & (known <= 1)).all()


@always(cases())
def test_a_prediction_equal_to_the_truth_is_perfect(case):
    truth = case[0]
    for function in (js_divergence_bits, js_distance_nats, brier, kl_nats):
        assert (function(truth, truth) == 0).all(), function.__name__
    np.testing.assert_allclose(bhattacharyya(truth, truth), 1, atol=1e-12)


def test_disjoint_distributions_are_as_far_apart_as_can_be():
    truth, predicted = [[0.5, 0.5, 0, 0]], [[0, 0, 0.25, 0.75]]
    assert js_divergence_bits(truth, predicted) == pytest.approx(1, abs=1e-12)
    assert js_distance_nats(truth, predicted) == pytest.approx(0.8326, abs=1e-4)
    assert bhattacharyya(truth, predicted) == 0
    assert np.isinf(kl_nats(truth, predicted)).all()


@always(cases())
def test_permuting_the_labels_changes_no_distance(case):
    truth, predicted = case
    turned = np.roll(np.arange(truth.shape[1]), 1)
    for function in PER_UTTERANCE:
        np.testing.assert_allclose(
            function(truth, predicted), function(truth[:, turned], predicted[:, turned]), atol=1e-9
        )


@always(cases())
def test_symmetric_measures_do_not_care_which_side_is_the_truth(case):
    truth, predicted = case
    for function in SYMMETRIC:
        np.testing.assert_allclose(
            function(truth, predicted), function(predicted, truth), atol=1e-12
        )


@always(cases())
def test_an_utterance_has_the_same_bits_alone_and_in_any_company_and_layout(case):
    truth, predicted = case
    for function in PER_UTTERANCE:
        together = function(truth, predicted)
        alone = np.concatenate(
            [function(t[None], p[None]) for t, p in zip(truth, predicted, strict=True)]
        )
        assert together.tobytes() == alone.tobytes(), function.__name__
        columns = function(np.asfortranarray(truth), np.asfortranarray(predicted))
        assert together.tobytes() == columns.tobytes(), function.__name__


def test_a_uniform_prediction_has_no_pearson_r2_rather_than_zero():
    uniform = np.full((3, 6), 1 / 6)
    truth = random_case(1, n=3)[0]
    assert np.isnan(r2_pearson(truth, uniform)).all()
    assert np.isnan(evaluate(truth, uniform)["r2_pearson"])


def test_floating_point_dust_on_a_uniform_prediction_does_not_make_it_estimable():
    dusty = np.array([[1 / 3 + 1e-16, 1 / 3, 1 / 3 - 1e-16]])
    assert np.isnan(r2_pearson([[0.2, 0.3, 0.5]], dusty)).all()


def test_utterances_without_a_pearson_r2_are_left_out_of_the_mean():
    truth = np.array([[0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3]])
    predicted = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    assert evaluate(truth, predicted)["r2_pearson"] == pytest.approx(1, abs=1e-12)


def test_one_impossible_utterance_makes_the_whole_kl_infinite():
    truth = np.array([[0.5, 0.5], [0.5, 0.5]])
    predicted = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert evaluate(truth, predicted)["kl_nats"] == np.inf


def test_one_utterance_has_no_r2_determination():
    assert np.isnan(evaluate([[0.2, 0.8]], [[0.3, 0.7]])["r2_determination"])


def test_a_root_after_the_mean_would_be_another_number():
    truth, predicted = random_case(3)
    values = evaluate(truth, predicted)
    assert values["js_distance_nats"] < (values["js_divergence_bits"] * np.log(2)) ** 0.5 - 1e-6


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([[0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]], "the same"),
        ([[0.5, 0.5], [0.5, 0.4]], [[0.5, 0.5], [0.5, 0.5]], "truth: row 1"),
        ([[0.5, 0.5]], [[np.nan, 0.5]], "predicted: row 0"),
        ([[0.5, 0.5]], [[-0.5, 1.5]], "predicted: row 0"),
        ([[1.0]], [[1.0]], "at least 2 labels"),
    ],
)
def test_what_is_no_distribution_is_refused_by_row(truth, predicted, message):
    for function in PER_UTTERANCE:
        with pytest.raises(ValueError, match=message):
            function(truth, predicted)


def test_the_mean_of_no_utterances_is_not_estimable():
    assert np.isnan(metric("brier").value(np.zeros(3)))
