"""Answers for the verifier to judge while it learns: good, bad, made up, and the model's own."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ambiemo.tiny.texts import LABELS, cot_answer, direct_answer, twentieths

Distribution = NDArray[np.float64]
# How often each kind is drawn; `own` needs answers that the model gave, and falls back on `panel`.
KINDS: Mapping[str, float] = {
    "panel": 0.16,  # the same clip rated by another panel: nearly right
    "perturbed": 0.16,  # the truth moved a little, or a lot
    "other": 0.24,  # the truth of some other clip
    "blend": 0.12,  # half the truth, half another clip's
    "one_hot": 0.10,  # everything on one label
    "permuted": 0.06,  # the right numbers on the wrong labels
    "flat": 0.06,  # nearly uniform
    "own": 0.10,  # what the model answered before
}


def drawn(
    kind: str,
    truth: Distribution,
    panel: Distribution,
    other: Distribution,
    rng: np.random.Generator,
) -> Distribution:
    """A candidate distribution (K,) of a kind, from the truth, another panel's shares of the same
    clip and another clip's truth.
    """
    k = len(LABELS)
    if kind == "perturbed":
        return rng.dirichlet(rng.choice([4.0, 12.0, 40.0]) * truth + 0.05)
    if kind == "other":
        return other
    if kind == "blend":
        weight = rng.uniform(0.2, 0.8)
        return weight * truth + (1 - weight) * other
    if kind == "one_hot":
        likely = rng.random() < 0.6
        return np.eye(k)[rng.choice(k, p=truth) if likely else rng.integers(k)]
    if kind == "permuted":
        return truth[rng.permutation(k)]
    if kind == "flat":
        return rng.dirichlet(np.full(k, 12.0))
    return panel


def candidate(
    truth: Distribution,
    panel: Distribution,
    other: Distribution,
    prosody: Mapping[str, float],
    other_prosody: Mapping[str, float],
    own: Sequence[tuple[str, Distribution]],
    rng: np.random.Generator,
) -> tuple[str, Distribution]:
    """One candidate answer: its text (half of them with a description, right or another clip's) and
    its distribution.
    """
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if own and (kind == "own" or rng.random() < 0.35):
        return own[int(rng.integers(len(own)))]
    p = drawn(kind, truth, panel, other, rng)
    p = twentieths(p) if rng.random() < 0.6 else np.round(p, 2) / np.round(p, 2).sum()
    if rng.random() < 0.5:
        return direct_answer(p), p
    return cot_answer(prosody if rng.random() < 0.6 else other_prosody, p), p
