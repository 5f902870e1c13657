"""The pinned weights on this machine before a run starts, so that no actor downloads 17 GB in
silence.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ambiemo.errors import BadInput, Broken
from ambiemo.models.spec import FOLDER, ModelSpec

NOT_LOADED = ("original/*", "*.bin", "*.h5", "*.msgpack", "*.pth", "*.gguf", "*.onnx", "*.ot")
"""Files of a repository that no engine reads: the same weights in other formats, up to twice the
size again.
"""


LONGEST_HEAD = 100_000_000
"""Bytes of the head of a safetensors file, by its own documentation."""


@dataclass(frozen=True)
class Fetched:
    """One repository that is here now: who needs it, its name, its commit, its folder, and the
    bytes of its weights.
    """

    model: str
    weights: str
    revision: str
    folder: Path
    weight_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.model}: {self.weights}@{self.revision[:12]}: {self.weight_bytes / 1e9:.2f} GB"
        )


def fetch(specs: Iterable[ModelSpec], say: Callable[[str], None] | None = None) -> list[Fetched]:
    """Download the pinned weights of some models, their parts included; what is here already is not
    asked for again.

    say: called with one line per repository, as each is done. Models behind a server, or in a
    folder, need nothing. Raises BadInput, before anything is downloaded, where a commit is not
    pinned, and Broken where a download fails: what came is kept, and the next call goes on there.
    """
    wanted = [(spec, *one) for spec in specs for one in repositories(spec)]
    for spec, weights, pinned in wanted:
        if pinned is None:
            raise BadInput(
                f"model {spec.id}: {weights} has no pinned commit; `ambiemo models --resolve` prints it, "
                "put it as `revision:` of the model in the plan"
            )
    done = []
    for spec, weights, pinned in wanted:
        folder = snapshot(weights, pinned or "", spec.gated)
        size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        if not size:
            raise Broken(
                f"model {spec.id}: {weights}@{pinned} has no *.safetensors; pin a commit that has them"
            )
        done.append(Fetched(spec.id, weights, pinned or "", folder, size))
        if say:
            say(str(done[-1]))
    return done


def repositories(spec: ModelSpec) -> list[tuple[str, str | None]]:
    """The repositories whose files a model loads on this machine: (name, pinned commit or None)."""
    own = [(spec.weights, spec.revision)] if spec.is_repository and not spec.is_remote else []
    return own + [
        (part.weights, part.pinned) for part in spec.parts if not part.weights.startswith(FOLDER)
    ]


def unreadable(spec: ModelSpec, timeout_s: float = 20.0) -> list[tuple[str, str]]:
    """What of a model's weights cannot be read: (what, what to do) each, its parts included.

    A folder's files are checked (configuration, and the head of each file of weights). A
    repository is in the cache, or huggingface.co is asked for its commit; nothing is downloaded.
    """
    problems = []
    folder = spec.path()
    if folder and not spec.is_remote:
        problems += [
            (f"weights of {spec.id}: {why}", "copy the checkpoint again") for why in broken(folder)
        ]
    for weights, pinned in repositories(spec):
        if pinned is None:
            problems.append(
                (
                    f"{weights} has no pinned commit",
                    "`ambiemo models --resolve` prints it; put it as `revision:` of the model in the plan",
                )
            )
        elif why := _not_there(weights, pinned, timeout_s):
            gate = f"; {spec.gated}" if spec.gated else ""
            problems.append(
                (
                    f"{weights}@{pinned[:12]} cannot be read: {why}",
                    f"set HF_TOKEN if it is gated, or HF_HOME to the folder that has it{gate}",
                )
            )
    for part in spec.parts:
        if part.weights.startswith(FOLDER):
            place = Path(part.weights.removeprefix(FOLDER)).expanduser()
            problems += [
                (f"{part.key} of {spec.id}: {why}", "copy the checkpoint again")
                for why in broken(place)
            ]
    return problems


def broken(folder: Path) -> list[str]:
    """What is wrong with a checkpoint's files: no configuration, no weights, a file that was cut
    short.
    """
    try:
        json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not JSON"
        return [f"{folder / 'config.json'}: {why}"]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return [f"{folder}: has no *.safetensors"]
    return [f"{file}: {why}" for file in files if (why := cut_short(file))]


def cut_short(file: Path) -> str:
    """Why a file of weights cannot be whole, by its head; "" where it may be.

    The head (8 bytes of length, then JSON) says where the last tensor ends:
    github.com/huggingface/safetensors, README, "Format".
    """
    try:
        size = file.stat().st_size
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > min(size, LONGEST_HEAD):
                return f"is not a safetensors file (found a head of {length:,} bytes in {size:,})"
            head = json.loads(opened.read(length))
        ends = [one["data_offsets"][1] for name, one in head.items() if name != "__metadata__"]
    except OSError as error:
        return error.strerror or str(error)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return "is not a safetensors file (its head is not JSON)"
    whole = 8 + length + max(ends, default=0)
    return "" if size == whole else f"has {size:,} bytes, its head says {whole:,}: cut short?"


def _not_there(weights: str, revision: str, timeout_s: float) -> str:
    try:
        from huggingface_hub import HfApi, try_to_load_from_cache
    except ImportError:
        return "huggingface_hub is not installed; pip install 'ambiemo[transformers]'"
    if isinstance(try_to_load_from_cache(weights, "config.json", revision=revision), str):
        return ""
    try:
        HfApi().model_info(weights, revision=revision, timeout=timeout_s)
    except Exception as error:  # the library raises its own, requests' and httpx's errors
        return (str(error).splitlines() or [""])[0] or type(error).__name__
    return ""


def snapshot(weights: str, revision: str, gated: str = "") -> Path:
    """Folder of one repository at one commit, downloaded where it is not here. Raises Broken, with
    what to do.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise Broken(
            "huggingface_hub is not installed; pip install 'ambiemo[transformers]'"
        ) from None
    try:
        return Path(snapshot_download(weights, revision=revision, ignore_patterns=list(NOT_LOADED)))
    except Exception as error:  # the library raises its own, requests' and httpx's errors
        why = (str(error).splitlines() or [""])[0] or type(error).__name__
        gate = f"; {gated}" if gated else ""
        raise Broken(f"{weights}@{revision}: cannot be fetched: {why}{gate}") from error


def part_folder(weights: str, pinned: str | None, gated: str = "") -> Path:
    """Local folder of a part of a checkpoint (`ModelSpec.parts`).

    Raises BadInput where it is not pinned, and Broken as `snapshot` does.
    """
    if weights.startswith(FOLDER):
        return Path(weights.removeprefix(FOLDER)).expanduser()
    if pinned is None:
        raise BadInput(
            f"{weights}: no pinned commit; the hub would decide which weights are loaded"
        )
    return snapshot(weights, pinned, gated)
