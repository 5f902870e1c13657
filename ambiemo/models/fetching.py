"""The pinned weights on this machine before a run starts, so that no actor downloads 17 GB in
silence.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ambiemo.errors import BadInput, Broken
from ambiemo.models.spec import FOLDER, ModelSpec

NOT_LOADED = ("original/*", "*.bin", "*.h5", "*.msgpack", "*.pth", "*.gguf", "*.onnx", "*.ot")
"""Files of a repository that no engine reads: the same weights in other formats, up to twice the
size again.
"""


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
