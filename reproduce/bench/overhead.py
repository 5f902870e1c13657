"""What the pipeline costs: answers a second through Ray, over the same requests given to the engine
in one plain loop.

    python reproduce/bench/overhead.py [--engine transformers|vllm] [--clips 288] [--rounds 3]
[--out FILE.json]

The same clips in the same groups, the same question (greedy) to the tiny ALM, on all cores of this
machine in three ways:

    plain      the engine in one plain loop, its threads on all cores
    one actor  the pipeline with one actor that has all cores: what Ray itself takes
    pool       the pipeline with an actor on each core, one thread each, as reproduce/quick.yaml draws (transformers only)

They run at the same time, in turns of a few seconds (`turns.py`), because a shared machine's speed
drifts by more than what is looked for. The clock runs from the last warm-up group's answers (one
group an actor) to the last group's, so start-up is apart. A ratio is the median of the rounds'
ratios; the promise is 0.90. vLLM needs its own environment (`make bench ENGINES=vllm`).
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from clips import draws
from record import record
from turns import Marks, in_turns

from ambiemo.draws import Decoding, Draw
from ambiemo.engines import engine_class
from ambiemo.models import MODELS
from ambiemo.pipeline.draw import as_request, draw_groups, groups
from ambiemo.plan.schema import ModelEntry

GREEDY = Decoding("greedy", max_tokens=96)
CORES = os.cpu_count() or 1
ACTORS = {"plain": 1, "one actor": 1, "pool": CORES}
WAYS = {"transformers": ("plain", "one actor", "pool"), "vllm": ("plain", "one actor")}


def plain(engine: str, work: list[list[Draw]]) -> Iterator[int]:
    """The engine in one loop: draws done, group by group."""
    spec = MODELS["tiny"]
    held = engine_class(engine)(spec)
    for group in work:
        yield len(held.draw([as_request(one, spec.audio_seconds) for one in group], GREEDY))


def piped(engine: str, work: list[list[Draw]], actors: int) -> Iterator[int]:
    """The same through Ray Data and the answer store, the cores shared out among the actors."""
    from ambiemo.pipeline.cluster import ray_started
    from ambiemo.pipeline.store import AnswerStore

    entry = ModelEntry(id="tiny", engine=engine, actors=actors, cpus=CORES // actors)
    with (
        ray_started(None),
        tempfile.TemporaryDirectory() as folder,
        AnswerStore(Path(folder)) as store,
    ):
        for drawn in draw_groups(MODELS["tiny"], engine, entry, work, store):
            assert not drawn.failed
            yield drawn.draws


def rate(marks: Marks, warm: int) -> float:
    """Answers a second of a process's own time, from the last warm-up group to the last group."""
    return sum(count for _, count in marks[warm:]) / (marks[-1][0] - marks[warm - 1][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="transformers", choices=tuple(WAYS))
    parser.add_argument("--clips", type=int, default=288)
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turn", type=float, default=4, help="seconds of a turn")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=tuple(ACTORS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        with tempfile.TemporaryDirectory() as folder:
            asked = draws(Path(folder), given.clips, given.engine, GREEDY)
            work = list(groups([(lambda one: one, asked)], given.group_size, lambda key: False))
            actors = ACTORS[given.one]
            for done in (
                plain(given.engine, work)
                if given.one == "plain"
                else piped(given.engine, work, actors)
            ):
                print(done, flush=True)
        return
    ways = WAYS[given.engine]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(given.rounds):
        order = ways[number % len(ways) :] + ways[: number % len(ways)]
        command = [sys.executable, __file__, "--engine", given.engine, "--clips", str(given.clips)]
        command += ["--group-size", str(given.group_size), "--one"]
        marks = in_turns({way: [*command, way] for way in order}, ACTORS, given.turn)
        for way in ways:
            rates[way].append(round(rate(marks[way], ACTORS[way]), 3))
        print(given.engine, {way: rates[way][-1] for way in ways}, "answers/s", file=sys.stderr)
    numbers = {
        "engine": given.engine,
        "clips": given.clips,
        "group_size": given.group_size,
        "seconds_of_a_turn": given.turn,
        "answers_per_second": rates,
        "over_plain": {
            way: round(median(p / q for p, q in zip(rates[way], rates["plain"], strict=True)), 3)
            for way in ways[1:]
        },
    }
    record("overhead", numbers, given.out)


if __name__ == "__main__":
    main()
