"""The table of controls: an ALM that hears is told from one that does not."""

import csv
import io
from dataclasses import replace

import bundle_real
import numpy as np
import pytest

from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.metrics.inference import holm
from ambiemo.results.measures import Measures
from ambiemo.results.predictions import Column
from ambiemo.results.rendering import heard_table
from ambiemo.results.tables.heard import heard_rows
from ambiemo.results.tables.paired import paired_rows
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
    return heard_rows(
        TRUTHS, columns, paired_rows(Measures(bundle_real.plan(), TRUTHS, "c"), columns)
    )


def test_answers_that_are_better_with_the_clip_show_that_it_was_heard() -> None:
    row = heard(TRUTH, np.full((30, 3), 1 / 3))
    assert row["heard"] == "yes"
    assert row["js_bits_with_clip"] == 0
    assert row["js_bits_under_control"] == pytest.approx(
        js_divergence_bits(TRUTH, np.full((30, 3), 1 / 3)).mean(), abs=1e-6
    )
    assert row["difference"] == pytest.approx(row["js_bits_under_control"], abs=1e-6)
    # Every utterance differs alike, so no interval can be made; the sign flip needs none.
    assert "its spread is not estimable" in row["reason"]
    assert (row["p"], row["p_method"]) == (2**-9, "sign flip")
    assert row["unchanged"] == 0


def test_answers_that_do_not_change_show_that_it_was_not() -> None:
    row = heard(TRUTH[::-1], TRUTH[::-1])
    assert (row["heard"], row["unchanged"], row["difference"]) == ("no", 1, 0)


def test_answers_that_change_but_get_no_better_show_nothing() -> None:
    row = heard(np.roll(TRUTH, 1, axis=1), np.roll(TRUTH, 2, axis=1))
    assert (row["heard"], row["unchanged"]) == ("not shown", 0)


def test_answers_that_are_worse_with_the_clip_are_not_called_heard() -> None:
    row = heard(np.roll(TRUTH, 1, axis=1), TRUTH)
    assert (row["heard"], row["difference"] < 0) == ("not shown", True)


def controls(count: int, speakers: int) -> list[dict]:
    """The rows of `count` controls under which answers are worse, by various amounts."""
    noise = np.random.default_rng(1).dirichlet(np.ones(3), (count, 30))
    columns = [
        bundle_real.column(("c", "m", f"s{one}", control), TRUTH if control == "none" else away)
        for one, away in enumerate(noise)
        for control in ("none", "silence")
    ]
    truths = replace(TRUTHS, speakers=tuple(f"s{i % speakers}" for i in range(30)))
    measures = Measures(bundle_real.plan(), truths, "c")
    return heard_rows(truths, columns, paired_rows(measures, columns))


def test_a_control_that_is_heard_has_an_interval_above_0_and_p_corrected_over_all_controls() -> (
    None
):
    rows = controls(3, 10)
    assert {row["heard"] for row in rows} == {"yes"}
    assert all(0 < row["low"] < row["difference"] < row["high"] for row in rows)
    assert [row["p_holm"] for row in rows] == holm([row["p"] for row in rows]).tolist()
    assert [row["p"] for row in rows] == [2**-9] * 3


def test_more_controls_need_a_smaller_p() -> None:
    assert {row["heard"] for row in controls(26, 10)} == {"not shown"}
    assert {row["heard"] for row in controls(25, 10)} == {"yes"}


@pytest.mark.parametrize("speakers", [1, 2, 5])
def test_too_few_speakers_cannot_show_that_a_clip_was_heard_and_the_row_says_why(
    speakers: int,
) -> None:
    rows = controls(1, speakers)
    assert {row["heard"] for row in rows} == {"not shown"}
    assert all(str(speakers) in row["reason"] or "one cluster" in row["reason"] for row in rows)


def without_answers(predicted: np.ndarray, *places: int) -> np.ndarray:
    lost = predicted.copy()
    lost[list(places)] = np.nan
    return lost


def test_a_control_under_which_most_answers_fail_does_not_show_that_the_clip_was_not_heard() -> (
    None
):
    row = heard(TRUTH, without_answers(TRUTH, *range(27)))
    assert (row["n"], row["unchanged"], row["failed_clip"], row["failed_control"]) == (3, 1, 0, 27)
    assert row["heard"] == "not shown"


def test_as_many_failures_on_either_side_are_changes_unless_they_are_of_the_same_utterances() -> (
    None
):
    other, same = (
        heard(without_answers(TRUTH, 0), without_answers(TRUTH, place)) for place in (1, 0)
    )
    assert [(row["failed_clip"], row["failed_control"]) for row in (other, same)] == [
        (1, 1),
        (1, 1),
    ]
    assert [row["heard"] for row in (other, same)] == ["not shown", "no"]


def test_people_see_failures_where_there_are_any() -> None:
    nothing, some = (
        heard_table([heard(TRUTH, one)]) for one in (TRUTH, without_answers(TRUTH, 4, 5))
    )
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
