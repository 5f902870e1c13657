"""What each candidate weighs in a strategy: the tables that take a gain apart need it."""

import numpy as np

from ambiemo.metrics.decomposition import shared_win
from ambiemo.strategies import Strategy
from ambiemo.strategies.candidates import Candidates, Floats
from ambiemo.strategies.predict import Settings, own, scores_of


def weights_of(strategy: Strategy, candidates: Candidates, settings: Settings) -> Floats:
    """The weights that `predict` gave the candidates, (n, N), not normalised; 0 for one that does
    not count.

    reads scores    1 for the winner; tied winners share it
    reads weights   the scorer's weights, by the strategy's own tau or the plan's
    reads nothing   1 for every candidate that parsed. For `vote_share` this is so too: every
                    candidate casts one vote. It differs from the linear pool in what is averaged
                    (votes for the largest label instead of distributions), not in the weights.
    """
    if strategy.scorer is None:
        return candidates.parsed.astype(np.float64)
    scores = scores_of(strategy.scorer, candidates)
    if strategy.aggregator.reads == "scores":
        return shared_win(scores, candidates.distributions)
    return np.nan_to_num(strategy.scorer.weigh(scores, own(strategy.tau, settings.tau)))
