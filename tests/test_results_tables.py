"""Counts in the tables: what was left out of a number is counted beside it, and counts are exact."""

import csv
import gzip
import io
import json
from dataclasses import replace

import bundle_real
import numpy as np
import pytest

from ambiemo.results.predictions import Column
from ambiemo.results.rendering import from_csv, unscored
from ambiemo.results.study import Study
from ambiemo.results.tables import Measures, level_rows, result_rows
from ambiemo.results.truths import Truths


def results_of(column: Column, truth: np.ndarray) -> dict:
    """The row of level `all`."""
    n = len(truth)
    ids = tuple(f"u{i}" for i in range(n))
    measures = Measures(bundle_real.plan(), Truths(ids, truth, truth * 10, ids, np.full(n, "low"), ids), "c")
    return next(row for row in result_rows(measures, [column]) if row["level"] == "all")


def test_results_count_the_candidates_that_no_verifier_scored() -> None:
    files = bundle_real.files()
    told = from_csv(files["tables/results.csv"])
    rows = [json.loads(line) for line in gzip.decompress(files["predictions/tiny/tiny.jsonl.gz"]).splitlines()]
    counted = {
        strategy: sum(row["unscored"] for row in rows if (row["strategy"], row["control"]) == (strategy, "none"))
        for strategy in ("greedy", "alm_v", "w_alm_v", "bon")
    }
    shown = {(row["strategy"], row["control"]): row["unscored"] for row in told if row["level"] == "all"}
    assert {strategy: shown[strategy, "none"] for strategy in counted} == counted
    assert counted["greedy"] == 0 < counted["alm_v"]
    (note,) = unscored(told, "tiny", "tiny")
    assert f"alm_v {counted['alm_v']}/" in note
    assert note in files["tables/results.md"].decode()


def test_results_count_the_utterances_that_r2_pearson_is_the_mean_of() -> None:
    truth = np.array([[0.6, 0.3, 0.1], [1 / 3] * 3, [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
    predicted = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [1 / 3] * 3, [np.nan] * 3, [0.5, 0.3, 0.2]])
    row = results_of(bundle_real.column(("c", "m", "greedy", "none"), predicted), truth)
    assert (row["n"], row["failed"], row["r2_pearson_n"]) == (4, 1, 2)


def study_with(unit: int) -> Study:
    return replace(bundle_real.study(1), vote_units={"c": unit})


@pytest.mark.parametrize(
    ("votes", "unit", "raters"),
    [([[1, 2, 7]] * 40, 10, 40), ([[2, 1, 0]] * 30, 3, 30), ([[1, 1, 3]] * 3, 2, 7.5), ([[1, 2, 3]], 1, 6)],
)
def test_the_raters_of_a_level_are_counted_without_rounding(votes: list, unit: int, raters: float) -> None:
    counts = np.array(votes, dtype=float)
    ids = tuple(f"u{i}" for i in range(len(counts)))
    truth = counts / counts.sum(axis=1, keepdims=True)
    (row, *_) = level_rows(study_with(unit), {"c": Truths(ids, truth, counts, ids, np.full(len(ids), "low"), ids)})
    assert (row["votes"], type(row["votes"])) == (raters, type(raters))


def test_a_table_s_columns_are_read_back_as_what_they_are() -> None:
    files = bundle_real.files()
    for name in ("results", "heard"):
        text = files[f"tables/{name}.csv"]
        for read, told in zip(from_csv(text), csv.DictReader(io.StringIO(text.decode())), strict=True):
            whole = {key for key, value in read.items() if isinstance(value, int)}
            assert whole == {key for key, value in told.items() if value.isdecimal()}
