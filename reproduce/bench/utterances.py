"""Many utterances through the draw stage with an engine that answers at once: how fast is the way,
and does the driver's memory grow?

    python reproduce/bench/utterances.py [--utterances 10000 100000] [--group-size 256] [--out
FILE.json]

Ids, paths and hashes alone travel: no clip is opened and no model is loaded, so what is timed is
the package and Ray Data. Each size runs in a process of its own on an empty answer store; it counts
from the first draw's key to the last answer on the disk, Ray's start apart and the actor's start
included. Memory is the driver's, highest while it draws: `anonymous` is what it allocated,
`resident` has also the libraries' files and the pages of Ray's object store that it wrote. The
promise: 1,500 utterances a second on 2 cores, memory within 10 % between the sizes, nothing
spilled.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from record import record

from ambiemo.corpora.utterances import COLUMNS, LoadedCorpus, Utterances
from ambiemo.labels import SIX
from ambiemo.models import MODELS
from ambiemo.pipeline.account import Account
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.drawing import draw_missing
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import Cell, Expanded
from ambiemo.plan.schema import check


def corpus_file(path: Path, count: int) -> None:
    """A corpus table of `count` utterances that nobody ever spoke."""
    with pq.ParquetWriter(path, TABLE) as file:
        for start in range(0, count, 1000):
            numbers = range(start, min(start + 1000, count))
            rows = [
                (
                    f"u{i:07}",
                    f"s{i % 100}",
                    f"s{i % 100}",
                    f"clips/u{i:07}.wav",
                    digest(i),
                    2.5,
                    VOTES,
                    "votes",
                )
                for i in numbers
            ]
            file.write_table(pa.table([*map(list, zip(*rows, strict=True))], schema=TABLE))


VOTES = [1, 2, 3, 0, 0, 1]
TABLE = pa.schema(
    [
        (name, {"duration_s": pa.float64(), "votes": pa.list_(pa.int32())}.get(name, pa.string()))
        for name in COLUMNS
    ]
)


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def memory() -> dict[str, float]:
    """Anonymous and resident memory of this process in MiB, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = {
        line.split(":")[0]: int(line.split()[1])
        for line in lines
        if line.startswith(("RssAnon", "VmRSS"))
    }
    return {"anonymous": kib["RssAnon"] / 1024, "resident": kib["VmRSS"] / 1024}


def one_size(file: Path, group_size: int) -> dict[str, float]:
    """Draw a corpus of this size in this process."""
    import ray

    plan = check(
        {
            "name": "bench",
            "seed": 1,
            "models": [{"id": "tiny", "engine": "null", "options": {"deaf": True}}],
            "corpora": ["tiny"],
            "strategies": ["greedy"],
            "group_size": group_size,
        },
        "bench",
    )
    highest = {"anonymous": 0.0, "resident": 0.0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for name, mib in memory().items():
                highest[name] = max(highest[name], mib)

    with (
        ray_started(None),
        tempfile.TemporaryDirectory() as folder,
        AnswerStore(Path(folder)) as store,
    ):
        corpus = LoadedCorpus("tiny", SIX, Utterances(pq.read_table(file)), "/nowhere")
        pa.default_memory_pool().release_unused()
        cells = (Cell("tiny", "tiny", plan.strategies[0].row()),)
        expanded = Expanded(plan, {"tiny": MODELS["tiny"]}, {"tiny": corpus}, cells, ())
        which = sharing.questions_of(expanded)[0]
        account, watcher, began = Account(), threading.Thread(target=watch), time.perf_counter()
        watcher.start()
        asked = [(sharing.asking(expanded, which), sharing.distinct(corpus.utterances))]
        draw_missing(expanded, "tiny", "answers", asked, store, account)
        seconds = time.perf_counter() - began
        stop.set()
        watcher.join()
        node: Any = ray._private.worker._global_node
        session = Path(node.get_session_dir_path())
        spilled = sum(file.stat().st_size for file in session.glob("ray_spilled_objects*/*"))
    assert account.calls == len(corpus.utterances), account
    return {
        "utterances": account.calls,
        "seconds": round(seconds, 2),
        "utterances_per_second": round(account.calls / seconds),
        **{f"{name}_mib": round(mib, 1) for name, mib in highest.items()},
        "spilled_bytes": spilled,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--group-size", type=int, default=256)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one_size(given.one, given.group_size)))
        return
    sizes = []
    for count in given.utterances:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "utterances.parquet"
            corpus_file(file, count)
            again = [
                sys.executable,
                __file__,
                "--one",
                str(file),
                "--group-size",
                str(given.group_size),
            ]
            done = subprocess.run(again, stdout=subprocess.PIPE, text=True, check=True)
            sizes.append(json.loads(done.stdout.splitlines()[-1]))
    growth = {
        f"{name}_largest_over_smallest": round(
            sizes[-1][f"{name}_mib"] / sizes[0][f"{name}_mib"], 3
        )
        for name in ("anonymous", "resident")
    }
    record(
        "utterances",
        {"engine": "null", "group_size": given.group_size, "sizes": sizes, **growth},
        given.out,
    )


if __name__ == "__main__":
    main()
