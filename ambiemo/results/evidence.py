"""What the results rest on, in memory and as the files of a bundle: utterances with their votes, cells, answers and scores.

`to_files` and `from_files` are each other's inverse, so what `verify` recomputes is what the run computed.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.errors import Broken
from ambiemo.models import render
from ambiemo.models.parsing import parse_candidate, parse_score
from ambiemo.plan.expand import Cell, Expanded, Utterance
from ambiemo.plan.schema import Plan, check
from ambiemo.strategies import Strategy

Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """Everything predictions and tables are a function of.

    utterances and labels by corpus; answers by (model, corpus) and scores by (judged model, corpus), a row a candidate or a score, or a row
    with `failure` for a draw that brought nothing.
    """

    plan: Plan
    cells: tuple[Cell, ...]
    labels: dict[str, tuple[str, ...]]
    utterances: dict[str, tuple[Utterance, ...]]
    answers: dict[tuple[str, str], list[Row]]
    scores: dict[tuple[str, str], list[Row]]
    judges: dict[str, str]
    vote_units: dict[str, int]


def answer_rows(draw: Draw, answer: Answer, labels: tuple[str, ...]) -> list[Row]:
    """The rows of one answer: one a candidate with its parse verdict, or a single one with the reason of the failure."""
    head = {**_head(draw, answer), "prompt_id": draw.prompt_id, "audio": draw.audio}
    if answer.failure:
        return [{**head, "index": None, "failure": answer.failure}]
    kind = answer.decoding.kind
    return [
        {**head, "index": index, **asdict(one), "verdict": parse_candidate(one.text, labels, kind).verdict}
        for index, one in enumerate(answer.candidates)
    ]


def score_row(draw: Draw, answer: Answer) -> Row:
    """The row of a verifier's answer about one candidate (`about`: the judged draw's key, '#', the candidate's index)."""
    head = {**_head(draw, answer), "audio": draw.audio, "about": draw.about}
    if answer.failure:
        return {**head, "failure": answer.failure}
    one = answer.candidates[0]
    parsed = parse_score(one.text)
    return {**head, **asdict(one), "verdict": parsed.verdict, "score": parsed.score}


def _head(draw: Draw, answer: Answer) -> Row:
    return {
        "draw": draw.key,
        "utterance_id": draw.utterance_id,
        "audio_sha256": draw.audio_sha256,
        "decoding": asdict(answer.decoding),
        "seed": draw.seed,
        "prompt_sha256": draw.prompt_sha256,
        "rendered_prompt_sha256": answer.rendered_prompt_sha256,
        "prompt_tokens": answer.prompt_tokens,
        "heard_s": answer.heard_s,
        "truncated": answer.truncated,
        # what a server says it answered with: the only trace of a model that its owner can change
        **({"served_model": answer.extra["served_model"]} if answer.extra.get("served_model") else {}),
    }


def from_run(
    expanded: Expanded, answers: dict[tuple[str, str], list[Row]], scores: dict[tuple[str, str], list[Row]]
) -> Evidence:
    """The evidence of a run that has drawn and scored."""
    plan = expanded.plan
    return Evidence(
        plan=plan,
        cells=expanded.cells,
        labels={name: corpus.labels for name, corpus in expanded.corpora.items()},
        utterances={name: tuple(_portable(u) for u in corpus.utterances) for name, corpus in expanded.corpora.items()},
        answers={key: _sorted(rows) for key, rows in answers.items()},
        scores={key: _sorted(rows) for key, rows in scores.items()},
        judges={entry.id: expanded.verifier(entry.id) for entry in plan.models},
        vote_units={name: int(corpus.counts.get("vote_unit", 1)) for name, corpus in expanded.corpora.items()},
    )


def _portable(utterance: Utterance) -> Utterance:
    return replace(utterance, audio_path="")


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["draw"], -1 if row.get("index") is None else row["index"]))


def to_files(evidence: Evidence) -> dict[str, bytes]:
    """The evidence as the bundle's files, by path below `data/`."""
    plan = evidence.plan.model_dump(mode="json")
    files = {
        "config/plan.yaml": yaml.safe_dump(plan, sort_keys=False, allow_unicode=True).encode("utf-8"),
        "config/cells.jsonl": lines({**asdict(cell), "strategy": cell.strategy.name} for cell in evidence.cells),
        "inputs/labels.json": document({name: list(labels) for name, labels in evidence.labels.items()}),
        "inputs/judges.json": document(evidence.judges),
        "inputs/vote_units.json": document(evidence.vote_units),
        "inputs/utterances.jsonl": lines(
            {"corpus": name, **_utterance_row(u)}
            for name, all_of in sorted(evidence.utterances.items())
            for u in all_of
        ),
    }
    for (model, corpus), rows in evidence.answers.items():
        files[f"answers/{model}/{corpus}.jsonl.gz"] = packed(lines(rows))
    for (model, corpus), rows in evidence.scores.items():
        files[f"scores/{model}/{corpus}.jsonl.gz"] = packed(lines(rows))
    return files


def _utterance_row(utterance: Utterance) -> Row:
    return {name: value for name, value in asdict(utterance).items() if name != "audio_path"}


def from_files(files: Mapping[str, bytes]) -> Evidence:
    """The evidence from a bundle's files (paths below `data/`). Raises Broken naming the file that cannot be used."""
    plan = check(_parsed("config/plan.yaml", files, yaml.safe_load), "config/plan.yaml")
    rows = {entry.name: entry.row() for entry in plan.strategies}
    labels = _parsed("inputs/labels.json", files, json.loads)
    utterances: dict[str, list[Utterance]] = {name: [] for name in labels}
    for row in read_lines("inputs/utterances.jsonl", files):
        with _naming("inputs/utterances.jsonl"):
            utterances[row.pop("corpus")].append(Utterance(**{**row, "audio_path": "", "votes": tuple(row["votes"])}))
    return Evidence(
        plan=plan,
        cells=tuple(_cell(row, rows) for row in read_lines("config/cells.jsonl", files)),
        labels={name: tuple(all_of) for name, all_of in labels.items()},
        utterances={name: tuple(all_of) for name, all_of in utterances.items()},
        answers=_folder("answers", files),
        scores=_folder("scores", files),
        judges=_parsed("inputs/judges.json", files, json.loads),
        vote_units=_parsed("inputs/vote_units.json", files, json.loads),
    )


def check_rows(evidence: Evidence, files: Mapping[str, bytes]) -> None:
    """Does every answer lie under the key of its own question, and has it the verdict that its text gives?

    The key is made again from the model's revision, the clip's hash, the prompt's text, decoding and seed: an answer that was moved, or
    whose prompt was changed, no longer fits. Raises Broken naming file and row.
    """
    specs = _parsed("inputs/models.json", files, json.loads)
    for (model, corpus), rows in evidence.answers.items():
        path, labels = f"answers/{model}/{corpus}.jsonl.gz", evidence.labels[corpus]
        with _naming(path):
            for number, row in enumerate(rows, 1):
                _check_key(path, number, row, _draw_of(row, model, specs, files, labels, evidence.plan))
                if not row.get("failure"):
                    _check_verdict(
                        path, number, row, parse_candidate(row["text"], labels, row["decoding"]["kind"]).verdict
                    )
    for (model, corpus), rows in evidence.scores.items():
        path, judge = f"scores/{model}/{corpus}.jsonl.gz", evidence.judges[model]
        judged = {f"{row['draw']}#{row['index']}": row.get("text", "") for row in evidence.answers[(model, corpus)]}
        with _naming(path):
            for number, row in enumerate(rows, 1):
                asked = {**row, "prompt_id": "verifier", "purpose": "score", "candidate": judged[row["about"]]}
                _check_key(
                    path, number, row, _draw_of(asked, judge, specs, files, evidence.labels[corpus], evidence.plan)
                )
                if not row.get("failure"):
                    _check_verdict(path, number, row, parse_score(row["text"]).verdict)


def _draw_of(row: Row, model: str, specs: Row, files: Mapping[str, bytes], labels: tuple[str, ...], plan: Plan) -> Draw:
    text = files[f"config/prompts/{model}/{row['prompt_id']}.txt"].decode("utf-8").rstrip("\n")
    return Draw(
        model=model,
        revision=specs[model]["revision"] or "",
        engine=specs[model]["engine"],
        corpus="",
        utterance_id=row["utterance_id"],
        audio_sha256=row["audio_sha256"],
        audio_path="",
        prompt_id=row["prompt_id"],
        prompt=render(text, labels, row.get("candidate", "")),
        decoding=Decoding(**row["decoding"]),
        plan_seed=plan.seed,
        audio=row["audio"],
        purpose=row.get("purpose", "answer"),
        about=row.get("about", ""),
        labels=labels if row["decoding"]["kind"] == "forced" else (),
    )


def _check_key(path: str, number: int, row: Row, draw: Draw) -> None:
    if row["draw"] != draw.key or row["seed"] != draw.seed:
        raise Broken(
            f"data/{path}: row {number} ({row['utterance_id']}): found draw {row['draw'][:12]}…, its question gives {draw.key[:12]}…; "
            "the answer, its prompt or its model was exchanged"
        )


def _check_verdict(path: str, number: int, row: Row, verdict: str) -> None:
    if row["verdict"] != verdict:
        raise Broken(f"data/{path}: row {number} ({row['utterance_id']}): says {row['verdict']}, its text is {verdict}")


def _cell(row: Row, rows: Mapping[str, Strategy]) -> Cell:
    with _naming("config/cells.jsonl"):
        return Cell(**{**row, "strategy": rows[row["strategy"]]})


def _folder(folder: str, files: Mapping[str, bytes]) -> dict[tuple[str, str], list[Row]]:
    found = {}
    for path in sorted(files):
        if path.startswith(f"{folder}/") and path.endswith(".jsonl.gz"):
            _, model, corpus = path.removesuffix(".jsonl.gz").split("/", 2)
            found[(model, corpus)] = read_lines(path, files)
    return found


def lines(rows: Iterable[Row]) -> bytes:
    """Rows as JSON lines, keys in their own order, UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows).encode(
        "utf-8", "backslashreplace"
    )


def document(value: Any) -> bytes:
    """One JSON document, indented, keys sorted."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def packed(data: bytes) -> bytes:
    """gzip with no time and no name in its header: the same data gives the same bytes (with the same zlib)."""
    return gzip.compress(data, mtime=0)


def read_lines(path: str, files: Mapping[str, bytes]) -> list[Row]:
    """Rows of a JSON-lines file of a bundle, gzipped or not. Raises Broken naming it."""
    with _naming(path):
        data = gzip.decompress(files[path]) if path.endswith(".gz") else files[path]
        # split at "\n" alone: an answer's text may hold any other line separator
        return [json.loads(line) for line in data.decode("utf-8").split("\n") if line]


def _parsed(path: str, files: Mapping[str, bytes], parse: Any) -> Any:
    with _naming(path):
        return parse(files[path].decode("utf-8"))


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turns what goes wrong while reading a file of a bundle into Broken with its name."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OSError, EOFError, yaml.YAMLError) as error:
        raise Broken(f"data/{path}: cannot be used: {type(error).__name__}: {error}; get the bundle again") from error
