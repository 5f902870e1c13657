"""The weights that the tables show are those that the predictions were made with."""

import numpy as np
import pytest
from results_evidence import candidates

from ambiemo.strategies import STRATEGIES, Strategy, aggregator
from ambiemo.strategies.aggregators import vote_share, weighted_mean
from ambiemo.strategies.candidates import Candidates
from ambiemo.strategies.predict import Settings, predict
from ambiemo.strategies.weighing import weights_of

SETTINGS = Settings(tau=2.0, concentration=1e9, epsilon=1e-9)
"""With such a c and epsilon a mixture is the weighted mean of its candidates."""


def seeded() -> Candidates:
    rng = np.random.default_rng(0)
    pool = rng.dirichlet(np.ones(6), (50, 5))
    pool[rng.random((50, 5)) < 0.2] = np.nan
    scores = rng.integers(0, 4, (50, 5)).astype(float)
    scores[rng.random((50, 5)) < 0.1] = np.nan
    return candidates(pool, -rng.gamma(2, 2, (50, 5)), scores, rng.integers(1, 30, (50, 5)))


@pytest.mark.parametrize(
    "name", ["bon", "w_bon", "w_bon_mean", "alm_v", "w_alm_v", "linear_pool", "label_logprobs"]
)
def test_the_mean_by_these_weights_is_the_prediction(name: str) -> None:
    asked = seeded()
    strategy = STRATEGIES[name]
    weights = weights_of(strategy, asked, SETTINGS)
    assert not np.isnan(weights).any()
    assert (weights[~asked.parsed] == 0).all()
    expected = predict(strategy, asked, SETTINGS).distributions
    found = weighted_mean(asked.distributions, weights)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) < 1e-7


def test_votes_weigh_alike_and_differ_in_what_is_averaged() -> None:
    asked = seeded()
    weights = weights_of(STRATEGIES["majority_vote"], asked, SETTINGS)
    assert np.array_equal(weights, asked.parsed)
    expected = predict(STRATEGIES["majority_vote"], asked, SETTINGS).distributions
    assert np.array_equal(expected, vote_share(asked.distributions), equal_nan=True)


def test_a_strategy_s_own_tau_is_taken() -> None:
    row = STRATEGIES["w_bon"]
    own = Strategy(
        "own", row.prompt, row.decoding, row.scorer, aggregator("dirichlet_mixture"), tau=0.01
    )
    sharp, soft = (weights_of(one, seeded(), SETTINGS) for one in (own, row))
    assert sharp.max(axis=1).mean() > soft.max(axis=1).mean() + 0.1
