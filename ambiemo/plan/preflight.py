"""What this machine lacks to run a model: looked for in seconds, with nothing heavy loaded."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, Literal

from ambiemo import engines
from ambiemo.engines.memory import free_host_gib, needed_gib
from ambiemo.models import ModelSpec

CPU_LIMIT_GIB = 4.0
"""A local model whose weights need more than this is asked to have a GPU: on a CPU it would take weeks."""

LARGER = {
    "transformers": "use a larger GPU",
    "vllm": "use a larger GPU, or several: `gpus` and `options: {tensor_parallel_size: …}` of the model in the plan",
}

Where = Literal["here", "image", "cluster"]
"""Where a plan will run: on this machine, in the container image on it (which brings the engines' modules), or on other machines."""


def lacks(
    spec: ModelSpec, engine: str, where: Where = "here", options: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    """What is missing to run a model through an engine with a plan's `options`: (what, what to do) each, in the order to mend them."""
    if engine == "null":
        return []
    options = options or {}
    row = engines.ENGINES[engine]
    found = []
    if where == "here" and (module := engines.missing_module(engine)):
        found.append(
            (f"engine {engine}: Python module '{module}' is not installed", f"pip install 'ambiemo[{row.extra}]'")
        )
    if spec.revision is None:
        found.append(
            (f"no weights: {spec.path()} is not there", "put the checkpoint there")
            if spec.path()
            else (
                f"no pinned revision: {spec.revision_note or 'nobody has pinned it yet'}",
                "`ambiemo models --resolve` prints the commit, on a machine with network; "
                "put it as `revision:` of the model in the plan",
            )
        )
    if spec.gated and row.local and not spec.path() and not (os.environ.get("HF_TOKEN") or _cached(spec)):
        found.append((f"gated weights: {spec.gated}", "accept the terms there, then set HF_TOKEN"))
    if row.local and where != "cluster" and spec.memory_gib > CPU_LIMIT_GIB:
        gib, parts = gpu_memory_gib(), options.get("tensor_parallel_size", 1) if engine == "vllm" else 1
        needed = spec.memory_gib / parts
        if gib is None:
            found.append(
                (
                    f"no GPU: the weights ({spec.parameters}) need {spec.memory_gib:g} GiB of GPU memory",
                    "run on a machine with one",
                )
            )
        elif gib < needed:
            each = f" on each of {parts} GPUs" if parts > 1 else ""
            found.append(
                (f"GPU too small: {gib:.0f} GiB, the weights alone need {needed:.3g} GiB{each}", LARGER[engine])
            )
    elif row.local and where == "here":
        free, needed = free_host_gib(), needed_gib(spec)
        if free is not None and free < needed:
            found.append(
                (f"too little memory: {free:.2f} GiB are free, the weights need {needed:.2f} GiB", "free memory")
            )
    if spec.key_env and not row.local and not os.environ.get(spec.key_env):
        found.append((f"no key: environment variable {spec.key_env} is not set", f"export {spec.key_env}=…"))
    address = options.get("base_url") or os.environ.get(spec.base_url_env or "") or spec.base_url
    if spec.base_url_env and not row.local and not address:
        found.append(
            (
                f"no server: environment variable {spec.base_url_env} is not set",
                "set it to the address of the server that runs it, or say `options: {base_url: …}` of the model in the plan",
            )
        )
    return found


def gpu_memory_gib() -> float | None:
    """Memory of the largest GPU here in GiB, asked of nvidia-smi; None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    asked = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        return max(float(line) for line in lines) / 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _cached(spec: ModelSpec) -> bool:
    home = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
    return os.path.isdir(os.path.join(home, "hub", "models--" + spec.weights.replace("/", "--")))
