"""The table of controls: an ALM that hears is told from one that does not."""

import csv
import io

import bundle_real
import numpy as np
import pytest

from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.results.predictions import Column
from ambiemo.results.rendering import heard_table
from ambiemo.results.tables import Measures, heard_rows, paired_rows
from ambiemo.results.truths import Truths

TRUTH = np.eye(3)[np.arange(30) % 3] * 0.7 + 0.1
SPEAKERS = tuple(f"s{i % 10}" for i in range(30))
IDS = tuple(f"u{i:02}" for i in range(30))
TRUTHS = Truths(IDS, TRUTH, TRUTH * 10, SPEAKERS, np.full(30, "low"), IDS)


def column(control: str, predicted: np.ndarray) -> Column:
    return bundle_real.column(("c", "m", "greedy", control), predicted)


def heard(with_clip: np.ndarray, without: np.ndarray) -> dict:
    (row,) = rows_of([column("none", with_clip), column("silence", without)])
    return row


def rows_of(columns: list[Column]) -> list[dict]:
    return heard_rows(TRUTHS, columns, paired_rows(Measures(bundle_real.plan(), TRUTHS, "c"), columns))


def test_answers_that_are_better_with_the_clip_show_that_it_was_heard() -> None:
    row = heard(TRUTH, np.full((30, 3), 1 / 3))
    assert row["heard"] == "yes"
    assert row["js_bits_with_clip"] == 0
    assert row["js_bits_under_control"] == pytest.approx(
        js_divergence_bits(TRUTH, np.full((30, 3), 1 / 3)).mean(), abs=1e-6
    )
    assert row["difference"] == row["js_bits_under_control"]
    assert row["low"] > 0
    assert row["unchanged"] == 0


def test_answers_that_do_not_change_show_that_it_was_not() -> None:
    row = heard(TRUTH[::-1], TRUTH[::-1])
    assert (row["heard"], row["unchanged"], row["difference"]) == ("no", 1, 0)


def test_answers_that_change_but_get_no_better_show_nothing() -> None:
    row = heard(np.roll(TRUTH, 1, axis=1), np.roll(TRUTH, 2, axis=1))
    assert (row["heard"], row["unchanged"]) == ("not shown", 0)


def test_answers_that_are_worse_with_the_clip_are_not_called_heard() -> None:
    row = heard(np.roll(TRUTH, 1, axis=1), TRUTH)
    assert (row["heard"], row["high"] < 0) == ("not shown", True)


def without_answers(predicted: np.ndarray, *places: int) -> np.ndarray:
    lost = predicted.copy()
    lost[list(places)] = np.nan
    return lost


def test_a_control_under_which_most_answers_fail_does_not_show_that_the_clip_was_not_heard() -> None:
    row = heard(TRUTH, without_answers(TRUTH, *range(27)))
    assert (row["n"], row["unchanged"], row["failed_clip"], row["failed_control"]) == (3, 1, 0, 27)
    assert row["heard"] == "not shown"


def test_as_many_failures_on_either_side_are_changes_unless_they_are_of_the_same_utterances() -> None:
    other, same = (heard(without_answers(TRUTH, 0), without_answers(TRUTH, place)) for place in (1, 0))
    assert [(row["failed_clip"], row["failed_control"]) for row in (other, same)] == [(1, 1), (1, 1)]
    assert [row["heard"] for row in (other, same)] == ["not shown", "no"]


def test_people_see_failures_where_there_are_any() -> None:
    nothing, some = (heard_table([heard(TRUTH, one)]) for one in (TRUTH, without_answers(TRUTH, 4, 5)))
    assert nothing[0] == [head for head in some[0] if not head.startswith("failed")]
    told = dict(zip(*some, strict=True))
    assert (told["failed with"], told["failed without"], told["heard?"]) == ("0", "2", "not shown")


def test_only_utterances_with_both_answers_count() -> None:
    lost = np.full((30, 3), 1 / 3)
    lost[:5] = np.nan
    assert heard(TRUTH, lost)["n"] == 25


def test_a_plan_without_controls_has_no_such_table() -> None:
    columns = [column("none", TRUTH)]
    assert rows_of(columns) == []


def test_every_control_of_a_plan_has_its_row() -> None:
    files = bundle_real.files()
    rows = list(csv.DictReader(io.StringIO(files["tables/heard.csv"].decode())))
    assert [(row["strategy"], row["control"]) for row in rows] == [
        ("greedy", "shuffled_audio"),
        ("greedy", "silence"),
        ("w_bon", "shuffled_audio"),
    ]
    assert b"## Was it heard?" in files["tables/results.md"]
