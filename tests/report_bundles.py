"""Bundles for the tests of the page: real ones, small, and one whose names are hostile."""

import csv
import gzip
import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import bundle_real as real
import pytest
from conftest import ROOT

from ambiemo.bundle import bag, page
from ambiemo.bundle.contents import study_files
from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.verify import CHECKS, Outcome
from ambiemo.results.report import page as rendering
from ambiemo.results.report.figures import Drawing
from ambiemo.results.study import study_of

REFERENCE = ROOT / "artifacts" / "reference" / "quick"
HELD = [Outcome(name, title, ()) for name, title, _ in CHECKS]
"""The outcomes of a bundle that holds, where a test is not about the bundle's own checks."""
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


@cache
def small() -> dict[str, bytes]:
    """The files that most tests of a page are about; nobody changes them."""
    return files()


@cache
def reference_page() -> bytes:
    """The page of the reference bundle."""
    return page.page_of(REFERENCE, HELD, page.ALL, Path("quick.html"))


def figures_drawn_once(patch: pytest.MonkeyPatch) -> None:
    """Every figure of a page is its first one, for tests that look at none: drawing takes longest."""
    own = rendering.svg
    known: list[bytes] = []

    def svg(drawing: Drawing) -> bytes:
        if not known:
            known.append(own(drawing))
        return known[0]

    patch.setattr(rendering, "svg", svg)


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
