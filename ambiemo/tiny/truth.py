"""The true distribution of every test clip: what infinitely many votes of the simulated raters
would give.

A vote is cast by a rater drawn from the pool, so it is the mean of q_r over the pool (`raters`). No
real corpus has such a thing. It is shipped as a file, because numpy does not promise that another
version draws the same pool.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambiemo import durable
from ambiemo.tiny import clips, raters
from ambiemo.tiny.texts import LABELS

FILE = "true_distributions.jsonl"
DIGITS = 9


def true_distribution(weights: Mapping[str, float], intensity: float) -> NDArray[np.float64]:
    """The true distribution (K,) of a clip with these weights by label, as its line of
    `utterances.jsonl` has them."""
    portrayed = [weights.get(label, 0.0) for label in LABELS]
    return np.asarray(raters.heard(portrayed, intensity).mean(axis=0))


def remake(folder: Path = Path(__file__).parent) -> int:
    """Write the file again into `folder`, from its `clips/utterances.jsonl`. Returns how many."""
    rows = clips.manifest(folder / "clips")
    lines = []
    for row in rows:
        shares = true_distribution(row["weights"], row["intensity"])
        content = {
            "utterance_id": row["utterance_id"],
            "sha256": row["sha256"],
            "true": [round(float(share), DIGITS) for share in shares],
        }
        lines.append(json.dumps(content) + "\n")
    durable.write(folder / FILE, "".join(lines).encode("utf-8"))
    return len(rows)
