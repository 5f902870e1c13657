"""The kill matrix: whatever is killed, full or taken away in the middle of a run, nothing
acknowledged is lost or doubled, and the tables do not change.

A small one runs with the tests, and its counts are printed at the end of this file's tests.
`python tests/test_pipeline_kills.py ROUNDS [SEED]` kills more often, at random moments, and prints
the counts.
"""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from ray_nodes import PATIENCE_S, patiently

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_S)]

PLAN = {
    "name": "kills",
    "models": [
        {"id": "tiny", "engine": "null", "actors": 2, "cpus": 0.5, "options": {"delay_s": 0.05}},
        {
            "id": "ultravox-v0.3",
            "engine": "null",
            "actors": 1,
            "cpus": 0.5,
            "options": {"delay_s": 0.05},
        },
    ],
    "corpora": [{"id": "tiny", "limit": 16}],
    "strategies": ["greedy", "w_bon", "alm_v"],
    "group_size": 2,
    "bootstrap": {"resamples": 100},
}
NODES = """
import sys, threading
from pathlib import Path
from ray.cluster_utils import Cluster
sys.path.insert(0, "tests")
from ray_nodes import LEAN, LEAN_HEAD
from test_pipeline_kills import kill_actor, when_stored
from ambiemo.pipeline.run import run

what, plan, out, after = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **LEAN_HEAD})
workers = [cluster.add_node(num_cpus=1, **LEAN) for _ in range(2)]
cluster.wait_for_nodes()

def disturb():
    when_stored(out.parent / ".store", after)
    if what == "node":
        cluster.remove_node(workers[0], allow_graceful=False)
        print("killed a node", flush=True)
    else:
        print("killed actor", kill_actor(), flush=True)

if what != "nothing":
    threading.Thread(target=disturb, daemon=True).start()
run(plan, out=out, address=cluster.address)
cluster.shutdown()
"""


def stored_groups(store: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in store.glob("*.jsonl"))


def when_stored(store: Path, groups: int, job: subprocess.Popen | None = None) -> None:
    """Wait until so many groups are acknowledged."""
    deadline = time.monotonic() + PATIENCE_S
    while stored_groups(store) < groups:
        assert job is None or job.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline, "nothing was drawn"
        time.sleep(0.05)


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(pid)
    return found


def kill_actor() -> int:
    """SIGKILL one of this process' own actors that hold a model."""
    for _ in range(100):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    name = (folder / "cmdline").read_bytes()
                except OSError:
                    continue
                if (
                    name.startswith(b"ray::")
                    and b"DrawActor" in name
                    and os.getpid() in ancestors(int(folder.name))
                ):
                    os.kill(int(folder.name), signal.SIGKILL)
                    return int(folder.name)
        time.sleep(0.1)
    raise AssertionError("no actor found")


def descendants(pid: int) -> list[int]:
    """Every process that this one started, and theirs."""
    named = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
    return [one for one in named if pid in ancestors(one)]


def on_three_nodes(folder: Path, what: str, after: int) -> list[str]:
    asked = [what, str(folder / "plan.yaml"), str(folder / "out"), str(after)]
    return [sys.executable, "-c", NODES, *asked]


def in_cluster(folder: Path, what: str, after: int) -> str:
    command = on_three_nodes(folder, what, after)
    done = patiently(command, cwd=ROOT, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert what == "nothing" or "killed" in done.stdout
    return done.stdout


def run_of(folder: Path) -> list[str]:
    """`ambiemo run` of the folder's plan."""
    asked = ["run", "--no-report", str(folder / "plan.yaml"), "--out", str(folder / "out")]
    return [sys.executable, "-m", "ambiemo", *asked]


def goes_on(folder: Path, kept: int) -> None:
    """Run again to the end; what was acknowledged is not drawn again."""
    done = patiently(run_of(folder), cwd=ROOT, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "out/data/log/run.log").read_text())["reused"] >= kept, (
        "what was acknowledged is not drawn again"
    )


def by_hand(folder: Path, signal_: int, after: int) -> float:
    """Send a signal to the driver of `ambiemo run`, then run the same command again. Returns
    seconds until the first ended.
    """
    command = run_of(folder)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as job:
        when_stored(folder / ".store", after, job)
        began = time.monotonic()
        os.kill(job.pid, signal_)
        error = job.communicate(timeout=PATIENCE_S)[1]
        took = time.monotonic() - began
    if signal_ == signal.SIGINT:
        assert job.returncode == 1, error
        assert error.splitlines() == [
            "ambiemo: interrupted; what was drawn is kept, run the same command again"
        ]
    assert not (folder / "out").exists()
    goes_on(folder, stored_groups(folder / ".store"))
    return took


def checked(folder: Path) -> dict[str, bytes]:
    """Tables and predictions, once it is sure that no answer is there twice. A failure may be: its
    draw is made again by the next run."""
    for path in (folder / ".store").glob("*.jsonl"):
        heads = [json.loads(line[65:].split(b"\t")[0]) for line in path.read_bytes().splitlines()]
        keys = collections.Counter(
            key
            for head in heads
            for place, key in enumerate(head["keys"])
            if place not in head["failed"]
        )
        assert set(keys.values()) <= {1}, f"{path.name}: an answer was stored twice"
    data = folder / "out/data"
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    named = {path.relative_to(data).as_posix(): path.read_bytes() for path in files}
    return {
        name: content
        for name, content in named.items()
        if name.startswith(("tables/", "predictions/", "answers/"))
    }


def planned(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    (folder / "plan.yaml").write_text(yaml.safe_dump({**PLAN, **changes}), encoding="utf-8")
    return folder


SURVIVED: collections.Counter[str] = collections.Counter()
"""How often each fault was planted and left the bytes of the undisturbed run."""


def survives(what: str, folder: Path, undisturbed: dict[str, bytes]) -> None:
    """Nothing is lost, nothing is there twice, and the bytes are those of the undisturbed run."""
    assert checked(folder) == undisturbed, what
    SURVIVED[what] += 1


@pytest.fixture(scope="module", autouse=True)
def counts_at_the_end(request: pytest.FixtureRequest):
    yield
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\nkill matrix, each with the bytes of the undisturbed run:")
        for what, count in sorted(SURVIVED.items()):
            print(f"  {count} × {what}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run on one node makes when nothing happens to it."""
    pytest.importorskip("ray", reason="the ray extra is not installed")
    folder = planned(tmp_path_factory.mktemp("kills") / "calm")
    goes_on(folder, 0)
    return checked(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of three megabytes, with a plan; its answer store and bundle lie there."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root and the right to mount, to make a small disk")
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("what", ["actor", "node"])
def test_a_killed_actor_or_node_changes_nothing(
    what: str, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = planned(tmp_path / what)
    in_cluster(folder, what, 5)
    survives(
        f"SIGKILL of an {what}" if what == "actor" else "SIGKILL of a node", folder, undisturbed
    )


def test_a_whole_cluster_that_is_killed_goes_on_in_another_one(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """Driver, head, nodes and actors at once, at a random moment, as when the power goes."""
    folder = planned(tmp_path / "cluster")
    after = random.Random(os.getpid()).randint(1, 40)
    with subprocess.Popen(
        on_three_nodes(folder, "nothing", 0), cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as job:  # fmt: skip
        when_stored(folder / ".store", after, job)
        everyone = [job.pid, *descendants(job.pid)]
        assert len(everyone) > 10
        for pid in everyone:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not (folder / "out").exists(), after
    goes_on(folder, stored_groups(folder / ".store"))
    survives("SIGKILL of the whole cluster", folder, undisturbed)


def test_a_killed_driver_goes_on_where_it_was(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = planned(tmp_path / "driver")
    by_hand(folder, signal.SIGKILL, 5)
    survives("SIGKILL of the driver", folder, undisturbed)


def test_ctrl_c_ends_cleanly_in_ten_seconds(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = planned(tmp_path / "interrupted")
    assert by_hand(folder, signal.SIGINT, 5) < 10
    survives("Ctrl-C", folder, undisturbed)


def test_an_actor_that_runs_out_of_memory_half_way_is_started_again(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """Every job of `tiny` has more requests than one engine takes here, so each loses an actor."""
    breaking = {"fault": "breaks", "fault_after": 30}
    entry = {"id": "tiny", "engine": "null", "actors": 1, "cpus": 0.5, "options": breaking}
    folder = planned(tmp_path / "memory", models=[entry, PLAN["models"][1]])
    goes_on(folder, 0)
    log = json.loads((folder / "out/data/log/run.log").read_text())
    assert (log["failed"], log["stopped"]) == (0, {})
    survives("out of memory, an actor starts again", folder, undisturbed)


def test_an_actor_that_always_runs_out_of_memory_ends_its_model_and_no_other(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    breaking = {"fault": "breaks"}
    entry = {"id": "tiny", "engine": "null", "actors": 1, "cpus": 0.5, "options": breaking}
    folder = planned(tmp_path / "always", models=[entry, PLAN["models"][1]])
    done = patiently(run_of(folder), cwd=ROOT, timeout=PATIENCE_S)
    assert done.returncode == 1, done.stderr
    *of_ray, line = done.stderr.splitlines()
    assert all("(raylet)" in one for one in of_ray), "what Ray says of a dead worker comes before"
    assert "model tiny: its actors ended" in line
    assert line.endswith("the last one: MemoryError: a rehearsed lack of memory")
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    goes_on(folder, stored_groups(folder / ".store"))
    survives("out of memory always, then enough", folder, undisturbed)


def test_a_full_disk_ends_in_one_line_and_goes_on_when_there_is_room(
    small_disk: Path, undisturbed: dict[str, bytes]
) -> None:
    with subprocess.Popen(
        run_of(small_disk), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as job:
        when_stored(small_disk / ".store", 5, job)
        with open(small_disk / "ballast", "wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        error = job.communicate(timeout=PATIENCE_S)[1]
    assert job.returncode == 1, error
    (line,) = error.splitlines()
    assert "cannot write: the disk is full; make room" in line
    (small_disk / "ballast").unlink()
    goes_on(small_disk, stored_groups(small_disk / ".store"))
    survives("disk full, then freed", small_disk, undisturbed)


def test_a_store_that_is_read_only_for_a_while_ends_in_one_line_and_loses_nothing(
    small_disk: Path, undisturbed: dict[str, bytes]
) -> None:
    with subprocess.Popen(
        run_of(small_disk), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        when_stored(small_disk / ".store", 5, job)
        job.kill()
    kept = stored_groups(small_disk / ".store")
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    deadline = time.monotonic() + 60  # until the killed run's processes are gone
    while subprocess.run(remount, capture_output=True).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    refused = subprocess.run(
        run_of(small_disk), cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "read-only" in line.lower()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert stored_groups(small_disk / ".store") == kept
    goes_on(small_disk, kept)
    survives("store read-only for a while", small_disk, undisturbed)


def test_a_second_run_on_the_same_store_is_refused_and_the_first_goes_on(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = planned(tmp_path / "two")
    command = run_of(folder)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as job:
        when_stored(folder / ".store", 1, job)
        second = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert second.returncode == 2
        assert "another run is using this answer store" in second.stderr
        error = job.communicate(timeout=PATIENCE_S)[1]
    assert job.returncode == 0, error
    survives("two runs on one store", folder, undisturbed)


def matrix(rounds: int, number: int) -> None:
    """Kill at random moments, so many times each, and print the counts."""
    random_ = random.Random(number)
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        calm = planned(Path(name) / "calm")
        in_cluster(calm, "nothing", 0)
        expected = checked(calm)
        for turn in range(rounds):
            for what in ("actor", "node", "driver", "ctrl-c"):
                folder, after = planned(Path(name) / f"{what}-{turn}"), random_.randint(0, 60)
                if what in ("actor", "node"):
                    in_cluster(folder, what, after)
                else:
                    by_hand(
                        folder, signal.SIGKILL if what == "driver" else signal.SIGINT, max(1, after)
                    )
                counts[
                    f"{what}: {'same bytes' if checked(folder) == expected else 'OTHER BYTES'}"
                ] += 1
                print(turn, what, "after", after, dict(counts), flush=True)
    print(json.dumps(counts, indent=2))


if __name__ == "__main__":
    threading.current_thread().name = "matrix"
    matrix(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
