"""The verifier's quality as a table: counted by hand, in any order, and where nothing can be
said.
"""

import numpy as np
import pytest
from results_evidence import UNIT, asked_of, candidates, evidence, permuted, renamed, seeded, study

from ambiemo.bundle.recomputing import assembled
from ambiemo.metrics.decomposition import candidate_losses
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.results.evidence import Evidence
from ambiemo.results.sections import SECTIONS
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.verifier import Judged, self_preference_rows, verifier_rows
from ambiemo.results.units import UnitResult, UnitRows, all_units

ALM_V = ["greedy", "alm_v"]
SIX_HOT = np.eye(6)


def by_quantity(rows: list[dict]) -> dict[str, dict]:
    return {row["quantity"] + str(row["candidate"]): row for row in rows}


def judged(scores: list[list[float]], beams: list[int]) -> Evidence:
    """Clips of two speakers each whose raters all say anger; beams of so much anger, in percent."""
    n = len(scores)
    shares = (
        np.array(beams)[:, None] / 100 * SIX_HOT[0]
        + (1 - np.array(beams)[:, None] / 100) * SIX_HOT[1]
    )
    of = study([[5, 0, 0, 0, 0, 0]] * n, [f"s{i}" for i in range(n)], ALM_V)
    asked = {
        "direct.greedy": candidates(np.stack([SIX_HOT[[1]]] * n)),
        "direct.beam-3": candidates(np.stack([shares] * n), None, scores),
    }
    return evidence(of, asked)


def test_pairs_are_counted_as_by_hand() -> None:
    # The second beam is best, then the first, then the third.
    one = judged([[5, 7, 3], [5, 5, 3], [7, 5, 5]], beams=[50, 90, 10])
    rows, _ = verifier_rows(one)
    found = by_quantity(rows)
    # right of 3 pairs: 3; 2 and one even; 1 wrong (1 over 2), 1 right (1 over 3), 1 even.
    assert found["concordance"]["value"] == pytest.approx((3 + 2.5 + 1.5) / 9, abs=1e-6)
    taus = [1, 2 / np.sqrt(2 * 3), 0]
    assert found["kendall_tau_b"]["value"] == pytest.approx(np.mean(taus), abs=1e-6)
    assert found["tied_pairs"]["value"] == pytest.approx(2 / 9, abs=1e-6)
    # Slopes with x = -1, 0, 1: (3 - 5) / 2, (3 - 5) / 2, (5 - 7) / 2.
    assert found["order_slope"]["value"] == -1
    assert [found[f"mean_score{k}"]["value"] for k in (1, 2, 3)] == pytest.approx(
        [17 / 3, 17 / 3, 11 / 3], abs=1e-6
    )
    assert found["order_slope_js"]["value"] < 0


def test_a_perfect_verifier_a_coin_and_a_wrong_one_are_told_apart() -> None:
    one = seeded(n=200, strategies=ALM_V)
    asked = one.candidates["direct.beam-3"]

    loss = candidate_losses(one.truths.truth, asked.distributions, js_divergence_bits)
    coin = np.random.default_rng(0).random(loss.shape)
    values = []
    for scores in (-loss, coin, loss):
        again = {**one.candidates, "direct.beam-3": candidates(asked.distributions, None, scores)}
        found = by_quantity(verifier_rows(evidence(one.study, again))[0])
        values.append((found["concordance"], found["kendall_tau_b"]))
    assert [pair[0]["value"] for pair in values[::2]] == [1, 0]
    assert [pair[1]["value"] for pair in values[::2]] == [1, -1]
    assert values[1][0]["low"] < 0.5 < values[1][0]["high"]


def test_equal_scores_everywhere_are_a_coin_and_have_no_rank_correlation() -> None:
    found = by_quantity(verifier_rows(judged([[5, 5, 5]] * 3, [50, 90, 10]))[0])
    assert (found["concordance"]["value"], found["tied_pairs"]["value"]) == (0.5, 1)
    assert found["kendall_tau_b"]["n"] == 0
    assert found["kendall_tau_b"]["reason"] == "in no clip do both scores and JS differ"
    assert found["order_slope"]["value"] == 0


@pytest.mark.parametrize("lost", ["scores", "answers"])
def test_without_scores_or_answers_every_row_has_a_reason(lost: str) -> None:
    one = seeded(n=6, strategies=ALM_V)
    asked = one.candidates["direct.beam-3"]
    nan = np.full(asked.distributions.shape, np.nan)
    pool, scores = (asked.distributions, None) if lost == "scores" else (nan, asked.scores)
    again = {**one.candidates, "direct.beam-3": candidates(pool, None, scores)}
    for row in verifier_rows(evidence(one.study, again))[0]:
        assert (row["n"], np.isnan(row["value"])) == (0, True)
        assert row["reason"]


def test_one_speaker_has_values_without_intervals_and_says_why() -> None:
    for row in verifier_rows(seeded(speakers=1, strategies=ALM_V))[0]:
        assert np.isfinite(row["value"])
        assert row["reason"] == "one cluster: nothing varies between clusters"


def test_no_order_changes_a_bit_of_what_does_not_ask_for_the_order() -> None:
    rng, one = np.random.default_rng(0), seeded(strategies=ALM_V)
    base = as_csv(verifier_rows(one)[0])
    assert as_csv(verifier_rows(renamed(one, rng.permutation(60)))[0]) == base
    moved = as_csv(verifier_rows(permuted(one, rng.permutation(3)))[0]).splitlines()
    same = [
        (a, b)
        for a, b in zip(base.splitlines(), moved, strict=True)
        if b"order" not in a and b"mean_" not in a
    ]
    assert len(same) == 4
    assert all(a == b for a, b in same)


def test_with_one_judge_per_model_self_preference_has_a_reason() -> None:
    one = seeded(strategies=ALM_V)
    rows, asked = verifier_rows(one)
    told = UnitResult(UnitRows(verifier=rows), judged=asked)
    results = {
        unit: told if unit == UNIT else UnitResult(UnitRows()) for unit in all_units(one.study)
    }
    made = assembled(one.study, results)
    assert made["tables/verifier.csv"].count(b"one judge: tiny judges no other model") == 2
    text = made["tables/results.md"].decode()
    assert SECTIONS["verifier"].caveat in text
    assert "one judge: tiny" in text


def test_self_preference_is_the_judge_s_own_minus_the_others() -> None:
    speakers = [f"s{i % 4}" for i in range(8)]
    own = Judged("x", np.full(8, 7.0) + np.arange(8) % 2, np.full(8, -0.3))
    other = Judged("x", np.full(8, 6.0), np.full(8, -0.3) - np.arange(8) / 100)
    rows = self_preference_rows(speakers, "c", {"x": {"q": own}, "y": {"q": other}}, 0.95)
    assert [(row["model"], row["quantity"]) for row in rows] == [
        ("x", "self_preference_score"),
        ("x", "self_preference_js"),
    ]
    assert rows[0]["value"] == 1.5
    assert rows[1]["value"] == pytest.approx(0.035)
    assert rows[1]["low"] < 0.035 < rows[1]["high"]


def test_a_judge_that_answers_nothing_has_no_self_preference() -> None:
    one = Judged("judge", np.arange(8.0), np.arange(8.0))
    rows = self_preference_rows([f"s{i % 4}" for i in range(8)], "c", {"x": {"q": one}}, 0.95)
    assert [row["reason"] for row in rows] == [
        "the judge, judge, answers nothing itself on this question"
    ] * 2


def test_a_unit_without_judged_questions_has_no_rows() -> None:
    one = seeded(strategies=["greedy", "bon"])
    assert verifier_rows(one) == ([], {})
    assert asked_of(one.study, np.random.default_rng(0), one.truths.truth).keys() == {
        "direct.greedy",
        "direct.beam-5",
    }
