"""What a gain consists of, as a table: by hand, in any order, and for inputs that allow no
answer.
"""

import numpy as np
import pytest
from results_evidence import candidates, evidence, permuted, renamed, seeded, study, without_reason

from ambiemo.bundle.recomputing import assembled
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.results.sections import SECTIONS, read_csv, short_gains
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.gains import NO_GREEDY, NO_SCORES, gain_rows
from ambiemo.results.units import UnitResult, UnitRows, all_units

ONE_HOT = np.eye(6)


def by_strategy(rows: list[dict]) -> dict[str, dict]:
    return {row["strategy"]: row for row in rows}


def test_the_parts_of_a_best_of_three_are_those_made_by_hand() -> None:
    # Truth: all anger. Greedy says disgust. Beams: anger, anger, disgust; the likeliest is the
    # first.
    of = study(
        [[3, 0, 0, 0, 0, 0]] * 4, "abcd", ["greedy", {"name": "bon_3", "base": "bon", "count": 3}]
    )
    beams = np.stack([ONE_HOT[[0, 0, 1]]] * 4)
    asked = {
        "direct.greedy": candidates(np.stack([ONE_HOT[[1]]] * 4)),
        "direct.beam-3": candidates(beams, [[-1, -2, -3]] * 4),
    }
    (row,) = gain_rows(evidence(of, asked))
    pooled = float(js_divergence_bits(ONE_HOT[0], np.array([2, 1, 0, 0, 0, 0]) / 3))
    assert (row["strategy"], row["candidates"], row["n"], row["speakers"]) == ("bon_3", 3, 4, 4)
    assert row["decoding"] == pytest.approx(1 / 3 - 1, abs=1e-6)
    assert row["averaging"] == pytest.approx(pooled - 1 / 3, abs=1e-6)
    assert row["choice"] == pytest.approx(0 - pooled, abs=1e-6)
    assert row["total"] == -1
    assert (
        row["oracle"],
        row["regret"],
        row["realised"],
        row["effective_candidates"],
        row["ties"],
    ) == (0, 0, 1, 1, 0)
    # Four clips that are all alike: every value is known, no interval is.
    assert row["reason"].startswith("the value is the same whichever cluster is left out")


def test_parts_add_up_and_have_intervals() -> None:
    rows = gain_rows(seeded())
    assert [row["strategy"] for row in rows] == [
        "bon",
        "w_bon",
        "alm_v",
        "w_alm_v",
        "majority_vote",
        "linear_pool",
    ]
    for row in rows:
        assert row["decoding"] + row["averaging"] + row["choice"] == pytest.approx(
            row["total"], abs=3e-6
        )
        assert row["total_low"] < row["total"] < row["total_high"]
        assert row["averaging"] < 0 < row["g_eff"] <= 10
        assert without_reason(row) == []
    assert by_strategy(rows)["linear_pool"]["choice"] == 0
    assert f"ties: {NO_SCORES}" in by_strategy(rows)["majority_vote"]["reason"]


@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_candidates_or_utterances_changes_a_bit(seed: int) -> None:
    rng, one = np.random.default_rng(seed), seeded()
    assert as_csv(gain_rows(permuted(one, rng.permutation(8)))) == as_csv(
        gain_rows(permuted(one, np.arange(8)))
    )
    assert as_csv(gain_rows(renamed(one, rng.permutation(60)))) == as_csv(gain_rows(one))


def test_one_speaker_has_values_and_a_reason_instead_of_intervals() -> None:
    for row in gain_rows(seeded(speakers=1)):
        assert np.isfinite(row["total"])
        assert np.isnan(row["total_low"])
        assert "one cluster: nothing varies between clusters" in row["reason"]
        assert without_reason(row) == []


def test_where_no_candidate_parsed_every_number_has_a_reason() -> None:
    one = seeded(n=4)
    lost = {
        name: candidates(np.full(asked.distributions.shape, np.nan))
        for name, asked in one.candidates.items()
    }
    rows = gain_rows(evidence(one.study, lost))
    assert len(rows) == 6
    for row in rows:
        assert (row["n"], row["left_out"]) == (0, 4)
        assert "no utterances" in row["reason"]
        assert without_reason(row) == []


def test_ties_everywhere_are_counted_and_choice_is_then_nothing() -> None:
    one = seeded()
    tied = {
        name: candidates(
            asked.distributions, np.zeros(asked.there.shape), np.full(asked.there.shape, 5.0)
        )
        for name, asked in one.candidates.items()
    }
    rows = by_strategy(gain_rows(evidence(one.study, tied)))
    assert rows["bon"]["ties"] == 1
    assert rows["bon"]["choice"] == rows["alm_v"]["choice"] == 0
    assert rows["alm_v"]["effective_candidates"] > 2.5


def test_without_greedy_only_what_needs_it_is_missing() -> None:
    (row,) = gain_rows(seeded(strategies=["bon"]))
    assert NO_GREEDY in row["reason"]
    assert np.isnan([row["decoding"], row["total"]]).all()
    assert np.isfinite([row["averaging"], row["choice"], row["choice_low"]]).all()
    assert without_reason(row) == []


def test_a_bundle_gets_the_table_its_section_and_the_terminals_lines() -> None:
    one = seeded()
    rows = gain_rows(one)
    results = {
        unit: UnitResult(UnitRows(gains=rows if unit == one.unit else []))
        for unit in all_units(one.study)
    }
    made = assembled(one.study, results)
    read = read_csv(made["tables/gains.csv"])
    assert [row["choice"] for row in read] == [row["choice"] for row in rows]
    text = made["tables/results.md"].decode()
    assert text.index(SECTIONS["gains"].caveat) < text.index("| tiny on tiny | bon | 5 |")
    assert NO_SCORES in text
    heads, first, *_ = short_gains(read)["tiny", "tiny"]
    assert heads[:3] == ["strategy", "N", "decoding"]
    assert first[0] == "bon"
    assert "±" in first[3]
