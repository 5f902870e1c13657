"""A command under a hard limit of memory and time, and files that only an adversary would write."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 10.0
"""Of processor time: wall-clock seconds say how busy a machine is."""
MIB = 500
"""Resident memory of the largest process."""
REPORT = """
import resource, runpy, sys
sys.argv = ["ambiemo", *sys.argv[1:]]
code = 0
try:
    runpy.run_module("ambiemo", run_name="__main__")
except SystemExit as end:
    code = end.code if isinstance(end.code, int) else (1 if end.code else 0)
finally:
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    # not RUSAGE_SELF's maxrss: it begins with that of the process which started this one
    own = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
    print("\\n@@", max(own, use[1].ru_maxrss) // 1024, sum(one.ru_utime + one.ru_stime for one in use), file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, stdout, stderr, MiB, seconds of processor time."""

    code: int
    out: str
    err: str
    mib: float
    seconds: float

    @property
    def lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line]


def run(*arguments: object, **environment: str) -> Ended:
    """Run `ambiemo` with these arguments; it is ended after a minute, or with more than 4 GiB of
    addresses.
    """
    limit = 4 << 30
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *map(str, arguments)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=90,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **environment,
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    err = done.stderr.decode("utf-8", "backslashreplace")
    before, marked, after = err.partition("\n@@ ")
    mib, seconds = map(float, after.split()[:2]) if marked else (0.0, time.monotonic() - began)
    return Ended(
        done.returncode, done.stdout.decode("utf-8", "backslashreplace"), before, mib, seconds
    )


def calm(ended: Ended, codes: tuple[int, ...] = (1, 2)) -> None:
    """It ended as a command must: an exit code of ours, no traceback, little time and memory,
    nothing that a terminal obeys.
    """
    told = f"{ended.code} {ended.seconds:.1f} s {ended.mib:.0f} MiB\n{ended.out[-1500:]}\n{ended.err[-1500:]}"
    assert ended.code in codes, told
    assert "Traceback" not in ended.err + ended.out, told
    assert "\x1b" not in ended.out + ended.err, told
    assert ended.seconds <= SECONDS, told
    assert ended.mib <= MIB, told
    if ended.code == 2:
        assert len(ended.lines) == 1, told
        assert ended.lines[0].startswith("ambiemo: "), told


def sparse(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def laughs(levels: int = 9) -> str:
    rows = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(rows) + "\n"


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def row(**values: object) -> bytes:
    return (json.dumps(values, ensure_ascii=False) + "\n").encode()
