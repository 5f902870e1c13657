"""The Makefile as a visitor meets it. What installs or runs for minutes is looked at with `make
-n`; the rest runs for real.
"""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ambiemo.plan.schema import read

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
REPRODUCE = runpy.run_path(str(ROOT / "reproduce" / "run.py"))
TARGETS = {
    "help",
    "quick",
    "test",
    "reproduce",
    "verify",
    "tables",
    "bench",
    "lint",
    "lock",
    "image",
}
"""What design.md promises."""

PLAN = """\
name: probe
models: [{id: qwen2-audio-7b, gpus: 1}, gpt-4o]
corpora: [{id: crema-d, root: "${AMBIEMO_PROBE}/crema_d"}]
strategies: [greedy]
"""


def make(*words: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
    }
    env = inherited | {"PATH": path or os.environ["PATH"]} | environment
    return subprocess.run(
        ["make", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    file = tmp_path / "probe.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return file


# --- help and targets ---


def test_make_alone_lists_every_target_with_a_line_about_it() -> None:
    done = make()
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", done.stdout, re.M))
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split())
    assert done.returncode == 0
    assert listed.keys() >= TARGETS
    assert listed.keys() == phony


def test_continuous_integration_runs_the_public_targets_and_nothing_else() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = [line for line in text.splitlines() if "make " in line and not line.startswith("#")]
    assert made == [
        f"make {target}" for target in ("lint", "docs", "test", "test-vllm", "test-outside")
    ]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_no_failure_is_swallowed() -> None:
    files = [
        ROOT / "Makefile",
        ROOT / "Dockerfile",
        ROOT / ".ci" / "run",
        *(ROOT / "reproduce" / "cluster").iterdir(),
    ]
    assert [file.name for file in files if "|| true" in file.read_text(encoding="utf-8")] == []


# --- which Python, and how often it installs ---


def test_a_python_that_exists_and_does_not_run_is_passed_over(tmp_path: Path) -> None:
    script(tmp_path / "python3.11", "exit 127")
    made = tmp_path / "venv" / "bin" / "python"
    script(
        tmp_path / "python3.14",
        f'[ "$1" = -c ] || {{ mkdir -p {made.parent}; echo "made by 3.14" > {made}; }}',
    )
    done = make(f"VENV={tmp_path}/venv", str(made), path=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert made.read_text(encoding="utf-8") == "made by 3.14\n"


@pytest.mark.parametrize("asked", ["", "PYTHON=old"])
def test_without_a_suitable_python_it_says_so_in_one_line(tmp_path: Path, asked: str) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "old"):
        script(tmp_path / name, "exit 1")
    done = make(
        f"VENV={tmp_path}/venv",
        "verify",
        *([asked] if asked else []),
        path=f"{tmp_path}:/usr/bin:/bin",
    )
    first = done.stderr.splitlines()[0]
    assert done.returncode == 2
    assert "Python 3.11 or newer" in first
    assert "PYTHON=" in first
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("target", "stamp"), [("verify", ".base"), ("quick", ".run"), ("test", ".dev")]
)
def test_what_is_installed_is_not_installed_again(tmp_path: Path, target: str, stamp: str) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    assert " install " in make("-n", target, f"VENV={venv}").stdout
    (venv / stamp).touch()
    assert " install " not in make("-n", target, f"VENV={venv}").stdout


def test_quick_runs_the_quick_plan_into_its_bundle(tmp_path: Path) -> None:
    assert (
        "ambiemo run reproduce/quick.yaml --out artifacts/quick"
        in make("-n", "quick", f"VENV={tmp_path}/v").stdout
    )


# --- make reproduce ---


def reproduce(
    plan_file: Path, *words: str, path: str = "/usr/bin:/bin"
) -> subprocess.CompletedProcess[str]:
    hidden = ("AMBIEMO_PROBE", "OPENAI_API_KEY", "HF_TOKEN")
    env = {name: value for name, value in os.environ.items() if name not in hidden} | {"PATH": path}
    command = [sys.executable, str(ROOT / "reproduce" / "run.py"), *words, str(plan_file)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_a_machine_with_nothing_hears_of_everything_that_is_missing_at_once(
    tmp_path: Path, plan_file: Path
) -> None:
    done = reproduce(plan_file, "--runtime", "docker", path=str(tmp_path))
    told = done.stdout + done.stderr
    assert done.returncode == 2
    for what in (
        "no 'docker'",
        "no 'nvidia-smi'",
        "no NVIDIA device",
        "AMBIEMO_PROBE",
        "OPENAI_API_KEY",
        "no GPU",
    ):
        assert what in told, what
    assert "RUNTIME=local" in told
    assert "module 'vllm'" not in told  # the image brings it
    assert "Traceback" not in told


def test_a_dead_container_engine_is_missing_too_and_its_own_words_are_given(
    tmp_path: Path, plan_file: Path
) -> None:
    script(tmp_path / "podman", "echo 'cannot reach the socket' >&2; exit 125")
    done = reproduce(plan_file, "--runtime", "podman", path=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    assert "'podman' does not answer: cannot reach the socket" in done.stderr


def test_allow_missing_does_not_excuse_a_missing_container_engine(
    tmp_path: Path, plan_file: Path
) -> None:
    done = reproduce(plan_file, "--runtime", "docker", "--allow-missing", path=str(tmp_path))
    assert done.returncode == 2
    assert "no 'docker'" in done.stderr


def test_an_unknown_key_in_the_plan_is_one_line_and_exit_2(plan_file: Path) -> None:
    plan_file.write_text(PLAN + "colour: red\n", encoding="utf-8")
    done = reproduce(plan_file, "--runtime", "local")
    assert done.returncode == 2
    assert re.fullmatch(r"ambiemo: .*colour.*\n", done.stderr)


def test_the_container_gets_what_the_plan_names_and_no_key_on_its_command_line(
    tmp_path: Path, plan_file: Path
) -> None:
    environment = {
        "AMBIEMO_PROBE": str(tmp_path),
        "OPENAI_API_KEY": "sk-secret",
        "AWS_KEY": "x",
        "HF_HOME": str(tmp_path),
    }
    command = REPRODUCE["container"]("docker", read(plan_file), plan_file, environment)
    assert "--gpus=all" in command
    assert f"{tmp_path}:{tmp_path}:ro" in command
    passed = [command[i + 1] for i, word in enumerate(command) if word == "--env"]
    assert passed == ["AMBIEMO_PROBE", "OPENAI_API_KEY"]
    assert not any("sk-secret" in word for word in command)
    assert f"{ROOT}/artifacts:/home/ambiemo/artifacts" in command


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("audio-flamingo-2", True),
        ("{id: gpt-4o, options: {base_url: 'http://localhost:8000/v1'}}", True),
        ("gpt-4o", False),
        ("tiny", False),
    ],
)
def test_a_server_on_this_machine_is_reached_from_the_container(
    entry: str, host: bool, tmp_path: Path, plan_file: Path
) -> None:
    plan_file.write_text(
        f"name: probe\nmodels: [{entry}]\ncorpora: [tiny]\nstrategies: [greedy]\n", encoding="utf-8"
    )
    environment = {
        "HF_HOME": str(tmp_path),
        "AUDIO_FLAMINGO_2_BASE_URL": "http://localhost:8000/v1",
    }
    command = REPRODUCE["container"]("docker", read(plan_file), plan_file, environment)
    assert ("--network=host" in command) is host
    assert ("AUDIO_FLAMINGO_2_BASE_URL" in command) is (entry == "audio-flamingo-2")


def test_a_plan_without_gpus_asks_for_none(tmp_path: Path, plan_file: Path) -> None:
    plan_file.write_text(
        "name: probe\nmodels: [tiny]\ncorpora: [tiny]\nstrategies: [greedy]\n", encoding="utf-8"
    )
    command = REPRODUCE["container"](
        "podman", read(plan_file), plan_file, {"HF_HOME": str(tmp_path)}
    )
    assert not {"--gpus=all", "--device=nvidia.com/gpu=all"} & set(command)


def test_building_failed_is_the_end_of_it(tmp_path: Path, plan_file: Path) -> None:
    plan_file.write_text(
        "name: probe\nmodels: [{id: tiny, engine: 'null'}]\ncorpora: [tiny]\nstrategies: [greedy]\n"
    )
    script(
        tmp_path / "docker",
        'case $1 in info) echo "{}" ;; build) echo "no space left" >&2; exit 17 ;; run) echo ran ;; esac',
    )
    done = reproduce(plan_file, "--runtime", "docker", path=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 17
    assert "ran" not in done.stdout.split()
