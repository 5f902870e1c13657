"""A forger who makes every checksum again still cannot make tables, answers, prompts or votes tell another story."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import bundle_real as real
import pytest

from ambiemo.bundle import bag
from ambiemo.bundle.verify import verify

ANSWERS, PREDICTIONS = "answers/tiny/tiny.jsonl.gz", "predictions/tiny/tiny.jsonl.gz"
Files = dict[str, bytes]


def rows_of(files: Files, path: str) -> list[dict]:
    data = gzip.decompress(files[path]) if path.endswith(".gz") else files[path]
    return [json.loads(line) for line in data.split(b"\n") if line]


def with_rows(files: Files, path: str, rows: list[dict]) -> Files:
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    return {**files, path: gzip.compress(data, mtime=0) if path.endswith(".gz") else data}


def better_table(files: Files) -> Files:
    lines = files["tables/results.csv"].decode().splitlines()
    header, cells = lines[0].split(","), lines[20].split(",")
    cells[header.index("js_divergence_bits")] = "0.000001"
    return {**files, "tables/results.csv": "\n".join([*lines[:20], ",".join(cells), *lines[21:], ""]).encode()}


def another_prediction(files: Files) -> Files:
    rows = rows_of(files, PREDICTIONS)
    row = next(row for row in rows if row["distribution"])
    row["distribution"].reverse()
    return with_rows(files, PREDICTIONS, rows)


def another_text(files: Files) -> Files:
    rows = rows_of(files, ANSWERS)
    judged = {row["about"] for row in rows_of(files, "scores/tiny/tiny.jsonl.gz")}
    row = next(row for row in rows if f"{row['draw']}#{row['index']}" in judged and row["verdict"] == "exact")
    row["text"] = json.dumps({"anger": 0.3, "disgust": 0.3, "fear": 0.1, "happy": 0.1, "neutral": 0.1, "sad": 0.1})
    return with_rows(files, ANSWERS, rows)


def swapped_clips(files: Files) -> Files:
    rows = rows_of(files, ANSWERS)
    clips = sorted({row["audio_sha256"] for row in rows})[:2]
    for row in rows:
        if row["audio_sha256"] in clips:
            row["audio_sha256"] = clips[1 - clips.index(row["audio_sha256"])]
    return with_rows(files, ANSWERS, rows)


def another_prompt(files: Files) -> Files:
    path = "config/prompts/tiny/direct.txt"
    return {**files, path: files[path].replace(b"disagree", b"agree")}


def another_revision(files: Files) -> Files:
    models = json.loads(files["inputs/models.json"])
    models["tiny"]["revision"] = "f" * 40
    return {**files, "inputs/models.json": json.dumps(models).encode()}


def other_votes(files: Files) -> Files:
    rows = rows_of(files, "inputs/utterances.jsonl")
    rows[0]["votes"] = rows[0]["votes"][::-1]
    return with_rows(files, "inputs/utterances.jsonl", rows)


def another_epsilon(files: Files) -> Files:
    return {**files, "config/plan.yaml": files["config/plan.yaml"].replace(b"epsilon: 0.01", b"epsilon: 0.9")}


def fewer_answers(files: Files) -> Files:
    return with_rows(files, ANSWERS, rows_of(files, ANSWERS)[:-5])


def a_better_verdict(files: Files) -> Files:
    rows = rows_of(files, ANSWERS)
    next(row for row in rows if row.get("verdict") == "unparsed")["verdict"] = "exact"
    return with_rows(files, ANSWERS, rows)


@pytest.mark.parametrize(
    ("forge", "names"),
    [
        (better_table, "tables/results.csv, line 21, column js_divergence_bits"),
        (another_prediction, PREDICTIONS),
        (another_text, "scores/tiny/"),  # the verifier was asked about the text that was exchanged
        (swapped_clips, ANSWERS),
        (another_prompt, ANSWERS),
        (another_revision, ANSWERS),
        (other_votes, "tables/"),
        (another_epsilon, PREDICTIONS),
        (fewer_answers, ""),  # which file shows it first depends on the order of the keys
        (a_better_verdict, ANSWERS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_forgery_with_all_checksums_made_again_is_found(tmp_path: Path, forge: Callable, names: str) -> None:
    whole = real.files()
    forged = forge(whole)
    assert forged != whole
    bag.write(tmp_path / "forged", forged, {})
    findings = verify(tmp_path / "forged")
    assert findings
    assert {finding.check for finding in findings} == {"recomputation"}
    assert any(finding.file.startswith(f"data/{names}") for finding in findings), findings
