"""Is there room for a model's weights? Asked before anything is loaded, because a machine that runs
out kills the process without a word.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ambiemo.errors import BadInput

if TYPE_CHECKING:
    from ambiemo.models import ModelSpec

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def needed_gib(spec: "ModelSpec") -> float:
    """GiB that the weights take: what the specification says, and at least what a folder of weights
    holds.
    """
    folder = spec.path()
    files = folder.glob("*.safetensors") if folder else ()
    return max(spec.memory_gib, sum(file.stat().st_size for file in files) / GIB)


SHARE = {"vllm": 0.9}
"""The share of a GPU's free memory that an engine takes unless its options say otherwise; 1 where
it is not listed.
"""


def fits(spec: "ModelSpec", free_gib: float | None, parts: int = 1, share: float = 1.0) -> bool:
    """Whether the weights, split over `parts` GPUs, fit into `share` of the free memory of each.

    The one rule of the preflight and of the engines. free_gib None: nobody knows, so True.
    """
    return free_gib is None or needed_gib(spec) / parts <= free_gib * share


def enough_memory(
    spec: "ModelSpec",
    free_gib: float | None,
    of: str,
    parts: int = 1,
    advice: str = "",
    share: float = 1.0,
) -> None:
    """Raise BadInput, with the numbers, where the weights do not fit (`fits`)."""
    if free_gib is not None and not fits(spec, free_gib, parts, share):
        part = f" (the engine takes {share:g} of it)" if share < 1 else ""
        raise BadInput(
            f"model {spec.id}: needs about {needed_gib(spec) / parts:.2f} GiB of {of}, {free_gib:.2f} GiB are free{part}; "
            f"{advice or 'free memory, or use a larger machine'}"
        )


def free_host_gib() -> float | None:
    """GiB of main memory that this process may still take: the machine's, or what a container
    leaves. None where Linux does not tell.
    """
    try:
        lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            free = min(
                free, int(limit) - int((CGROUP / "memory.current").read_text()) + _reclaimable()
            )
    except (OSError, ValueError):
        pass
    return max(free, 0) / GIB


def _reclaimable() -> int:
    """Bytes of files that the container read and the kernel would drop."""
    lines = (CGROUP / "memory.stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)


def free_gpu_gib(device: int = 0) -> float:
    """GiB that are free on one GPU."""
    import torch

    return torch.cuda.mem_get_info(device)[0] / GIB
