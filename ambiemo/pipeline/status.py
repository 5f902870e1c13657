"""What a run is doing, read from another terminal: the status file next to the answer store, and who
holds the store's lock.
"""

import fcntl
import json
import time
from pathlib import Path
from typing import Any

from ambiemo.errors import BadInput
from ambiemo.pipeline.progress import STATUS, span


def read_status(bundle: Path, store: Path | None = None) -> dict[str, Any]:
    """The status file of the store that a run with this `--out` uses, with `running` added.

    Raises BadInput where no run has written one, or it was written for another bundle.
    """
    folder = store or bundle.parent / ".store"
    path = folder / STATUS
    try:
        told = json.loads(path.read_text("utf-8"))
        jobs = told["jobs"]
    except OSError as error:
        raise BadInput(
            f"{path}: {error.strerror}: found no run that writes {bundle}; name the --out of a run, and its --store if it had one"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: not a status file ({type(error).__name__}); the next run writes it again"
        ) from error
    if Path(told["bundle"]) != bundle.resolve():
        raise BadInput(
            f"{path}: found a run that writes {told['bundle']}, expected {bundle.resolve()}; name that folder"
        )
    return {**told, "jobs": jobs, "running": _is_locked(folder)}


def _is_locked(folder: Path) -> bool:
    try:
        with open(folder / ".lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def lines(told: dict[str, Any]) -> list[str]:
    """The same for a person: one line for the run, one for each job."""
    now = time.time()
    state = (
        f"{told['stage']}, process {told['pid']}"
        if told["running"]
        else f"not running ({_ended(told)})"
    )
    out = [f"{told['plan']}: {state}, written {span(now - told['written'])} ago"]
    for job in told["jobs"]:
        parts = [f"{job['done']} of {job['total']} draws"]
        parts += [f"{job['reused']} in the store before"] * bool(job["reused"])
        parts += [f"{job['failed']} failed"] * bool(job["failed"])
        if job["rate"]:
            parts.append(f"{job['rate']:.3g} a second")
        if job["left_s"] and job["state"] == "drawing":
            parts.append(f"{span(job['left_s'])} left")
        parts += [f"${job['dollars']:.2f} spent"] * bool(job["dollars"])
        parts += [job["reason"]] * bool(job["reason"])
        out.append(f"  {job['model']}: {job['what']}: {job['state']}: {', '.join(parts)}")
    spent = sum(job["dollars"] for job in told["jobs"])
    return [*out, f"  spent by this run: ${spent:.2f}"] if spent else out


def _ended(told: dict[str, Any]) -> str:
    return (
        "done"
        if told["stage"] == "done"
        else f"ended while: {told['stage']}; the same command goes on"
    )
