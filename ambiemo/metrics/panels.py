"""Every way to choose some of a clip's raters, counted instead of drawn.

Raters who gave the same vote are interchangeable, so a clip with 10 raters has a few dozen
different halves, not 252. Listing them with their number of ways gives the mean over all choices
exactly, where drawing choices at random gives it with noise and needs a seed.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def whole_votes(votes: npt.ArrayLike) -> Counts:
    """Votes (n, K) as whole numbers, checked.

    Raises ValueError, naming the first bad row, for shares, negative numbers and non-finite ones.
    Shares cannot be split between raters, and their N is not known.
    """
    array = np.asarray(votes, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(
            f"votes: found shape {array.shape}; expected (n, K) with at least 2 labels"
        )
    good = np.isfinite(array) & (array >= 0)
    good &= np.where(good, array, 0.0) == np.floor(np.where(good, array, 0.0))
    if not good.all():
        row = int(np.argwhere(~good)[0][0])
        raise ValueError(
            f"votes: row {row}: {array[row].tolist()}; "
            "expected whole numbers of raters, one vote each"
        )
    return array.astype(np.int64)


@lru_cache(maxsize=1 << 16)
def subpanels(votes: tuple[int, ...], size: int) -> tuple[Counts, tuple[int, ...]]:
    """Every panel of `size` raters that can be chosen from `votes` (K,), and the number of ways of
    each.

    Returns panels (M, K), in lexicographic order, and M numbers of ways that sum to comb(N, size).
    Every panel has at least one way. There are no panels if size > N.
    """
    pairs: list[tuple[tuple[int, ...], int]] = []

    def choose(label: int, left: int, chosen: tuple[int, ...], ways: int) -> None:
        if label == len(votes) - 1:
            if left <= votes[label]:
                pairs.append(((*chosen, left), ways * math.comb(votes[label], left)))
            return
        for taken in range(min(left, votes[label]) + 1):
            choose(label + 1, left - taken, (*chosen, taken), ways * math.comb(votes[label], taken))

    choose(0, size, (), 1)
    panels = np.array([panel for panel, _ in pairs], dtype=np.int64).reshape(len(pairs), len(votes))
    panels.setflags(write=False)
    return panels, tuple(ways for _, ways in pairs)
