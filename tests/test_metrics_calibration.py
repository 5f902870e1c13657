"""Expected calibration error against a plain loop over the bins."""

import numpy as np
import pytest
from metrics_cases import always, cases, random_case

from ambiemo.metrics import evaluate
from ambiemo.metrics.classification import accuracy


def by_hand(truth, predicted, bins):
    """Guo et al.'s loop over (lo, hi], with edges that are exact in decimal."""
    confidence, correct = predicted.max(axis=1), accuracy(truth, predicted)
    error = 0.0
    for low in range(bins):
        inside = [
            i for i, c in enumerate(confidence) if low / bins + 1e-9 < c <= (low + 1) / bins + 1e-9
        ]
        if inside:
            error += (
                len(inside) / len(truth) * abs(correct[inside].mean() - confidence[inside].mean())
            )
    return error


@pytest.mark.parametrize("bins", [5, 10])
@always(case=cases(most=30))
def test_ece_is_the_loop_over_the_bins(bins, case):
    assert evaluate(*case)[f"ece_{bins}"] == pytest.approx(by_hand(*case, bins), abs=1e-9)


@pytest.mark.parametrize("bins", [5, 10])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(bins):
    edge = np.array([[0.6, 0.4, 0], [0.1 + 0.5 + 1e-16, 0.4, 0]])  # 0.6 and 0.6 with dust
    just_above = np.array([[0.61, 0.39, 0]])
    predicted = np.concatenate([edge, just_above])
    truth = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    # the two on the edge are right (0.4 too modest each), the one above is wrong (0.61 too sure):
    # apart they do not cancel
    assert evaluate(truth, predicted)[f"ece_{bins}"] == pytest.approx(
        (2 * 0.4 + 0.61) / 3, abs=1e-9
    )


def test_errors_of_opposite_sign_cancel_inside_a_bin():
    predicted = np.array([[0.7, 0.3], [0.7, 0.3]])
    truth = np.array([[1.0, 0], [0, 1.0]])
    assert evaluate(truth, predicted)["ece_5"] == pytest.approx(0.2, abs=1e-12)


def test_a_sure_and_right_prediction_is_calibrated_and_a_sure_and_wrong_one_is_not():
    truth = np.eye(4)[[0, 1, 2]]
    assert evaluate(truth, truth)["ece_10"] == 0
    assert evaluate(truth, np.eye(4)[[1, 2, 3]])["ece_10"] == 1


def test_a_uniform_prediction_is_calibrated_since_ties_share_the_win():
    truth = random_case(5)[0]
    assert evaluate(truth, np.full(truth.shape, 1 / 6))["ece_5"] == pytest.approx(0, abs=1e-12)
