"""`ambiemo init`: a plan for a model or clips of the user's own, with a comment at every key.

`Start` says what is wanted; `text` makes the plan of it; `write` puts it on the disk.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ambiemo import corpora, durable, models
from ambiemo.errors import BadInput, shown
from ambiemo.limits import NAME
from ambiemo.plan.schema import check

TINY = "tiny"
FIRST = 20
"""Clips of a first run: minutes, not days."""
OWN_MODEL = "mine"
SERVER_STRATEGIES = (
    ("greedy", "the single answer: every comparison is with it"),
    ("cot", "the model describes what it hears, then answers"),
    ("majority_vote", "8 samples vote with their largest label"),
    ("self_consistency", "the same, each sample reasons first"),
    (
        "{name: linear_pool_sampled, base: linear_pool, decoding: sample, count: 8}",
        "the plain mean of the same 8 samples: what averaging alone gives, at no further cost",
    ),
    (
        "{name: alm_v_sampled, base: alm_v, decoding: sample, count: 3}",
        "of 3 samples the one that the verifier scores highest (a server has no beams)",
    ),
)
LOCAL_STRATEGIES = (
    ("greedy", "the single answer: every comparison is with it"),
    ("cot", "the model describes what it hears, then answers"),
    ("bon", "best of N: the likeliest of 5 beams"),
    ("w_bon", "the 5 beams, weighted by likelihood"),
    ("linear_pool", "the plain mean of the beams: what averaging alone gives, at no further cost"),
    ("alm_v", "of 3 beams the one that the verifier scores highest"),
    ("majority_vote", "8 samples vote with their largest label"),
    ("self_consistency", "the same, each sample reasons first"),
)


@dataclass(frozen=True)
class Start:
    """What a plan is wanted for.

    server   address of an OpenAI-compatible server, "" for none
    model    the name by which the server knows its model; without a server an id of the package
    weights  a checkpoint of the user's own: a folder, or owner/name; "" for none
    revision the commit of a repository in `weights`
    corpus   a name of the registry
    root     the corpus' folder, "" for none
    file     the CSV's name in the folder, for `own`
    labels   its labels, for `own`
    limit    how many clips to try, None for all
    """

    server: str = ""
    model: str = ""
    weights: str = ""
    revision: str = ""
    corpus: str = TINY
    root: str = ""
    file: str = ""
    labels: tuple[str, ...] = ()
    limit: int | None = FIRST


Ask = Callable[[str, str], str]
"""Asks a person a question with a default answer."""


def start(
    server: str = "",
    model: str = "",
    weights: str = "",
    revision: str = "",
    corpus: str = "",
    root: str = "",
    clips: Path | None = None,
    limit: int | None = None,
) -> Start:
    """What the options of the command line say. Raises BadInput for options that exclude each
    other, an unknown corpus or model, and a CSV that cannot be read.
    """
    if server and weights:
        raise BadInput("--server and --weights: found both, expected one: a server or a checkpoint")
    if clips is not None and (corpus not in ("", "own") or root):
        raise BadInput("--csv: found --corpus or --root too, expected --csv alone: it names both")
    if corpus == "own" and clips is None:
        raise BadInput("--corpus own: found no --csv, expected the CSV of your clips")
    known = corpora.corpus("own" if clips is not None else corpus or TINY).name
    if not server and not weights and model:
        models.model(model)
    return Start(
        server=server,
        model=model,
        weights=weights,
        revision=revision,
        corpus=known,
        root=root if clips is None else str(clips.parent),
        file="" if clips is None else clips.name,
        labels=() if clips is None else _labels(clips),
        limit=limit or FIRST,
    )


def from_answers(ask: Ask) -> Start:
    """What a person answers. Raises as `start` does."""
    server = ask("Address of your model's server, such as http://127.0.0.1:8000/v1 (none)", "")
    model = ask("The server's name for the model", "my-model") if server else ""
    weights = "" if server else ask("Folder or owner/name of your checkpoint (none)", "")
    if not server and not weights:
        model = ask(f"A model of the package ({', '.join(models.MODELS)})", TINY)
    csv = ask("CSV of your own clips (none)", "")
    named = "" if csv else ask(f"A corpus ({', '.join(corpora.CORPORA)})", TINY)
    root = ask("Its folder", f"${{AMBIEMO_DATA}}/{named}") if named not in ("", TINY, "own") else ""
    many = ask("How many clips to begin with", str(FIRST))
    if not many.isascii() or not many.isdigit() or not int(many):
        raise BadInput(f"clips: found {shown(many)!r}, expected a whole number above 0")
    return start(
        server=server,
        model=model,
        weights=weights,
        corpus=named,
        root=root,
        clips=Path(csv).expanduser() if csv else None,
        limit=int(many),
    )


def _labels(path: Path) -> tuple[str, ...]:
    from ambiemo.corpora.own import labels_of

    return labels_of(path)


def write(path: Path, start: Start, force: bool = False) -> None:
    """Write the plan. Raises BadInput where the file is there (unless `force`), or where the plan
    would not be one: the message names the key.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise BadInput(f"{path}: expected a name that ends in .yaml")
    if path.is_dir():
        raise BadInput(f"{path}: is a folder; expected the name of the plan's file")
    if path.exists() and not force:
        raise BadInput(f"{path}: is there already; name another file, or replace it with --force")
    if start.server and not re.fullmatch(r"https?://[!-~]+", start.server):
        raise BadInput(
            f"--server: found {shown(start.server)!r}, expected an address such as http://127.0.0.1:8000/v1"
        )
    plan = text(start, path)
    check(_parsed(plan), str(path))
    durable.write(path, plan.encode("utf-8"))


def _parsed(plan: str) -> object:
    from ambiemo.limits import parse_yaml

    return parse_yaml(plan)


def text(start: Start, path: Path) -> str:
    """The plan as YAML with comments. Its name is that of the file."""
    file = path.name if path.name.isprintable() else "PLAN"
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:NAME] or "my-plan"
    server = bool(start.server)
    return "\n".join(
        [
            "# A plan: which model answers about which clips, by which strategies. Every key that is not",
            "# here has a default; docs/reference/plan.md lists them all.",
            f"# Next:  ambiemo plan {file}   what it would do, what it costs, what is missing",
            f"#        ambiemo run {file}    do it; the same command goes on after a stop",
            "",
            f"name: {json.dumps(name)} # the bundle is written to artifacts/{name}",
            f'title: "{name}: a first run"',
            "seed: 1 # of every random choice: the same seed gives the same samples where the model allows",
            "",
            "models:",
            *_model(start),
            "",
            "corpora:",
            *_corpus(start),
            "",
            "# Each strategy makes one prediction per clip. Answers are shared: a strategy that needs what another",
            "# has asked costs nothing. `ambiemo strategies` lists all of them.",
            "strategies:",
            *(f"  - {entry} # {why}" for entry, why in _strategies(server)),
            "",
            "# Was the clip heard at all? The same question with another speaker's clip, and with silence.",
            "controls:",
            "  - {name: shuffled_audio, strategies: [greedy]}",
            "  - {name: silence, strategies: [greedy]}",
            "",
            "verifier: self # who scores the candidates of alm_v: the model itself, or the id of another model",
            "sampling: {temperature: 1.0, top_p: 1.0} # of every sampled answer",
            "max_tokens: {direct: 128, cot: 384, verifier: 32} # the longest answer, by kind of question",
            "group_size: 16 # answers are stored in groups of so many: what a stop can lose",
            "",
        ]
    )


def _strategies(server: bool) -> tuple[tuple[str, str], ...]:
    return SERVER_STRATEGIES if server else LOCAL_STRATEGIES


def _model(start: Start) -> list[str]:
    if start.server:
        return [
            f"  - id: {OWN_MODEL} # your name for it in every table; not a name of one of the paper's models",
            f"    served_model: {json.dumps(start.model or 'my-model')} # the server's name for it: GET {start.server}/models lists them",
            f"    base_url: {json.dumps(start.server)} # an OpenAI-compatible server that takes audio (input_audio, WAV)",
            "    # key_env: MY_KEY # name of the environment variable that holds the key, if it wants one",
            "    # price: {text_in: 2.5, audio_in: 40, out: 10, audio_tokens_per_second: 25, date: 2026-01-31, where: your bill}",
            "    options:",
            "      concurrency: 4 # requests at once",
            "      # max_dollars: 5 # stop before it costs more, over all runs; needs `price`",
        ]
    if start.weights:
        pin = (
            [f"    revision: {json.dumps(start.revision)} # the commit: a branch could change"]
            if start.revision
            else ["    # revision: … # for a repository: its commit, 40 hex digits"]
        )
        return [
            f"  - id: {OWN_MODEL} # your name for it in every table; not a name of one of the paper's models",
            f"    weights: {json.dumps(start.weights)} # a folder, or owner/name on huggingface.co",
            *pin,
            "    engine: transformers # or vllm",
            "    gpus: 1 # for each actor; 0 computes on the CPU",
            "    actors: 1 # copies of the model; `auto` takes as many as fit",
        ]
    return [
        f"  - id: {start.model or TINY} # `ambiemo models` lists the ids and what each needs",
        "    actors: 1 # copies of the model side by side; no answer depends on it",
    ]


def _corpus(start: Start) -> list[str]:
    entry = [f"  - id: {start.corpus} # `ambiemo corpora` lists them"]
    if start.corpus != TINY:
        root = start.root or f"${{AMBIEMO_DATA}}/{start.corpus}"
        entry.append(
            f"    root: {json.dumps(root)} # its folder; ${{NAME}} is an environment variable"
        )
    if start.corpus == "own":
        labels = ", ".join(json.dumps(label, ensure_ascii=False) for label in start.labels)
        entry += [
            "    options:",
            f"      file: {json.dumps(start.file, ensure_ascii=False)} # utterance_id, audio, speaker, counts per label",
            f"      labels: [{labels}] # in the order in which the question names them",
        ]
    if start.limit is not None:
        if start.corpus not in (TINY, "own"):
            entry.append(
                f"    nominal: {start.limit} # clips that the dry run reckons with while the folder is not here"
            )
        entry.append(
            f"    limit: {start.limit} # clips to begin with, the same on every machine; remove the line for all"
        )
    return entry
