"""Progress that a person can read: bars on a terminal, a plain line now and then in a log, and a
small file for `ambiemo status`.

In a log a job (one model's answers, or its scores) says when it begins, each time that it is a tenth
further or EVERY_SECONDS have passed, whichever is later, when it is slow to begin, and how it ended.
Each line begins with the time since the run began and says the same things in the same places, so
that `grep MODEL` follows one model among several.
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EVERY_SECONDS = 10.0
"""Between two lines about one job in a log, at least."""
LATEST_SECONDS = 60.0
"""After which a job that has moved says so, though it is not a tenth further."""
TENTHS = 10
STATUS_SECONDS = 2.0
"""Between two writes of the status file."""
STATUS = ".status.json"


def say(text: str) -> None:
    """One plain line to the person who runs the job."""
    sys.stdout.write(f"{text}\n")  # one write: lines of several threads stay whole
    sys.stdout.flush()


@dataclass
class Job:
    """One model's draws of one kind ("answers" or "scores"), as far as they are made.

    state       "waiting" until the first answers (the model loads, or waits for a GPU), "drawing", "done" or "stopped"
    total       draws that this run must make; reused: draws that the store had already
    seconds     since the job began; drawing_s: since its first answers
    """

    model: str
    what: str
    total: int
    reused: int = 0
    done: int = 0
    failed: int = 0
    dollars: float = 0.0
    state: str = "waiting"
    reason: str = ""
    began: float = 0.0
    first: float = 0.0
    first_done: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float | None:
        """Draws a second since the first answers; None where that is not known yet."""
        spent = self.began + self.seconds - self.first
        return (
            (self.done - self.first_done) / spent
            if self.first and spent > 0 and self.done > self.first_done
            else None
        )

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate."""
        return (self.total - self.done) / self.rate if self.rate else None

    @property
    def tenth(self) -> int:
        """How many tenths are done."""
        return TENTHS * self.done // self.total if self.total else TENTHS

    def line(self) -> str:
        """How far it is: draws, share, rate, time left, what failed, dollars."""
        parts = [f"{self.done:,} of {self.total:,} draws"]
        if self.total:
            parts[0] += f" ({self.done / self.total:.0%})"
        if self.rate:
            parts.append(f"{self.rate:.3g} a second")
        if self.left_s and self.done < self.total:
            parts.append(f"{span(self.left_s)} left")
        parts += [f"{self.failed:,} failed"] * bool(self.failed)
        parts += [f"${self.dollars:.2f}"] * bool(self.dollars)
        return ", ".join(parts)


class Board:
    """The jobs of a run, which several threads report to. Use as a context manager."""

    def __init__(self, status: Path | None = None, about: dict[str, Any] | None = None) -> None:
        """status: the file for `ambiemo status`, if any; about: what else it says."""
        self.jobs: list[Job] = []
        self.status, self.about = status, about or {}
        self.stage = "start"
        self._lock = threading.RLock()
        self._written = 0.0
        self._bars: Any = None
        self._bar_of: dict[int, Any] = {}
        self._last_line: dict[int, tuple[float, int]] = {}
        self._began = time.time()

    def __enter__(self) -> "Board":
        if sys.stdout.isatty():
            self._bars = _bars()
            self._bars.start()
        self.tick(force=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bars:
            self._bars.stop()
        self.enter("done" if kind is None else "ended early")

    def enter(self, stage: str) -> None:
        """Say in the status file what the run is at."""
        self.stage = stage
        self.tick(force=True)

    def job(self, model: str, what: str, total: int, reused: int) -> Job:
        """A new job of `total` draws."""
        with self._lock:
            job = Job(model, what, total, reused, began=time.monotonic())
            self.jobs.append(job)
            self._last_line[id(job)] = (job.began, 0)
            if self._bars and total:
                self._bar_of[id(job)] = self._bars.add_task(
                    f"{model}: {what}", total=total, note="loading"
                )
            more = f", {reused:,} are in the store" if reused else ""
            begun = f"{total:,} draws to make{more}; loading the model"
            self._say(job, begun if total else f"all {reused:,} draws are in the store")
            return job

    def advance(self, job: Job, done: int, failed: int, dollars: float = 0.0) -> None:
        """Count `done` more draws as stored; `failed` of them failed."""
        with self._lock:
            now = time.monotonic()
            job.done, job.failed, job.dollars = (
                job.done + done,
                job.failed + failed,
                job.dollars + dollars,
            )
            job.state, job.seconds = "drawing", now - job.began
            if not job.first:
                job.first, job.first_done = now, job.done
            trouble = f"{job.failed} failed" if job.failed else ""
            if self._bars:
                self._bars.update(self._bar_of[id(job)], advance=done, note=trouble)
            elif self._due(job, now):
                self._last_line[id(job)] = (now, job.tenth)
                self._say(job, job.line())
        self.tick()

    def _due(self, job: Job, now: float) -> bool:
        """Whether a job's next line is due. The last draw has its line from `end`."""
        last, tenth = self._last_line[id(job)]
        if job.done >= job.total or now - last < EVERY_SECONDS:
            return False
        return job.tenth > tenth or now - last >= LATEST_SECONDS

    def _say(self, job: Job, text: str) -> None:
        """One line of the log: the run's time, the model, what it makes, and how far it is."""
        wide = max(len(one.model) for one in self.jobs)
        say(f"{clock(time.time() - self._began)}  {job.model:<{wide}}  {job.what:<7}  {text}")

    def end(self, job: Job, state: str, reason: str = "") -> None:
        """The job is over."""
        with self._lock:
            job.state, job.reason, job.seconds = state, reason, time.monotonic() - job.began
            if not self._bars and job.total:
                why = f": {reason}" if reason else ""
                self._say(job, f"{state} after {span(job.seconds)}: {job.line()}{why}")
        self.tick(force=True)

    def tick(self, force: bool = False) -> None:
        """Write the status file, unless that was just done. A file that cannot be written is no
        reason to end a run.
        """
        with self._lock:
            now = time.monotonic()
            if self.status is None or (not force and now - self._written < STATUS_SECONDS):
                return
            self._written = now
            for job in self.jobs:
                if job.state in ("waiting", "drawing"):
                    job.seconds = now - job.began
            jobs = [
                {
                    name: value
                    for name, value in asdict(job).items()
                    if name not in ("began", "first", "first_done")
                }
                | {"rate": job.rate, "left_s": job.left_s}
                for job in self.jobs
            ]
            content = {
                **self.about,
                "pid": os.getpid(),
                "began": self._began,
                "written": time.time(),
                "stage": self.stage,
            }
            new = self.status.with_name(f"{self.status.name}.new")
            try:
                new.write_text(
                    json.dumps({**content, "jobs": jobs}, indent=1) + "\n", encoding="utf-8"
                )
                os.replace(new, self.status)
            except OSError:
                self._written = now + EVERY_SECONDS


def clock(seconds: float) -> str:
    """Time since the run began: minutes:seconds, or hours:minutes:seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def span(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _bars() -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
