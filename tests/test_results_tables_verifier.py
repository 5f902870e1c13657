"""The verifier's quality as a table: counted by hand, in any order, and where nothing can be
said.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from results_evidence import UNIT, asked_of, candidates, evidence, permuted, renamed, seeded, study
from scipy.stats import t as student

from ambiemo.bundle.recomputing import assembled
from ambiemo.metrics.decomposition import candidate_losses
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.plan.sharing import shown_place
from ambiemo.results.evidence import Evidence
from ambiemo.results.sections import SECTIONS
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.verifier import (
    Judged,
    estimates_by_place,
    self_preference_rows,
    verifier_rows,
)
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


LISTED = "direct.beam-3.listwise"


def in_lists(likes: Callable[[np.ndarray, np.ndarray], np.ndarray], n: int = 300) -> Evidence:
    """A listwise judge that scores by (places (n, 3), 1 is the first; -JS (n, 3))."""
    listwise = {"name": "alm_v_listwise", "base": "alm_v", "scorer": "listwise"}
    one = seeded(n=n, strategies=["greedy", listwise])
    keys = [f"{number:064x}" for number in range(n)]
    places = np.array([[shown_place(key, at, 3) + 1 for at in range(3)] for key in keys])
    asked = one.candidates[LISTED]
    quality = -candidate_losses(one.truths.truth, asked.distributions, js_divergence_bits)
    scored = replace(asked, scores=likes(places, quality))
    again = evidence(one.study, {**one.candidates, LISTED: scored})
    return replace(again, shown={LISTED: places})


def test_a_listwise_judge_that_likes_the_first_place_is_found_out() -> None:
    one = in_lists(lambda places, quality: 4 + 3 * (places == 1) + quality)
    found = by_quantity(verifier_rows(one)[0])
    # Three points of the first place over the others: -1.5 per place, less what lies in between.
    assert found["place_slope"]["high"] < -1
    assert found["place_slope_js"]["low"] < 0 < found["place_slope_js"]["high"]
    first, second, third = (found[f"mean_score_at_place{place}"]["value"] for place in (1, 2, 3))
    assert first - second == pytest.approx(3, abs=0.1)
    assert second == pytest.approx(third, abs=0.1)


def test_a_listwise_judge_without_a_taste_for_places_has_no_slope_over_them() -> None:
    # Beams are in order of likelihood: a score that falls with the number is no bias of place.
    one = in_lists(lambda places, quality: 5 + 2 * quality - np.arange(3))
    found = by_quantity(verifier_rows(one)[0])
    assert found["order_slope"]["high"] < -0.5
    assert found["place_slope"]["low"] < 0 < found["place_slope"]["high"]


def test_the_slope_over_places_is_that_of_a_regression_with_an_intercept_per_clip() -> None:
    one = in_lists(lambda places, quality: 4 + 3 * (places == 1) + quality, n=70)
    shown, speakers = one.shown[LISTED], np.array(one.truths.speakers)
    scores = np.array(one.candidates[LISTED].scores)
    quality = -candidate_losses(
        one.truths.truth, one.candidates[LISTED].distributions, js_divergence_bits
    )
    assert np.isnan(scores).any()
    made = estimates_by_place(one.clusters, shown, scores, quality)[0][2]

    def slope(clips: np.ndarray) -> float:
        clip, number = np.nonzero(~np.isnan(scores) & clips[:, None])
        dummies = (clip[:, None] == np.unique(clip)[None, :]).astype(float)
        design = np.column_stack([shown[clip, number], dummies])
        return float(np.linalg.lstsq(design, scores[clip, number], rcond=None)[0][0])

    varies = np.array(
        [len(set(row[~np.isnan(own)])) > 1 for row, own in zip(shown, scores, strict=True)]
    )
    sizes = np.array([np.sum(varies & (speakers == who)) for who in sorted(set(speakers))])
    without = np.array([slope(speakers != who) for who in sorted(set(speakers))])
    se = np.sqrt((len(sizes) - 1) / len(sizes) * np.sum((without - without.mean()) ** 2))
    margin = student.ppf(0.975, sizes.sum() ** 2 / np.sum(sizes**2) - 1) * se
    value = slope(np.ones(len(scores), dtype=bool))
    assert made.n == varies.sum()
    assert (made.value, made.low, made.high) == pytest.approx(
        (value, value - margin, value + margin), abs=1e-9
    )


def test_of_two_candidates_a_list_has_no_slope_and_says_why() -> None:
    one = in_lists(lambda places, quality: 4 + 3 * (places == 1) + quality)
    places = np.array([[shown_place(f"{n:064x}", at, 2) + 1 for at in range(2)] for n in range(60)])
    pair = seeded(n=60, strategies=["greedy", "alm_v"])
    scores = pair.candidates["direct.beam-3"].scores[:, :2]
    made = estimates_by_place(pair.clusters, places, scores, scores)
    assert made[0][2].n == 0
    assert made[0][2].reason == "in no clip were two scored candidates shown in different places"
    assert "mean_score_at_place2" in by_quantity(verifier_rows(one)[0])


def test_a_judge_of_one_candidate_at_a_time_has_no_rows_about_places() -> None:
    rows, _ = verifier_rows(seeded(strategies=ALM_V))
    assert not [row for row in rows if "place" in row["quantity"]]
