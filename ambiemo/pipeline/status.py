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
        status = json.loads(path.read_text("utf-8"))
        jobs = status["jobs"]
    except OSError as error:
        raise BadInput(
            f"{path}: {error.strerror}: found no run that writes {bundle}; name the --out of a run, and its --store if it had one"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: not a status file ({type(error).__name__}); the next run writes it again"
        ) from error
    if Path(status["bundle"]) != bundle.resolve():
        raise BadInput(
            f"{path}: found a run that writes {status['bundle']}, expected {bundle.resolve()}; name that folder"
        )
    return {**status, "jobs": jobs, "running": _is_locked(folder)}


def _is_locked(folder: Path) -> bool:
    try:
        with open(folder / ".lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def lines(status: dict[str, Any]) -> list[str]:
    """The same for a person: one line for the run, one for each job."""
    now = time.time()
    state = (
        f"{status['stage']}, process {status['pid']}"
        if status["running"]
        else f"not running ({_ended(status)})"
    )
    out = [f"{status['plan']}: {state}, written {span(now - status['written'])} ago"]
    for job in status["jobs"]:
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
    spent = sum(job["dollars"] for job in status["jobs"])
    return [*out, f"  spent by this run: ${spent:.2f}"] if spent else out


def _ended(status: dict[str, Any]) -> str:
    return (
        "done"
        if status["stage"] == "done"
        else f"ended while: {status['stage']}; the same command goes on"
    )
