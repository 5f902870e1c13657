"""Two machines, as far as one can play them: a Ray node in each of two network namespaces, joined
by a cable, with a disk and a shared memory of its own.

The second node has all the processors and none of the clips. Its answers are byte for byte those of
one machine.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from ray_nodes import PATIENCE_S, crema_d, patiently

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * PATIENCE_S)]

pytest.importorskip("ray", reason="the ray extra is not installed")

PORT = 6399
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
PLAN = {
    "name": "namespaces",
    "models": [{"id": "tiny", "engine": "null", "actors": 2, "cpus": 0.5}],
    "strategies": ["greedy", "w_bon", "alm_v"],
    "controls": ["silence"],
    "group_size": 2,
    "bootstrap": {"resamples": 100},
}


@dataclass
class Machine:
    """One network namespace, with its address and the processes that were started in it."""

    name: str
    address: str
    running: list[subprocess.Popen] = field(default_factory=list)

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def start(self, log: Path, script: str, **variables: str) -> None:
        """Run a shell script in a mount namespace of its own, and leave it running."""
        with open(log, "wb") as file:
            self.running.append(
                subprocess.Popen(
                    self.command("unshare", "--mount", "sh", "-c", script),
                    stdout=file,
                    stderr=file,
                    env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
                )
            )

    def inside(self, folder: Path, *words: str) -> list[str]:
        """A command that sees the files of what was started first, Ray's sockets among them."""
        return [
            *("nsenter", "--target", str(self.running[0].pid), "--mount", "--net"),
            *(f"--wd={folder}", *words),
        ]

    def ends(self) -> None:
        told = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        for pid in told.stdout.split():
            subprocess.run(["kill", "-9", pid], capture_output=True, check=False)
        for one in self.running:
            one.wait(timeout=30)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two namespaces joined by a cable."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("needs root, ip (iproute2), unshare and nsenter, to make network namespaces")
    number = os.getpid() % 250
    first = Machine(f"ambiemo-a-{os.getpid()}", f"10.231.{number}.1")
    second = Machine(f"ambiemo-b-{os.getpid()}", f"10.231.{number}.2")
    try:
        try:
            ip("netns", "add", first.name)
            ip("netns", "add", second.name)
            ends = (f"va{os.getpid()}", f"vb{os.getpid()}")
            ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for machine, end in zip((first, second), ends, strict=True):
                ip("link", "set", end, "netns", machine.name)
                ip("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", end)
                ip("-n", machine.name, "link", "set", end, "up")
                ip("-n", machine.name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine makes no network namespaces: {error.stderr.decode()}")
        yield first, second
    finally:
        first.ends()
        second.ends()


def in_order(data: Path) -> dict[str, bytes]:
    """What must be a function of plan, clips and answers."""
    apart = ("env/", "log/", "provenance/", "ro-crate-metadata")
    named = {
        path.relative_to(data).as_posix(): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file()
    }
    return {name: content for name, content in named.items() if not name.startswith(apart)}


def when_started(log: Path) -> None:
    """Wait until a Ray node says that it runs."""
    deadline = time.monotonic() + PATIENCE_S
    while "Ray runtime started" not in log.read_text("utf-8", "replace"):
        assert time.monotonic() < deadline, f"the node did not start: {log.read_text()[-2000:]}"
        time.sleep(1)


def test_two_nodes_in_two_network_namespaces_give_the_bytes_of_one(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    head, worker = machines
    corpus = crema_d(tmp_path / "corpus")
    plan = tmp_path / "plan.yaml"
    corpora = [{"id": "crema-d", "root": str(corpus)}]
    plan.write_text(yaml.safe_dump({**PLAN, "corpora": corpora}), encoding="utf-8")
    # Else a token that lies in the home folder decides, for each node by itself.
    same = {"RAY_AUTH_MODE": "disabled"}
    own = "mount --make-rprivate /; mount -t tmpfs tmpfs /dev/shm; mkdir -p /tmp/ray; mount -t tmpfs tmpfs /tmp/ray; "
    start = (
        "for turn in 1 2 3 4 5 6 7 8; do "  # a busy machine may need more than Ray's 30 s
        f"{' '.join(RAY)} start --block --disable-usage-stats --object-store-memory=100000000 "
    )
    head.start(
        tmp_path / "head.log",
        f"{own}{start}--head --port={PORT} --node-ip-address={head.address} --num-cpus=0 --include-dashboard=false && break; done",
        **same,
    )
    when_started(tmp_path / "head.log")
    worker.start(
        tmp_path / "worker.log",
        f"{own}mount -t tmpfs tmpfs {corpus}; {start}--address={head.address}:{PORT} --node-ip-address={worker.address} --num-cpus=2 && break; done",
        **same,
    )
    when_started(tmp_path / "worker.log")
    command = [sys.executable, "-m", "ambiemo", "run", str(plan), "--out"]
    options = {
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": str(ROOT), **same},
        "timeout": PATIENCE_S,
    }
    apart = patiently(
        head.inside(
            tmp_path, *command, str(tmp_path / "apart"), "--address", f"{head.address}:{PORT}"
        ),
        **options,
    )
    assert apart.returncode == 0, apart.stdout + apart.stderr
    assert f"({worker.address}" in apart.stdout
    assert "has no clips of crema-d; the driver's node sends them" in apart.stdout
    assert "0 failed draws" in apart.stdout
    one = patiently(
        [*command, str(tmp_path / "one"), "--store", str(tmp_path / "store")], **options
    )
    assert one.returncode == 0, one.stdout + one.stderr
    assert in_order(tmp_path / "apart/data") == in_order(tmp_path / "one/data")
