"""A forger who makes every checksum again still cannot make tables, answers, prompts or votes tell another story."""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import bundle_real as real
import pytest

from ambiemo.bundle import bag, contents
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.recomputing import assembled, run_from
from ambiemo.bundle.shipped import verify as shipped
from ambiemo.bundle.verify import verify
from ambiemo.cli import main
from ambiemo.jsonlines import document
from ambiemo.models import parsing
from ambiemo.models.parsing import parse_candidate
from ambiemo.results.study import Study
from ambiemo.results.units import Gathered

GREEDY, BEAMS = (f"answers/tiny/tiny/direct.{name}.jsonl.gz" for name in ("greedy", "beam-5"))
JUDGED, SCORES = (f"{folder}/tiny/tiny/direct.beam-3.jsonl.gz" for folder in ("answers", "scores"))
REASONED = "answers/tiny/tiny/cot.sample-8.jsonl.gz"
SAMPLES, PREDICTIONS = (
    "answers/tiny/tiny/direct.sample-8.jsonl.gz",
    "predictions/tiny/tiny.jsonl.gz",
)
ANSWERS = "answers/"
Files = dict[str, bytes]


@pytest.fixture(scope="module", autouse=True)
def texts_are_read_once() -> Iterator[None]:
    """Most answers are the same in every forgery, and reading is a function of a text alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_any_form", cache(parsing._any_form))
        yield


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
    return {
        **files,
        "tables/results.csv": "\n".join([*lines[:20], ",".join(cells), *lines[21:], ""]).encode(),
    }


def another_prediction(files: Files) -> Files:
    rows = rows_of(files, PREDICTIONS)
    row = next(row for row in rows if row["distribution"])
    row["distribution"].reverse()
    return with_rows(files, PREDICTIONS, rows)


def another_text(files: Files) -> Files:
    rows = rows_of(files, JUDGED)
    row = next(row for row in rows if row.get("verdict") == "exact")
    row["text"] = json.dumps(
        {"anger": 0.3, "disgust": 0.3, "fear": 0.1, "happy": 0.1, "neutral": 0.1, "sad": 0.1}
    )
    return with_rows(files, JUDGED, rows)


def swapped_clips(files: Files) -> Files:
    rows = rows_of(files, GREEDY)
    clips = sorted({row["audio_sha256"] for row in rows})[:2]
    for row in rows:
        if row["audio_sha256"] in clips:
            row["audio_sha256"] = clips[1 - clips.index(row["audio_sha256"])]
    return with_rows(files, GREEDY, rows)


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
    return {
        **files,
        "config/plan.yaml": files["config/plan.yaml"].replace(b"epsilon: 0.01", b"epsilon: 0.9"),
    }


def fewer_answers(files: Files) -> Files:
    return with_rows(files, SAMPLES, rows_of(files, SAMPLES)[:-5])


def a_better_verdict(files: Files) -> Files:
    rows = rows_of(files, SAMPLES)
    next(row for row in rows if row.get("verdict") == "unparsed")["verdict"] = "exact"
    return with_rows(files, SAMPLES, rows)


@pytest.mark.parametrize(
    ("forge", "names"),
    [
        (better_table, "tables/results.csv, line 21, column js_divergence_bits"),
        (another_prediction, PREDICTIONS),
        (another_text, "scores/tiny/"),  # the verifier was asked about the text that was exchanged
        (swapped_clips, ANSWERS),
        (another_prompt, "config/prompts/tiny/direct.txt"),
        (another_revision, "inputs/models.json"),
        (other_votes, "tables/"),
        (another_epsilon, PREDICTIONS),
        (fewer_answers, SAMPLES),
        (a_better_verdict, ANSWERS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_forgery_with_all_checksums_made_again_is_found(
    tmp_path: Path, forge: Callable, names: str
) -> None:
    whole = real.files()
    forged = forge(whole)
    assert forged != whole
    bag.write(tmp_path / "forged", forged | provenance(forged), {})
    findings = verify(tmp_path / "forged")
    assert findings
    assert {finding.check for finding in findings} == {"recomputation"}
    assert any(finding.file.startswith(f"data/{names}") for finding in findings), findings


# --- forge, then remake everything: what the package itself would have written, had the evidence been so ----------------

CELLS, UTTERANCES = "config/cells.jsonl", "inputs/utterances.jsonl"
COUNT = 6
STRATEGIES = ["greedy", "bon", "alm_v", "majority_vote", "self_consistency", "linear_pool"]
CONTROLS = [
    {"name": "shuffled_audio", "strategies": ["greedy"]},
    {"name": "silence", "strategies": ["greedy"]},
]


@cache
def stated() -> Files:
    """A bundle whose plan and loader say how many utterances there are. A strategy for each kind of
    question is enough: each forgery is verified twice.
    """
    files = real.whole_of(real.plan(strategies=STRATEGIES, controls=CONTROLS), COUNT)
    return {
        **files,
        "config/plan.yaml": files["config/plan.yaml"].replace(
            b"expect: null", b"expect: %d" % COUNT
        ),
    }


def remade(files: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The files with predictions, tables and provenance made again, whatever the answers say."""
    kept = {
        path: data
        for path, data in files.items()
        if not path.startswith(("predictions/", "tables/"))
    }
    kept = {
        path: kept[path]
        for path in kept
        if path not in ("provenance/statement.json", "ro-crate-metadata.json")
    }
    kept.setdefault("log/run.log", real.RUN_LOG)
    with monkeypatch.context() as lenient:
        lenient.setattr(contents, "rows", lambda file, name: map(json.loads, file))
        study = contents.study_from(kept)
        lenient.setattr(
            real,
            "assembled",
            lambda study, results: assembled(study, results, run_from(study, kept)),
        )
        gathered = {unit: as_told(study, unit, kept) for unit in study.units}
        tables = real.derived(study, gathered)
    made = {**kept, "config/questions.jsonl": contents.study_files(study)["config/questions.jsonl"]}
    made |= tables
    return made | provenance(made)


def as_told(study: Study, unit: tuple[str, str], files: Files) -> dict[str, Gathered]:
    """What the files say of a unit, believed: rows are grouped by their draw, in the order of the clips' first rows."""
    labels, gathered = study.labels[unit[1]], {}
    clips = list(dict.fromkeys(study.utterances[unit[1]].audio_sha256))
    for question in (one for one in study.questions if one.unit == unit):
        one = gathered[question.name] = Gathered(question, len(labels))
        draws: dict[str, list[dict]] = {}
        path = contents.answers_path(question)
        for row in rows_of(files, path) if path in files else []:
            draws.setdefault(row["audio_sha256"], []).append(row)
        scores: dict[str, list[dict]] = {}
        for row in rows_of(files, contents.scores_path(question)) if question.judged else []:
            scores.setdefault(row["audio_sha256"], []).append(row)
        for clip in clips:
            rows = draws.get(
                clip, [{"failure": "gone", "utterance_id": "", "draw": "", "truncated": False}]
            )
            rows = rows[: question.decoding.count]
            read = [
                parse_candidate(row.get("text", ""), labels, question.decoding.kind) for row in rows
            ]
            about = scores.get(clip, [])[: question.judged]
            one.add(rows, [parsed.distribution for parsed in read], about)
    return gathered


def judged(folder: Path, files: Files, capsys: pytest.CaptureFixture) -> list[tuple[int, str]]:
    """Exit code and output of both verifiers, the package's first, about a bag of the files."""
    bag.write(folder, files, {})
    said = []
    for ask in (lambda: main(["verify", str(folder)]), lambda: shipped.main([str(folder)])):
        try:
            code = ask()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        said.append((int(code or 0), printed.out + printed.err))
    return said


def edit(path: str, change: Callable[[list[dict]], list[dict] | None]) -> Callable[[Files], Files]:
    """A forgery of one file of rows: `change` changes them in place or returns others."""

    def forge(files: Files) -> Files:
        rows = rows_of(files, path)
        changed = change(rows)
        return with_rows(files, path, rows if changed is None else changed)

    return forge


def change_row(
    path: str, which: Callable[[dict], object], **values: object
) -> Callable[[Files], Files]:
    return edit(path, lambda rows: next(row for row in rows if which(row)).update(values))


def fewer_utterances(files: Files) -> Files:
    rows = rows_of(files, UTTERANCES)
    gone = rows[-1]["audio_sha256"]
    files = with_rows(files, UTTERANCES, rows[:-1])
    for path in [path for path in files if path.startswith(("answers/", "scores/"))]:
        files = with_rows(
            files, path, [row for row in rows_of(files, path) if row["audio_sha256"] != gone]
        )
    return files


def exchanged_clips(rows: list[dict]) -> None:
    rows[3]["audio_sha256"], rows[5]["audio_sha256"] = (
        rows[5]["audio_sha256"],
        rows[3]["audio_sha256"],
    )


def missing_verifier(files: Files) -> Files:
    run = json.loads(files["config/run.json"])
    run |= {
        "missing": [{"kind": "verifier", "id": "tiny", "what": "weights", "do": "nothing"}],
        "partial": True,
    }
    rows = rows_of(files, CELLS)
    for row in rows:
        if "alm_v" in row["strategy"]:
            row["skipped"] = "verifier tiny missing here"
    return with_rows({**files, "config/run.json": document(run)}, CELLS, rows)


def text_change(path: str, old: str, new: str) -> Callable[[Files], Files]:
    def forge(files: Files) -> Files:
        data = gzip.decompress(files[path]) if path.endswith(".gz") else files[path]
        data = data.replace(old.encode(), new.encode(), 1)
        return {**files, path: gzip.compress(data, mtime=0) if path.endswith(".gz") else data}

    return forge


def is_vote(row: dict) -> bool:
    return row["strategy"] == "majority_vote"


def is_beam(row: dict) -> bool:
    return row["index"] is not None


def is_answer(row: dict) -> bool:
    return not row.get("failure")


CONSISTENT = {
    "the cells of a strategy are deleted": (
        CELLS,
        edit(CELLS, lambda rows: [r for r in rows if not is_vote(r)]),
    ),
    "a cell is called skipped while it could be filled": (
        CELLS,
        change_row(CELLS, is_vote, skipped="no answers"),
    ),
    "a cell is added that the plan does not ask for": (
        CELLS,
        edit(CELLS, lambda rows: [*rows, {**rows[1], "control": "shuffled_audio"}]),
    ),
    "the verifier is called missing while its answers are there": (ANSWERS, missing_verifier),
    "the last beam of every draw is dropped": (
        ANSWERS,
        edit(BEAMS, lambda rows: [r for r in rows if not (is_beam(r) and r["index"] == 4)]),
    ),
    "what cannot be parsed is dropped": (
        ANSWERS,
        edit(REASONED, lambda rows: [r for r in rows if r.get("verdict") != "unparsed"]),
    ),
    "the first candidates stand twice": (
        ANSWERS,
        edit(SAMPLES, lambda rows: [r for row in rows for r in [row] * (1 + (row["index"] == 0))]),
    ),
    "a draw is dropped whole": (
        ANSWERS,
        edit(BEAMS, lambda rows: [r for r in rows if r["draw"] != rows[0]["draw"]]),
    ),
    "a score stands twice": (SCORES, edit(SCORES, lambda rows: [rows[0], *rows])),
    "a score is dropped": (SCORES, edit(SCORES, lambda rows: rows[1:])),
    "a score is another number than its text says": (
        SCORES,
        change_row(SCORES, lambda row: row.get("score") is not None, score=3.5),
    ),
    "an utterance is dropped and its answers stay": (
        UTTERANCES,
        edit(UTTERANCES, lambda rows: rows[:-1]),
    ),
    "an utterance is dropped with its answers": (UTTERANCES, fewer_utterances),
    "two utterances exchange their clips": (ANSWERS, edit(UTTERANCES, exchanged_clips)),
    "an answer names another utterance": (
        ANSWERS,
        change_row(GREEDY, is_answer, utterance_id="u999"),
    ),
    "a likelihood is above that of certainty": (
        ANSWERS,
        change_row(BEAMS, is_beam, log_likelihood=2.0),
    ),
    "a number of an answer is NaN": (ANSWERS, change_row(GREEDY, is_answer, audio_s=float("nan"))),
    "a number of an answer is too large for a float": (
        ANSWERS,
        text_change(GREEDY, '"prompt_tokens": 0', '"prompt_tokens": 1e999'),
    ),
    "a key of an answer stands twice": (
        ANSWERS,
        text_change(GREEDY, '"seed": ', '"seed": 1, "seed": '),
    ),
    "a key of a describing file stands twice": (
        "env/machine.json",
        text_change("env/machine.json", "{", '{"cpu": 1, "cpu": 2, '),
    ),
}


def test_the_bundle_that_is_forged_below_holds_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    said = judged(tmp_path / "whole", remade(stated(), monkeypatch), capsys)
    assert [code for code, _ in said] == [0, 0], said


@pytest.mark.parametrize(("names", "forge"), CONSISTENT.values(), ids=CONSISTENT)
def test_a_forgery_with_everything_remade_is_found_by_both(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    names: str,
    forge: Callable,
) -> None:
    forged = forge(stated())
    assert forged != stated()
    for code, printed in judged(tmp_path / "forged", remade(forged, monkeypatch), capsys):
        assert code == 1, printed
        assert names in printed, printed
        assert "found" in printed


def test_a_question_that_was_changed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    forged = change_row(
        "config/questions.jsonl", lambda row: row["prompt_id"] == "cot", prompt_id="direct"
    )(stated())
    remaking = remade(stated(), monkeypatch)
    forged = {**remaking, "config/questions.jsonl": forged["config/questions.jsonl"]}
    code, printed = judged(tmp_path / "forged", forged | provenance(forged), capsys)[0]
    assert code == 1
    assert "key prompt_id: found 'direct', expected 'cot'" in printed


@pytest.mark.parametrize("path", [UTTERANCES, CELLS])
def test_a_row_that_stands_twice_is_found_by_both(
    tmp_path: Path, capsys: pytest.CaptureFixture, path: str
) -> None:
    forged = edit(path, lambda rows: [*rows, rows[0]])(stated())  # no tables can be made of that
    for code, printed in judged(tmp_path / "forged", forged, capsys):
        assert code == 1
        assert path in printed


def test_a_run_that_truly_had_no_verifier_holds_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    files = {
        path: data
        for path, data in missing_verifier(stated()).items()
        if path not in (SCORES, JUDGED)
    }
    said = judged(tmp_path / "whole", remade(files, monkeypatch), capsys)
    assert [code for code, _ in said] == [0, 0], said
