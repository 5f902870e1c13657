"""Floors and corrected numbers as a table, and the known true distributions of the embedded
corpus.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from results_evidence import candidates, evidence, permuted, renamed, seeded, study, without_reason

from ambiemo.corpora.known_truth import FILE, known_truth
from ambiemo.labels import FOUR, SIX
from ambiemo.metrics.distribution import brier
from ambiemo.results.evidence import NO_RATINGS, SEVERAL_TAGS, Evidence
from ambiemo.results.predictions import baseline_columns
from ambiemo.results.sections import SECTIONS
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.floors import (
    LEFT_OUT_PRIOR,
    NO_PREDICTION,
    ONE_SPEAKER,
    TRUE,
    floor_rows,
)
from ambiemo.results.truths import truths_of
from ambiemo.tiny import clips, truth

SHIPPED = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def baselines(one: Evidence) -> Evidence:
    """The evidence of the corpus' baselines."""
    columns = baseline_columns(one.study, "tiny", one.truths)
    return Evidence(one.study, ("baselines", "tiny"), one.truths, columns, {})


def by_name(rows: list[dict]) -> dict[tuple, dict]:
    return {(row["strategy"], row["quantity"], row["raters"]): row for row in rows}


def reasoned(row: dict) -> bool:
    return bool(row["reason"]) or not np.isnan([row["value"], row["low"], row["high"]]).any()


def test_the_shipped_true_distributions_are_those_of_the_package_s_own_raters() -> None:
    rows = clips.manifest()
    assert [row["utterance_id"] for row in SHIPPED] == [row["utterance_id"] for row in rows]
    for row, shipped in zip(rows, SHIPPED, strict=True):
        assert shipped["sha256"] == row["sha256"]
        expected = truth.true_distribution(row["weights"], row["intensity"])
        assert np.abs(expected - shipped["true"]).max() < 1e-9


def test_the_votes_of_the_embedded_corpus_agree_with_its_true_distributions() -> None:
    votes = np.array([row["votes"] for row in clips.manifest()])
    true = np.array([row["true"] for row in SHIPPED])
    # 96 clips of 9 votes: each label's share of all votes is within 4 standard errors.
    apart = votes.sum(axis=0) / 864 - true.mean(axis=0)
    assert np.abs(apart).max() < 4 * np.sqrt(0.25 / 864)


def test_the_truth_is_known_of_the_shipped_clips_only() -> None:
    ids, hashes = (
        [row["utterance_id"] for row in SHIPPED[:5]],
        [row["sha256"] for row in SHIPPED[:5]],
    )
    found = known_truth("tiny", SIX, ids, hashes)
    assert found is not None
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    assert known_truth("crema-d", SIX, ids, hashes) is None
    assert known_truth("tiny", FOUR, ids, hashes) is None
    assert known_truth("tiny", SIX, ids, [*hashes[:4], "0" * 64]) is None
    assert known_truth("tiny", SIX, [*ids[:4], "other"], hashes) is None
    assert known_truth("tiny", SIX, [], []) is None


def test_floors_of_two_clips_are_those_made_by_hand() -> None:
    # Four raters: two say anger, two disgust; and all four say sad.
    one = baselines(evidence(study([[2, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 4]], "ab", ["greedy"]), {
        "direct.greedy": candidates(np.full((2, 1, 6), 1 / 6))
    }))  # fmt: skip
    rows = by_name(floor_rows(one))
    # Panels of one: 2 of 3 pairs differ, by 1 bit. Panels of two, 3 splits: {aa,dd} 1 bit, {ad,ad}
    # twice 0.
    assert rows["", "second_panel_js_bits", 1]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert rows["", "second_panel_js_bits", 2]["value"] == pytest.approx(1 / 6, abs=1e-6)
    # Without one's own vote the other label has the plurality: never right; on the second always.
    assert rows["", "leave_one_rater_out_accuracy", ""]["value"] == 0.5
    assert rows["", "best_accuracy", ""]["value"] == 0.75
    # Uniform against (.5, .5, 0…): 1/3 raw; noise (1 - .5) / 3 = 1/6. Against one-hot 5/6, no
    # noise.
    assert rows["uniform", "brier_unbiased", ""]["value"] == pytest.approx((1 / 6 + 5 / 6) / 2)
    assert rows[LEFT_OUT_PRIOR, "skill", ""]["value"] == 0
    assert not any(name == TRUE for name, _, _ in rows)


def test_a_strategy_has_its_numbers_with_intervals_and_failures_are_left_out() -> None:
    one = seeded()
    rows = by_name(floor_rows(one))
    made = one.by_strategy["bon"].has_prediction
    assert rows["bon", "brier_unbiased", ""]["n"] == made.sum()
    for row in rows.values():
        assert row["low"] < row["value"] < row["high"]
        assert without_reason(row) == []
    assert rows["greedy", "skill", ""]["value"] < 1


def test_on_the_embedded_corpus_everything_stands_against_the_truth_too() -> None:
    rows = clips.manifest()[:24]
    of = study([row["votes"] for row in rows], [f"s{i % 4}" for i in range(24)], ["greedy"])
    table = of.utterances["tiny"]
    named = [
        replace(one, id=row["utterance_id"], audio_sha256=row["sha256"])
        for one, row in zip(table, rows, strict=True)
    ]
    of = replace(of, utterances={"tiny": type(table).of(named)})
    one = evidence(of, {"direct.greedy": candidates(np.full((24, 1, 6), 1 / 6))})
    found = by_name(floor_rows(one))
    true = np.array([row["true"] for row in SHIPPED[:24]])
    expected = float(brier(true / true.sum(axis=1, keepdims=True), np.full((24, 6), 1 / 6)).mean())
    assert found["greedy", "brier_to_true", ""]["value"] == pytest.approx(expected, abs=1e-6)
    perfect = by_name(floor_rows(baselines(one)))
    assert perfect[TRUE, "brier_to_true", ""]["value"] == 0
    assert perfect[TRUE, "js_divergence_bits", ""]["value"] > 0.03
    assert abs(perfect[TRUE, "brier_unbiased", ""]["value"]) < 0.05


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"vote_unit": 2}, SEVERAL_TAGS),
        ({"source": "acted"}, NO_RATINGS),
        ({"speakers": 1}, ONE_SPEAKER),
        ({"raters": 1}, "no utterances"),
        ({"n": 1}, "one utterance"),
    ],
)
def test_what_has_no_number_says_why(told: dict, reason: str) -> None:
    one = seeded(**told)
    for rows in (floor_rows(one), floor_rows(baselines(one))):
        assert all(map(reasoned, rows))
    assert any(reason in row["reason"] for row in floor_rows(one))
    text = "\n".join(SECTIONS["floors"].markdown(floor_rows(one)))
    assert SECTIONS["floors"].caveat in text


def test_strategies_that_always_fail_have_reasons_only() -> None:
    one = seeded(n=4)
    lost = {
        name: candidates(np.full(asked.distributions.shape, np.nan))
        for name, asked in one.candidates.items()
    }
    for row in floor_rows(evidence(one.study, lost)):
        assert (row["n"], row["reason"]) == (0, NO_PREDICTION)


def test_no_order_changes_a_bit() -> None:
    rng, one = np.random.default_rng(0), seeded()
    moved = renamed(one, rng.permutation(60))
    assert as_csv(floor_rows(moved)) == as_csv(floor_rows(one))
    assert as_csv(floor_rows(baselines(moved))) == as_csv(floor_rows(baselines(one)))
    ours = as_csv(floor_rows(permuted(one, rng.permutation(8))))
    assert ours == as_csv(floor_rows(permuted(one, np.arange(8))))
    assert truths_of(one.study, "tiny").ids == one.truths.ids
