"""Numbers in the tables: intervals are the jackknife's, what was left out is counted, and counts
are exact."""

import csv
import gzip
import io
import json
import math
from dataclasses import replace

import bundle_real
import numpy as np
import pytest

from ambiemo.metrics import METRICS
from ambiemo.metrics.classification import confusion_statistics, macro_f1
from ambiemo.metrics.intervals import is_calibration, value_with_interval
from ambiemo.results.measures import Measures
from ambiemo.results.predictions import Column
from ambiemo.results.rendering import from_csv, unscored
from ambiemo.results.study import Study
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.levels import level_rows
from ambiemo.results.tables.results import UNIFORM_FOR_FAILED, result_rows
from ambiemo.results.truths import Truths


def results_of(column: Column, truth: np.ndarray) -> dict:
    """The row of level `all`."""
    n = len(truth)
    ids = tuple(f"u{i}" for i in range(n))
    measures = Measures(
        bundle_real.plan(), Truths(ids, truth, truth * 10, ids, np.full(n, "low"), ids), "c"
    )
    return next(row for row in result_rows(measures, [column]) if row["level"] == "all")


def test_results_count_the_candidates_that_no_verifier_scored() -> None:
    files = bundle_real.files()
    told = from_csv(files["tables/results.csv"])
    rows = [
        json.loads(line)
        for line in gzip.decompress(files["predictions/tiny/tiny.jsonl.gz"]).splitlines()
    ]
    counted = {
        strategy: sum(
            row["unscored"]
            for row in rows
            if (row["strategy"], row["control"]) == (strategy, "none")
        )
        for strategy in ("greedy", "alm_v", "w_alm_v", "bon")
    }
    shown = {
        (row["strategy"], row["control"]): row["unscored"] for row in told if row["level"] == "all"
    }
    assert {strategy: shown[strategy, "none"] for strategy in counted} == counted
    assert counted["greedy"] == 0 < counted["alm_v"]
    (note,) = unscored(told, "tiny", "tiny")
    assert f"alm_v {counted['alm_v']}/" in note
    assert note in files["tables/results.md"].decode()


def test_results_count_the_utterances_that_r2_pearson_is_the_mean_of() -> None:
    truth = np.array(
        [[0.6, 0.3, 0.1], [1 / 3] * 3, [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]]
    )
    predicted = np.array(
        [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [1 / 3] * 3, [np.nan] * 3, [0.5, 0.3, 0.2]]
    )
    row = results_of(bundle_real.column(("c", "m", "greedy", "none"), predicted), truth)
    assert (row["n"], row["failed"], row["r2_pearson_n"]) == (4, 1, 2)


# --- intervals ---


RNG = np.random.default_rng(11)
VOTES = RNG.multinomial(6, np.ones(3) / 3, 60).astype(float)
PREDICTED = RNG.dirichlet(np.ones(3), 60)
NAMES = tuple(f"s{i * i % 13}" for i in range(60))


def rows_of(
    predicted: np.ndarray, votes: np.ndarray = VOTES, names: tuple[str, ...] = NAMES
) -> dict[str, dict]:
    """The rows of one column, by level."""
    ids = tuple(f"u{i:02}" for i in range(len(votes)))
    truth = votes / votes.sum(axis=1, keepdims=True)
    levels = np.array(["low", "medium", "high"])[np.arange(len(votes)) % 3]
    measures = Measures(bundle_real.plan(), Truths(ids, truth, votes, names, levels, ids), "c")
    column = bundle_real.column(("c", "m", "greedy", "none"), predicted)
    rows = {row["level"]: row for row in result_rows(measures, [column])}
    for row in rows.values():  # nothing is missing without its reason
        for name in [*(one.name for one in METRICS), UNIFORM_FOR_FAILED]:
            told = name in row["reason"] or row["reason"].startswith("every metric (")
            assert math.isnan(row[f"{name}_low"]) == told, (name, row["reason"])
            assert not math.isnan(row[name]) or told
    assert b"nan" not in as_csv(rows.values())
    return rows


@pytest.mark.parametrize("one", METRICS, ids=lambda one: one.name)
def test_every_interval_is_that_of_the_metrics_module(one) -> None:
    predicted = PREDICTED.copy()
    predicted[[4, 9]] = np.nan
    row, made = rows_of(predicted)["all"], ~np.isnan(predicted).any(axis=1)
    truth = VOTES / VOTES.sum(axis=1, keepdims=True)
    names = [name for name, kept in zip(NAMES, made, strict=True) if kept]
    expected = value_with_interval(one, truth[made], predicted[made], names, 1)
    found = (row[one.name], row["g_eff"], row["speakers"], row["n"])
    told = (expected.value, expected.effective, expected.clusters, expected.n)
    np.testing.assert_allclose(found, told, atol=1e-12)
    if is_calibration(one):
        assert row["by_bootstrap"] == "ece_5, ece_10"
        assert row[f"{one.name}_low"] < row[f"{one.name}_high"]
    else:
        bounds = (row[f"{one.name}_low"], row[f"{one.name}_high"])
        np.testing.assert_allclose(bounds, (expected.low, expected.high), atol=1e-12)


def test_an_independent_jackknife_gives_the_interval_of_an_f1() -> None:
    stats = pytest.importorskip("scipy.stats")
    truth = VOTES / VOTES.sum(axis=1, keepdims=True)
    names = np.array(NAMES)

    def f1(kept: np.ndarray) -> float:
        return float(macro_f1(confusion_statistics(truth[kept], PREDICTED[kept]).sum(axis=0)))

    groups = sorted(set(NAMES))
    without = np.array([f1(names != name) for name in groups])
    se = math.sqrt((len(groups) - 1) * without.var())
    sizes = np.array([(names == name).sum() for name in groups])
    margin = stats.t.ppf(0.975, 60**2 / (sizes**2).sum() - 1) * se
    row, value = rows_of(PREDICTED)["all"], f1(names != "")
    found = (row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"])
    np.testing.assert_allclose(found, (value, value - margin, value + margin), atol=1e-9)


def test_no_order_of_the_utterances_changes_a_bit_of_a_row() -> None:
    threes = np.random.default_rng(5).permutation(20) * 3  # keeps every utterance's level
    order = (threes[:, None] + np.arange(3)).ravel()
    turned = rows_of(PREDICTED[order], VOTES[order], tuple(NAMES[i] for i in order))
    assert repr(turned) == repr(rows_of(PREDICTED))


def test_failed_predictions_have_their_own_column_over_all_utterances() -> None:
    predicted = PREDICTED.copy()
    predicted[:5] = np.nan
    filled = np.where(np.isnan(predicted), 1 / 3, predicted)
    row, whole = rows_of(predicted)["all"], rows_of(filled)["all"]
    for end in ("", "_low", "_high"):
        assert row[UNIFORM_FOR_FAILED + end] == whole["js_divergence_bits" + end]


# --- where little is there ---


def test_one_speaker_or_utterance_or_none_has_a_reason() -> None:
    alone = rows_of(PREDICTED, names=("s",) * 60)["all"]
    assert alone["reason"] == "every metric (one cluster: nothing varies between clusters)"
    assert alone["by_bootstrap"] == ""
    one = rows_of(PREDICTED[:1], VOTES[:1], NAMES[:1])
    assert one["high"]["reason"] == "every metric (no utterances)"
    assert "one utterance: nothing varies" in one["all"]["reason"]


def test_two_speakers_have_an_interval() -> None:
    row = rows_of(PREDICTED, names=tuple(f"s{i % 2}" for i in range(60)))["all"]
    assert row["g_eff"] == 2
    assert (
        row["js_divergence_bits_low"] < row["js_divergence_bits"] < row["js_divergence_bits_high"]
    )


def test_where_all_failed_only_the_column_for_failures_has_a_value() -> None:
    row = rows_of(np.full((60, 3), np.nan))["all"]
    assert (row["n"], row["failed"], row["speakers"]) == (0, 60, 0)
    assert row["reason"].endswith("(no utterances)")
    assert UNIFORM_FOR_FAILED not in row["reason"]
    assert row[f"{UNIFORM_FOR_FAILED}_low"] < row[UNIFORM_FOR_FAILED]


def test_constant_predictions_and_ties_everywhere() -> None:
    row = rows_of(np.full((60, 3), 1 / 3))["all"]
    assert "r2_pearson (the value is not estimable)" in row["reason"]
    assert row["accuracy"] == pytest.approx(1 / 3)
    same = rows_of(np.full((60, 3), 1 / 3), np.ones((60, 3)))["all"]
    assert same["js_divergence_bits"] == 0
    assert "its spread is not estimable" in same["reason"]


def study_with(unit: int) -> Study:
    return replace(bundle_real.study(1), vote_units={"c": unit})


@pytest.mark.parametrize(
    ("votes", "unit", "raters"),
    [
        ([[1, 2, 7]] * 40, 10, 40),
        ([[2, 1, 0]] * 30, 3, 30),
        ([[1, 1, 3]] * 3, 2, 7.5),
        ([[1, 2, 3]], 1, 6),
    ],
)
def test_the_raters_of_a_level_are_counted_without_rounding(
    votes: list, unit: int, raters: float
) -> None:
    counts = np.array(votes, dtype=float)
    ids = tuple(f"u{i}" for i in range(len(counts)))
    truth = counts / counts.sum(axis=1, keepdims=True)
    (row, *_) = level_rows(
        study_with(unit), {"c": Truths(ids, truth, counts, ids, np.full(len(ids), "low"), ids)}
    )
    assert (row["votes"], type(row["votes"])) == (raters, type(raters))


def test_a_table_s_columns_are_read_back_as_what_they_are() -> None:
    files = bundle_real.files()
    for name in ("results", "heard"):
        text = files[f"tables/{name}.csv"]
        for read, told in zip(
            from_csv(text), csv.DictReader(io.StringIO(text.decode())), strict=True
        ):
            whole = {key for key, value in read.items() if isinstance(value, int)}
            assert whole == {key for key, value in told.items() if value.isdecimal()}
