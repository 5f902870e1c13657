"""Processes measured side by side on a machine whose speed drifts: they take turns of a few
seconds, each stopped while another runs.

A shared machine's speed changes by a third from one half minute to the next. Runs one after the
other measure that; turns of a few seconds meet the same drift. A process's clock counts its own
turns only. Linux: a stopped process is stopped with everything of its session (Ray's daemons and
workers, an engine's own processes).
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

Marks = list[tuple[float, int]]
"""For each line of digits that a process printed: the seconds it had run until then, and the
number.
"""


class _Racer:
    """A process that runs only in its turns."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self.ran, self.marks, self.unread = name, 0.0, Marks(), b""
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)

    def turn(self, seconds: float, marks: int = 0) -> bool:
        """Run for some seconds and until `marks` marks are there. True if it goes on after that."""
        assert self.process.stdout is not None
        self.signal(signal.SIGCONT)
        began, before = time.monotonic(), self.ran
        while (left := before + seconds - self.ran) > 0 or len(self.marks) < marks:
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0.1))
            self.ran = before + time.monotonic() - began
            if not ready:
                continue
            chunk = os.read(self.process.stdout.fileno(), 65536)
            *lines, self.unread = (self.unread + chunk).split(b"\n")
            self.marks += [(self.ran, int(line)) for line in lines if line.isdigit()]
            if not chunk:
                if self.process.wait():
                    raise SystemExit(f"{self.name} ended with exit code {self.process.returncode}")
                return False
        self.signal(signal.SIGSTOP)
        return True

    def signal(self, number: int) -> None:
        """Send a signal to every process of its session."""
        for entry in Path("/proc").iterdir():
            with suppress(ProcessLookupError):
                if entry.name.isdigit() and os.getsid(int(entry.name)) == self.process.pid:
                    os.kill(int(entry.name), number)


def in_turns(
    commands: Mapping[str, Sequence[str]], warm: Mapping[str, int], seconds: float
) -> dict[str, Marks]:
    """What each command's process printed and when, by its own clock.

    Each runs alone until it has printed `warm` numbers (1 or more); then they take turns of some
    seconds until all have ended. Ends this program if one of them fails; none is left behind.
    """
    racers = []
    try:
        for name, command in commands.items():
            racers.append(_Racer(name, command))
            racers[-1].turn(0, warm[name])
        left = list(racers)
        while left:
            left = [racer for racer in left if racer.turn(seconds)]
    finally:
        for racer in racers:
            racer.signal(signal.SIGKILL)
    return {racer.name: racer.marks for racer in racers}
