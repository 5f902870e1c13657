"""What this machine lacks to run a model: looked for in seconds, with nothing heavy loaded."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Literal

from ambiemo import engines
from ambiemo.engines.chat import same_model
from ambiemo.engines.memory import SHARE, fits, free_host_gib, needed_gib
from ambiemo.models import ModelSpec

CPU_LIMIT_GIB = 4.0
"""A local model whose weights need more than this is asked to have a GPU: on a CPU it would take
weeks.
"""

LARGER = {
    "transformers": "use a larger GPU",
    "vllm": "use a larger GPU, or several: `gpus` and `options: {tensor_parallel_size: …}` of the model in the plan",
}

Where = Literal["here", "image", "cluster"]
"""Where a plan will run: on this machine, in the container image on it (which brings the engines'
modules), or on other machines.
"""


def lacks(
    spec: ModelSpec, engine: str, where: Where = "here", options: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    """What is missing to run a model through an engine with a plan's `options`: (what, what to do)
    each, in the order to fix them.
    """
    if engine == "null":
        return []
    options = options or {}
    row = engines.ENGINES[engine]
    problems = []
    if where == "here" and (module := engines.missing_module(engine)):
        problems.append(
            (
                f"engine {engine}: Python module '{module}' is not installed",
                f"pip install 'ambiemo[{row.extra}]'",
            )
        )
    if spec.revision is None:
        problems.append(
            (f"no weights: {spec.path()} is not there", "put the checkpoint there")
            if spec.path()
            else (
                f"no pinned revision: {spec.revision_note or 'nobody has pinned it yet'}",
                "`ambiemo models --resolve` prints the commit, on a machine with network; "
                "put it as `revision:` of the model in the plan",
            )
        )
    elif spec.path() and spec.pinned and spec.pinned != spec.revision:
        problems.append(
            (
                f"other weights: the files' hash is {spec.revision}, the plan's revision {spec.pinned}",
                "put those weights there, or remove the key `revision`",
            )
        )
    if row.local:
        problems += [
            (
                f"no pinned commit of a part: {part.weights} ({part.key})",
                "pin it as `parts` of the model's row in ambiemo/models/registry.py; the hub would decide otherwise",
            )
            for part in spec.parts
            if part.is_unpinned
        ]
    if (
        spec.gated
        and row.local
        and not spec.path()
        and not (os.environ.get("HF_TOKEN") or _cached(spec))
    ):
        problems.append(
            (f"gated weights: {spec.gated}", "accept the terms there, then set HF_TOKEN")
        )
    if row.local and where != "cluster" and needed_gib(spec) > CPU_LIMIT_GIB:
        gib, parts = (
            gpu_memory_gib(),
            options.get("tensor_parallel_size", 1) if engine == "vllm" else 1,
        )
        share = (
            options.get("gpu_memory_utilization", SHARE.get(engine, 1.0))
            if engine in SHARE
            else 1.0
        )
        needed = needed_gib(spec) / parts
        if gib is None:
            problems.append(
                (
                    f"no GPU: the weights ({spec.parameters}) need {needed_gib(spec):.3g} GiB of GPU memory",
                    "run on a machine with one",
                )
            )
        elif not fits(spec, gib, parts, share):
            each = f" on each of {parts} GPUs" if parts > 1 else ""
            part = f" (of which the engine takes {share:g})" if gib >= needed else ""
            problems.append(
                (
                    f"GPU too small: {gib:.0f} GiB{part}, the weights alone need {needed:.3g} GiB{each}",
                    LARGER[engine],
                )
            )
    elif row.local and where == "here":
        free = free_host_gib()
        if free is not None and not fits(spec, free):
            needed = needed_gib(spec)
            problems.append(
                (
                    f"too little memory: {free:.2f} GiB are free, the weights need {needed:.2f} GiB",
                    "free memory",
                )
            )
    if spec.key_env and not row.local and not os.environ.get(spec.key_env):
        problems.append(
            (f"no key: environment variable {spec.key_env} is not set", f"export {spec.key_env}=…")
        )
    address = options.get("base_url") or os.environ.get(spec.base_url_env or "") or spec.base_url
    if spec.base_url_env and not row.local and not address:
        problems.append(
            (
                f"no server: environment variable {spec.base_url_env} is not set",
                "set it to the address of the server that runs it, or say `options: {base_url: …}` of the model in the plan",
            )
        )
    return problems


def server_lacks(
    spec: ModelSpec, options: Mapping[str, Any] | None = None, timeout_s: float = 20.0
) -> list[tuple[str, str]]:
    """What a model's server says is missing: (what, what to do) each; nothing for a model that runs
    on this machine.

    Asks `GET BASE/models/NAME`, which sends no prompt and costs nothing, and `GET BASE/models`
    where the server does not know that address (vLLM). Nobody calls this unasked: the key leaves
    the machine. Never raises, and repeats no part of the key.
    """
    if not spec.is_remote:
        return []
    options = options or {}
    base = options.get("base_url") or os.environ.get(spec.base_url_env or "") or spec.base_url
    if not base:
        return [
            (
                f"no address of the server of {spec.id}",
                f"set {spec.base_url_env or 'options: {base_url: …}'}",
            )
        ]
    name = options.get("model_name") or spec.location()
    key = os.environ.get(spec.key_env, "").strip() if spec.key_env else "none"
    try:
        status, body = _ask(f"{base.rstrip('/')}/models/{name}", key, timeout_s)
        if status in (404, 405):
            listed_status, listed = _ask(f"{base.rstrip('/')}/models", key, timeout_s)
            there = [
                str(one.get("id")) for one in listed.get("data") or [] if isinstance(one, dict)
            ]
            if listed_status == 200 and any(same_model(one, name) for one in there):
                return []
    except (OSError, ValueError) as error:  # no connection, no answer in time, no JSON
        reason = getattr(error, "reason", None) or error
        return [
            (
                f"the server of {spec.id} at {base} does not answer: {reason}",
                "start it, or fix the address",
            )
        ]
    if status in (401, 403):
        return [
            (
                f"the server of {spec.id} refuses the key (HTTP {status})",
                f"put a valid one in {spec.key_env}",
            )
        ]
    if status in (404, 405):
        since = f"; {spec.availability}" if spec.availability else ""
        return [
            (
                f"the server of {spec.id} knows no model {name}{since}",
                "leave the model out, or take its successor",
            )
        ]
    if status != 200:
        return [
            (
                f"the server of {spec.id} answers HTTP {status} to GET /models/{name}",
                "try again later",
            )
        ]
    served = str(body.get("id") or name)
    if not same_model(served, name):
        return [
            (
                f"the server of {spec.id} has {served} under the name {name}",
                "leave the model out: it is another one",
            )
        ]
    return []


def _ask(address: str, key: str, timeout_s: float) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of a GET request. Raises OSError without an answer, ValueError where a
    200 is no JSON.
    """
    asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(asked, timeout=timeout_s) as answer:
            body = json.loads(answer.read())
            return answer.status, body if isinstance(body, dict) else {}
    except urllib.error.HTTPError as error:
        return error.code, {}


def gpu_memory_gib() -> float | None:
    """Free memory of the emptiest GPU here in GiB, asked of nvidia-smi; None where there is
    none.
    """
    if shutil.which("nvidia-smi") is None:
        return None
    asked = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(
            asked, capture_output=True, text=True, timeout=20, check=True
        ).stdout.split()
        return max(float(line) for line in lines) / 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _cached(spec: ModelSpec) -> bool:
    home = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
    return os.path.isdir(os.path.join(home, "hub", "models--" + spec.weights.replace("/", "--")))
