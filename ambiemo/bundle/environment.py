"""What a run ran on, for `env/machine.json`: enough to explain a difference between two runs,
nothing that names a person or place.

No host name, user name, path, serial number or address is read. torch is not called: its version is
in its metadata.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import ambiemo
from ambiemo.durable import sha256, sha256_file

PACKAGE = "ambiemo"
IMAGE_DIGEST = "AMBIEMO_IMAGE_DIGEST"
"""Environment variable with the digest of the container image (`sha256:...`): an image cannot know
its own.
"""
SETTINGS = (  # environment variables that can change a number, or what a bundle's bytes are
    "VLLM_BATCH_INVARIANT",
    "VLLM_ATTENTION_BACKEND",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONHASHSEED",
    "SOURCE_DATE_EPOCH",
)
CPU_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "amx_bf16",
    "asimd",
    "sve",
)  # which kernels a library picks
GPU_COLUMNS = {
    "name": "name",
    "memory_mib": "memory.total",
    "driver": "driver_version",
    "compute_capability": "compute_cap",
}
PATIENCE_S = 20


def machine(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The machine and software of this process as JSON values; what is unknown is None or left out,
    never an error.
    """
    return {
        "python": {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "libc": " ".join(platform.libc_ver()).strip() or None,
            "os": operating_system(),
        },
        "cpu": cpu(),
        "memory_gib": memory_gib(),
        "gpus": gpus(),
        "cuda_of_driver": cuda_of_driver(),
        "settings": {name: environment[name] for name in SETTINGS if name in environment},
        "batch_invariant": environment.get("VLLM_BATCH_INVARIANT") == "1",
        "packages": packages(),
        "source": source(),
        "image": environment.get(IMAGE_DIGEST) or None,
    }


def operating_system() -> str | None:
    """Name and version of the distribution."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return platform.mac_ver()[0] or None


def cpu() -> dict[str, Any]:
    """Model, cores usable by this process and in all, and the instruction sets by which libraries
    choose their kernels.
    """
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    model = re.search(r"^(?:model name|Model|Processor)\s*: *(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: *(.+)$", text, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": model[1].strip() if model else platform.processor() or None,
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "instructions": [flag for flag in CPU_FLAGS if flag in has],
    }


def memory_gib() -> float | None:
    """Main memory in GiB, one decimal."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def gpus() -> list[dict[str, str]]:
    """Name, memory (MiB), driver and compute capability of every NVIDIA GPU; no serial number, no
    UUID.
    """
    query = f"--query-gpu={','.join(GPU_COLUMNS.values())}"
    rows = output_of("nvidia-smi", query, "--format=csv,noheader,nounits").splitlines()
    cells = [[cell.strip() for cell in row.split(",")] for row in rows]
    return [
        dict(zip(GPU_COLUMNS, row, strict=True)) for row in cells if len(row) == len(GPU_COLUMNS)
    ]


def cuda_of_driver() -> str | None:
    """The newest CUDA that the driver can run."""
    match = re.search(r"CUDA[A-Z ]* Version\s*: *([0-9.]+)", output_of("nvidia-smi"))
    return match[1] if match else None


def packages() -> dict[str, str]:
    """Version of every installed package that ambiemo asks for, directly or through another, with
    whatever extras.
    """
    versions: dict[str, str] = {}
    ahead = [PACKAGE]
    while ahead:
        name = ahead.pop()
        if name in versions:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        versions[name] = package.version
        ahead += [
            plain(named[0])
            for ask in package.requires or ()
            if (named := re.match(r"[A-Za-z0-9._-]+", ask))
        ]
    return dict(sorted(versions.items()))


def plain(name: str) -> str:
    """A package's name in its one normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def source() -> dict[str, Any]:
    """Which source ran: the package's version, a hash over its Python files, and in a git checkout
    the tree and whether it is clean.

    tree: SWHID of the committed source tree (`swh:1:dir:` and git's tree hash); None outside a
    checkout.
    """
    package = Path(ambiemo.__file__).resolve().parent
    files = sorted(package.rglob("*.py"))
    hashes = "".join(
        f"{sha256_file(file)}  {file.relative_to(package).as_posix()}\n" for file in files
    )
    fields: dict[str, Any] = {
        "version": ambiemo.__version__,
        "python_files_sha256": sha256(hashes.encode()),
    }
    root = package.parent
    here = output_of("git", "-C", str(root), "rev-parse", "--show-toplevel").strip()
    if (
        not here or Path(here).resolve() != root
    ):  # a virtual environment may lie in somebody else's checkout
        return fields | {"tree": None, "clean": None}
    tree = output_of("git", "-C", str(root), "rev-parse", "HEAD^{tree}").strip()
    changed = output_of("git", "-C", str(root), "status", "--porcelain")
    return fields | {"tree": f"swh:1:dir:{tree}" if tree else None, "clean": not changed}


def output_of(*command: str) -> str:
    """What a program prints; nothing if it is missing, fails or does not end in time."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
