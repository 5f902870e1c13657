"""What the pipeline costs: answers a second through Ray, over the same requests given to the engine in one plain loop.

    python reproduce/bench/overhead.py [--engine transformers|vllm] [--clips 288] [--rounds 3] [--out FILE.json]

Both sides read the same clips, form the same groups and ask the tiny ALM the same question (greedy); each runs in a process of its own, in
turn, `rounds` times. The clock runs from the first group's answers to the last group's, so start-up and the first warm-up are apart on both
sides. The ratio is the median of the rounds' ratios, because a shared machine drifts; the promise is 0.90. Beside each rate stands what share of the
processors' time somebody else's machine took meanwhile (steal): an engine that waits for its slower thread loses more than that. vLLM needs its
own environment (`make bench ENGINES=vllm`).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from clips import draws
from record import record

from ambiemo.draws import Decoding, Draw
from ambiemo.engines import engine_class
from ambiemo.models import MODELS
from ambiemo.pipeline.draw import as_request, draw_groups, groups
from ambiemo.plan.schema import ModelEntry

GREEDY = Decoding("greedy", max_tokens=96)


def plain(engine: str, work: list[list[Draw]]) -> Iterator[int]:
    """The engine in one loop: draws done, group by group."""
    spec = MODELS["tiny"]
    held = engine_class(engine)(spec)
    for group in work:
        yield len(held.draw([as_request(one, spec.audio_seconds) for one in group], GREEDY))


def piped(engine: str, work: list[list[Draw]]) -> Iterator[int]:
    """The same through Ray Data and the answer store."""
    from ambiemo.pipeline.cluster import ray_started
    from ambiemo.pipeline.store import AnswerStore

    with ray_started(None), tempfile.TemporaryDirectory() as folder, AnswerStore(Path(folder)) as store:
        for drawn in draw_groups(MODELS["tiny"], engine, ModelEntry(id="tiny", engine=engine), work, store):
            assert not drawn.failed
            yield drawn.draws


def rate(way: Iterator[int]) -> float:
    """Answers a second from the first group's return to the last's."""
    next(way)
    began, done = time.perf_counter(), 0
    for count in way:
        done, last = done + count, time.perf_counter()
    return done / (last - began)


def processor_time() -> tuple[int, int]:
    """Time of all processors so far, and what was stolen of it, in ticks; nothing where Linux does not tell."""
    try:
        ticks = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return 0, 0
    return sum(ticks), ticks[7]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="transformers", choices=("transformers", "vllm"))
    parser.add_argument("--clips", type=int, default=288)
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=("plain", "piped"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        with tempfile.TemporaryDirectory() as folder:
            asked = draws(Path(folder), given.clips, given.engine, GREEDY)
            work = list(groups([(lambda one: one, asked)], given.group_size, lambda key: False))
            print(json.dumps(rate({"plain": plain, "piped": piped}[given.one](given.engine, work))))
        return
    rates: dict[str, list[float]] = {"plain": [], "piped": []}
    stolen: dict[str, list[float]] = {"plain": [], "piped": []}
    for _ in range(given.rounds):
        for way, found in rates.items():
            command = [sys.executable, __file__, "--one", way, "--engine", given.engine]
            command += ["--clips", str(given.clips), "--group-size", str(given.group_size)]
            all_before, stolen_before = processor_time()
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            all_after, stolen_after = processor_time()
            found.append(round(json.loads(done.stdout.splitlines()[-1]), 3))
            stolen[way].append(round((stolen_after - stolen_before) / max(all_after - all_before, 1), 3))
            print(f"{given.engine} {way}: {found[-1]:.2f} answers/s, stolen {stolen[way][-1]:.1%}", file=sys.stderr)
    numbers = {
        "engine": given.engine,
        "clips": given.clips,
        "group_size": given.group_size,
        "answers_per_second": rates,
        "share_of_time_stolen": stolen,
        "pipeline_over_plain": round(median(p / q for p, q in zip(rates["piped"], rates["plain"], strict=True)), 3),
    }
    record("overhead", numbers, given.out)


if __name__ == "__main__":
    main()
