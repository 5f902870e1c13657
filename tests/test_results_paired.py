"""Differences between strategies: what counts as one family of comparisons."""

import bundle_real
import numpy as np
import pytest

from ambiemo.metrics.inference import holm
from ambiemo.results.predictions import Column
from ambiemo.results.tables import Measures, paired_rows
from ambiemo.results.truths import Truths

RNG = np.random.default_rng(7)
TRUTH = RNG.dirichlet(np.ones(3), 40)
SPEAKERS = tuple(f"s{i % 20}" for i in range(40))
IDS = tuple(f"u{i:02}" for i in range(40))
TRUTHS = Truths(IDS, TRUTH, TRUTH * 10, SPEAKERS, np.full(40, "low"), IDS)


def column(strategy: str, control: str = "none", model: str = "m") -> Column:
    noise = np.random.default_rng(sum(map(ord, strategy + control))).dirichlet(np.ones(3), 40)
    return bundle_real.column(("c", model, strategy, control), (TRUTH + noise) / 2)


def against(reference: str, control: str, columns: list[Column]) -> list[dict]:
    rows = paired_rows(Measures(bundle_real.plan(), TRUTHS, "c"), columns)
    shown = ("all", "js_divergence_bits")
    return [r for r in rows if (r["level"], r["metric"]) == shown and (r["b"], r["b_control"]) == (reference, control)]


STRATEGIES = [column("greedy"), column("cot"), column("bon")]


@pytest.mark.parametrize("more", [[column("uniform", model="baselines")], [column("greedy", "silence")]])
def test_a_baseline_or_a_control_makes_no_strategy_less_sure_against_greedy(more: list[Column]) -> None:
    assert against("greedy", "none", [*STRATEGIES, *more]) == against("greedy", "none", STRATEGIES)


def test_every_strategy_more_counts_against_the_others() -> None:
    rows = against("greedy", "none", [*STRATEGIES, column("w_bon")])
    assert [row["a"] for row in rows] == ["cot", "bon", "w_bon"]
    np.testing.assert_allclose([r["p_holm"] for r in rows], holm([r["p"] for r in rows]), atol=1e-6)


def test_the_strategies_under_one_control_are_a_family() -> None:
    own = [column("greedy", "silence"), column("cot", "silence")]
    rows = [row for name in ("greedy", "cot") for row in against(name, "silence", [*STRATEGIES, *own])]
    assert [row["a"] for row in rows] == ["greedy", "cot"]
    np.testing.assert_allclose([r["p_holm"] for r in rows], holm([r["p"] for r in rows]), atol=1e-6)


def test_the_failures_of_either_side_are_counted() -> None:
    cot, greedy = column("cot"), column("greedy")
    cot.shares[:3], greedy.shares[2:4] = np.nan, np.nan
    (row,) = against("greedy", "none", [greedy, cot])
    assert (row["n"], row["failed_a"], row["failed_b"]) == (36, 3, 2)
