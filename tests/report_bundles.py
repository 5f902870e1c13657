"""Bundles for the tests of the page: real ones, small, and one whose names are hostile."""

import csv
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path

import bundle_real as real

from ambiemo.bundle import bag
from ambiemo.bundle.contents import study_files
from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.provenance import provenance
from ambiemo.results.study import study_of

STRATEGIES = ["greedy", "bon", "alm_v", "majority_vote"]
MARKUP = "<img src=x onerror=\"document.title='run'\">"
CLOSING = "</script><script>document.title='run'</script>"
ESCAPE, TURNED = "\x1b[31mred", "\u202egnp.exe"


def files(count: int = 12, **changes: object) -> dict[str, bytes]:
    """What lies below data/ of a small real bundle."""
    wanted = {"strategies": STRATEGIES, "controls": [{"name": "silence", "strategies": ["greedy"]}]}
    stands = real.expanded(real.plan(**{**wanted, **changes}), count)
    told = study_of(stands)
    gathered, answers = real.answers_of(stands, True)
    made = {
        **study_files(told),
        **answers,
        **real.derived(told, gathered),
        **input_files(stands, None),
        "log/run.log": real.RUN_LOG,
    }
    return made | provenance(made)


def write(folder: Path, made: Mapping[str, bytes]) -> Path:
    """A bundle's folder with checksums that fit."""
    bag.write(folder, dict(made), {"External-Identifier": "real"})
    return folder


def hostile(made: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same bundle with names and texts that would run, or turn, if a page obeyed them. It does
    not verify.
    """
    told = dict(made)
    swaps = {"bon": MARKUP, "alm_v": CLOSING, "majority_vote": ESCAPE + TURNED}
    for path in ("tables/results.csv", "tables/gains.csv", "tables/paired.csv"):
        rows = list(csv.reader(io.StringIO(told[path].decode(), newline="")))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [swaps.get(cell, cell) for cell in row] for row in rows
        )
        told[path] = text.getvalue().encode()
    told["config/plan.yaml"] = told["config/plan.yaml"].replace(
        b"title: ", b'title: "' + MARKUP.replace('"', '\\"').encode() + b'"\nx-title: ', 1
    )
    for path in told:
        if path.startswith("answers/"):
            lines = []
            for line in gzip.decompress(told[path]).decode().splitlines():
                row = json.loads(line)
                if row.get("text"):
                    row["text"] = CLOSING + MARKUP + ESCAPE + TURNED + row["text"]
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
            told[path] = gzip.compress("".join(lines).encode(), mtime=0)
    utterances = [json.loads(line) for line in told["inputs/utterances.jsonl"].splitlines()]
    for row in utterances:
        row["speaker"] = CLOSING + TURNED
    told["inputs/utterances.jsonl"] = "".join(
        json.dumps(row, ensure_ascii=False) + "\n" for row in utterances
    ).encode()
    return told
