"""Predictions that hear nothing. Read every row next to them: a uniform answer alone reaches a JS
of about .31 to .39 bits.

Each takes truth (n, K) and the speakers (n,), and returns (n, K); a row of NaN is an utterance for
which the baseline has no prediction.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ambiemo.metrics.arithmetic import top_shares, totals
from ambiemo.metrics.floors import prior_leave_cluster_out

Baseline = Callable[[np.ndarray, Sequence[str]], np.ndarray]

ONE_SPEAKER = "one speaker: there is no other to take the prior from"
"""Why `prior_without_speaker` has no prediction."""


def uniform(truth: np.ndarray, speakers: Sequence[str] = ()) -> np.ndarray:
    """The same share for every label. truth (n, K) gives the shape only."""
    return np.full(truth.shape, 1 / truth.shape[1])


def prior(truth: np.ndarray, speakers: Sequence[str] = ()) -> np.ndarray:
    """The corpus' own mean distribution for every utterance: Σ t / n. No order of the utterances
    changes a bit.

    It is made from the very votes it is scored on, so no constant answer has a smaller squared
    distance: a deliberately hard bar.
    """
    return np.repeat(_mean(truth)[None, :], len(truth), axis=0)


def prior_without_speaker(truth: np.ndarray, speakers: Sequence[str] = ()) -> np.ndarray:
    """The mean distribution of the other speakers' utterances: `prior` without having seen what it
    is scored on.

    speakers (n,). With one speaker there are no others: every row is NaN.
    """
    if len(set(speakers)) < 2:
        return np.full(truth.shape, np.nan)
    return prior_leave_cluster_out(truth, speakers)


def prior_one_hot(truth: np.ndarray, speakers: Sequence[str] = ()) -> np.ndarray:
    """All on the label that is most common in the corpus' mean distribution. It peeks as `prior`
    does.

    Labels tied with it share the 1 equally; tied is what the metrics call tied (`top_shares`:
    within 1e-9).
    """
    return np.repeat(top_shares(_mean(truth))[None, :], len(truth), axis=0)


def _mean(truth: np.ndarray) -> np.ndarray:
    return totals(truth) / len(truth)


BASELINES: dict[str, Baseline] = {
    "uniform": uniform,
    "prior": prior,
    "prior_without_speaker": prior_without_speaker,
    "prior_one_hot": prior_one_hot,
}
