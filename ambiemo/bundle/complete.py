"""Checks that everything the plan asks for is there, once, and that every answer lies under the key
of its own question.

The key of a draw is recomputed from the model's revision, the clip's hash, the prompt's text,
decoding and seed: an answer that was moved, or whose prompt was changed, no longer fits. Neither
does one whose verdict or score does not follow from its text. Cells are those of the plan, draws
those of the ready cells, utterances as many as the corpus is said to have. Every function here
raises Broken naming file and row.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ambiemo.bundle.contents import (
    ANSWER_KEYS,
    HEAD,
    TAIL,
    answers_path,
    naming,
    parsed,
    plan_file,
    question_row,
    read_rows,
    scores_path,
)
from ambiemo.draws import Draw
from ambiemo.errors import Broken
from ambiemo.jsonlines import Row, strict
from ambiemo.models import ModelSpec
from ambiemo.models.parsing import parse_candidate
from ambiemo.plan.expand import Expanded, Missing, laid_out
from ambiemo.plan.sharing import Judge, Question, ask_of, distinct, judge_of, score_read
from ambiemo.results.study import Study, Unit
from ambiemo.results.units import Gathered

LOG_OF_ONE = 1e-6
"""The largest sum of log-probabilities: 0, and what rounding may add."""
FINISH_REASONS = ("stop", "length", "filtered", "forced")
FAILED_KEYS = (*HEAD, "index", "failure", *TAIL)
SCORE_KEYS = (*ANSWER_KEYS[:10], "score", *TAIL)
SERVED = ("served_model",)


def check_inputs(study: Study, files: Mapping[str, bytes]) -> None:
    """Check everything but the answers: documents are JSON that every reader reads alike, cells and
    utterances are the plan's.
    """
    for path in files:
        if path.endswith(".json"):
            parsed(path, files, strict)
    if files["config/plan.yaml"] != plan_file(study.plan):
        raise Broken(
            "data/config/plan.yaml: found another spelling of the plan, expected it as a run writes it; get the bundle again"
        )
    specs, run = (parsed(path, files, strict) for path in ("inputs/models.json", "config/run.json"))
    with naming("config/cells.jsonl"):
        _check_cells(study, specs, run)
    with naming("config/questions.jsonl"):
        _check_questions(study, files)
    with naming("inputs/utterances.jsonl"):
        _check_utterances(study, parsed("inputs/corpora.json", files, strict), run)
    expected = {answers_path(one) for one in study.questions} | {
        scores_path(one) for one in study.questions if one.judged
    }
    for path in sorted(path for path in files if path.startswith(("answers/", "scores/"))):
        if path not in expected:
            raise Broken(
                f"data/{path}: answers to a question that no cell which is filled asks, expected no such file"
            )
    for path in sorted(expected.difference(files)):
        raise Broken(
            f"data/{path}: no such file, expected one, as config/cells.jsonl has cells that read it"
        )


def _check_cells(study: Study, specs: Row, run: Row) -> None:
    """The cells are those that `expand` lays out, in its order, skipped where it skips and for the
    same reason.

    The reasons are what a model cannot do, and what run.json says was missing.
    """
    plan, path = study.plan, "config/cells.jsonl"
    able = {
        name: ModelSpec.model_construct(
            engines=(spec["engine"],), capabilities=frozenset(spec["capabilities"])
        )
        for name, spec in specs.items()
    }
    missing = [Missing(**item) for item in run["missing"]]
    planned = list(laid_out(Expanded(plan, able, {}, (), ()), missing))
    wanted, seen = {cell.name for cell in planned}, set()
    for number, cell in enumerate(study.cells, 1):
        where = f"data/{path}: row {number} ({' '.join(cell.name)})"
        if cell.name in seen:
            raise Broken(f"{where}: found the cell twice, expected once")
        if cell.name not in wanted:
            raise Broken(
                f"{where}: found a cell that config/plan.yaml does not ask for, expected none"
            )
        seen.add(cell.name)
    for cell in planned:
        if cell.name not in seen:
            raise Broken(
                f"data/{path}: found no row for {' '.join(cell.name)}, expected one, as config/plan.yaml asks for it"
            )
    for number, (cell, expected) in enumerate(zip(study.cells, planned, strict=True), 1):
        where = f"data/{path}: row {number} ({' '.join(cell.name)})"
        if cell.name != expected.name:
            raise Broken(
                f"{where}: found this cell here, expected {' '.join(expected.name)}, in the plan's order"
            )
        if cell != expected:
            reasons = [one.skipped or "a cell that is filled" for one in (cell, expected)]
            raise Broken(f"{where}: key skipped: found {reasons[0]!r}, expected {reasons[1]!r}")


def _check_questions(study: Study, files: Mapping[str, bytes]) -> None:
    """Check that config/questions.jsonl has the questions that the cells ask."""
    path = "data/config/questions.jsonl"
    rows = list(read_rows("config/questions.jsonl", files))
    expected = [question_row(question) for question in study.questions]
    for number, (one, other) in enumerate(zip(rows, expected, strict=False), 1):
        for key in other:
            if one.get(key) != other[key]:
                raise Broken(
                    f"{path}: row {number}: key {key}: found {one.get(key)!r}, expected {other[key]!r} by config/cells.jsonl"
                )
        if len(one) != len(other):
            raise Broken(
                f"{path}: row {number}: found keys {', '.join(one)}, expected {', '.join(other)}"
            )
    if len(rows) != len(expected):
        raise Broken(
            f"{path}: found {len(rows)} rows, expected {len(expected)}: one for each question of config/cells.jsonl"
        )


def _check_utterances(study: Study, described: Row, run: Row) -> None:
    """Check that every corpus that was not missing is there, that its ids differ, and that they are
    as many as plan, run and loader say.
    """
    path = "data/inputs/utterances.jsonl"
    missing = {item["id"] for item in run["missing"] if item["kind"] == "corpus"}
    corpora = {entry.id: entry for entry in study.plan.corpora if entry.id not in missing}
    for where, names in (
        ("inputs/labels.json", set(study.labels)),
        ("inputs/corpora.json", set(described)),
    ):
        if names != set(corpora):
            raise Broken(f"data/{where}: found corpora {sorted(names)}, expected {sorted(corpora)}")
    for name, entry in corpora.items():
        ids, counts = study.utterances[name].ids, described[name]["counts"]
        if len(set(ids)) < len(ids):
            twin = next(
                one
                for place, one in enumerate(sorted(ids))
                if place and one == sorted(ids)[place - 1]
            )
            raise Broken(f"{path}: corpus {name}: found id {twin} more than once, expected once")
        if ids != sorted(ids):
            raise Broken(f"{path}: corpus {name}: found ids in another order, expected them sorted")
        whole = counts.get("utterances", entry.expect)
        if entry.expect is not None and whole != entry.expect:
            raise Broken(
                f"data/inputs/corpora.json: corpus {name}: found {whole} utterances, expected {entry.expect} (config/plan.yaml)"
            )
        limits = [whole - counts.get("no_vote_in_label_set", 0)] if whole is not None else []
        limits += [limit for limit in (entry.limit, run["limit"]) if limit is not None]
        if limits and (len(ids) > min(limits) or (whole is not None and len(ids) < min(limits))):
            raise Broken(
                f"{path}: corpus {name}: found {len(ids)} utterances, expected {min(limits)} (expect, limit and counts of "
                "config/plan.yaml, config/run.json, inputs/corpora.json)"
            )


def read_unit(study: Study, unit: Unit, files: Mapping[str, bytes]) -> dict[str, Gathered]:
    """The answers of a unit by question, kept as columns. Each row is checked as it is read."""
    model, corpus = unit
    specs = parsed("inputs/models.json", files, strict)
    labels = study.labels[corpus]
    clips = distinct(study.utterances[corpus])
    gathered = {}
    for question in study.questions:
        if question.unit != unit:
            continue
        with naming(answers_path(question)):
            one = Gathered(question, len(labels))
            ask = ask_of(
                question,
                **_stands(specs, model, question.prompt_id, files),
                labels=labels,
                plan_seed=study.plan.seed,
            )
            judge = _judge(study, question, specs, files)
            answers = _Rows(answers_path(question), files, specs[model])
            scores = (
                _Rows(scores_path(question), files, specs[study.judges[model]])
                if question.judged
                else None
            )
            for utterance in clips:
                draw = ask(utterance)
                rows, read = _answer(answers, draw, labels)
                judged = (
                    _judged(scores, draw, rows, question, judge)
                    if scores and "failure" not in rows[0]
                    else []
                )
                one.add(rows, read, judged)
            answers.finished()
            if scores:
                scores.finished()
        gathered[question.name] = one
    return gathered


def _stands(specs: Row, model: str, prompt_id: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    text = files[f"config/prompts/{model}/{prompt_id}.txt"].decode("utf-8").rstrip("\n")
    return {
        "revision": specs[model]["revision"] or "",
        "engine": specs[model]["engine"],
        "prompt": text,
    }


def _judge(
    study: Study, question: Question, specs: Row, files: Mapping[str, bytes]
) -> Judge | None:
    if not question.judged:
        return None
    judge = study.judges[question.model]
    longest = study.plan.max_tokens.verifier
    return judge_of(
        judge,
        **_stands(specs, judge, question.judge, files),
        prompt_id=question.judge,
        labels=study.labels[question.corpus],
        max_tokens=longest,
    )


class _Rows:
    """Rows of one file, taken in their order, numbered for errors."""

    def __init__(self, path: str, files: Mapping[str, bytes], spec: Row) -> None:
        self.path, self.number = path, 0
        self.remote, self.hears = spec["engine"] == "openai", spec["audio_seconds"]
        self._rows: Iterator[Row] = read_rows(path, files)
        self._fitting: set[tuple[Any, ...]] = set()

    def take(self, draw: Draw, keys: Sequence[tuple[str, ...]], index: int | None) -> Row:
        """The next row, which must be about this draw and have one of these lists of keys."""
        row = next(self._rows, None)
        self.number += 1
        if row is None:
            raise Broken(
                f"data/{self.path}: found no row about {draw.utterance_id} (draw {draw.key[:12]}…), expected one"
            )
        head = (draw.utterance_id, draw.key, draw.audio_sha256, draw.seed)
        if tuple(map(row.get, HEAD)) != head:
            for key, expected in zip(HEAD, head, strict=True):
                if row.get(key) != expected:
                    raise self.fault(
                        row,
                        f"found {key} {str(row.get(key))[:40]}, its question gives {str(expected)[:40]}; "
                        "the answer, its utterance, its prompt or its model was exchanged, or a row is missing",
                    )
        kind = (keys, *row, *map(type, row.values()))
        if kind not in self._fitting:  # nearly all rows are of two kinds: looked at once
            row_keys = tuple(row)
            served = SERVED if self.remote else ()
            if not any(row_keys in (one, (*one, *served)) for one in keys):
                raise self.fault(
                    row, f"found keys {', '.join(row_keys)}, expected {', '.join(keys[-1])}"
                )
            self._check_kinds(row)
            self._fitting.add(kind)
        if row["index"] != index and not ("failure" in row and row["index"] is None):
            raise self.fault(row, f"found candidate {row['index']}, expected {index}")
        self._check_values(row)
        if row["truncated"] and self.hears is None:
            raise self.fault(
                row,
                "key truncated: found True of a model that hears clips of any length, expected False",
            )
        if self.hears is not None and row["audio_s"] > self.hears + 1:
            raise self.fault(
                row,
                f"key audio_s: found {row['audio_s']!r}, expected {self.hears:g} s at most, as the model hears no more",
            )
        return row

    def _check_kinds(self, row: Row) -> None:
        for key, kind in KINDS.items():
            if key in row and (
                not isinstance(row[key], kind) or (isinstance(row[key], bool) and bool not in kind)
            ):
                raise self.fault(
                    row,
                    f"key {key}: found {row[key]!r:.60}, expected {' or '.join(one.__name__ for one in kind)}",
                )

    def _check_values(self, row: Row) -> None:
        for key in ("tokens", "prompt_tokens", "audio_s"):
            value = row.get(key, 0)
            if value < 0 or (value == 0 and math.copysign(1, value) < 0):
                raise self.fault(row, f"key {key}: found {row[key]!r}, expected 0 or more")
        if "failure" in row:
            if not row["failure"]:
                raise self.fault(row, "key failure: found an empty reason, expected one")
            return
        if row["finish_reason"] not in FINISH_REASONS:
            raise self.fault(
                row,
                f"key finish_reason: found {row['finish_reason']!r:.40}, expected one of {', '.join(FINISH_REASONS)}",
            )
        sure = row["log_likelihood"]
        if sure is not None and (not math.isfinite(sure) or sure > LOG_OF_ONE):
            raise self.fault(
                row, f"key log_likelihood: found {sure!r}, expected null or a number up to 0"
            )

    def read(self, row: Row, expected: Row) -> None:
        """Raise Broken if a value of the row does not follow from its text."""
        for key, value in expected.items():
            if row[key] != value:
                raise self.fault(
                    row, f"key {key}: found {row[key]!r}, expected {value!r} by its text"
                )

    def finished(self) -> None:
        """Raise Broken if rows are left."""
        if (row := next(self._rows, None)) is not None:
            self.number += 1
            raise self.fault(row, "found a row that no question asks for, expected none")

    def fault(self, row: Row, what: str) -> Broken:
        return Broken(
            f"data/{self.path}: row {self.number} ({row.get('utterance_id')!s:.60}): {what}"
        )


NUMBER, WHOLE, TEXT = (int, float), (int,), (str,)
KINDS: dict[str, tuple[type, ...]] = {
    "index": (int, type(None)),
    "text": TEXT,
    "tokens": WHOLE,
    "log_likelihood": (*NUMBER, type(None)),
    "finish_reason": TEXT,
    "verdict": TEXT,
    "failure": TEXT,
    "rendered_prompt_sha256": TEXT,
    "prompt_tokens": WHOLE,
    "audio_s": NUMBER,
    "truncated": (bool,),
    "served_model": (list,),
}
"""Types of the values of a row."""


def _answer(rows: _Rows, draw: Draw, labels: Sequence[str]) -> tuple[list[Row], list[Any]]:
    """One draw's rows: one failure, or the candidates 0 to count - 1; and each candidate's
    distribution.
    """
    first = rows.take(draw, (FAILED_KEYS, ANSWER_KEYS), 0)
    if "failure" in first:
        if first["index"] is not None:
            raise rows.fault(
                first, f"key index: found {first['index']} of a failed draw, expected null"
            )
        return [first], []
    candidate_rows = [
        first,
        *(rows.take(draw, (ANSWER_KEYS,), index) for index in range(1, draw.decoding.count)),
    ]
    read = []
    for row in candidate_rows:
        for key in (*TAIL, *SERVED):
            if row.get(key) != first.get(key):
                raise rows.fault(
                    row,
                    f"key {key}: found {row.get(key)!r:.60}, expected {first.get(key)!r:.60}, as of the draw's first candidate",
                )
        candidate = parse_candidate(row["text"], labels, draw.decoding.kind)
        if row["verdict"] != candidate.verdict:
            rows.read(row, {"verdict": candidate.verdict})
        read.append(candidate.distribution)
    return candidate_rows, read


def _judged(
    scores: _Rows,
    judged: Draw,
    answers: Sequence[Row],
    question: Question,
    judge: Judge | None,
) -> list[Row]:
    """The verifier's rows about the first candidates of one draw."""
    assert judge is not None
    score_rows, texts = [], [row["text"] for row in answers[: question.judged]]
    for index in range(question.judged):
        asked = judge(judged, index, texts)
        row = scores.take(asked, (FAILED_KEYS, SCORE_KEYS), index)
        if row["index"] != index:
            raise scores.fault(row, f"found candidate {row['index']}, expected {index}")
        if "failure" not in row:
            read = score_read(asked, index, question.judged, row["text"])
            scores.read(row, {"verdict": read.verdict, "score": read.score})
        score_rows.append(row)
    return score_rows
