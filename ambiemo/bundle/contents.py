"""Rows and files: what a bundle holds of a run's answers and inputs, and how each is spelled.

Answers lie in one file per question, `answers/MODEL/CORPUS/QUESTION.jsonl.gz`, sorted by utterance,
one row per candidate (or one with the reason of a failed draw). The verifier's scores lie next to
them under `scores/`, one row per judged candidate. `config/questions.jsonl` describes each question
once. So a reader can read all questions of one utterance in step.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import yaml

from ambiemo.bundle.folder import OtherFormat, opened
from ambiemo.corpora.utterances import Utterance, Utterances
from ambiemo.draws import Answer, Candidate, Draw
from ambiemo.errors import Broken, shown
from ambiemo.jsonlines import Row, document, line, lines, lines_of_one, rows, strict
from ambiemo.limits import UTTERANCES, TooMuch, check_depth, parse_yaml
from ambiemo.models import Price
from ambiemo.models.parsing import Parsed, parse_candidate
from ambiemo.plan.expand import Cell
from ambiemo.plan.schema import OWN_KEYS, ModelEntry, Plan, check
from ambiemo.plan.sharing import Question, score_read
from ambiemo.results.predictions import BITS, Column
from ambiemo.results.study import Study, Unit
from ambiemo.results.truths import Truths
from ambiemo.strategies import Strategy

MORE = (ArithmeticError, IndexError, MemoryError, yaml.YAMLError)
FORMAT = 2
"""Version of the layout. 1 (never written) had one file of answers per model and corpus."""
PRIVATE = ("base_url", "journal")
"""Options of a model's engine that name a place of one machine."""
ANSWER_KEYS = (
    "utterance_id", "draw", "audio_sha256", "seed", "index", "text", "tokens", "log_likelihood", "finish_reason", "verdict",
    "rendered_prompt_sha256", "prompt_tokens", "audio_s", "truncated",
)  # fmt: skip
"""Keys of a candidate's row. A score's row has `score` too, a failed draw's only the head, `index`
null, `failure` and the tail.
"""
HEAD, TAIL = ANSWER_KEYS[:4], ANSWER_KEYS[10:]
"""What all candidates of a draw share."""


def answers_path(question: Question) -> str:
    """Where a question's answers lie, below `data/`."""
    return f"answers/{question.model}/{question.corpus}/{question.name}.jsonl.gz"


def scores_path(question: Question) -> str:
    """Where the verifier's scores of a question's candidates lie, below `data/`."""
    return f"scores/{question.model}/{question.corpus}/{question.name}.jsonl.gz"


def predictions_path(model: str, corpus: str) -> str:
    """Where a unit's predictions lie, below `data/`."""
    return f"predictions/{model}/{corpus}.jsonl.gz"


def answer_rows(
    draw: Draw, answer: Answer, labels: Sequence[str]
) -> tuple[list[Row], list[Parsed]]:
    """The rows of one answer, and how each candidate was read: one row per candidate, or a single
    one with the failure's reason.
    """
    head, tail = _ends(draw, answer)
    if answer.failure:
        return [{**head, "index": None, "failure": answer.failure, **tail}], []
    parsed = [parse_candidate(one.text, labels, answer.decoding.kind) for one in answer.candidates]
    candidate_rows = [
        {
            **head,
            "index": index,
            **_candidate_fields(one),
            "verdict": read.verdict,
            **tail,
        }
        for index, (one, read) in enumerate(zip(answer.candidates, parsed, strict=True))
    ]
    return candidate_rows, parsed


def candidate_lines(rows: Sequence[Row]) -> bytes:
    """The rows of one draw as JSON lines."""
    return lines_of_one(rows, len(HEAD), len(ANSWER_KEYS) - len(TAIL))


def score_row(draw: Draw, index: int, answer: Answer, count: int = 1) -> Row:
    """The row of a verifier's answer about candidate `index`, of `count` that are judged, of the
    utterance's draw."""
    head, tail = _ends(draw, answer)
    if answer.failure:
        return {**head, "index": index, "failure": answer.failure, **tail}
    one = answer.candidates[0]
    read = score_read(draw, index, count, one.text)
    return {
        **head,
        "index": index,
        **_candidate_fields(one),
        "verdict": read.verdict,
        "score": read.score,
        **tail,
    }


def _candidate_fields(candidate: Candidate) -> Row:
    """A candidate as it came: its fields in the order of the row."""
    return {
        "text": candidate.text,
        "tokens": candidate.tokens,
        "log_likelihood": candidate.log_likelihood,
        "finish_reason": candidate.finish_reason,
    }


def _ends(draw: Draw, answer: Answer) -> tuple[Row, Row]:
    head = {
        "utterance_id": draw.utterance_id,
        "draw": draw.key,
        "audio_sha256": draw.audio_sha256,
        "seed": draw.seed,
    }
    tail = {
        "rendered_prompt_sha256": answer.rendered_prompt_sha256,
        "prompt_tokens": answer.prompt_tokens,
        "audio_s": answer.audio_s,
        "truncated": answer.truncated,
    }
    if served := answer.extra.get(
        "served_model"
    ):  # the only trace of a model that its owner can change
        tail["served_model"] = served
    return head, tail


def study_rows(study: Study) -> dict[str, Iterator[bytes]]:
    """The lists of utterances and cells as the bundle's files, line by line, as there may be many
    utterances.
    """
    return {
        "config/cells.jsonl": (line(_cell_row(cell)) for cell in study.cells),
        "inputs/utterances.jsonl": (
            line({"corpus": name, **_utterance_row(one)})
            for name in sorted(study.utterances)
            for one in study.utterances[name]
        ),
    }


def study_files(study: Study) -> dict[str, bytes]:
    """The study as the bundle's files, by path below `data/`."""
    return {
        "config/plan.yaml": plan_file(study.plan),
        "config/questions.jsonl": lines(map(question_row, study.questions)),
        "inputs/labels.json": document(
            {name: list(labels) for name, labels in study.labels.items()}
        ),
        "inputs/judges.json": document(study.judges),
        "inputs/vote_units.json": document(study.vote_units),
        **{path: b"".join(all_of) for path, all_of in study_rows(study).items()},
    }


def plan_file(plan: Plan) -> bytes:
    """A plan as a bundle shows it."""
    return yaml.safe_dump(portable(plan), sort_keys=False, allow_unicode=True).encode("utf-8")


def portable(plan: Plan) -> dict[str, Any]:
    """A plan without the parts that describe one machine and change no answer: folders by their own
    path, servers, journals.
    """
    values = plan.model_dump(mode="json")
    values["models"] = [_portable_model(entry) for entry in plan.models]
    values["verifier"] = _portable_model(plan.verifier)
    for entry in values["corpora"]:
        entry["root"] = entry["root"] if entry["root"].startswith("${") else ""
    return values


def _portable_model(entry: ModelEntry) -> dict[str, Any]:
    """An entry as a bundle shows it; keys of a user's own model only if not the default."""
    values = entry.portable().model_dump(mode="json")
    values["options"] = {
        name: value for name, value in values["options"].items() if name not in PRIVATE
    }
    plain = {name: ModelEntry.model_fields[name].default for name in OWN_KEYS}
    return {
        name: value for name, value in values.items() if name not in plain or value != plain[name]
    }


def question_row(question: Question) -> Row:
    """A question as config/questions.jsonl has it."""
    fields = asdict(question) | {"serves": list(question.serves)}
    del fields["judge"]  # the name of the question says it
    return {
        "model": fields.pop("model"),
        "corpus": fields.pop("corpus"),
        "question": question.name,
        **fields,
    }


def _cell_row(cell: Cell) -> Row:
    return {
        "model": cell.model,
        "corpus": cell.corpus,
        "strategy": cell.strategy.name,
        "control": cell.control,
        "skipped": cell.skipped,
        "cannot": cell.cannot,
    }


def _utterance_row(utterance: Utterance) -> Row:
    fields = asdict(utterance)
    del fields["audio_path"]
    return fields | {"votes": list(utterance.votes)}


def study_from(files: Mapping[str, bytes]) -> Study:
    """The study from a bundle's files (paths below `data/`).

    Raises BadInput for a bundle of another format, Broken naming the file that cannot be used.
    """
    check_format(files)
    plan = check(parsed("config/plan.yaml", files, parse_yaml), "data/config/plan.yaml")
    strategies = {entry.name: entry.row() for entry in plan.strategies}
    labels = parsed("inputs/labels.json", files, strict)
    utterances: dict[str, list[Utterance]] = {name: [] for name in labels}
    with naming("inputs/utterances.jsonl"):
        for number, row in enumerate(read_rows("inputs/utterances.jsonl", files)):
            if number >= UTTERANCES:
                raise TooMuch(f"found more than {UTTERANCES:,} utterances")
            votes = tuple(row["votes"])
            utterances[row.pop("corpus")].append(
                Utterance(**{**row, "audio_path": "", "votes": votes})
            )
        columns = {name: Utterances.of(all_of) for name, all_of in utterances.items()}
    with naming("config/cells.jsonl"):
        cells = tuple(_cell(row, strategies) for row in read_rows("config/cells.jsonl", files))
    return Study(
        plan=plan,
        cells=cells,
        labels={name: tuple(all_of) for name, all_of in labels.items()},
        utterances=columns,
        judges=parsed("inputs/judges.json", files, strict),
        vote_units=parsed("inputs/vote_units.json", files, strict),
        prices=_prices(files),
    )


def _prices(files: Mapping[str, bytes]) -> dict[str, Price]:
    """The prices in inputs/models.json, of the models that have one."""
    specs = parsed("inputs/models.json", files, strict)
    with naming("inputs/models.json"):
        return {
            name: Price(**spec["price"])
            for name, spec in specs.items()
            if spec.get("price") is not None
        }


def check_format(files: Mapping[str, bytes]) -> None:
    """Raise BadInput where the bundle's layout is not the one that this version reads."""
    if "config/run.json" not in files:
        raise Broken("data/config/run.json: no such file, expected in every bundle")
    run = parsed("config/run.json", files, strict)
    version = run.get("format", 1) if isinstance(run, dict) else 1
    if version != FORMAT or type(version) is not int:
        raise OtherFormat(
            f"data/config/run.json: found bundle format {version!s:.20}, expected {FORMAT}: it was written by "
            f"{'an older' if version in (1,) else 'another'} version of ambiemo; check it with that version, or with the bundle's own data/verify.py"
        )


def _cell(row: Row, strategies: Mapping[str, Strategy]) -> Cell:
    return Cell(**{**row, "strategy": strategies[row["strategy"]]})


def read_rows(path: str, files: Mapping[str, bytes]) -> Iterator[Row]:
    """Rows of a JSON-lines file of a bundle, gzipped or not, one at a time. Raises Broken naming
    it.
    """
    if path not in files:
        raise Broken(f"data/{path}: no such file, expected in this bundle")
    with opened(files, path) as file:
        yield from rows(file, f"data/{path}")


def read_columns(unit: Unit, truths: Truths, files: Mapping[str, bytes]) -> list[Column]:
    """The predictions of a unit as the bundle has them, in the order of their first rows. Raises
    Broken naming the file.
    """
    model, corpus = unit
    path = predictions_path(model, corpus)
    place = {one: index for index, one in enumerate(truths.ids)}
    shape = truths.truth.shape
    columns: dict[tuple[str, str], Column] = {}
    with naming(path):
        for row in read_rows(path, files):
            key = (row["strategy"], row["control"])
            if key not in columns:
                a, b, c = (np.zeros(shape[0], dtype=np.int64) for _ in range(3))
                bits, failures = (
                    np.full((shape[0], len(BITS)), np.nan),
                    np.full(shape[0], "not there", dtype=object),
                )
                columns[key] = Column(
                    corpus, model, *key, np.full(shape, np.nan), a, b, c, bits, failures, truths.ids
                )
            column, at = columns[key], place[row["utterance_id"]]
            column.candidates[at], column.unparsed[at], column.unscored[at] = (
                row[name] for name in ("candidates", "unparsed", "unscored")
            )
            column.failures[at] = row["failure"]
            if row["distribution"] is not None:
                column.shares[at] = row["distribution"]
    return list(columns.values())


def parsed(path: str, files: Mapping[str, bytes], parse: Any) -> Any:
    """A document of a bundle. Raises Broken naming it."""
    if path not in files:
        raise Broken(f"data/{path}: no such file, expected in every bundle; get the bundle again")
    with naming(path):
        value = parse(files[path].decode("utf-8"))
        check_depth(value)
        return value


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Turn any error while reading a file of a bundle into Broken with the file's name."""
    try:
        yield
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OSError,
        EOFError,
        RecursionError,
        *MORE,
    ) as error:
        reason = (
            shown(str(error), 400)
            if isinstance(error, TooMuch)
            else shown(f"{type(error).__name__}: {error}", 400)
        )
        raise Broken(f"data/{path}: cannot be used: {reason}; get the bundle again") from error
