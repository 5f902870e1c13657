"""The table of metrics keeps its contract: names, additive statistics, sources, and docs that tell
of each.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from metrics_cases import random_case

from ambiemo.errors import BadInput
from ambiemo.metrics import METRICS, evaluate, metric
from ambiemo.metrics.arithmetic import totals

NAMES = [
    "js_divergence_bits",
    "js_distance_nats",
    "bhattacharyya",
    "r2_pearson",
    "r2_determination",
    "ece_5",
    "ece_10",
    "accuracy",
    "macro_f1",
    "weighted_f1",
    "uar",
    "brier",
    "kl_nats",
]
HEAVY = ("torch", "ray", "pandas", "scipy", "sklearn", "pyarrow", "matplotlib")
DOCS = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"


def test_the_names_are_those_of_the_contract_in_its_order():
    assert [row.name for row in METRICS] == NAMES
    assert list(evaluate(*random_case(0))) == NAMES


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_the_statistics_of_two_halves_add_up_to_those_of_the_whole(row):
    truth, predicted = random_case(21)
    halves = [
        totals(row.statistics(truth[half], predicted[half]))
        for half in (slice(0, 25), slice(25, None))
    ]
    whole = totals(row.statistics(truth, predicted))
    np.testing.assert_allclose(halves[0] + halves[1], whole, atol=1e-12)


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_a_value_is_the_same_alone_and_in_a_stack(row):
    sums = [totals(row.statistics(*random_case(i))) for i in range(6)]
    stacked = row.value(np.array(sums).reshape(2, 3, -1))
    assert stacked.shape == (2, 3)
    np.testing.assert_array_equal(stacked.ravel(), [row.value(one) for one in sums])


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_better_is_the_way_a_perfect_prediction_lies(row):
    truth, predicted = random_case(22)
    finite = (predicted + 1 / 6) / 2
    perfect, other = evaluate(truth, truth)[row.name], evaluate(truth, finite)[row.name]
    if row.name.startswith(
        "ece"
    ):  # knowing the votes exactly is not calibrated: the plurality wins more often than its share
        assert row.better == "lower"
    else:
        assert (perfect < other) == (row.better == "lower")


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_every_source_carries_a_grade(row):
    assert any(f"({grade})" in row.source for grade in "PSI")


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_the_docs_tell_of_every_metric(row):
    assert f"`{row.name}`" in DOCS.read_text(encoding="utf-8")


def test_an_unknown_metric_is_bad_input_that_lists_the_known_ones():
    with pytest.raises(BadInput, match="metric 'f1': unknown; there are js_divergence_bits"):
        metric("f1")
    assert metric("uar") is METRICS[NAMES.index("uar")]


def test_the_metrics_import_numpy_alone():
    program = (
        f"import sys, ambiemo.metrics.inference; print([m for m in {HEAVY} if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
