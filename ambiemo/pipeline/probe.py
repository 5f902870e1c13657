"""Before the first draw: what every node of the cluster has, compared with what the plan needs.

    needs_of(expanded)     what the plan needs of a node, as data
    look(wanted)           what this machine has; runs on every node, raises nothing
    faults(needs, facts)   what would fail, one line per node and fault; pure
    remarks(needs, facts)  what is worth saying and stops nobody; pure
    probed(...)            all of it on the running Ray (`pipeline.cluster` asks the nodes)

Variables are looked up by name. No value of a variable leaves a node.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ambiemo
from ambiemo import engines
from ambiemo.engines.memory import SHARE, needed_gib
from ambiemo.errors import BadInput
from ambiemo.models import ModelSpec
from ambiemo.pipeline.cluster import ON_THE_DRIVER_S_NODE, Node, ask_nodes
from ambiemo.plan.expand import Expanded
from ambiemo.plan.schema import ModelEntry

LEAST_TMP_GIB, LEAST_TMP_SHARE = 1.0, 0.05
"""Free disk where Ray keeps its logs and what spills. Ray refuses work on a disk that is 95 % full."""
LEAST_SHM_GIB = 0.25
"""Free shared memory. Docker gives a container 64 MB unless told otherwise; NCCL and vLLM then fail."""
THERE, MISSING = "there", "missing"
"""What a node says of a clip. Anything else is the reason why it is the wrong one."""


@dataclass(frozen=True)
class ModelNeeds:
    """What one model needs of a node that may hold one of its actors.

    on_driver    its actor runs on the driver's node only (a model behind a server)
    module       Python module of its engine
    variables    names of the environment variables that must be set
    repository   Hugging Face repository of its weights, "" where they are elsewhere
    is_gated     the repository needs HF_TOKEN unless its files are in the cache
    folder       folder of its weights, "" where they are a repository
    gpus         GPUs of an actor
    gpu_gib      free memory in GiB that each of them must have
    """

    model: str
    on_driver: bool
    module: str
    variables: tuple[str, ...] = ()
    repository: str = ""
    is_gated: bool = False
    folder: str = ""
    gpus: float = 0.0
    gpu_gib: float = 0.0


@dataclass(frozen=True)
class Needs:
    """What a plan needs of the nodes.

    versions     ambiemo (with a hash of its code), Ray and Python of the driver
    models       of each model that a run asks, unless its engine is `null`
    clips        one clip of each corpus: path and SHA-256
    store        a file that the driver just wrote into the answer store, "" for no store
    """

    versions: Mapping[str, str]
    models: tuple[ModelNeeds, ...] = ()
    clips: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    store: str = ""


@dataclass(frozen=True)
class Facts:
    """What one node has.

    node         its name for a person
    is_driver    whether the driver runs there
    cpus, gpus   what Ray counts there
    error        why it could not be looked at; the rest is then empty
    set          names of the needed variables that are set
    modules      those of the needed modules that are there
    weights      models whose weights are there: in the cache, or in their folder
    offline      HF_HUB_OFFLINE is set: nothing is downloaded
    clips        by corpus: THERE, MISSING, or what is wrong with the file
    store        "" if the answer store is the driver's and takes a file, else why not
    devices      free memory in GiB of every GPU that the NVIDIA driver shows
    tmp, shm     (GiB free, share free) of the disk for temporary files, and of /dev/shm
    """

    node: str
    is_driver: bool
    cpus: float = 0.0
    gpus: float = 0.0
    error: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    set: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    offline: bool = False
    clips: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    devices: tuple[float, ...] = ()
    tmp: tuple[float, float] = (0.0, 0.0)
    shm: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Fault:
    """Something that would fail on a node, and what to do about it."""

    node: str
    what: str
    do: str

    def __str__(self) -> str:
        return f"node {self.node}: {self.what}; {self.do}"


# --- what the plan needs ---


def needs_of(expanded: Expanded, models: Sequence[str], store: Path | None = None) -> Needs:
    """What a run of a plan needs of the nodes.

    models: ids of those that it asks (`pipeline.drawing.asked_models`). store: a file in the answer
    store, see `Needs.store`.
    """
    entries = [expanded.entry(model) for model in models]
    listening = [one for one in entries if not one.options.get("deaf")]
    return Needs(
        versions=versions(Path(ambiemo.__file__).resolve().parent),
        models=tuple(
            _model_needs(expanded.specs[entry.id], expanded.engine(entry.id), entry)
            for entry in entries
            if expanded.engine(entry.id) != "null"
        ),
        clips=dict(_one_clip_each(expanded)) if listening else {},
        store=str(store.resolve()) if store else "",
    )


def _model_needs(spec: ModelSpec, engine: str, entry: ModelEntry) -> ModelNeeds:
    row, options = engines.ENGINES[engine], entry.options
    if not row.local:
        address = options.get("base_url") or spec.base_url
        named = (spec.key_env, None if address else spec.base_url_env)
        return ModelNeeds(
            spec.id,
            engine in ON_THE_DRIVER_S_NODE,
            row.needs,
            variables=tuple(name for name in named if name),
        )
    folder = spec.path()
    parts = options.get("tensor_parallel_size", 1) if engine == "vllm" else 1
    share = (
        options.get("gpu_memory_utilization", SHARE.get(engine, 1.0)) if engine in SHARE else 1.0
    )
    return ModelNeeds(
        spec.id,
        on_driver=False,
        module=row.needs,
        repository=spec.weights if spec.is_repository else "",
        is_gated=bool(spec.gated),
        folder=str(folder) if folder else "",
        gpus=entry.gpus,
        gpu_gib=needed_gib(spec) / parts / share if entry.gpus else 0.0,
    )


def _one_clip_each(expanded: Expanded) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, corpus in expanded.corpora.items():
        for one in corpus.utterances:
            if one.audio_path and one.audio_sha256:
                yield name, (os.path.abspath(Path(corpus.root) / one.audio_path), one.audio_sha256)
                break


# --- what a node has: everything below may run where another ambiemo is installed, or none ---


def versions(package: Path) -> dict[str, str]:
    """Versions that must be the same on all nodes. package: the folder of `ambiemo`."""
    import hashlib
    import platform
    from importlib import metadata

    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        ray = metadata.version("ray")
    except metadata.PackageNotFoundError:
        ray = "none"
    named = [
        line.split('"')[1]
        for line in (package / "__init__.py").read_text("utf-8").splitlines()
        if line.startswith("__version__ =")
    ]
    return {
        "ambiemo": f"{named[0] if named else '?'} (code {digest.hexdigest()[:12]})",
        "ray": ray,
        "python": platform.python_version(),
    }


def look(wanted: dict[str, Any]) -> dict[str, Any]:
    """Facts about this machine, as `Facts` takes them, for `asdict(Needs)`. Raises nothing."""
    from importlib.util import find_spec

    try:
        package = find_spec("ambiemo")
        root = Path(package.origin).resolve().parent if package and package.origin else None
        cache = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser() / "hub"
        models = wanted["models"]
        return {
            "error": "" if root else f"Python at {sys.executable} finds no ambiemo",
            "versions": versions(root) if root else {},
            "set": tuple(
                name
                for name in {"HF_TOKEN", *(name for one in models for name in one["variables"])}
                if os.environ.get(name, "").strip()
            ),
            "modules": tuple(name for name in {one["module"] for one in models} if _has(name)),
            "weights": tuple(one["model"] for one in models if _weights_are_here(one, cache)),
            "offline": os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"),
            "clips": {name: _clip(*clip) for name, clip in wanted["clips"].items()},
            "store": _store(wanted["store"]) if wanted["store"] else "",
            "devices": _gpus(),
            "tmp": _free(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()),
            "shm": _free("/dev/shm"),
        }
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _has(module: str) -> bool:
    from importlib.util import find_spec

    spec = find_spec(module)
    return bool(spec and spec.origin)


def _weights_are_here(one: dict[str, Any], cache: Path) -> bool:
    if one["folder"]:
        return Path(one["folder"]).is_dir()
    return (cache / ("models--" + one["repository"].replace("/", "--")) / "snapshots").is_dir()


def _clip(path: str, sha256: str) -> str:
    import hashlib

    try:
        content = Path(path).read_bytes()
    except OSError:
        return "missing"
    digest = hashlib.sha256(content).hexdigest()
    return "there" if digest == sha256 else f"{path} has SHA-256 {digest[:12]}…, not {sha256[:12]}…"


def _store(token: str) -> str:
    if not os.path.exists(token):
        return "does not see the driver's files there"
    try:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(token)):
            return ""
    except OSError as error:
        return f"cannot write there: {error.strerror or error}"


def _gpus() -> tuple[float, ...]:
    import subprocess

    asked = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(
            asked, capture_output=True, text=True, timeout=20, check=True
        ).stdout
        return tuple(float(line) / 1024 for line in output.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def _free(folder: str) -> tuple[float, float]:
    try:
        room = os.statvfs(folder)
    except OSError:
        return (0.0, 0.0)
    return (room.f_bavail * room.f_frsize / 2**30, room.f_bavail / max(room.f_blocks, 1))


# --- the judge ---


def faults(needs: Needs, nodes: Sequence[Facts]) -> list[Fault]:
    """What would fail, node by node in the order given, one line each."""
    all_faults = []
    for node in nodes:
        if node.error:
            all_faults.append(
                Fault(node.node, node.error, "fix the node, or take it out of the cluster")
            )
            continue
        for check in CHECKS:
            all_faults += [Fault(node.node, what, do) for what, do in check(needs, node)]
    return all_faults


def remarks(needs: Needs, nodes: Sequence[Facts]) -> list[str]:
    """What a person should know, and what stops nobody."""
    lines = []
    for node in nodes:
        lacking = sorted(name for name, state in node.clips.items() if state == MISSING)
        if lacking and not node.is_driver and not node.error and _works(node):
            lines.append(
                f"node {node.node}: has no clips of {', '.join(lacking)}; the driver's node sends them"
            )
        loads = [one.model for one in _held(needs, node) if one.repository]
        absent = [model for model in loads if model not in node.weights]
        if absent and not node.error and not node.offline:
            lines.append(
                f"node {node.node}: has no weights of {', '.join(absent)}; each of its actors downloads them first"
            )
    return lines


def _works(node: Facts) -> bool:
    return node.cpus > 0 or node.gpus > 0


def _held(needs: Needs, node: Facts) -> list[ModelNeeds]:
    """The models that may have an actor on this node."""
    return [
        one
        for one in needs.models
        if (node.is_driver if one.on_driver else _works(node) and node.gpus >= one.gpus)
    ]


Problems = Iterator[tuple[str, str]]


def _versions(needs: Needs, node: Facts) -> Problems:
    for name, ours in needs.versions.items():
        theirs = node.versions.get(name, "none")
        if theirs != ours:
            yield (
                f"{name} {theirs}, the driver has {ours}",
                "install the same on every node and start its Ray again",
            )


def _modules(needs: Needs, node: Facts) -> Problems:
    for module in sorted({one.module for one in _held(needs, node)} - set(node.modules)):
        whose = ", ".join(one.model for one in _held(needs, node) if one.module == module)
        yield (
            f"no Python module '{module}', which runs {whose}",
            "install the engine's extra there (pip install 'ambiemo[…]', see `ambiemo plan`)",
        )


def _variables(needs: Needs, node: Facts) -> Problems:
    for one in _held(needs, node):
        lacking = [name for name in one.variables if name not in node.set]
        if one.is_gated and one.model not in node.weights and "HF_TOKEN" not in node.set:
            lacking.append("HF_TOKEN")
        for name in lacking:
            yield (
                f"environment variable {name} is not set there, {one.model} needs it",
                "set it before `ray start` on that node, whose processes inherit it",
            )


def _weights(needs: Needs, node: Facts) -> Problems:
    for one in _held(needs, node):
        if one.model in node.weights:
            continue
        if one.folder:
            yield (f"no weights of {one.model} in {one.folder}", "put the checkpoint there")
        elif one.repository and node.offline:
            yield (
                f"no weights of {one.model} in its cache, and HF_HUB_OFFLINE is set",
                "run `ambiemo models --fetch PLAN` there, or name a shared cache as HF_HOME",
            )


def _clips(needs: Needs, node: Facts) -> Problems:
    if not _works(node) and not node.is_driver:
        return
    for name, state in sorted(node.clips.items()):
        if state == MISSING and node.is_driver:
            yield (
                f"Ray's processes read no clip of {name} ({needs.clips[name][0]})",
                "give them the folder that the driver sees",
            )
        elif state not in (THERE, MISSING):
            yield (
                f"another file of corpus {name}: {state}",
                "give every node the same release of the corpus, or none: the driver's node then sends it",
            )


def _answer_store(needs: Needs, node: Facts) -> Problems:
    if node.is_driver and node.store:
        yield (
            f"Ray's processes and the answer store {os.path.dirname(needs.store)}: {node.store}",
            "give them the folder that the driver writes, or name another with --store",
        )


def _gpu(needs: Needs, node: Facts) -> Problems:
    wanted = [one for one in _held(needs, node) if one.gpus]
    if not wanted:
        return
    if len(node.devices) < node.gpus:
        yield (
            f"Ray counts {node.gpus:g} GPUs, the NVIDIA driver shows {len(node.devices)}",
            "fix the driver (nvidia-smi), or tell `ray start` the number with --num-gpus",
        )
        return
    least = min(node.devices)
    for one in wanted:
        if one.gpu_gib > least:
            yield (
                f"a GPU has {least:.1f} GiB free, {one.model} needs {one.gpu_gib:.1f} GiB of it",
                "end what else uses the GPU, or take nodes with larger ones",
            )


def _disk(needs: Needs, node: Facts) -> Problems:
    free, share = node.tmp
    if free < LEAST_TMP_GIB or share < LEAST_TMP_SHARE:
        yield (
            f"the disk of Ray's temporary files has {free:.1f} GiB free ({share:.0%}), "
            f"expected {LEAST_TMP_GIB:g} GiB and {LEAST_TMP_SHARE:.0%}",
            "make room, or name another with RAY_TMPDIR",
        )
    if node.shm[0] < LEAST_SHM_GIB and any(one.gpus for one in _held(needs, node)):
        yield (
            f"/dev/shm has {node.shm[0]:.2f} GiB free, expected {LEAST_SHM_GIB:g} GiB",
            "give the container --ipc=host or --shm-size",
        )


CHECKS: tuple[Callable[[Needs, Facts], Problems], ...] = (
    _versions,
    _modules,
    _variables,
    _weights,
    _clips,
    _answer_store,
    _gpu,
    _disk,
)


# --- the edge: on the running Ray ---


def probed(needs: Needs) -> list[Facts]:
    """What every node of the running Ray has, the driver's first. A node that does not answer says
    so in `error`.
    """
    wanted = asdict(needs)
    return [_facts(node, answer) for node, answer in ask_nodes(sys.modules[__name__], look, wanted)]


def _facts(node: Node, fields: dict[str, Any]) -> Facts:
    return Facts(node.name, node.is_driver, node.cpus, node.gpus, **fields)


def checked(needs: Needs) -> list[str]:
    """Remarks about the nodes. Raises BadInput, one line per node and fault, where the plan would
    fail on one of them.
    """
    nodes = probed(needs)
    if problems := faults(needs, nodes):
        raise BadInput("\n".join(map(str, problems)))
    return remarks(needs, nodes)
