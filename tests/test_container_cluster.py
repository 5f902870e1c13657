"""The cluster files: they parse, and hold to what Ray, KubeRay, Slurm and Apptainer need of them. None of them was run on a cluster."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "reproduce" / "cluster"
SCRIPTS = sorted([*CLUSTER.glob("*.sh"), ROOT / ".ci" / "run"])


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load((CLUSTER / "kuberay.yaml").read_text(encoding="utf-8"))


def containers(job: dict) -> list[dict]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_the_rayjob_gives_its_machines_back(job: dict) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def test_the_rayjob_names_the_ray_of_the_image(job: dict) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extras["ray"] == [f"ray[data]=={job['spec']['rayClusterSpec']['rayVersion']}"]


def test_the_rayjob_installs_nothing_when_it_starts(job: dict) -> None:
    assert "runtimeEnvYAML" not in job["spec"]
    assert "pip" not in job["spec"]["entrypoint"]


def test_the_rayjob_runs_the_plan_on_its_own_cluster(job: dict) -> None:
    words = job["spec"]["entrypoint"].split()
    assert words[:2] == ["ambiemo", "run"]
    assert (ROOT / words[2]).parent == ROOT / "reproduce"
    assert words[words.index("--address") + 1] == "auto"


def test_every_pod_has_one_image_by_digest_and_the_shared_volume(job: dict) -> None:
    assert len({container["image"] for container in containers(job)}) == 1
    for container in containers(job):
        assert "@sha256:" in container["image"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/shared", "/dev/shm"}


def test_only_workers_ask_for_gpus_and_no_pod_runs_as_root(job: dict) -> None:
    head, *workers = containers(job)
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert all(worker["resources"]["limits"]["nvidia.com/gpu"] == "1" for worker in workers)
    cluster = job["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_slurm_job_takes_whole_nodes_and_starts_ray_on_each() -> None:
    text = (CLUSTER / "slurm.sh").read_text(encoding="utf-8")
    assert re.search(r"^#SBATCH --exclusive$", text, re.M)
    assert re.search(r"^#SBATCH --ntasks-per-node=1$", text, re.M)
    assert "ray symmetric-run" in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_sound_bash(script: Path) -> None:
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


@pytest.mark.parametrize("words", [[], ["build", "docker://host/ambiemo:latest"], ["run"], ["burn"]])
def test_apptainer_asked_wrongly_says_how_and_exits_2(words: list[str]) -> None:
    done = subprocess.run(["bash", str(CLUSTER / "apptainer.sh"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "apptainer.sh run" in done.stderr


def test_apptainer_hands_no_key_over_on_a_command_line(tmp_path: Path) -> None:
    fake = tmp_path / "apptainer"
    fake.write_text('#!/bin/sh\necho "$@"; echo "inside $APPTAINERENV_OPENAI_API_KEY"\n', encoding="utf-8")
    fake.chmod(0o755)
    done = subprocess.run(
        ["bash", str(CLUSTER / "apptainer.sh"), "run", "reproduce/quick.yaml", "--limit", "3"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "OPENAI_API_KEY": "sk-secret"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    command, inside = done.stdout.splitlines()
    assert "sk-secret" not in command
    assert inside == "inside sk-secret"
    assert "--nv --containall" in command
    assert command.endswith("ambiemo.sif ambiemo run reproduce/quick.yaml --out artifacts/quick --limit 3")
