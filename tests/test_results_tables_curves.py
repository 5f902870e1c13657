"""Curves as a table: over all subsets, as the slow definitions say, with their costs, in any
order.
"""

import itertools

import numpy as np
import pytest
from results_evidence import candidates, evidence, permuted, renamed, seeded, study

from ambiemo.metrics import curves
from ambiemo.metrics.distribution import brier, js_divergence_bits
from ambiemo.models import Price
from ambiemo.results.evidence import Evidence
from ambiemo.results.sections import SECTIONS
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.curves import (
    IS_REFERENCE,
    NO_BUDGET,
    NO_LIMIT,
    NOTHING,
    Cost,
    curve_rows,
    spent,
)
from ambiemo.results.tables.subset_losses import pool_and_best, sizes_of, vote

SAMPLED = [
    "greedy",
    "majority_vote",
    {"name": "alm_v_sampled", "base": "alm_v", "decoding": "sample", "count": 4},
]
COSTS = {"direct.greedy": Cost(20.0, 0.001), "direct.sample-8": Cost(20.0, 0.001, 5.0, 0.002)}


def rows_of(one: Evidence) -> list[dict]:
    return curve_rows(one, COSTS)


def by_name(rows: list[dict]) -> dict[tuple, dict]:
    return {(row["method"], row["k"]): row for row in rows}


def seeded_pool(n: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, a pool with unparsed candidates, and scores with ties."""
    rng = np.random.default_rng(n + count)
    truth = rng.dirichlet(np.ones(4), n)
    pool = rng.dirichlet(np.ones(4), (n, count))
    pool[rng.random((n, count)) < 0.2] = np.nan
    return truth, pool, rng.integers(0, 3, (n, count)).astype(float)


@pytest.mark.parametrize(("n", "count"), [(40, 5), (12, 8), (4, 11)])
def test_the_fast_curves_are_the_slow_ones(n: int, count: int) -> None:
    truth, pool, scores = seeded_pool(n, count)
    scores[0, 0] = np.nan
    linear, (best,) = pool_and_best(truth, pool, [scores])
    parsed = (~np.isnan(pool).any(axis=2)).sum(axis=1)
    able = (~np.isnan(pool).any(axis=2) & ~np.isnan(scores)).sum(axis=1)
    for k in sizes_of(count):
        for name, loss in (("js", js_divergence_bits), ("brier", brier)):
            slow = curves.pool_at(truth, pool, k, loss)
            assert np.abs(getattr(linear, name)[k] - slow)[parsed >= k].max(initial=0) < 1e-9
            if count <= 8:  # with more, subsets are seeded in different groups
                slow = curves.best_at(truth, pool, scores, k, loss)
                assert np.abs(getattr(best, name)[k] - slow)[able >= k].max(initial=0) < 1e-9


def test_a_clip_with_fewer_parsed_candidates_keeps_what_it_has() -> None:
    truth, pool, _ = seeded_pool(30, 5)
    linear, _ = pool_and_best(truth, pool, [])
    parsed = (~np.isnan(pool).any(axis=2)).sum(axis=1)
    for clip in np.flatnonzero((parsed > 0) & (parsed < 5)):
        assert len({linear.js[k][clip] for k in range(parsed[clip], 6)}) == 1


def test_votes_are_those_counted_by_hand() -> None:
    # Votes: anger, anger, disgust. Of 3 pairs one is unanimous.
    pool = np.array([[[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]])
    found = vote(np.array([[1.0, 0.0]]), pool)
    assert found.brier[1][0] == pytest.approx(2 / 3)
    assert found.brier[2][0] == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert found.brier[3][0] == pytest.approx(2 / 9)


def test_the_rows_of_a_sampled_question() -> None:
    rows = rows_of(seeded(strategies=SAMPLED))
    found = by_name(rows)
    methods = ["greedy", "linear_pool", "vote", "best_by_likelihood", "best_by_verifier"]
    assert list(dict.fromkeys(row["method"] for row in rows)) == methods
    assert [k for method, k in found if method == "linear_pool"] == [1, 2, 3, 4, 5, 6, 7, 8, "inf"]
    assert [k for method, k in found if method == "best_by_verifier"] == [
        1,
        2,
        3,
        4,
    ]  # judged are four
    pool = [found["linear_pool", k] for k in range(1, 9)]
    assert all(a["brier"] > b["brier"] for a, b in itertools.pairwise(pool))
    assert all(
        a["js_divergence_bits"] > b["js_divergence_bits"] for a, b in itertools.pairwise(pool)
    )
    limit = found["linear_pool", "inf"]
    assert limit["brier_low"] < limit["brier"] < pool[-1]["brier"]
    for row in rows:
        assert (
            row["js_divergence_bits_low"]
            < row["js_divergence_bits"]
            < row["js_divergence_bits_high"]
        )
        assert np.isfinite(row["same_draws"]) or row["reason"].startswith("same_draws: ")
    assert pool[0]["reason"] == f"same_draws: {IS_REFERENCE}"
    assert limit["reason"] == f"same_draws: {NO_BUDGET}"


def test_a_judgement_is_a_draw_and_costs_its_own_tokens() -> None:
    found = by_name(rows_of(seeded(strategies=SAMPLED)))
    one = found["best_by_verifier", 4]
    assert (one["draws"], one["tokens"], one["dollars_per_1000_clips"]) == (8, 100, 12)
    assert one["same_draws_k"] == 8
    pooled = found["linear_pool", 8]
    assert one["same_draws"] == pytest.approx(
        one["js_divergence_bits"] - pooled["js_divergence_bits"], abs=2e-6
    )
    alone = found["best_by_likelihood", 1]
    assert (alone["same_draws"], alone["same_draws_low"], alone["same_draws_high"]) == (0, 0, 0)


def test_the_front_has_no_row_that_another_beats() -> None:
    rows = rows_of(seeded(strategies=SAMPLED))
    points = [
        (row["tokens"], row["js_divergence_bits"], row["pareto"])
        for row in rows
        if row["k"] != "inf"
    ]
    front = [(tokens, js) for tokens, js, word in points if word == "yes"]
    assert front
    for tokens, js, word in points:
        beaten = any(a <= tokens and b <= js and (a, b) != (tokens, js) for a, b in front)
        assert beaten == (word == "no")
    assert by_name(rows)["linear_pool", "inf"]["pareto"] == ""


def test_dollars_are_those_of_prompt_audio_and_answer() -> None:
    price = Price(
        text_in=2, audio_in=40, out=10, audio_tokens_per_second=10, date="2026-01-01", where="there"
    )
    # Two prompts of 100 tokens with 3 s of audio: 70 of text and 30 of audio; answers of 25 tokens.
    tokens, dollars = spent(50, 2, [(100, 3.0), (100, 3.0)], price)
    assert tokens == 25
    assert dollars == pytest.approx((70 * 2 + 30 * 40 + 25 * 10) / 1e6)
    assert np.isnan(spent(50, 2, [(100, 3.0)], None)[1])
    assert np.isnan(spent(0, 0, [], price)).all()


def test_all_failed_has_reasons_and_one_parsed_sample_has_no_limit() -> None:
    one = seeded(n=6, strategies=SAMPLED)
    lost = {
        name: candidates(np.full(asked.distributions.shape, np.nan))
        for name, asked in one.candidates.items()
    }
    rows = rows_of(evidence(one.study, lost))
    assert {row["n"] for row in rows} == {0}
    assert all(
        row["reason"].startswith(f"js_divergence_bits, brier: {NOTHING}")
        for row in rows
        if row["k"] != "inf"
    )
    single = {
        name: candidates(asked.distributions.copy()) for name, asked in one.candidates.items()
    }
    single["direct.sample-8"].distributions[:, 1:] = np.nan
    found = by_name(rows_of(evidence(one.study, single)))
    assert NO_LIMIT in found["linear_pool", "inf"]["reason"]
    assert found["linear_pool", 8]["brier"] == found["linear_pool", 1]["brier"]
    assert not any(method == "best_by_likelihood" for method, _ in found)  # no likelihood is known
    assert NO_LIMIT in "\n".join(SECTIONS["curves"].markdown(rows_of(evidence(one.study, single))))


def test_one_speaker_and_ties_everywhere() -> None:
    for row in rows_of(seeded(speakers=1, strategies=SAMPLED)):
        assert "one cluster: nothing varies between clusters" in row["reason"]
    one = seeded(strategies=SAMPLED)
    tied = {
        name: candidates(asked.distributions, np.zeros(asked.there.shape))
        for name, asked in one.candidates.items()
    }
    found = by_name(rows_of(evidence(one.study, tied)))
    for k in range(1, 9):  # the mean of tied winners is the pool
        assert found["best_by_likelihood", k]["same_draws"] == 0


def test_no_order_changes_a_bit() -> None:
    rng, one = np.random.default_rng(0), seeded(strategies=SAMPLED[:2])
    assert as_csv(rows_of(renamed(one, rng.permutation(60)))) == as_csv(rows_of(one))
    assert as_csv(rows_of(permuted(one, rng.permutation(8)))) == as_csv(rows_of(one))


def test_shares_as_votes_change_nothing_here() -> None:
    of = study([[3, 1, 0, 0, 0, 0]] * 3, "abc", SAMPLED[:2], vote_unit=4)
    asked = {
        "direct.greedy": candidates(np.full((3, 1, 6), 1 / 6)),
        "direct.sample-8": candidates(np.full((3, 8, 6), 1 / 6)),
    }
    rows = rows_of(evidence(of, asked))
    assert all(np.isfinite(row["brier"]) for row in rows)


def test_the_limit_of_js_is_near_even_for_samples_that_are_all_but_one_hot() -> None:
    rng, n = np.random.default_rng(2), 800
    votes = np.array([rng.multinomial(9, row) for row in rng.dirichlet(np.full(6, 0.5), n)]) / 9
    parts = 0.3 * rng.dirichlet(np.ones(6), n) + 1e-3
    pool = np.stack([rng.dirichlet(row, 8) for row in parts])
    exact = js_divergence_bits(votes, parts / parts.sum(axis=1, keepdims=True)).mean()
    (linear, _) = pool_and_best(votes, pool, [])
    # Of what eight samples still lack, all but a fifth; a fit over all k leaves three quarters.
    left = (linear.js_limit.mean() - exact) / (linear.js[8].mean() - exact)
    assert abs(left) < 0.3
