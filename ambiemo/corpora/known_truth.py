"""The known true distributions of the embedded corpus. No other corpus has them."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambiemo.corpora.tiny import NAME
from ambiemo.labels import SIX

FILE = Path(__file__).parent.parent / "tiny" / "true_distributions.jsonl"
"""Made by `ambiemo.tiny.truth`; it ships with the package."""


def known_truth(
    corpus: str, labels: Sequence[str], ids: Sequence[str], clips: Sequence[str]
) -> NDArray[np.float64] | None:
    """The true distributions (n, K) of these utterances, rows sum to 1; None where they are not
    known.

    They are known only if the corpus is the embedded one, with its labels, and the SHA-256 of every
    clip is that of the clip the package ships under this id.
    """
    if corpus != NAME or tuple(labels) != SIX:
        return None
    shipped = _shipped()
    rows = []
    for one, clip in zip(ids, clips, strict=True):
        sha256, shares = shipped.get(one, ("", ()))
        if sha256 != clip:
            return None
        rows.append(shares)
    truth = np.array(rows, dtype=np.float64)
    return truth / truth.sum(axis=1, keepdims=True) if len(rows) else None


@cache
def _shipped() -> dict[str, tuple[str, tuple[float, ...]]]:
    rows = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    return {row["utterance_id"]: (row["sha256"], tuple(row["true"])) for row in rows}
