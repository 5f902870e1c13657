"""Progress that a person can read: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_SECONDS = 10.0


def say(text: str) -> None:
    """One plain line to the person who runs the job."""
    print(text, flush=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Gives `advance(done, failed)` for a job of `total` draws."""
    if sys.stdout.isatty():
        yield from _bar(title, total)
    else:
        yield from _lines(title, total)


def _bar(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=total, note="")
        failures = 0

        def advance(done: int, failed: int) -> None:
            nonlocal failures
            failures += failed
            bar.update(task, advance=done, note=f"{failures} failed" if failures else "")

        yield advance


def _lines(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    start = last = time.monotonic()
    count = failures = 0

    def advance(done: int, failed: int) -> None:
        nonlocal count, failures, last
        count, failures = count + done, failures + failed
        now = time.monotonic()
        if now - last >= EVERY_SECONDS or count == total:
            last = now
            trouble = f", {failures} failed" if failures else ""
            say(f"{title}: {count} of {total} draws, {now - start:.0f} s{trouble}")

    yield advance
