"""Predictions that hear nothing. They belong beside every row: a uniform answer alone reaches a base-2 JS of about .31 to .39."""

from collections.abc import Callable

import numpy as np

from ambiemo.metrics.arithmetic import top_shares, totals


def uniform(truth: np.ndarray) -> np.ndarray:
    """The same share for every label. truth (n, K) gives the shape only; returns (n, K)."""
    return np.full(truth.shape, 1 / truth.shape[1])


def prior(truth: np.ndarray) -> np.ndarray:
    """The corpus' own mean distribution for every utterance, (n, K): Σ t / n, a sum whose bits no order of the utterances changes.

    It is made from the very votes it is scored on, so it is the best that any constant answer can do in mean squares: a deliberately hard bar.
    """
    return np.repeat(_mean(truth)[None, :], len(truth), axis=0)


def prior_one_hot(truth: np.ndarray) -> np.ndarray:
    """All on the label that is most common in the corpus' mean distribution, (n, K). It peeks as `prior` does.

    Labels tied with it share the 1 equally; tied is what the metrics call tied (`top_shares`: within 1e-9).
    """
    return np.repeat(top_shares(_mean(truth))[None, :], len(truth), axis=0)


def _mean(truth: np.ndarray) -> np.ndarray:
    return totals(truth) / len(truth)


BASELINES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uniform": uniform,
    "prior": prior,
    "prior_one_hot": prior_one_hot,
}
