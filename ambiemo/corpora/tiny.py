"""The corpus that ships with the package: synthetic speech and simulated raters.

`ambiemo/tiny/README.md` says how it was made. With it the whole benchmark runs anywhere. It says
nothing about people or about the paper's corpora.
"""

import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ambiemo.corpora.assembling import Labelled, assemble
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.options import CommonOptions
from ambiemo.corpora.recognising import clip_names
from ambiemo.durable import sha256_file
from ambiemo.errors import BadInput
from ambiemo.labels import SIX
from ambiemo.limits import DOCUMENT, read_regular

NAME = "tiny"
LAYOUT = "nothing: it ships with the package"
CLIP = re.compile(r"tiny-[a-z]+-\d{5}")
MANIFEST = "utterances.jsonl"
PACKAGED = Path(__file__).parent.parent / "tiny" / "clips"
KEYS = {
    "utterance_id": str,
    "speaker": str,
    "sentence": str,
    "votes": list,
    "audio": str,
    "intended_label": str,
}


class Options(CommonOptions):
    """The tiny corpus has no options of its own."""

    label_set: Literal["six"] = "six"


def label_set(options: Options) -> tuple[str, ...]:
    """CREMA-D's answer sheet."""
    return SIX


def looks_like(root: Path) -> bool:
    """True for a folder made by `python -m ambiemo.tiny clips`."""
    return (root / MANIFEST).is_file() and any(
        CLIP.fullmatch(stem) for stem in clip_names(root, depth=1)
    )


def load(root: Path | None, options: Options) -> Imported:
    """The utterance table, with SIX labels.

    root: a folder made by `python -m ambiemo.tiny clips`; None for the packaged clips.
    Speakers are the clusters, because the eight clips of one synthetic voice are not independent.
    Raises BadInput naming file, line and key of a row that is not as `ambiemo.tiny.clips` writes
    it.
    """
    folder = PACKAGED if root is None else root
    path = folder / MANIFEST
    try:
        text = read_regular(path, DOCUMENT).decode("utf-8")
    except (OSError, ValueError) as error:  # TooMuch and UnicodeDecodeError are ValueErrors
        if path.is_file():
            raise BadInput(
                f"{path}: cannot be read: {error}; remake it: python -m ambiemo.tiny clips"
            ) from error
        raise BadInput(
            f"{path}: not found, expected the tiny corpus; remake it: "
            f"python -m ambiemo.tiny clips --out {folder}"
        ) from error
    rows = [_row(path, number, line) for number, line in enumerate(text.splitlines(), 1)]
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if row["utterance_id"] in seen:
            raise BadInput(
                f"{path}: line {number}: utterance_id: "
                f"found {row['utterance_id']} again (line {seen[row['utterance_id']]}); "
                "expected each once"
            )
        seen[row["utterance_id"]] = number
    if not rows:
        raise BadInput(
            f"{path}: found no line, expected one JSON object for each clip; remake it: "
            "python -m ambiemo.tiny clips"
        )
    table = build(
        {
            "utterance_id": [row["utterance_id"] for row in rows],
            "corpus": NAME,
            "split": "test",
            "speaker": [row["speaker"] for row in rows],
            "cluster": [row["speaker"] for row in rows],
            "audio_path": [str(Path(row["audio"]).with_suffix("").as_posix()) for row in rows],
            "transcript": [row["sentence"] for row in rows],
            "intended_label": [row["intended_label"] for row in rows],
        },
        SIX,
        np.array([row["votes"] for row in rows], dtype=np.int64),
    )
    return assemble(
        NAME,
        folder,
        options,
        Labelled(
            table=table,
            audio_folders=(".",),
            counts={"rows": len(rows)},
            sources=[(MANIFEST, sha256_file(path))],
            notes=[
                "synthetic speech (espeak-ng) and simulated raters: "
                "made to run the benchmark anywhere, evidence of nothing else"
            ],
        ),
    )


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{path}: line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInput(
            f"{where}: found no JSON ({error}), expected one object for each clip; "
            "remake the corpus"
        ) from None
    if not isinstance(row, dict):
        raise BadInput(
            f"{where}: found {type(row).__name__}, expected a JSON object; remake the corpus"
        )
    for key, kind in KEYS.items():
        if not isinstance(row.get(key), kind):
            raise BadInput(
                f"{where}: {key}: found {row.get(key)!r}, expected {kind.__name__}; "
                "remake the corpus"
            )
    votes = row["votes"]
    if (
        len(votes) != len(SIX)
        or not all(type(v) is int and v >= 0 for v in votes)
        or sum(votes) == 0
    ):
        raise BadInput(
            f"{where}: votes: found {votes!r}, expected {len(SIX)} counts, not all 0; "
            "remake the corpus"
        )
    return row
