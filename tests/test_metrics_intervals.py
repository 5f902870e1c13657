"""The choice of interval and p by metric: one place, labelled, and a reason wherever a number is
missing."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from metrics_cases import always, cases, random_case

from ambiemo.metrics import METRICS, jackknife, metric
from ambiemo.metrics.intervals import (
    BOOTSTRAP,
    EXCHANGE,
    JACKKNIFE,
    SIGN_FLIP,
    difference_with_interval,
    value_with_interval,
)

METHODS = {
    "js_divergence_bits": (JACKKNIFE, SIGN_FLIP),
    "r2_pearson": (JACKKNIFE, SIGN_FLIP),
    "r2_determination": (JACKKNIFE, JACKKNIFE),
    "macro_f1": (JACKKNIFE, JACKKNIFE),
    "ece_5": (BOOTSTRAP, EXCHANGE),
}


def speakers(n, count):
    return [f"speaker {i % count:04}" for i in range(n)]


@pytest.mark.parametrize(("name", "methods"), METHODS.items())
def test_each_metric_has_its_method(name, methods):
    truth, a = random_case(1)
    _, b = random_case(2)
    found = difference_with_interval(metric(name), truth, a, b, speakers(60, 10), 1)
    assert (found.method, found.p_method) == methods
    assert found.low <= found.high
    assert 0 < found.p <= 1
    assert value_with_interval(metric(name), truth, a, speakers(60, 10), 1).method == methods[0]


def test_with_very_many_clusters_t_stands_in_for_flips():
    truth, a = random_case(3, n=1100)
    _, b = random_case(4, n=1100)
    found = difference_with_interval(metric("brier"), truth, a, b, speakers(1100, 1100), 1)
    assert found.p_method == JACKKNIFE
    assert found.p == jackknife.paired(metric("brier"), truth, a, b, speakers(1100, 1100)).p


@always(cases(least=1, most=8), st.integers(1, 3))
def test_no_number_is_missing_without_a_reason(case, count):
    truth, predicted = case
    other = np.roll(predicted, 1, axis=1)
    for row in METRICS:
        for found in (
            value_with_interval(row, truth, predicted, speakers(len(truth), count), 1),
            difference_with_interval(row, truth, predicted, other, speakers(len(truth), count), 1),
        ):
            if not found.reason:
                assert math.isfinite(found.low), row.name
                assert math.isfinite(found.high), row.name
            else:
                assert math.isnan(found.low), row.name
            if found.p_method:
                assert math.isfinite(found.p) or found.reason, row.name
