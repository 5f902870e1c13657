"""What each candidate weighs in a strategy: the tables that take a gain apart need it."""

import numpy as np

from ambiemo.metrics.decomposition import shared_win
from ambiemo.strategies import Strategy
from ambiemo.strategies.candidates import Candidates, Floats
from ambiemo.strategies.predict import Settings


def weights_of(strategy: Strategy, candidates: Candidates, settings: Settings) -> Floats:
    """The weights that `predict` gave the candidates, (n, N), not normalised; 0 for one that does
    not count.

    reads scores    1 for the winner; tied winners share it
    reads weights   the scorer's weights, by the strategy's own tau or the plan's
    reads nothing   1 for every candidate that parsed. For `vote_share` this is so too: every
                    candidate casts one vote. It differs from the linear pool in what is averaged
                    (votes for the largest label instead of distributions), not in the weights.
    """
    parsed = candidates.parsed
    if strategy.scorer is None:
        return parsed.astype(np.float64)
    scores = np.where(parsed, strategy.scorer.score(candidates), np.nan)
    if strategy.aggregator.reads == "scores":
        return shared_win(scores, candidates.distributions)
    tau = settings.tau if strategy.tau is None else strategy.tau
    return np.nan_to_num(strategy.scorer.weigh(scores, tau))
