"""The paper's strategies over all of CREMA-D: what everything after the answer store takes.

    python reproduce/bench/paper_scale.py [--models 1 2 5] [--clips 7442] [--keep DIR | --again DIR]
                                          [--without-verify-py] [--out FILE.json]

For each number of models: `ambiemo run` on an empty store, `ambiemo verify`, and the bundle's own
`data/verify.py`. Only the command line and the files of the bundle are used, so this file measures
any version of the package.

The corpus: a folder as CREMA-D's owners ship it. Each of the 7,442 clips is a WAV of 0.25 s of
seeded noise, some 300 bytes. The votes are the owner's table where `AMBIEMO_DATA`, or
`../shared/data` next to the checkout, has crema_d; else they are simulated from a seed. The JSON
says which.

With --again the corpus and the stores are those that an earlier --keep left, so nothing is drawn and
the minutes of drawing are saved. The driver's memory is then that of a run without drawing; the JSON
says `drawn: false`.

The plan: reproduce/paper.yaml with three changes.
    models    open ones, with the null engine: it answers at once and opens no clip. Audio
              Flamingo 3 stands in for 2, which has no beams: so no cell is empty
    corpora   CREMA-D alone
    verifier  "self": every candidate that the paper's verifier would judge is judged by its own
              model, so there are as many scores and all of them are in the store

Seconds: the stages' are those of the bundle's `log/run.log`. `after_drawing` is the run's wall time
after the last draw: in addition to strategies and tables it contains the reading of the store and
the writing of the bundle.

The floor: gunzip and `json.loads` of every line below `data/answers` and `data/scores`, in a fresh
process. It is read after each of the three commands; the median counts. Ratios are over it.
`two_at_once_seconds` is the slower of two such processes side by side: by how much two cores are
less than twice one (they may be threads of one core, or shared with others).

Memory (MiB), looked at every 0.2 s:
    peak_mib       VmHWM of the command's own process; for a run, that is the driver
    anonymous_mib  what this process allocated: no libraries, no pages of Ray's object store
    tree_mib       sum over the process and all its descendants of PSS, where a shared page counts
                   once. Reading PSS slows what is measured, so it takes at most 5 % of the time
    tree_rss_mib   the same sum of RSS: a shared page counts for every process that has it
A stage's peaks are those between the lines that `ambiemo run` prints; rss_mib is the driver's.

On a busy machine: `other_cores` is how many cores other programs took meanwhile, stolen time
included. Wall seconds grow with it, processor seconds (`cpu_s`, of all processes; `cpu_over_floor`)
do so much less. The floor of 10 s took up to 43 s of wall time on such a machine, so ratios of wall
seconds are worth something on an idle machine only.

With the code before format 2 of the bundle, the three sizes take some 50 minutes on 2 idle cores
(reckoned from processor seconds: 1 and 5 models took 86 minutes on a busy machine), 8 GB of memory
and 1 GB of disk. `--models 1 --clips 200` takes a minute. Linux only, because it reads /proc.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
from record import record

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER = ROOT / "reproduce" / "paper.yaml"
SEED = 260203873
MODELS: dict[str, dict[str, str]] = {
    "qwen2-audio-7b": {},
    "qwen2.5-omni-7b": {},
    # not pinned in the table of models, so these commits are made up
    "ultravox-v0.3": {"revision": f"{3:040x}"},
    "ultravox-v0.4": {"revision": f"{4:040x}"},
    "audio-flamingo-3": {},
}
VOTES = Path("processedResults/tabulatedVotes.csv")
RATERS = 10
TOTALS = ("start", "all")
LAST = "after the last draw"
PAUSE_S = 0.2
PSS_SHARE = 0.05
MIB = 2**20
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


# --- the corpus and the plan ---


def make_corpus(root: Path, count: int) -> str:
    """Write `count` clips and the votes as the owners do. Returns where the votes are from."""
    rng = random.Random(SEED)
    text = files("ambiemo.corpora").joinpath("crema_d_manifest.csv").read_text(encoding="utf-8")
    paths = [line.split(",")[0] for line in text.splitlines()[1:]]
    (root / "AudioWAV").mkdir(parents=True)
    for path in sorted(rng.sample(paths, min(count, len(paths)))):
        with wave.open(str(root / path), "wb") as clip:
            clip.setnchannels(1)
            clip.setsampwidth(1)
            clip.setframerate(1000)
            clip.writeframes(rng.randbytes(250))
    (root / VOTES).parent.mkdir()
    for data in (os.environ.get("AMBIEMO_DATA"), ROOT.parent / "shared" / "data"):
        if data and (theirs := Path(data) / "crema_d" / VOTES).is_file():
            shutil.copyfile(theirs, root / VOTES)
            return "the owner's table"
    names = [Path(path).stem for path in paths]
    (root / VOTES).write_text("".join(simulated(names, rng)), encoding="utf-8")
    return f"simulated, {RATERS} raters"


def simulated(names: Iterable[str], rng: random.Random) -> Iterable[str]:
    """Lines of a vote table as the owner's; most raters choose the emotion in the clip's name."""
    letters = "ADFHNS"
    yield f",{','.join(letters)},fileName,numResponses,agreement,emoVote\n"
    for number, name in enumerate(names, start=100_001):
        weights = [6 if letter == name.split("_")[2][0] else 1 for letter in letters]
        votes = rng.choices(letters, weights, k=RATERS)
        counts = [votes.count(letter) for letter in letters]
        pairs = zip(letters, counts, strict=True)
        winner = ":".join(letter for letter, votes_for in pairs if votes_for == max(counts))
        row = [number, *counts, name, RATERS, max(counts) / RATERS, winner]
        yield ",".join(map(str, row)) + "\n"


def make_plan(file: Path, corpus: Path, models: Iterable[str]) -> None:
    """Write reproduce/paper.yaml with these models, this corpus alone and no other verifier."""
    plan = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    clips = len(list((corpus / "AudioWAV").iterdir()))
    plan |= {
        "name": file.stem,
        "title": "benchmark: no model was asked",
        # a dict of its own for each model: a plan may not hold YAML's anchors
        "models": [
            {"id": name, "engine": "null", "options": {"deaf": True}, **MODELS[name]}
            for name in models
        ],
        # "keep": the seven clips whose WAV is wrong at the owner's are as good as the others here
        "corpora": [
            {
                "id": "crema-d",
                "root": str(corpus.resolve()),
                "expect": clips,
                "options": {"known_wrong_audio": "keep"},
            }
        ],
        "verifier": "self",
    }
    file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")


# --- watching a command ---


class Seen(NamedTuple):
    """One look: MiB of the process and of its tree, and the tree's processor seconds so far."""

    time: float
    rss: float
    tree_rss: float
    tree_pss: float
    cpu_s: float


@dataclass
class Watch:
    """Memory and processor time of a process and its descendants. Linux only."""

    pid: int
    began: float = field(default_factory=time.monotonic)
    known: dict[int, int] = field(default_factory=dict)  # process id: when it started
    ticks: dict[tuple[int, int], int] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    peak: float = 0.0
    anonymous: float = 0.0
    next_pss: float = 0.0
    pss: float = 0.0
    pss_readings: int = 0
    pss_unreadable: bool = False

    def look(self) -> None:
        """Add a row to `seen`. PSS is the latest that was read."""
        tree = self._tree()
        for pid, row in tree.items():
            self.ticks[pid, row["started"]] = row["ticks"]
        status = _kib(f"/proc/{self.pid}/status")
        self.peak = max(self.peak, status.get("VmHWM", 0) / 1024)
        self.anonymous = max(self.anonymous, status.get("RssAnon", 0) / 1024)
        now = time.monotonic()
        if now >= self.next_pss:
            self.pss = sum(map(self._pss_kib, tree)) / 1024
            self.pss_readings += 1
            took = time.monotonic() - now
            self.next_pss = now + took / PSS_SHARE
        rss = {pid: row["pages"] * PAGE / MIB for pid, row in tree.items()}
        own = rss.get(self.pid, 0.0)
        self.seen.append(Seen(now, own, sum(rss.values()), self.pss, self.cpu_s))

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all processes so far."""
        return sum(self.ticks.values()) / TICKS

    def _pss_kib(self, pid: int) -> int:
        """PSS of a process; 0 for one that has ended."""
        try:
            return _kib(f"/proc/{pid}/smaps_rollup").get("Pss", 0)
        except PermissionError:
            self.pss_unreadable = True
            return 0

    def _tree(self) -> dict[int, dict[str, int]]:
        """The process and its descendants that are alive, also those whose parent has ended."""
        rows: dict[int, dict[str, int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (row := _stat(int(entry))):
                rows[int(entry)] = row
        children: dict[int, list[int]] = {}
        for pid, row in rows.items():
            children.setdefault(row["parent"], []).append(pid)
        alive: set[int] = set()
        ahead = [pid for pid, row in rows.items() if self.known.get(pid) == row["started"]]
        ahead.append(self.pid)
        while ahead:
            pid = ahead.pop()
            if pid in rows and pid not in alive:
                alive.add(pid)
                ahead += children.get(pid, [])
        self.known = {pid: rows[pid]["started"] for pid in alive}
        return {pid: rows[pid] for pid in alive}

    def between(self, start: float, end: float = float("inf")) -> dict[str, float]:
        """Peaks and processor seconds between two times; nothing where nobody looked."""
        rows = [row for row in self.seen if start <= row.time <= end]
        if not rows:
            return {}
        trees = (row.tree_rss if self.pss_unreadable else row.tree_pss for row in rows)
        return {
            "cpu_s": round(rows[-1].cpu_s - rows[0].cpu_s, 2),
            "rss_mib": round(max(row.rss for row in rows), 1),
            "tree_mib": round(max(trees), 1),
        }

    def as_dict(self) -> dict[str, Any]:
        """Peaks and processor seconds of the whole time."""
        return {
            "cpu_s": round(self.cpu_s, 2),
            "peak_mib": round(self.peak, 1),
            "anonymous_mib": round(self.anonymous, 1),
            "tree_mib": self.between(0.0).get("tree_mib", 0.0),
            "tree_is_sum_of": "RSS" if self.pss_unreadable else "PSS",
            "tree_rss_mib": round(max((row.tree_rss for row in self.seen), default=0.0), 1),
            "processes": len(self.ticks),
            "pss_readings": self.pss_readings,
        }


def _stat(pid: int) -> dict[str, int] | None:
    """Parent, processor time, start and resident pages of a process; None where it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    cells = text.rpartition(")")[2].split()
    parent, user, system, started, pages = (int(cells[at]) for at in (1, 11, 12, 19, 21))
    return {"parent": parent, "ticks": user + system, "started": started, "pages": pages}


def _kib(path: str) -> dict[str, int]:
    """The lines `Name: 123 kB` of a file in /proc; nothing for a process that has ended.

    Raises PermissionError.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


def _busy_ticks() -> int:
    """Processor time of the machine: not idle, not waiting, or stolen by other guests."""
    cells = [int(cell) for cell in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(cells) - cells[3] - cells[4]


@dataclass
class Done:
    """A command that ended: its wall seconds, what it printed and when, and what was seen of it."""

    exit: int
    seconds: float
    lines: list[tuple[float, str]]
    watch: Watch
    other_cores: float

    def as_dict(self) -> dict[str, Any]:
        """As the JSON has it."""
        return {
            "exit": self.exit,
            "wall_s": round(self.seconds, 2),
            **self.watch.as_dict(),
            "other_cores": round(self.other_cores, 2),
        }


def measured(command: list[str], log: Path) -> Done:
    """Run a command from the checkout's root and watch it; what it prints goes into `log`."""
    lines: list[tuple[float, str]] = []
    busy = _busy_ticks()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        watch = Watch(process.pid)

        def listen() -> None:
            assert process.stdout is not None
            lines.extend((time.monotonic(), line) for line in process.stdout)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            while process.poll() is None:
                watch.look()
                try:
                    process.wait(PAUSE_S)
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            process.terminate()
            raise
        seconds = time.monotonic() - watch.began
        listener.join()
    others = (_busy_ticks() - busy) / TICKS - watch.cpu_s
    log.write_text("".join(line for _, line in lines), encoding="utf-8")
    return Done(process.returncode, seconds, lines, watch, max(others, 0.0) / seconds)


# --- the floor ---


def floor(bundle: Path) -> dict[str, Any]:
    """Gunzip and parse every line of the answers and scores in this process; keep nothing."""
    paths = answer_files(bundle)
    counts = {"files": len(paths), "lines": 0, "candidates": 0, "bytes": 0}
    began, cpu = time.perf_counter(), time.process_time()
    for path in paths:
        with gzip.open(path) as file:
            for line in file:
                row = json.loads(line)
                counts["lines"] += 1
                counts["bytes"] += len(line)
                counts["candidates"] += "text" in row or len(row.get("candidates") or ())
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": round(seconds, 3), "cpu_s": round(cpu_s, 3), **counts}


def answer_files(bundle: Path) -> list[Path]:
    """The files of answers and scores, in whatever folders."""
    folders = [bundle / "data" / name for name in ("answers", "scores")]
    return sorted(path for folder in folders for path in folder.rglob("*.jsonl.gz"))


def floor_apart(bundle: Path, at_once: int = 1) -> dict[str, Any]:
    """The same in a fresh process, or the slowest of several at once."""
    command = [sys.executable, __file__, "--floor", str(bundle)]
    every = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(at_once)]
    done = [json.loads(one.communicate()[0].splitlines()[-1]) for one in every]
    return max(done, key=lambda one: one["seconds"])


# --- one number of models ---

CHECKS = ("verify", "verify_py")


def one_size(
    folder: Path, corpus: Path, count: int, checked_by: Sequence[str] = CHECKS
) -> dict[str, Any]:
    """Run and check a bundle of `count` models; everything that is written is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(MODELS)[:count]
    bundle, plan = folder / "bundle", folder / f"paper-scale-{count}.yaml"
    shutil.rmtree(bundle, ignore_errors=True)
    make_plan(plan, corpus, names)
    ambiemo = [sys.executable, "-m", "ambiemo"]
    command = [*ambiemo, "run", str(plan), "--out", str(bundle), "--store", str(folder / "store")]
    run = measured(command, folder / "run.txt")
    if run.exit:
        tail = "".join(line for _, line in run.lines[-20:])
        raise SystemExit(f"ambiemo run ended with exit code {run.exit}:\n{tail}")
    seconds = json.loads((bundle / "data/log/run.log").read_text(encoding="utf-8"))["seconds"]
    floors = [floor_apart(bundle)]
    checks: dict[str, Done] = {}
    commands = {
        "verify": [*ambiemo, "verify", str(bundle)],
        "verify_py": [sys.executable, "-I", str(bundle / "data" / "verify.py")],
    }
    for name in checked_by:
        checks[name] = measured(commands[name], folder / f"{name}.txt")
        floors.append(floor_apart(bundle))
    base, base_cpu = (median(one[name] for one in floors) for name in ("seconds", "cpu_s"))
    by_stage = stages(run, seconds)
    times = {"strategies_and_tables": tables_seconds(seconds)}
    # the draws of several models go on side by side: their seconds do not add up
    times |= {"after_drawing": by_stage[LAST]["seconds"]} if LAST in by_stage else {}
    times |= {name: done.seconds for name, done in checks.items()}
    cpu = {name: done.watch.cpu_s for name, done in checks.items()}
    cpu |= {LAST: by_stage[LAST]["cpu_s"]} if "cpu_s" in by_stage.get(LAST, {}) else {}
    sizes = {path.relative_to(bundle).as_posix(): path.stat().st_size for path in tree_of(bundle)}
    result = {
        "models": count,
        "model_names": names,
        "run": {**run.as_dict(), "stages": by_stage},
        **{name: done.as_dict() for name, done in checks.items()},
        "floor": {
            **floors[0],
            "seconds": base,
            "cpu_s": base_cpu,
            "all_seconds": [one["seconds"] for one in floors],
            "two_at_once_seconds": floor_apart(bundle, at_once=2)["seconds"],
        },
        "seconds": {name: round(value, 2) for name, value in times.items()},
        "over_floor": {name: round(value / base, 2) for name, value in times.items()},
        "cpu_over_floor": {name: round(value / base_cpu, 2) for name, value in cpu.items()},
        "answers_bytes": sum(path.stat().st_size for path in answer_files(bundle)),
        "bundle_bytes": sum(sizes.values()),
        "store_bytes": sum(path.stat().st_size for path in tree_of(folder / "store")),
    }
    print(json.dumps(result), file=sys.stderr, flush=True)
    return result


def tree_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def is_draw(stage: str) -> bool:
    return stage.startswith(("answers ", "scores "))


def tables_seconds(seconds: dict[str, float]) -> float:
    """Seconds of `strategies and tables`; without such a stage, of all stages but the draws."""
    name = "strategies and tables"
    if name in seconds:
        return seconds[name]
    return sum(seconds[other] for other in seconds if not is_draw(other) and other not in TOTALS)


def stages(run: Done, seconds: dict[str, float]) -> dict[str, dict[str, float]]:
    """Each stage of run.log: its seconds, and its peaks where a printed line says when it began."""
    by_stage: dict[str, dict[str, float]] = {}
    last = 0.0
    for name, value in seconds.items():
        by_stage[name] = {"seconds": round(value, 2)}
        what, _, model = name.partition(" ")
        start = f"{model}: {what}:"
        began = next((when for when, line in run.lines if line.startswith(start)), None)
        if is_draw(name) and began is not None:
            by_stage[name] |= run.watch.between(began, began + value)
            last = max(last, began + value)
    if last:
        rest = run.watch.began + run.seconds - last
        by_stage[LAST] = {"seconds": round(rest, 2), **run.watch.between(last)}
    return by_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 5], choices=range(1, 6))
    parser.add_argument("--clips", type=int, default=7442)
    parser.add_argument("--keep", type=Path, help="keep corpus, plans, stores and bundles here")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--again", type=Path, help="the folder of an earlier --keep: nothing is drawn"
    )
    parser.add_argument(
        "--without-verify-py",
        action="store_true",
        help="leave the bundle's own verifier out: with 5 models it takes a quarter of an hour",
    )
    given = parser.parse_args()
    checked_by = CHECKS[:1] if given.without_verify_py else CHECKS
    if given.floor:
        print(json.dumps(floor(given.floor)))
        return
    if given.keep and given.keep.exists() and any(given.keep.iterdir()):
        parser.error(f"--keep {given.keep}: is not empty; a store from before would save draws")
    sizes: list[dict[str, Any]] = []
    with ExitStack() as stack:
        kept = given.again or given.keep
        folder = (
            kept.resolve() if kept else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        )
        votes = (
            (folder / "votes.txt").read_text("utf-8")
            if given.again
            else make_corpus(folder / "corpus", given.clips)
        )
        (folder / "votes.txt").write_text(votes, encoding="utf-8")
        try:
            for count in given.models:
                sizes.append(
                    one_size(folder / f"models-{count}", folder / "corpus", count, checked_by)
                )
                if not kept:
                    shutil.rmtree(folder / f"models-{count}")
        finally:  # an hour's numbers are not lost where the last size fails
            if sizes:
                drawn = not given.again
                result = numbers(sizes, given.clips, votes) | {"drawn": drawn}
                record("paper_scale", result, given.out)
    if any(size[name]["exit"] for size in sizes for name in checked_by):
        raise SystemExit("a bundle does not hold: see `exit` in the JSON; --keep DIR keeps it")


def numbers(sizes: list[dict[str, Any]], clips: int, votes: str) -> dict[str, Any]:
    """The record's own part: settings, every size, and the most models over the fewest."""
    few, many = (choose(sizes, key=lambda size: size["models"]) for choose in (min, max))
    peaks = ("peak_mib", "anonymous_mib")
    growth = {name: round(many["run"][name] / few["run"][name], 3) for name in peaks}
    return {
        "engine": "null",
        "corpus": "crema-d",
        "clips": clips,
        "votes": votes,
        "verifier": "self",
        "sizes": sizes,
        "driver_most_models_over_fewest": {"models": [many["models"], few["models"]], **growth},
    }


if __name__ == "__main__":
    main()
