"""Simulated raters: who hears what in a clip that portrays a mix of emotions.

The model (ours; it is a simulation and claims nothing about people). A clip portrays weights w over
the six labels with an intensity s in (0, 1]; what is there to be heard is

    a = s w + (1 - s) e_neutral

(a weak portrayal leaves neutral speech). Rater r of a pool of 40 hears it through an own confusion
and an own bias:

    q_r ~ ((1 - c_r) a + c_r a K)^g_r * exp(b_r)        normalised over the labels; powers and products elementwise
    c_r ~ Beta(2, 8)   how often r mishears             K = CONFUSION, rows: what is misheard as what
    g_r ~ U(0.8, 1.8)  how decided r is
    b_r ~ N(0, 0.35)   r's liking of each label

and casts one vote, a draw from q_r. Nine raters of the pool, drawn per clip, make its votes. So
clear portrayals are mostly agreed on, mixtures split the panel, and a third and fourth label get
votes by confusion: entropies of the votes spread from 0 to above 2 bits. K follows the usual
confusions of vocal emotion (anger with disgust, fear with sadness, sadness and weak happiness with
neutral; e.g. Banse & Scherer 1996, Juslin & Laukka 2003) in direction; its numbers are ours.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ambiemo.seeds import seed
from ambiemo.tiny.texts import LABELS

POOL = 40
PANEL = 9
NEUTRAL = LABELS.index("neutral")
CONFUSION = np.array(
    # heard as: anger disgust fear happy neutral sad
    [
        [0.00, 0.35, 0.10, 0.25, 0.25, 0.05],  # anger
        [0.30, 0.00, 0.05, 0.05, 0.30, 0.30],  # disgust
        [0.15, 0.05, 0.00, 0.25, 0.20, 0.35],  # fear
        [0.25, 0.05, 0.20, 0.00, 0.40, 0.10],  # happy
        [0.15, 0.20, 0.05, 0.20, 0.00, 0.40],  # neutral
        [0.05, 0.25, 0.20, 0.05, 0.45, 0.00],  # sad
    ]
)


def pool() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The pool's parameters: c (POOL,), g (POOL,), b (POOL, K); always the same ones."""
    rng = np.random.default_rng(seed("tiny", "raters", "pool"))
    return (
        rng.beta(2, 8, POOL),
        rng.uniform(0.8, 1.8, POOL),
        rng.normal(0, 0.35, (POOL, len(LABELS))),
    )


def heard(weights: Sequence[float] | NDArray[np.float64], intensity: float) -> NDArray[np.float64]:
    """q_r of every rater of the pool for one clip: (POOL, K), rows sum to 1."""
    confusability, decidedness, bias = pool()
    there = intensity * np.asarray(weights, dtype=np.float64)
    there[NEUTRAL] += 1 - intensity
    mixed = (1 - confusability)[:, None] * there + confusability[:, None] * (there @ CONFUSION)
    q = mixed ** decidedness[:, None] * np.exp(bias)
    return q / q.sum(axis=1, keepdims=True)


def vote(
    weights: Sequence[float] | NDArray[np.float64], intensity: float, *name: object
) -> NDArray[np.int64]:
    """The votes (K,) of nine raters for one clip; `name` names the clip (and the panel) and seeds
    the draw.
    """
    rng = np.random.default_rng(seed("tiny", "votes", *name))
    q = heard(weights, intensity)[rng.choice(POOL, PANEL, replace=False)]
    cast = (rng.random(PANEL)[:, None] < q.cumsum(axis=1)).argmax(axis=1)
    return np.bincount(cast, minlength=len(LABELS))
