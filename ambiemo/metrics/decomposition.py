"""What a gain consists of: decoding, averaging, and choice.

A strategy that draws several candidates and scores them differs from the single answer in three
ways, and only the last needs the scores:

    decoding   mean loss of the single candidates - loss of the single greedy answer
    averaging  loss of the linear pool - mean loss of the single candidates
    choice     loss of the strategy - loss of the linear pool of the same candidates
    total      loss of the strategy - loss of greedy = decoding + averaging + choice

Negative is better. Averaging is never above 0 for a convex loss (Brier, Jensen-Shannon), whatever
the candidates are: an average of answers beats the average answer. So a gain that is all averaging
says nothing about a scorer.

Everything is one number per utterance, so `floors.statistics_of` and the jackknife give intervals.
An utterance without a greedy answer, without any parsed candidate or without the strategy's
prediction is NaN in every part, so that the parts always add up over the same utterances.

Source: the parts are ours (grade I). The gain of a pool over its members is Krogh and Vedelsby
1995. Effective candidates are Kish's effective sample size.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import TOLERANCE, Array, ratio, row_sum
from ambiemo.metrics.distribution import js_divergence_bits

Loss = Callable[[npt.ArrayLike, npt.ArrayLike], Array]

PARTS = ("decoding", "averaging", "choice", "total")


class Decomposition(NamedTuple):
    """One number per utterance, each (n,), NaN where it cannot be taken apart.

    decoding, averaging, choice, total  as above, in the unit of the loss
    single      mean loss of the parsed candidates: what one of them would score
    pool        loss of their linear pool (the mean of the parsed candidates)
    strategy    loss of the strategy's prediction
    oracle      loss of the best candidate: the least that choosing one can have
    regret      strategy - oracle
    effective   1 / sum of squared normalised weights: N if all weigh alike, 1 if one has won
    tied        1 if two or more candidates share the largest weight, else 0
    parsed      number of parsed candidates (0 where nothing parsed)
    """

    decoding: Array
    averaging: Array
    choice: Array
    total: Array
    single: Array
    pool: Array
    strategy: Array
    oracle: Array
    regret: Array
    effective: Array
    tied: Array
    parsed: Array

    def realised_statistics(self) -> Array:
        """Statistics (n, 2) of `realised`: single - strategy, and single - oracle; 0 and 0 where
        unknown."""
        statistics = np.stack([self.single - self.strategy, self.single - self.oracle], axis=-1)
        return np.where(np.isnan(statistics).any(axis=-1, keepdims=True), 0.0, statistics)


def realised(sums: Array) -> Array:
    """The realised fraction of what choosing could win, from summed statistics (..., 2) -> (...).

    (single - strategy) / (single - oracle): 0 for a random candidate, 1 for the best one every
    time. It may be above 1, as an average may beat every candidate. NaN where all candidates are
    equally good.
    """
    return np.where(sums[..., 1] > TOLERANCE, ratio(sums[..., 0], sums[..., 1]), np.nan)


def decompose(
    truth: npt.ArrayLike,
    greedy: npt.ArrayLike,
    pool: npt.ArrayLike,
    weights: npt.ArrayLike,
    strategy: npt.ArrayLike,
    loss: Loss = js_divergence_bits,
) -> Decomposition:
    """Take the gain of a strategy over the single answer apart.

    truth     (n, K)
    greedy    (n, K), NaN rows where it failed
    pool      (n, N, K), NaN rows for candidates that did not parse
    weights   (n, N) >= 0, what each candidate weighs in the strategy; NaN or 0 for one that weighs
              nothing. A best-of strategy has 1 on the winner, shared if several tie.
    strategy  (n, K), the strategy's prediction, NaN rows where it failed
    loss      a function of truth and prediction, lower is better, one number per utterance
    Raises ValueError for unlike shapes or negative weights.
    """
    t, g, s = (np.asarray(x, dtype=np.float64) for x in (truth, greedy, strategy))
    candidates, given = np.asarray(pool, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    shape = candidates.shape
    if candidates.ndim != 3 or given.shape != shape[:2]:
        raise ValueError(
            f"pool has shape {shape} and weights {given.shape}; expected (n, N, K) and (n, N)"
        )
    for name, array in (("truth", t), ("greedy", g), ("strategy", s)):
        if array.shape != (shape[0], shape[2]):
            raise ValueError(f"{name} has shape {array.shape}; expected {(shape[0], shape[2])}")
    if np.any(given < 0):
        raise ValueError("weights: a candidate has a negative weight")

    parsed = _parsed(candidates)
    each = candidate_losses(t, candidates, loss)
    many = parsed.sum(axis=-1).astype(np.float64)
    pooled = linear_pool(candidates)
    single = ratio(_sum(np.where(parsed, each, 0.0)), many)
    oracle = np.where(
        many > 0, np.min(np.where(parsed, each, np.inf), axis=-1, initial=np.inf), np.nan
    )
    losses = [_known(loss, t, array) for array in (g, pooled, s)]

    # A sum over candidates in order of size: no order of the candidates changes a bit.
    weighs = np.where(parsed & (given > 0), given, 0.0)
    effective = ratio(_sum(weighs) ** 2, _sum(weighs**2))
    top = weighs.max(axis=-1, initial=0.0)
    winners = (weighs >= (top * (1 - TOLERANCE))[:, None]) & (weighs > 0)
    tied = np.where(top > 0, winners.sum(axis=-1) > 1, np.nan)

    whole = ~np.isnan(single + losses[0] + losses[1] + losses[2])

    def kept(values: Array) -> Array:
        return np.where(whole, values, np.nan)

    return Decomposition(
        decoding=kept(single - losses[0]),
        averaging=kept(losses[1] - single),
        choice=kept(losses[2] - losses[1]),
        total=kept(losses[2] - losses[0]),
        single=kept(single),
        pool=kept(losses[1]),
        strategy=kept(losses[2]),
        oracle=kept(oracle),
        regret=kept(losses[2] - oracle),
        effective=kept(effective),
        tied=kept(tied),
        parsed=many,
    )


def linear_pool(pool: npt.ArrayLike) -> Array:
    """The mean of the parsed candidates, (n, N, K) -> (n, K); a NaN row where none parsed."""
    candidates = np.asarray(pool, dtype=np.float64)
    parsed = _parsed(candidates)
    filled = np.where(parsed[..., None], candidates, 0.0)
    return ratio(_sum(np.moveaxis(filled, 1, -1)), parsed.sum(axis=-1)[:, None])


def candidate_losses(truth: npt.ArrayLike, pool: npt.ArrayLike, loss: Loss) -> Array:
    """The loss of each candidate alone, (n, N); NaN for one that did not parse."""
    t, candidates = np.asarray(truth, dtype=np.float64), np.asarray(pool, dtype=np.float64)
    losses = np.full(candidates.shape[:2], np.nan)
    for place in range(candidates.shape[1]):
        losses[:, place] = _known(loss, t, candidates[:, place])
    return losses


def shared_win(scores: npt.ArrayLike, pool: npt.ArrayLike) -> Array:
    """Weights of a best-of strategy, (n, N): the best score wins, tied ones share the win.

    scores (n, N), NaN for a candidate without one; pool (n, N, K). Only parsed candidates can win;
    a row of zeros where none can. Equal scores tie, as in `strategies.aggregators.best`.
    """
    given = np.asarray(scores, dtype=np.float64)
    able = _parsed(np.asarray(pool, dtype=np.float64)) & ~np.isnan(given)
    top = np.max(np.where(able, given, -np.inf), axis=-1, initial=-np.inf)
    winners = able & (given == top[:, None])
    return np.where(winners, 1.0 / np.maximum(winners.sum(axis=-1), 1)[:, None], 0.0)


def _parsed(pool: Array) -> npt.NDArray[np.bool_]:
    return np.logical_not(np.isnan(pool).any(axis=-1), dtype=bool)


def _sum(values: Array) -> Array:
    """Sum over the last axis in order of size, so that no order of the candidates changes a bit."""
    return row_sum(np.sort(values, axis=-1)) if values.shape[-1] else np.zeros(values.shape[:-1])


def _known(loss: Loss, truth: Array, predicted: Array) -> Array:
    """The loss where there is a prediction, NaN elsewhere."""
    known = ~np.isnan(predicted).any(axis=-1)
    losses = np.full(len(truth), np.nan)
    if known.any():
        losses[known] = loss(truth[known], predicted[known])
    return losses
