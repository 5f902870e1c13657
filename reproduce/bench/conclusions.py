"""What the conclusions cost: every table of a bundle from its answers, with and without them.

    python reproduce/bench/conclusions.py BUNDLE [--rounds 3] [--out FILE.json]

with      all tables, as `ambiemo tables` makes them
without   no ambiguity, curves, floors, gains, verifier and claims: results, differences, draws,
          levels and cells remain

Both in one process, in turns; processor seconds, the median of the rounds. The bundle is that of
`paper_scale.py --keep DIR` (DIR/models-5/bundle).
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any
from unittest import mock

from record import record

from ambiemo.bundle import recomputing
from ambiemo.bundle.folder import Files, payload
from ambiemo.results import units

NOTHING: tuple[tuple[ModuleType, str, Any], ...] = (
    (units, "ambiguity_rows", []),
    (units, "curve_rows", []),
    (units, "floor_rows", []),
    (units, "gain_rows", []),
    (units, "verifier_rows", ([], {})),
    (units, "claimed", {}),
    (recomputing, "claim_rows", []),
    (recomputing, "self_preference_rows", []),
)
"""What makes each conclusion, and what it gives where the conclusion is left out."""


@contextmanager
def without() -> Iterator[None]:
    """No conclusion is made inside."""
    with ExitStack() as left_out:
        for module, name, value in NOTHING:
            left_out.enter_context(mock.patch.object(module, name, returning(value)))
        yield


def returning(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def cpu_s(files: Files) -> float:
    began = time.process_time()
    recomputing.tables_again(files)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files = payload(given.bundle)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with mock.patch.object(recomputing, "MOST_PROCESSES", 1):
        for _ in range(given.rounds):
            seconds["with"].append(cpu_s(files))
            with without():
                seconds["without"].append(cpu_s(files))
    took = {name: median(each) for name, each in seconds.items()}
    numbers = {
        "rounds": given.rounds,
        "cpu_s": {name: [round(one, 2) for one in each] for name, each in seconds.items()},
        "with_over_without": round(took["with"] / took["without"], 3),
    }
    record("conclusions", numbers, given.out)


if __name__ == "__main__":
    main()
