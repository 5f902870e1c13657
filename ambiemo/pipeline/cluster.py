"""Starting Ray: on this machine by default, or joining a cluster by its address."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ambiemo.errors import BadInput, Broken
from ambiemo.plan.schema import ModelEntry

OBJECT_STORE_BYTES = 300 * 2**20
"""Room for what travels between stages. Texts and ids only: audio never goes through the object
store.
"""

STARTS = 3


@contextmanager
def ray_started(address: str | None) -> Iterator[None]:
    """Ray for the time of a `with` block. Uses a Ray that runs already (and leaves it running),
    else starts one or joins `address`.

    On this machine Ray is told of one processor more than the actors take: actors on every
    processor starve the readers and the run hangs (ray#44687).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its own log files keep the rest
    import pyarrow as pa
    import ray
    from ray.data import DataContext

    pa.set_memory_pool(
        pa.system_memory_pool()
    )  # Arrow's own keeps for each thread what was freed: a driver grew by it
    if ray.is_initialized():
        yield
        return
    _start(ray, address)
    try:
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.enable_rich_progress_bars = False
        context.print_on_execution_start = False
        # a group lasts as long as the model's rate makes it; engines have timeouts
        context.execution_no_progress_timeout_s = -1
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield
    finally:
        ray.shutdown()


def _start(ray: Any, address: str | None) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        try:
            with _stderr_away():
                ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BadInput(
                f"--address {address}: no Ray cluster answers there ({_first_line(error)}); start one, or leave it out"
            ) from error
        return
    local = {
        "address": "local",  # not a cluster of somebody else on this machine, which Ray would find by itself
        "include_dashboard": False,
        "num_cpus": max(2, os.cpu_count() or 2) + 1,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    for left in reversed(range(STARTS)):
        try:
            with _stderr_away():
                ray.init(**local, **quiet)
            return
        except Exception as error:  # a busy machine needs more than the 30 s that Ray gives its own processes; it raises a bare Exception
            ray.shutdown()
            if not left:
                raise Broken(
                    f"Ray did not start on this machine: {_first_line(error)}; run again when it is less busy"
                ) from error


def resources() -> list[Mapping[str, float]]:
    """What each node of the running Ray has: "CPU", "GPU", ..."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def beside_the_driver() -> dict[str, Any]:
    """Options of a small actor on the driver's node: no processor of its own, and gone with the
    driver.
    """
    import ray

    return {
        "num_cpus": 0,
        "label_selector": {"ray.io/node-id": ray.get_runtime_context().get_node_id()},
    }


def own_id() -> str:
    """Id of the actor that this process is; the same after Ray started it again."""
    import ray

    return str(ray.get_runtime_context().get_actor_id())


def pool_size(
    entry: ModelEntry, engine: str, nodes: Sequence[Mapping[str, float]] | None = None
) -> int:
    """How many actors a model has: the plan's number, or for `auto` as many as the nodes hold when
    nothing else runs, at least 1.

    One processor of the cluster stays free, so that Ray's own work goes on (ray#44687). A model
    behind a server has one actor, which sends many requests at once.
    """
    if entry.actors != "auto":
        return entry.actors
    if engine == "openai":
        return 1
    nodes = resources() if nodes is None else nodes
    spare = sum(node.get("CPU", 0) for node in nodes) - 1
    each = [(entry.cpus, "CPU"), *([(entry.gpus, "GPU")] if entry.gpus else [])]
    held = sum(
        min(int(node.get(name, 0) / wanted + 1e-9) for wanted, name in each) for node in nodes
    )
    return max(1, min(held, int(spare / entry.cpus + 1e-9)))


def enough(
    model: str, entry: ModelEntry, actors: int, nodes: Sequence[Mapping[str, float]] | None = None
) -> None:
    """Raise BadInput where Ray would wait for ever for processors or GPUs that the cluster does not
    have.
    """
    nodes = resources() if nodes is None else nodes
    for name, each in (("CPU", entry.cpus), ("GPU", entry.gpus)):
        wanted, there = each * actors, sum(node.get(name, 0) for node in nodes)
        most = max((node.get(name, 0) for node in nodes), default=0)
        if wanted > there:
            raise BadInput(
                f"models.{model}: {actors} actors with {each:g} {name} each need {wanted:g}, Ray has {there:g}; "
                "ask for less in the plan, or name a larger cluster with --address"
            )
        if each > most:
            raise BadInput(
                f"models.{model}: an actor needs {each:g} {name} on one node, found {most:g} at most; "
                "ask for less in the plan, or name a cluster with larger nodes"
            )


@contextmanager
def _stderr_away() -> Iterator[None]:
    """Ray's core greets on stderr that it read its log level. What goes wrong at a start is raised,
    not only written.
    """
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as away:
            os.dup2(away.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
