"""Models side by side against one after the other, on a simulated cluster: how near is the makespan
to the lower bound?

    python reproduce/bench/side_by_side.py [--nodes 4] [--gpus 8] [--gpus-each 8] [--seconds 2400]
[--load 0] [--without-old-order] [--out FILE.json]

Ray nodes of this machine that are told of GPUs they do not have; the null engine sleeps as long as
a model would compute, and opens no clip. Five local models of different speeds have together
`seconds` of work for all GPUs; three remote ones answer one request at a time at their own rates,
the slowest in 0.9 of it. The lower bound is the longer of the two: nothing can end sooner. Both
orders draw the same draws with the same pools:

    side by side         as `ambiemo run` does
    one after the other  as it did before: models by name, each with its whole pool

The clock runs from the first model's start to the last answer, so the start of every actor is in
it, and what an actor costs to start decides how long the simulation must be. A real run: hours of
work for each GPU (the paper's plan some 10), one to three minutes to load a model of 7B parameters,
so a start is 0.2 to 0.8 % of the work, and a group of draws (seconds to a minute) less. Here a
start is 2 to 3 s of processor time in Ray and Python, of which a machine with 2 cores does one at a
time; `start_over_work` in the result says what share of the work it came to, and a run whose share
is above 1 % shows this machine and not the order of models. So take few actors (`--gpus-each 8`:
one actor a node), many seconds, and a quiet machine. The promise is 1.15.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from record import record

from ambiemo.pipeline.account import Account
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.drawing import draw_missing, drawn
from ambiemo.pipeline.progress import Board
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import Expanded, expand
from ambiemo.plan.schema import check

LOCAL = {
    "qwen2-audio-7b": 0.3,
    "qwen2.5-omni-7b": 0.25,
    "audio-flamingo-3": 0.2,
    "ultravox-v0.3": 0.15,
    "ultravox-v0.4": 0.1,
}
"""Share of the GPU work."""
REMOTE = {"gemini-2.5-pro": 0.9, "gpt-4o": 0.5, "gemini-2.0-flash": 0.3}
"""Share of the lower bound that each takes by itself."""
STRATEGIES = ("greedy", "cot", "majority_vote", "self_consistency")
"""Four questions about each clip: enough groups that the last one of a model is a small part."""


def planned(seconds: float, slots: int, gpus_each: float, clips: int, load: float) -> Expanded:
    """The plan, and how long each model thinks about a draw."""
    models = []
    for name, share in {**LOCAL, **REMOTE}.items():
        delay = share * seconds * (slots if name in LOCAL else 1) / (clips * len(STRATEGIES))
        loads = {"load_s": load} if name in LOCAL else {}
        pool = {"gpus": gpus_each, "actors": "auto"} if name in LOCAL else {}
        models.append(
            {
                "id": name,
                "engine": "null",
                "cpus": 0.5,
                "options": {"delay_s": delay, "deaf": True, **loads},
                **pool,
            }
        )
    plan = {
        "name": "side-by-side",
        "models": models,
        "corpora": [{"id": "tiny", "limit": clips}],
        "strategies": list(STRATEGIES),
        "group_size": 2,
    }
    return expand(check(plan, "plan"))


def side_by_side(expanded: Expanded, store: AnswerStore, account: Account, board: Board) -> None:
    drawn(expanded, store, account, board)


def one_after_the_other(
    expanded: Expanded, store: AnswerStore, account: Account, board: Board
) -> None:
    asked = sharing.questions_of(expanded)
    for model in sorted({one.model for one in asked}):
        own = [
            (
                sharing.asking(expanded, one),
                sharing.distinct(expanded.corpora[one.corpus].utterances),
            )
            for one in asked
            if one.model == model
        ]
        draw_missing(expanded, model, "answers", own, store, account, board)


def measured(way: Callable[..., None], expanded: Expanded) -> dict[str, Any]:
    account, board = Account(), Board()
    with tempfile.TemporaryDirectory() as folder, AnswerStore(Path(folder)) as store:
        began = time.monotonic()
        way(expanded, store, account, board)
        seconds = time.monotonic() - began
    assert not account.failed, account
    assert not account.stopped, account
    spans = {name.partition(" ")[2]: round(one, 1) for name, one in account.seconds.items()}
    waited = {job.model: round(job.first - began, 1) for job in board.jobs}
    return {
        "seconds": round(seconds, 1),
        "draws": account.calls,
        "seconds_of_each_model": spans,
        "seconds_until_its_first_answers": waited,
    }


class Nothing:
    """An actor that imports what an actor of a run imports."""

    def __init__(self) -> None:
        import ray.data  # noqa: F401

        import ambiemo.engines.null
        import ambiemo.pipeline.draw  # noqa: F401

    def there(self) -> None:
        pass


def seconds_of_a_start(ray: Any, gpus_each: float) -> float:
    """How long one actor takes to start on this machine as busy as it is."""
    began = time.monotonic()
    actor = ray.remote(Nothing).options(num_cpus=0.5, num_gpus=gpus_each).remote()
    ray.get(actor.there.remote())
    seconds = time.monotonic() - began
    ray.kill(actor)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--gpus", type=int, default=8, help="fake GPUs of a node")
    parser.add_argument("--gpus-each", type=int, default=8, help="GPUs of an actor")
    parser.add_argument("--seconds", type=float, default=2400, help="GPU work over GPUs")
    parser.add_argument("--load", type=float, default=0, help="seconds to load a local model")
    parser.add_argument(
        "--without-old-order", action="store_true", help="leave `one after the other` out"
    )
    parser.add_argument(
        "--clips", type=int, default=96, help="clips of each model; there are 96 embedded ones"
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    import ray
    from ray.cluster_utils import Cluster

    slots = given.nodes * (given.gpus // given.gpus_each)
    expanded = planned(given.seconds, slots, given.gpus_each, given.clips, given.load)
    clips = len(sharing.distinct(expanded.corpora["tiny"].utterances))
    assert clips == given.clips, f"found {clips} clips, expected {given.clips}"
    bound = given.seconds * max(1.0, *REMOTE.values())
    # each node starts a process for each of its processors, whether it is used or not: no more than
    # the actors need
    node = {
        "num_cpus": 2 + given.gpus // given.gpus_each // 2,
        "num_gpus": given.gpus,
        "object_store_memory": 100 * 2**20,
    }
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(given.nodes - 1):
        cluster.add_node(**node)
    results: dict[str, dict[str, Any]] = {}
    try:
        cluster.wait_for_nodes()
        with ray_started(cluster.address):
            start = seconds_of_a_start(ray, given.gpus_each) + given.load
            ways = {"side by side": side_by_side, "one after the other": one_after_the_other}
            for name, way in list(ways.items())[: 1 if given.without_old_order else 2]:
                results[name] = measured(way, expanded)
                results[name]["over_lower_bound"] = round(results[name]["seconds"] / bound, 3)
                print(name, results[name], file=sys.stderr)
    finally:
        ray.shutdown()
        cluster.shutdown()
    numbers = {
        "nodes": given.nodes,
        "gpus": given.nodes * given.gpus,
        "gpus_of_an_actor": given.gpus_each,
        "lower_bound_seconds": round(bound, 1),
        "load_seconds": given.load,
        "start_seconds": round(start, 1),
        "start_over_work": round(start / given.seconds, 4),
        "load_average": round(os.getloadavg()[0], 1),
        **results,
    }
    record("side_by_side", numbers, given.out)


if __name__ == "__main__":
    main()
