"""Starting Ray: on this machine by default, or joining a cluster by its address."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ambiemo.errors import BadInput, Broken

OBJECT_STORE_BYTES = 300 * 2**20
"""Room for what travels between stages. Texts and ids only: audio never goes through the object store."""

STARTS = 3


@contextmanager
def ray_started(address: str | None) -> Iterator[None]:
    """Ray for the time of a `with` block. Uses a Ray that runs already (and leaves it running), else starts one or joins `address`.

    On this machine Ray is told of one processor more than the actors take: actors on every processor starve the readers and the run hangs
    (ray#44687).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its own log files keep the rest
    import pyarrow as pa
    import ray
    from ray.data import DataContext

    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps for each thread what was freed: a driver grew by it
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
        "address": "local",  # a Ray that somebody else runs on this machine is theirs
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


@contextmanager
def _stderr_away() -> Iterator[None]:
    """Ray's core greets on stderr that it read its log level. What goes wrong at a start is raised, not only written."""
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
