"""Accuracy, F1 and recall: scikit-learn's numbers without ties, equal shares with them."""

import numpy as np
import pytest
from hypothesis import assume
from metrics_cases import always, cases, random_case
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from ambiemo.metrics import evaluate
from ambiemo.metrics.arithmetic import top_shares
from ambiemo.metrics.classification import accuracy
from ambiemo.metrics.classification import confusion_matrix as fractional

NAMES = ("accuracy", "macro_f1", "weighted_f1", "uar")


def untied(values):
    ordered = np.sort(values, axis=1)
    return ordered[:, -1] - ordered[:, -2] > 1e-6


def theirs(truth, predicted):
    """scikit-learn's values on argmax labels."""
    t, p = truth.argmax(axis=1), predicted.argmax(axis=1)
    hits = [np.mean(p[t == label] == label) for label in np.unique(t)]
    expected = {
        "accuracy": accuracy_score(t, p),
        "macro_f1": f1_score(t, p, average="macro"),
        "weighted_f1": f1_score(t, p, average="weighted"),
        "uar": np.mean(hits),
    }
    if set(p) <= set(t) and len(hits) > 1:  # scikit-learn warns otherwise
        assert expected["uar"] == pytest.approx(balanced_accuracy_score(t, p), abs=1e-12)
    return expected


@always(cases(most=30))
def test_without_ties_every_number_is_scikit_learns(case):
    keep = untied(case[0]) & untied(case[1])
    assume(keep.any())
    truth, predicted = case[0][keep], case[1][keep]
    values = evaluate(truth, predicted)
    for name, value in theirs(truth, predicted).items():
        assert values[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_the_confusion_matrix_is_scikit_learns(seed):
    truth, predicted = random_case(seed, n=200)
    keep = untied(truth) & untied(predicted)
    t, p = truth[keep].argmax(axis=1), predicted[keep].argmax(axis=1)
    np.testing.assert_array_equal(
        fractional(truth[keep], predicted[keep]), confusion_matrix(t, p, labels=range(6))
    )


@always(cases())
def test_the_mean_over_every_way_to_break_the_ties_is_the_shared_accuracy(case):
    for t, p, ours in zip(*case, accuracy(*case), strict=True):
        tops = [np.flatnonzero(side >= side.max() - 1e-9) for side in (t, p)]
        ways = [i == j for i in tops[0] for j in tops[1]]
        assert ours == pytest.approx(np.mean(ways), abs=1e-12)


@always(cases())
def test_the_confusion_matrix_sums_to_n_and_its_trace_is_the_accuracy(case):
    matrix = fractional(*case)
    assert matrix.sum() == pytest.approx(len(case[0]), abs=1e-9)
    assert np.trace(matrix) / len(case[0]) == pytest.approx(evaluate(*case)["accuracy"], abs=1e-12)


@always(cases())
def test_permuting_the_labels_changes_no_score_even_with_ties(case):
    truth, predicted = case
    turned = np.roll(np.arange(truth.shape[1]), 1)
    before, after = evaluate(truth, predicted), evaluate(truth[:, turned], predicted[:, turned])
    for name in (*NAMES, "ece_5", "ece_10"):
        assert before[name] == pytest.approx(after[name], abs=1e-9), name


@always(cases())
def test_writing_every_utterance_twice_changes_no_score(case):
    once, twice = evaluate(*case), evaluate(*(np.repeat(side, 2, axis=0) for side in case))
    for name in once:
        np.testing.assert_allclose(once[name], twice[name], atol=1e-9, rtol=1e-9, err_msg=name)


@always(cases())
def test_scores_lie_between_0_and_1(case):
    values = evaluate(*case)
    for name in (*NAMES, "ece_5", "ece_10"):
        assert -1e-12 <= values[name] <= 1 + 1e-12, name


def test_a_split_plurality_gives_half_a_hit_to_either_of_its_labels():
    truth = [[0.4, 0.4, 0.2]] * 3
    np.testing.assert_array_equal(accuracy(truth, np.eye(3)), [0.5, 0.5, 0])


def test_a_uniform_prediction_hits_one_time_in_k_whatever_the_truth():
    truth = random_case(2)[0]
    np.testing.assert_allclose(accuracy(truth, np.full(truth.shape, 1 / 6)), 1 / 6, atol=1e-12)


def test_floating_point_dust_does_not_break_a_tie():
    np.testing.assert_array_equal(
        top_shares(np.array([[0.1 + 0.2, 0.3, 0.4 - 1e-17]])), [[0, 0, 1]]
    )
    np.testing.assert_array_equal(top_shares(np.array([[0.1 + 0.2, 0.3, 0.2]])), [[0.5, 0.5, 0]])


def test_a_label_that_never_occurs_is_left_out_of_macro_f1_and_one_only_predicted_counts_as_0():
    truth = np.eye(3)[[0, 0, 1, 1]]
    assert evaluate(truth, truth)["macro_f1"] == 1
    predicted = np.eye(3)[[0, 0, 1, 2]]
    assert evaluate(truth, predicted)["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-12)


def test_uar_is_over_the_labels_of_the_truth_alone():
    truth, predicted = np.eye(3)[[0, 0, 1, 1]], np.eye(3)[[0, 0, 1, 2]]
    assert evaluate(truth, predicted)["uar"] == pytest.approx(0.75, abs=1e-12)
