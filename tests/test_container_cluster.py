"""The cluster files: they parse, and hold to what Ray, KubeRay, Slurm and Apptainer need of them.
None of them was run on a cluster.
"""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from ambiemo.cli import main
from ambiemo.models import MODELS

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "reproduce" / "cluster"
commands = main.commands
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
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
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
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
            "/shared",
            "/dev/shm",
        }


def test_only_workers_ask_for_gpus_and_no_pod_runs_as_root(job: dict) -> None:
    head, *workers = containers(job)
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert all(worker["resources"]["limits"]["nvidia.com/gpu"] == "1" for worker in workers)
    cluster = job["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def gib(size: str) -> int:
    assert size.endswith("Gi")
    return int(size.removesuffix("Gi"))


def test_a_pod_s_memory_holds_its_shared_memory_and_a_model_beside(job: dict) -> None:
    """What lies in /dev/shm counts against the container's limit."""
    cluster = job["spec"]["rayClusterSpec"]
    for group, least in ((cluster["headGroupSpec"], 24), (cluster["workerGroupSpecs"][0], 48)):
        spec = group["template"]["spec"]
        (shared,) = (one["emptyDir"]["sizeLimit"] for one in spec["volumes"] if "emptyDir" in one)
        limits = spec["containers"][0]["resources"]["limits"]
        assert gib(limits["memory"]) - gib(shared) >= least
        assert int(group["rayStartParams"]["object-store-memory"]) < gib(shared) * 2**30


def assert_ambiemo_knows(words: list[str]) -> None:
    """The command, its plan and every option are those of our command line."""
    assert words[:2] == ["ambiemo", "run"]
    context = commands["run"].make_context("run", words[2:])
    assert context.params["address"] == "auto"
    assert (ROOT / context.params["plan_file"]).is_file()


def assert_ray_knows(words: list[str]) -> None:
    """The command and every option are those of the Ray that is installed."""
    scripts = pytest.importorskip("ray.scripts.scripts", reason="the ray extra is not installed")
    known = {one for option in scripts.cli.commands[words[0]].params for one in option.opts}
    if words[0] == "symmetric-run":  # it reads its options by itself
        known |= {"--address", "--min-nodes"}
    assert {word for word in words[1:] if word.startswith("--")} <= known


def test_the_rayjob_s_commands_are_known(job: dict) -> None:
    assert_ambiemo_knows(job["spec"]["entrypoint"].split())
    cluster = job["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert_ray_knows(["start", *(f"--{name}" for name in group["rayStartParams"])])


def test_every_node_of_a_cluster_has_the_same_token(job: dict, tmp_path: Path) -> None:
    """Ray turns authentication on where a token lies in the home folder: nodes that disagree do not
    join."""
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    tokens = set()
    for _ in range(2):
        done = slurm(tmp_path, 'echo "$RAY_AUTH_MODE $RAY_AUTH_TOKEN"')
        mode, token = done.stdout.split()
        assert (mode, len(token)) == ("token", 64)
        tokens.add(token)
    assert len(tokens) == 2, "each job has its own"
    inside = CLUSTER.joinpath("apptainer.sh").read_text("utf-8").partition("variables=(")[2]
    handed = set(inside.partition(")")[0].split())
    exported = {
        name
        for line in (CLUSTER / "slurm.sh").read_text("utf-8").splitlines()
        if line.startswith("export ")
        for name in re.findall(r"(RAY_\w+)=", line)
    }
    assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= exported <= handed


def slurm(folder: Path, srun: str, *words: str) -> subprocess.CompletedProcess:
    """What `slurm.sh` does where `srun` is this line of shell; a pipe that it closes early is seen, as
    its nodes are many."""
    for name, body in (("scontrol", "seq -f node%g 100000"), ("srun", srun)):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return subprocess.run(
        ["bash", str(CLUSTER / "slurm.sh"), *words],
        env={
            "PATH": f"{folder}:/usr/bin:/bin",
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_ON_NODE": "48",
        },
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_plan_that_costs_money_and_names_no_ceiling_is_said_to_stop() -> None:
    for path in CLUSTER.iterdir():
        text = " ".join(path.read_text("utf-8").replace("#", " ").split())
        assert "`max_dollars`" in text, path.name
        assert "--yes" in text, path.name
        assert "exit 2 and says so" in text, path.name


def test_the_slurm_job_waits_for_slow_nodes_and_hands_its_cores_over(tmp_path: Path) -> None:
    done = slurm(
        tmp_path,
        'echo "$RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT $@"',
        "reproduce/paper.yaml",
        "--yes",
        "--allow-missing",
    )
    seconds, *words = done.stdout.split()
    assert int(seconds) >= 600
    assert "--cpus-per-task=48" in words
    assert words[words.index("--address") + 1] == "node1:6379"
    assert_ray_knows(words[words.index("ray") + 1 : words.index("--")])
    assert_ambiemo_knows(words[words.index("--") + 1 :])
    assert words[-2:] == ["--yes", "--allow-missing"], "the options after the plan are handed on"


def test_apptainer_hands_over_every_variable_of_the_rows(tmp_path: Path) -> None:
    named = {
        name for spec in MODELS.values() for name in (spec.key_env, spec.base_url_env) if name
    } | {"HF_TOKEN"}
    fake = tmp_path / "apptainer"
    fake.write_text("#!/bin/sh\nenv\n", encoding="utf-8")
    fake.chmod(0o755)
    done = subprocess.run(
        ["bash", str(CLUSTER / "apptainer.sh"), "exec", "ray"],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            **dict.fromkeys(named, "given"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    inside = {line.split("=")[0] for line in done.stdout.splitlines() if line.endswith("=given")}
    assert {f"APPTAINERENV_{name}" for name in named} <= inside


def test_apptainer_s_tmp_is_on_a_disk_and_gone_afterwards(tmp_path: Path) -> None:
    fake = tmp_path / "apptainer"
    fake.write_text('#!/bin/sh\necho "$@"\nexit 7\n', encoding="utf-8")
    fake.chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        ["bash", str(CLUSTER / "apptainer.sh"), "exec", "ray"],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "AMBIEMO_SCRATCH": str(scratch),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7
    assert re.search(rf"--workdir {scratch}/ambiemo\.\w+ --bind /dev/shm", done.stdout)
    assert list(scratch.iterdir()) == []


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


@pytest.mark.parametrize(
    "words", [[], ["build", "docker://host/ambiemo:latest"], ["run"], ["burn"]]
)
def test_apptainer_asked_wrongly_says_how_and_exits_2(words: list[str]) -> None:
    done = subprocess.run(
        ["bash", str(CLUSTER / "apptainer.sh"), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "apptainer.sh run" in done.stderr


def test_apptainer_hands_no_key_over_on_a_command_line(tmp_path: Path) -> None:
    fake = tmp_path / "apptainer"
    fake.write_text(
        '#!/bin/sh\necho "$@"; echo "inside $APPTAINERENV_OPENAI_API_KEY"\n', encoding="utf-8"
    )
    fake.chmod(0o755)
    done = subprocess.run(
        ["bash", str(CLUSTER / "apptainer.sh"), "run", "reproduce/quick.yaml", "--limit", "3"],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "OPENAI_API_KEY": "sk-secret",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    command, inside = done.stdout.splitlines()
    assert "sk-secret" not in command
    assert inside == "inside sk-secret"
    assert "--nv --containall" in command
    assert command.endswith(
        "ambiemo.sif ambiemo run reproduce/quick.yaml --out artifacts/quick --limit 3"
    )
