"""Starting Ray: on this machine by default, or joining a cluster by its address."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ambiemo.errors import BadInput, Broken
from ambiemo.plan.schema import ModelEntry

OBJECT_STORE_BYTES = 300 * 2**20
"""Room for what travels between stages. Texts and ids only: audio never goes through the object
store.
"""

STARTS = 3
ANSWER_S = 600.0
"""How long the nodes have to answer a question. A busy one needs minutes to start a process; Ray
itself finds out about a dead one in half a minute.
"""
REACHED_S = 10.0
ON_THE_DRIVER_S_NODE = frozenset({"openai"})
"""Engines whose one actor runs on the driver's node: the keys, the journal of what was paid and the
clips are there. It waits for a server and takes no processor of the cluster.
"""


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
    # Ray ends a process that needs more than 60 s to start, and starts it again, for ever on a slow
    # disk or a busy machine
    os.environ.setdefault("RAY_worker_register_timeout_seconds", "600")
    import pyarrow as pa
    import ray
    from ray.data import DataContext

    pa.set_memory_pool(
        pa.system_memory_pool()
    )  # Arrow's own keeps for each thread what was freed: a driver grew by it
    if ray.is_initialized():
        yield
        return
    _speaks_on_stderr()
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


@cache
def _speaks_on_stderr() -> None:
    """Ray prints errors of the cluster whenever they come, from a thread of its own, on stdout, and
    has no option for it. There it would be in the middle of a command's `--json`.
    """
    from ray._private import worker

    if (printing := getattr(worker, "print_to_stdstream", None)) is None:
        return

    def on_stderr(data: dict[str, Any], *given: Any, **named: Any) -> None:
        printing({**data, "is_err": True}, *given, **named)

    worker.print_to_stdstream = on_stderr


def _start(ray: Any, address: str | None) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        reachable(ray, address)
        try:
            with _stderr_away():
                ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            if "Version mismatch" in str(error):
                message = " ".join(str(error).split())
                raise BadInput(
                    f"--address {address}: {message}; install the same Ray and Python on both sides"
                ) from error
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
        before = _children()
        try:
            with _stderr_away():
                ray.init(**local, **quiet)
            return
        except Exception as error:  # a busy machine needs more than the 30 s that Ray gives its own processes; it raises a bare Exception
            ray.shutdown()
            for pid in _children() - before:  # what a failed start leaves running slows the next
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                raise Broken(
                    f"Ray did not start on this machine: {_first_line(error)}; run again when it is less busy"
                ) from error


def _children() -> set[int]:
    """Processes that this one started and that still run; none where there is no /proc."""
    pids = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended while it was looked at
        if parent == os.getpid():
            pids.add(int(folder.name))
    return pids


def reachable(ray: Any, address: str) -> None:
    """Raise BadInput where nobody listens at a cluster's address: Ray itself would try for minutes,
    and then end the process without a word.
    """
    if address.startswith("ray://"):
        raise BadInput(
            f"--address {address}: found the address of a Ray client, expected HOST:PORT or 'auto'; "
            "run ambiemo on a node of the cluster, where the clips and the answer store are"
        )
    try:
        bootstrap_address = ray._private.services.canonicalize_bootstrap_address_or_die(address)
        host, _, port = bootstrap_address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_S).close()
    except (OSError, ValueError) as error:  # ConnectionError is an OSError
        raise BadInput(
            f"--address {address}: no Ray cluster answers there ({_first_line(error)}); start one, or leave it out"
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


def placed(entry: ModelEntry, engine: str) -> dict[str, Any]:
    """What Ray is told about a model's actors: what each takes, and where it must run."""
    if engine in ON_THE_DRIVER_S_NODE:
        return beside_the_driver()
    return {"num_cpus": entry.cpus, "num_gpus": entry.gpus}


@dataclass(frozen=True)
class Node:
    """One node of the running Ray: its name for a person, and what Ray counts there."""

    name: str
    is_driver: bool
    cpus: float
    gpus: float


def ask_nodes(
    module: ModuleType, question: Callable[[Any], dict[str, Any]], wanted: Any
) -> list[tuple[Node, dict[str, Any]]]:
    """Call `question(wanted)` on every node, the driver's first. A node that does not answer gives
    {"error": reason}.

    question: a function of `module`, which is sent as it stands here, because a node may have
    another version of it.
    """
    import ray
    import ray.cloudpickle

    here = ray.get_runtime_context().get_node_id()
    rows = sorted(
        (row for row in ray.nodes() if row["Alive"]),
        key=lambda row: (row["NodeID"] != here, row["NodeName"], row["NodeID"]),
    )
    ray.cloudpickle.register_pickle_by_value(module)
    try:
        asked = [
            ray.remote(question)
            .options(num_cpus=0, max_retries=1, label_selector={"ray.io/node-id": row["NodeID"]})
            .remote(wanted)
            for row in rows
        ]
    finally:
        ray.cloudpickle.unregister_pickle_by_value(module)
    until, replies = time.monotonic() + ANSWER_S, []
    for row, answer in zip(rows, asked, strict=True):
        node = Node(
            f"{row['NodeManagerHostname']} ({row['NodeManagerAddress']}, {row['NodeID'][:6]})",
            row["NodeID"] == here,
            row["Resources"].get("CPU", 0.0),
            row["Resources"].get("GPU", 0.0),
        )
        try:
            reply = ray.get(answer, timeout=max(1.0, until - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            ray.cancel(answer, force=True)
            reply = {"error": f"does not answer within {ANSWER_S:.0f} s"}
        except ray.exceptions.RayError as error:
            reply = {"error": f"cannot be asked: {_last_line(error)}"}
        replies.append((node, reply))
    return replies


def own_id() -> str:
    """Id of the actor that this process is; the same after Ray started it again."""
    import ray

    return str(ray.get_runtime_context().get_actor_id())


def started_again() -> bool:
    """True in an actor that Ray started again after it had ended."""
    import ray

    return bool(ray.get_runtime_context().was_current_actor_reconstructed)


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
    if engine in ON_THE_DRIVER_S_NODE:
        return 1
    nodes = resources() if nodes is None else nodes
    spare = sum(node.get("CPU", 0) for node in nodes) - 1
    each = [(entry.cpus, "CPU"), *([(entry.gpus, "GPU")] if entry.gpus else [])]
    held = sum(
        min(int(node.get(name, 0) / wanted + 1e-9) for wanted, name in each) for node in nodes
    )
    return max(1, min(held, int(spare / entry.cpus + 1e-9)))


def enough(
    model: str,
    entry: ModelEntry,
    actors: int,
    nodes: Sequence[Mapping[str, float]] | None = None,
    engine: str = "",
) -> None:
    """Raise BadInput where Ray would wait for ever for processors or GPUs that the cluster does not
    have.
    """
    nodes = resources() if nodes is None else nodes
    for name, each in _asked_of_ray(entry, engine):
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


def _asked_of_ray(entry: ModelEntry, engine: str) -> list[tuple[str, float]]:
    if engine in ON_THE_DRIVER_S_NODE:
        return []
    return [("CPU", entry.cpus), ("GPU", entry.gpus)]


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


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
