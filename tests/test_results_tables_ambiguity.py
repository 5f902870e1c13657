"""The honest ambiguity test as a table: its gates, its verdicts, and in any order."""

from typing import Any

import numpy as np
import pytest
from results_evidence import candidates, evidence, permuted, renamed, seeded, study

from ambiemo.metrics.ambiguity import ambiguity_test
from ambiemo.results.evidence import NO_RATINGS, SEVERAL_TAGS, Evidence
from ambiemo.results.sections import SECTIONS
from ambiemo.results.tables.ambiguity import NO_CONTROLS, ambiguity_rows
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.gains import NO_GREEDY

HEARD = [{"strategy": "greedy", "control": "silence", "heard": "yes"}]


def planted(grows: bool) -> Evidence:
    """Clear and mixed clips of 20 speakers; the strategy repairs greedy on the mixed ones only, or
    on the clear ones only."""
    rng, n = np.random.default_rng(1), 600
    clear = np.arange(n) % 2 == 0
    place = rng.integers(0, 6, n)
    pair = np.eye(6)[place] / 2 + np.eye(6)[(place + 3) % 6] / 2
    true = np.where(clear[:, None], np.eye(6)[place], pair) * 0.94 + 0.01
    votes = [rng.multinomial(10, row).tolist() for row in true]
    # Greedy is as wrong at both, and no flattening or sharpening repairs it: the wrong label.
    wrong = 0.6 * true + 0.4 * np.eye(6)[(place + 1 + np.arange(n) % 2) % 6]
    repaired = np.where((clear != grows)[:, None], true, wrong)
    of = study(votes, [f"s{i % 20}" for i in range(n)], ["greedy", "linear_pool"])
    return evidence(
        of,
        {
            "direct.greedy": candidates(wrong[:, None]),
            "direct.beam-5": candidates(np.repeat(repaired[:, None], 5, axis=1)),
        },
    )


def test_a_planted_growth_is_found_and_its_opposite_is_not() -> None:
    (row,) = ambiguity_rows(planted(grows=True), HEARD)
    assert row["verdict"] == "HOLDS"
    assert row["share_removed_against_greedy_low"] > 0
    (row,) = ambiguity_rows(planted(grows=False), HEARD)
    assert row["verdict"] == "NOT REPRODUCED"
    assert row["share_removed_against_tempered_high"] < 0


def test_the_row_is_the_test_on_the_predictions_with_failed_ones_as_uniform() -> None:
    one = seeded(n=300, strategies=["greedy", "bon"])
    (row,) = ambiguity_rows(one, HEARD)
    truths = one.truths
    greedy, bon = (one.failed_as_uniform(one.by_strategy[name]) for name in ("greedy", "bon"))
    found = ambiguity_test(truths.votes, bon, greedy, truths.speakers)
    assert row["verdict"] == found.verdict
    assert row["gain_against_tempered"] == pytest.approx(found.rows[3].estimate.value, abs=1e-6)
    assert row["overall_gain_against_greedy_p"] == pytest.approx(found.gains[0][1].p, abs=1e-6)
    assert row["share_low"] + row["share_medium"] + row["share_high"] == pytest.approx(1, abs=2e-6)


@pytest.mark.parametrize(
    ("told", "heard", "reason"),
    [
        ({}, [], NO_CONTROLS),
        ({}, [HEARD[0] | {"heard": "not shown"}], "greedy, silence: not shown"),
        (
            {},
            [*HEARD, HEARD[0] | {"control": "shuffled_audio", "heard": "no"}],
            "shuffled_audio: no",
        ),
        ({"vote_unit": 2}, HEARD, SEVERAL_TAGS),
        ({"source": "acted"}, HEARD, NO_RATINGS),
        ({"raters": 3}, HEARD, "0% of the clips have 4 or more raters"),
        ({"speakers": 1}, HEARD, "one cluster: nothing varies between clusters"),
        ({"strategies": ["bon"]}, HEARD, NO_GREEDY),
    ],
)
def test_what_cannot_be_tested_says_why(
    told: dict[str, Any], heard: list[dict], reason: str
) -> None:
    rows = ambiguity_rows(seeded(**told), heard)
    assert rows
    for row in rows:
        assert row["verdict"] == "NOT TESTED"
        assert reason.removeprefix("greedy, ") in row["reason"]
    assert reason.removeprefix("greedy, ") in " ".join(SECTIONS["ambiguity"].notes(rows))


def test_strategies_that_always_fail_are_uniform_and_never_hold() -> None:
    one = seeded(n=200)
    lost = {
        name: candidates(np.full(asked.distributions.shape, np.nan))
        for name, asked in one.candidates.items()
    }
    for row in ambiguity_rows(evidence(one.study, lost), HEARD):
        assert row["verdict"] in ("NOT SHOWN", "NOT TESTED")
        assert row["reason"]


def test_no_order_changes_a_bit() -> None:
    rng, one = np.random.default_rng(0), seeded()
    base = as_csv(ambiguity_rows(one, HEARD))
    assert as_csv(ambiguity_rows(renamed(one, rng.permutation(60)), HEARD)) == base
    ours = as_csv(ambiguity_rows(permuted(one, rng.permutation(8)), HEARD))
    assert ours == as_csv(ambiguity_rows(permuted(one, np.arange(8)), HEARD))
