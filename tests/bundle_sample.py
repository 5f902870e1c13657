"""A small bundle with files of every class, and a recomputation that is real for it: means of
numbers in answers.
"""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

from ambiemo.bundle import bag

FILE_CLASSES = {
    "bag declaration": "bagit.txt",
    "bag info": "bag-info.txt",
    "manifest": bag.MANIFEST,
    "tag manifest": bag.TAG_MANIFEST,
    "README": "data/README.md",
    "second verifier": "data/verify.py",
    "claims": "data/claims.json",
    "plan": "data/config/plan.json",
    "prompt": "data/config/prompts/direct.txt",
    "environment": "data/env/machine.json",
    "inputs": "data/inputs/utterances.jsonl",
    "answers": "data/answers/tiny/tiny.jsonl.gz",
    "scores": "data/scores/tiny/tiny.jsonl.gz",
    "predictions": "data/predictions/tiny/tiny.jsonl.gz",
    "table": "data/tables/results.csv",
    "figure": "data/figures/gain.svg",
    "provenance": "data/provenance/statement.json",
    "log": "data/log/failures.csv",
}


def packed(rows: list[dict]) -> bytes:
    """Rows as gzipped JSON Lines."""
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)


def unpacked(data: bytes) -> list[dict]:
    """The rows of gzipped JSON Lines."""
    return [json.loads(line) for line in gzip.decompress(data).splitlines()]


def recompute(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Predictions (the mean of an utterance's answers) and tables of them, made from the answers
    alone.
    """
    means: dict[str, list[float]] = {}
    for row in unpacked(files["answers/tiny/tiny.jsonl.gz"]):
        means.setdefault(row["utterance"], []).append(row["value"])
    predictions = [
        {"utterance": name, "value": sum(all_) / len(all_)} for name, all_ in sorted(means.items())
    ]
    lines = [
        f"{row['utterance']},{row['value']:.6f},{len(means[row['utterance']])}\n"
        for row in predictions
    ]
    return {
        "predictions/tiny/tiny.jsonl.gz": packed(predictions),
        "tables/results.csv": ("utterance,js_divergence_bits,n\n" + "".join(lines)).encode(),
        "tables/results.md": ("# Results\n\n" + "".join(f"- {line}" for line in lines)).encode(),
    }


def contents() -> dict[str, bytes]:
    """What lies below data/ of the sample."""
    answers = [{"utterance": f"u{n % 4}", "value": n / 7, "text": f"answer {n}"} for n in range(12)]
    files = {
        "README.md": b"# How to check\n\nRun `sha256sum`.\n",
        "verify.py": b"import sys\n\nsys.exit(0)\n",
        "claims.json": b'[\n {"claim": 1},\n {"claim": 2}\n]\n',
        "config/plan.json": b'{\n "name": "sample",\n "seed": 1\n}\n',
        "config/prompts/direct.txt": b"Listen.\nAnswer with a distribution.\n",
        "config/prompts/cot.txt": b"Listen.\nThink.\n",
        "env/machine.json": b'{\n "cpu": "a cpu",\n "gpus": []\n}\n',
        "inputs/utterances.jsonl": b'{"id": "u0", "votes": [1, 2]}\n{"id": "u1", "votes": [3, 0]}\n',
        "inputs/models.json": b'{\n "tiny": "revision"\n}\n',
        "answers/tiny/tiny.jsonl.gz": packed(answers),
        "answers/tiny/other.jsonl.gz": packed(answers[:3]),
        "scores/tiny/tiny.jsonl.gz": packed(
            [{"about": "u0", "score": 3}, {"about": "u1", "score": 9}]
        ),
        "figures/gain.svg": b"<svg>\n<path/>\n</svg>\n",
        "provenance/statement.json": b'{\n "_type": "statement",\n "subject": []\n}\n',
        "log/failures.csv": b"key,reason\nk1,audio\nk2,empty\n",
        "log/run.log": b"started\ndone\n",
    }
    return {**files, **recompute(files)}


def write(folder: Path) -> Path:
    """The sample bundle in `folder`; returns it."""
    return forge(folder, {})


def forge(folder: Path, changes: Mapping[str, bytes | None]) -> Path:
    """A bundle whose payload was changed (None: removed) and whose checksums were all made again to
    match.
    """
    changed = {path: data for path, data in {**contents(), **changes}.items() if data is not None}
    bag.write(folder, changed, {"Source-Organization": "ambiemo contributors"})
    return folder
