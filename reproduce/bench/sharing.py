"""What sharing saves: N samples of a clip over one sample, and the quick grid over its strategies
each run by itself.

    python reproduce/bench/sharing.py [--clips 96] [--rounds 3] [--out FILE.json]

Samples: one engine in one process answers the same groups of clips with 1 and with 8 samples, turn
about, its encoder's memory emptied before every timing (what is kept of an earlier question would
flatter both). The promise is that 8 cost less than 2.5 times 1. Grid: draws of
reproduce/quick.yaml, counted, not timed: each strategy asking for itself, over the draws the run
makes; N candidates of a question are one draw on both sides, and so is a verifier's judgement of
one candidate. The promise is 2.5.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from clips import draws
from record import record

from ambiemo.draws import Decoding
from ambiemo.engines import Request
from ambiemo.engines.transformers import TransformersEngine
from ambiemo.models import MODELS
from ambiemo.pipeline.draw import as_request
from ambiemo.plan import sharing
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import read

QUICK = Path(__file__).parent.parent / "quick.yaml"


def seconds(engine: TransformersEngine, groups: list[list[Request]], count: int) -> float:
    """Time of all groups with `count` samples, nothing kept from before."""
    assert engine.encoded is not None
    for kept in (engine.encoded, engine.processor.feature_extractor.kept):
        kept.forget()
    began = time.perf_counter()
    for group in groups:
        engine.draw(group, Decoding("sample", count, 1.0, 1.0, 96))
    return time.perf_counter() - began


def calls() -> dict[str, float]:
    """Draws of the quick grid: those of the run, and those its strategies would make each by
    itself.
    """
    counts = sharing.count_draws(expand(read(QUICK)))
    return {
        "draws_of_the_run": counts.shared,
        "draws_if_each_strategy_drew_its_own": counts.alone,
        "own_draws_over_shared": round(counts.alone / counts.shared, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    spec = MODELS["tiny"]
    engine = TransformersEngine(spec)
    with tempfile.TemporaryDirectory() as folder:
        asked = draws(
            Path(folder), given.clips, "transformers", Decoding("sample", 8, 1.0, 1.0, 96)
        )
        requests = [as_request(one, spec.audio_seconds) for one in asked]
    groups = [requests[start : start + 32] for start in range(0, len(requests), 32)]
    seconds(engine, groups[:1], 1)
    by_count: dict[int, list[float]] = {1: [], 8: []}
    for _ in range(given.rounds):
        for count, times in by_count.items():
            times.append(round(seconds(engine, groups, count), 3))
    numbers = {
        "engine": "transformers",
        "clips": given.clips,
        "seconds_by_samples": by_count,
        "eight_samples_over_one": round(median(by_count[8]) / median(by_count[1]), 3),
        "quick_grid": calls(),
    }
    record("sharing", numbers, given.out)


if __name__ == "__main__":
    main()
