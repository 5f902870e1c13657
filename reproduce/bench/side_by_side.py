"""Models side by side against one after the other, on a simulated cluster: how near is the makespan
to the lower bound?

    python reproduce/bench/side_by_side.py [--nodes 4] [--gpus 8] [--gpus-each 1] [--seconds 600]
[--out FILE.json]

Ray nodes of this machine that are told of GPUs they do not have; the null engine sleeps as long as
a model would compute, and opens no clip. Five local models of different speeds have together
`seconds` of work for all GPUs; three remote ones answer one request at a time at their own rates,
the slowest in 0.9 of it. The lower bound is the longer of the two: nothing can end sooner. Both
orders draw the same draws with the same pools:

    side by side         as `ambiemo run` does
    one after the other  as it did before: models by name, each with its whole pool

The clock runs from the first model's start to the last answer, so the start of every actor's
process is in it: some 2 s of processor time each, where a real model loads for minutes. On few
cores take few actors (--gpus-each 8) and many seconds. The promise is 1.15.
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


def planned(seconds: float, slots: int, gpus_each: float, clips: int) -> Expanded:
    """The plan, and how long each model thinks about a draw."""
    models = []
    for name, share in {**LOCAL, **REMOTE}.items():
        delay = share * seconds * (slots if name in LOCAL else 1) / clips
        pool = {"gpus": gpus_each, "actors": "auto"} if name in LOCAL else {}
        models.append(
            {
                "id": name,
                "engine": "null",
                "cpus": 0.5,
                "options": {"delay_s": delay, "deaf": True},
                **pool,
            }
        )
    plan = {
        "name": "side-by-side",
        "models": models,
        "corpora": [{"id": "tiny", "limit": clips}],
        "strategies": ["greedy"],
        "group_size": 2,
    }
    return expand(check(plan, "plan"))


def side_by_side(expanded: Expanded, store: AnswerStore, account: Account) -> None:
    drawn(expanded, store, account, Board())


def one_after_the_other(expanded: Expanded, store: AnswerStore, account: Account) -> None:
    for question in sorted(sharing.questions_of(expanded), key=lambda one: one.model):
        clips = sharing.distinct(expanded.corpora[question.corpus].utterances)
        draw_missing(
            expanded,
            question.model,
            "answers",
            [(sharing.asking(expanded, question), clips)],
            store,
            account,
        )


def measured(way: Callable[..., None], expanded: Expanded) -> dict[str, Any]:
    account = Account()
    with tempfile.TemporaryDirectory() as folder, AnswerStore(Path(folder)) as store:
        began = time.monotonic()
        way(expanded, store, account)
        seconds = time.monotonic() - began
    assert not account.failed, account
    assert not account.stopped, account
    spans = {name.partition(" ")[2]: round(one, 1) for name, one in account.seconds.items()}
    return {"seconds": round(seconds, 1), "draws": account.calls, "seconds_of_each_model": spans}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--gpus", type=int, default=8, help="fake GPUs of a node")
    parser.add_argument("--gpus-each", type=int, default=1, help="GPUs of an actor")
    parser.add_argument("--seconds", type=float, default=600, help="GPU work over GPUs")
    parser.add_argument(
        "--clips", type=int, default=96, help="draws of each model; the embedded clips are 96"
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    import ray
    from ray.cluster_utils import Cluster

    slots = given.nodes * (given.gpus // given.gpus_each)
    expanded = planned(given.seconds, slots, given.gpus_each, given.clips)
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
    found = {}
    try:
        cluster.wait_for_nodes()
        with ray_started(cluster.address):
            for name, way in (
                ("side by side", side_by_side),
                ("one after the other", one_after_the_other),
            ):
                found[name] = measured(way, expanded)
                found[name]["over_lower_bound"] = round(found[name]["seconds"] / bound, 3)
                print(name, found[name], file=sys.stderr)
    finally:
        ray.shutdown()
        cluster.shutdown()
    numbers = {
        "nodes": given.nodes,
        "gpus": given.nodes * given.gpus,
        "gpus_of_an_actor": given.gpus_each,
        "lower_bound_seconds": round(bound, 1),
        "load_average": round(os.getloadavg()[0], 1),
        **found,
    }
    record("side_by_side", numbers, given.out)


if __name__ == "__main__":
    main()
