"""Several Ray nodes on one machine: the same bytes as with one."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from ray_nodes import PATIENCE_S, patiently

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_S)]

pytest.importorskip("ray", reason="the ray extra is not installed")

PLAN = {
    "name": "nodes",
    "models": [{"id": "tiny", "engine": "null", "actors": 2}],
    "corpora": [{"id": "tiny", "limit": 12}],
    "strategies": ["greedy", "w_bon", "w_alm_v", "majority_vote", "label_logprobs"],
    "controls": ["shuffled_audio", "silence"],
    "group_size": 4,
    "bootstrap": {"resamples": 100},
}
RUN = """
import sys
from pathlib import Path
from ray.cluster_utils import Cluster
from ambiemo.pipeline.run import run

nodes, head_cpus, plan, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
sys.path.insert(0, "tests")
from ray_nodes import LEAN, LEAN_HEAD
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cpus, **LEAN_HEAD})
for _ in range(nodes - 1):
    cluster.add_node(num_cpus=2, **LEAN)
cluster.wait_for_nodes()
run(plan, out=out, address=cluster.address)
cluster.shutdown()
"""


def made_by(folder: Path, nodes: int, head_cpus: int) -> dict[str, bytes]:
    """What a run on so many nodes makes of inputs and answers."""
    folder.mkdir()
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        RUN,
        str(nodes),
        str(head_cpus),
        str(folder / "plan.yaml"),
        str(folder / "out"),
    ]
    done = patiently(command, cwd=ROOT, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    data = folder / "out/data"
    assert json.loads((data / "log/run.log").read_text())["calls"] == 12 * (6 + 3)
    files = {
        path.relative_to(data).as_posix(): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file()
    }
    apart = ("env/", "log/", "provenance/", "ro-crate-metadata")
    return {name: content for name, content in files.items() if not name.startswith(apart)}


def test_one_node_and_three_give_the_same_bytes(tmp_path: Path) -> None:
    one = made_by(tmp_path / "one", 1, 3)
    assert any(name.startswith("scores/") for name in one)
    assert made_by(tmp_path / "three", 3, 2) == one


def test_a_head_without_processors_gives_the_same_bytes(tmp_path: Path) -> None:
    assert made_by(tmp_path / "head", 3, 0) == made_by(tmp_path / "one", 1, 3)


DIFFERENT = """
import sys
from ray.cluster_utils import Cluster
sys.path.insert(0, sys.argv[1])
from ray_nodes import LEAN, LEAN_HEAD
from ambiemo.cli import main

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **LEAN_HEAD})
cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": sys.argv[2]}, **LEAN)
cluster.wait_for_nodes()
main(["run", sys.argv[3], "--out", sys.argv[4], "--address", cluster.address])
"""


def test_a_node_with_other_code_is_named_before_the_first_draw(tmp_path: Path) -> None:
    """Two nodes, one of which imports another ambiemo: one line, exit 2, nothing drawn."""
    other = tmp_path / "other"
    shutil.copytree(ROOT / "ambiemo", other / "ambiemo", ignore=shutil.ignore_patterns("*.pyc"))
    with open(other / "ambiemo/seeds.py", "a", encoding="utf-8") as file:
        file.write("# one comment more\n")
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    asked = [str(ROOT / "tests"), str(other), str(plan), str(tmp_path / "out")]
    # not in the repository: Ray hands the driver's current folder on to every worker
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = patiently(
        [sys.executable, "-c", DIFFERENT, *asked],
        cwd=tmp_path,
        env=environment,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("ambiemo: ")]
    assert re.match(
        r"ambiemo: node \S+ \(\S+, \w{6}\): ambiemo \S+ \(code \w{12}\), the driver has \S+ \(code \w{12}\); ",
        line,
    )
    assert not list((tmp_path / ".store").glob("*.jsonl"))
