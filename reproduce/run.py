"""`make reproduce`: say everything that is missing, build the image, run the plan inside it, leave
the bundle in artifacts/.

    python reproduce/run.py [--runtime docker|podman|local] [--allow-missing] [--image TAG]
[--build-arg NAME=VALUE]... PLAN

The preflight takes seconds and comes first: `ambiemo plan` (models, keys, corpora, GPU) and the
container's own needs, all of them listed before anything is built. Exit 2 when something is
missing, otherwise the exit status of the step that failed, or of the run. Nothing is kept between
calls but the image and what the run itself keeps (answers beside the bundle), so a second call
resumes.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ambiemo.errors import AmbiemoError
from ambiemo.models.spec import FOLDER
from ambiemo.plan.schema import Plan, read

ROOT = Path(__file__).resolve().parent.parent
CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""Where the NVIDIA container toolkit describes GPUs to podman (and to docker since 28)."""


def main() -> int:
    """Preflight, image, run. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, metavar="PLAN")
    parser.add_argument("--runtime", choices=("docker", "podman", "local"), default="docker")
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument(
        "--yes", action="store_true", help="pay for models without a ceiling of dollars"
    )
    parser.add_argument("--image", default="ambiemo:reproduce")
    parser.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="another base, say"
    )
    asked = parser.parse_args()
    try:
        plan = read(asked.plan)
    except AmbiemoError as error:
        print(f"ambiemo: {error}", file=sys.stderr)
        return error.exit_code

    local = asked.runtime == "local"
    look = [
        sys.executable,
        "-m",
        "ambiemo",
        "plan",
        str(asked.plan),
        *([] if local else ["--in-image"]),
    ]
    ready = subprocess.run(look, check=False).returncode == 0
    lacking = [] if local else container_lacks(asked.runtime, gpus=wants_gpu(plan))
    for what, do in lacking:
        print(f"missing: {what}\n         {do}", file=sys.stderr)
    if lacking or not (ready or asked.allow_missing):
        print(_verdict(asked.runtime, lacking, ready), file=sys.stderr)
        return 2

    out = Path("artifacts") / plan.name
    more = [
        *(["--allow-missing"] if asked.allow_missing else []),
        *(["--yes"] if asked.yes else []),
    ]
    if local:
        return _step(
            [sys.executable, "-m", "ambiemo", "run", str(asked.plan), "--out", str(out), *more]
        )
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    build = [asked.runtime, "build", "--target", "reproduce"]
    for setting in [f"SOURCE_DATE_EPOCH={epoch}", *asked.build_arg]:
        build += ["--build-arg", setting]
    return _step([*build, "-t", asked.image, str(ROOT)]) or _step(
        [
            *container(asked.runtime, plan, asked.plan),
            asked.image,
            *("run", f"/plan/{asked.plan.name}", "--out", str(out), *more),
        ]
    )


def wants_gpu(plan: Plan) -> bool:
    """Whether any model of the plan asks for a GPU."""
    return any(entry.gpus > 0 for entry in plan.every_model)


def asks_own_server(plan: Plan) -> bool:
    """Whether a model of the plan is behind a server of the user's, which may run on this very
    machine.
    """
    return any(
        "base_url" in entry.options or (spec.is_remote and spec.base_url_env)
        for entry, spec in ((entry, entry.spec()) for entry in plan.every_model)
    )


def container_lacks(runtime: str, gpus: bool) -> list[tuple[str, str]]:
    """What is missing to run an image with `runtime`: (what, what to do) each."""
    instead = "or RUNTIME=podman, or RUNTIME=local to run without a container"
    if runtime == "podman":
        instead = "or RUNTIME=docker, or RUNTIME=local to run without a container"
    problems = []
    answer = ""
    if shutil.which(runtime) is None:
        problems.append(
            (f"container engine: no '{runtime}' on this machine", f"install it, {instead}")
        )
    else:
        answer, why = _ask([runtime, "info", "--format", "{{json .}}"])
        if why:
            problems.append(
                (f"container engine: '{runtime}' does not answer: {why}", f"start it, {instead}")
            )
    if gpus and shutil.which("nvidia-smi") is None:
        problems.append(
            (
                "GPU: no 'nvidia-smi', so no NVIDIA driver here",
                "run on a machine with an NVIDIA GPU",
            )
        )
    if gpus and not _sees_gpus(answer):
        problems.append(
            (
                f"GPU in containers: {runtime} knows no NVIDIA device",
                "install the NVIDIA container toolkit; `nvidia-ctk cdi generate` or `nvidia-ctk runtime configure`",
            )
        )
    return problems


def container(
    runtime: str, plan: Plan, plan_file: Path, environment: dict[str, str] | None = None
) -> list[str]:
    """The command that starts a container for a plan, up to the image's name.

    What the plan names is given and no more:
    - the folders of its corpora (read-only, at their own paths), the plan file, artifacts/ and the folder of model weights;
    - the keys and server addresses of its models, from their rows, by name: no value shows in a process list;
    - this machine's network, where a model is behind a server of the user's.
    """
    environment = dict(os.environ) if environment is None else environment
    artifacts, weights = (
        ROOT / "artifacts",
        Path(environment.get("HF_HOME", "~/.cache/huggingface")).expanduser(),
    )
    specs = [entry.spec() for entry in plan.every_model]
    roots = [entry.root for entry in plan.corpora]
    variables = {name for root in roots for name in re.findall(r"\$\{(\w+)\}", root)}
    variables |= {name for spec in specs for name in (spec.key_env, spec.base_url_env) if name} | {
        "HF_TOKEN"
    }
    folders = {
        _absolute(environment[name])
        for name in variables
        if name in environment and _is_in(name, roots)
    }
    folders |= {_absolute(root) for root in roots if root and "${" not in root}
    folders |= {_absolute(str(spec.path())) for spec in specs if spec.weights.startswith(FOLDER)}

    command = [runtime, "run", "--rm", "--ipc=host"]
    if asks_own_server(plan):
        command += [
            "--network=host"
        ]  # localhost of the container's own network is not this machine's
    if runtime == "podman":
        command += ["--security-opt=label=disable", *(["--userns=keep-id"] if os.getuid() else [])]
    command += ["--user", f"{os.getuid()}:{os.getgid()}"]
    if wants_gpu(plan):
        command += ["--device=nvidia.com/gpu=all"] if runtime == "podman" else ["--gpus=all"]
    for name in sorted(name for name in variables if name in environment):
        command += ["--env", name]
    for folder in sorted(folders):
        command += ["--volume", f"{folder}:{folder}:ro"]
    for ours in (artifacts, weights):
        ours.mkdir(parents=True, exist_ok=True)  # an engine would make it, owned by root
    command += [
        "--volume",
        f"{artifacts}:/home/ambiemo/artifacts",
        "--volume",
        f"{weights}:/home/ambiemo/models",
    ]
    return [*command, "--volume", f"{plan_file.resolve()}:/plan/{plan_file.name}:ro"]


def _is_in(name: str, roots: list[str]) -> bool:
    return any("${" + name + "}" in root for root in roots)


def _absolute(folder: str) -> str:
    return str(Path(folder).expanduser().resolve())


def _sees_gpus(info: str) -> bool:
    if any(list(Path(folder).glob("*nvidia*")) for folder in CDI_FOLDERS):
        return True
    try:
        return "nvidia" in json.loads(info).get("Runtimes", {})
    except (ValueError, AttributeError):
        return False


def _ask(command: list[str]) -> tuple[str, str]:
    """(answer, "") or ("", the first line of why not)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error).splitlines()[0]
    complaint = done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
    return (done.stdout, "") if done.returncode == 0 else ("", complaint.splitlines()[-1])


def _verdict(runtime: str, lacking: list[tuple[str, str]], ready: bool) -> str:
    parts = (
        []
        if ready
        else [
            "the plan lacks what is listed above (ALLOW_MISSING=1 leaves that out and says so in every table)"
        ]
    )
    if lacking:
        parts.append(
            f"{len(lacking)} thing{'s' * (len(lacking) > 1)} missing for RUNTIME={runtime}"
        )
    return f"make reproduce: not started: {'; '.join(parts)}"


def _step(command: list[str]) -> int:
    print("+", shlex.join(command), flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
