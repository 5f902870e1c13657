"""What the results rest on, in memory and as the files of a bundle: utterances with their votes, cells, answers and scores.

`to_files` and `from_files` are each other's inverse, so what `verify` recomputes is what the run computed.
"""

import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from ambiemo.corpora.utterances import LoadedCorpus, Utterance
from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.errors import Broken
from ambiemo.models import ModelSpec, render
from ambiemo.models.parsing import parse_candidate, parse_score
from ambiemo.plan.expand import Cell, Expanded, laid_out
from ambiemo.plan.schema import Plan, check
from ambiemo.plan.sharing import draw_sets, judged_candidates
from ambiemo.strategies import Strategy

Row = dict[str, Any]
LOG_OF_ONE = 1e-6
"""The largest sum of log-probabilities: 0, and what rounding may add."""
PRIVATE = ("base_url", "journal")
"""Options of a model's engine that name a place of one machine."""


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
    plan = portable(evidence.plan)
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


def portable(plan: Plan) -> dict[str, Any]:
    """A plan as a bundle shows it: without what tells of one machine (folders by their own path, servers, journals) and changes no answer."""
    told = plan.model_dump(mode="json")
    for entry in (*told["models"], told["verifier"]):
        entry["options"] = {name: value for name, value in entry["options"].items() if name not in PRIVATE}
    for entry in told["corpora"]:
        entry["root"] = entry["root"] if entry["root"].startswith("${") else ""
    return told


def _utterance_row(utterance: Utterance) -> Row:
    return {name: value for name, value in asdict(utterance).items() if name != "audio_path"}


def from_files(files: Mapping[str, bytes]) -> Evidence:
    """The evidence from a bundle's files (paths below `data/`). Raises Broken naming the file that cannot be used."""
    plan = check(_parsed("config/plan.yaml", files, yaml.safe_load), "config/plan.yaml")
    rows = {entry.name: entry.row() for entry in plan.strategies}
    labels = _parsed("inputs/labels.json", files, strict)
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
        judges=_parsed("inputs/judges.json", files, strict),
        vote_units=_parsed("inputs/vote_units.json", files, strict),
    )


def check_rows(evidence: Evidence, files: Mapping[str, bytes]) -> None:
    """Is everything there that the plan asks for, once, and does every answer lie under the key of its own question?

    The key is made again from the model's revision, the clip's hash, the prompt's text, decoding and seed: an answer that was moved, or
    whose prompt was changed, no longer fits; nor does one whose verdict or score its text does not give. Cells are those of the plan, draws
    those of the ready cells, utterances as many as the corpus is said to have. Raises Broken naming file and row.
    """
    for path in files:
        if path.endswith(".json"):
            _parsed(path, files, strict)
        elif path.endswith((".jsonl", ".jsonl.gz")) and not path.startswith("predictions/"):  # those are made again
            read_lines(path, files)
    specs, run = (_parsed(path, files, strict) for path in ("inputs/models.json", "config/run.json"))
    with _naming("config/cells.jsonl"):
        _check_cells(evidence, specs, run)
    with _naming("inputs/utterances.jsonl"):
        _check_utterances(evidence, _parsed("inputs/corpora.json", files, strict), run)
    owners = {corpus: {(one.id, one.audio_sha256) for one in all_of} for corpus, all_of in evidence.utterances.items()}
    for (model, corpus), rows in evidence.answers.items():
        path, labels = f"answers/{model}/{corpus}.jsonl.gz", evidence.labels[corpus]
        with _naming(path):
            for number, row in enumerate(rows, 1):
                _check_key(path, number, row, _draw_of(row, model, specs, files, labels, evidence.plan))
                _check_clip(path, number, row, owners[corpus])
                if not row.get("failure"):
                    parsed = parse_candidate(row["text"], labels, row["decoding"]["kind"])
                    _check_told(path, number, row, {"verdict": parsed.verdict})
    for (model, corpus), rows in evidence.scores.items():
        path, judge = f"scores/{model}/{corpus}.jsonl.gz", evidence.judges[model]
        answers = evidence.answers.get((model, corpus), [])
        judged = {f"{row['draw']}#{row['index']}": row.get("text", "") for row in answers}
        with _naming(path):
            for number, row in enumerate(rows, 1):
                if row["about"] not in judged:
                    raise _row(path, number, row, f"found a score of {row['about'][:12]}…, expected a candidate")
                asked = {**row, "prompt_id": "verifier", "purpose": "score", "candidate": judged[row["about"]]}
                _check_key(
                    path, number, row, _draw_of(asked, judge, specs, files, evidence.labels[corpus], evidence.plan)
                )
                _check_clip(path, number, row, owners[corpus])
                if not row.get("failure"):
                    scored = parse_score(row["text"])
                    _check_told(path, number, row, {"verdict": scored.verdict, "score": scored.score})
    _check_draws(evidence)


def _check_cells(evidence: Evidence, specs: Row, run: Row) -> None:
    """The cells are those that `expand` lays out, skipped where it skips: for what the model cannot do, or what run.json says was missing."""
    plan, path = evidence.plan, "config/cells.jsonl"
    able = {
        name: ModelSpec.model_construct(engines=(spec["engine"],), capabilities=frozenset(spec["capabilities"]))
        for name, spec in specs.items()
    }
    without = {(item["kind"], item["id"]) for item in run["missing"]}
    planned = {_name(cell): cell for cell in laid_out(Expanded(plan, able, {}, (), ()), without)}
    wanted = dict(planned)
    known = [{e.id for e in plan.models}, {e.id for e in plan.corpora}, {e.name for e in plan.strategies}]
    for number, cell in enumerate(evidence.cells, 1):
        name, where = _name(cell), f"data/{path}: row {number} ({' '.join(_name(cell))})"
        if name in wanted:
            expected = wanted.pop(name)
            if bool(cell.skipped) != bool(expected.skipped):
                told = [one.skipped or "a cell that is filled" for one in (cell, expected)]
                raise Broken(f"{where}: key skipped: found {told[0]!r}, expected {told[1]!r}")
        elif name in planned:
            raise Broken(f"{where}: found the cell twice, expected once")
        elif not cell.skipped or any(part not in names for part, names in zip(name, known, strict=False)):
            raise Broken(f"{where}: found a cell that config/plan.yaml does not ask for, expected none")
    for name in wanted:
        raise Broken(f"data/{path}: found no row for {' '.join(name)}, expected one, as config/plan.yaml asks for it")


def _name(cell: Cell) -> tuple[str, str, str, str]:
    return (cell.model, cell.corpus, cell.strategy.name, cell.control)


def _check_utterances(evidence: Evidence, described: Row, run: Row) -> None:
    """Every corpus that was not missing is there, its ids differ, and they are as many as plan, run and loader say."""
    path = "data/inputs/utterances.jsonl"
    missing = {item["id"] for item in run["missing"] if item["kind"] == "corpus"}
    corpora = {entry.id: entry for entry in evidence.plan.corpora if entry.id not in missing}
    for where, found in (("inputs/labels.json", set(evidence.labels)), ("inputs/corpora.json", set(described))):
        if found != set(corpora):
            raise Broken(f"data/{where}: found corpora {sorted(found)}, expected {sorted(corpora)}")
    for name, entry in corpora.items():
        ids, counts = [one.id for one in evidence.utterances[name]], described[name]["counts"]
        twins = sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []
        if twins:
            raise Broken(f"{path}: corpus {name}: found id {twins[0]} more than once, expected once")
        whole = counts.get("utterances", entry.expect)
        if entry.expect is not None and whole != entry.expect:
            raise Broken(
                f"data/inputs/corpora.json: corpus {name}: found {whole} utterances, expected {entry.expect} (config/plan.yaml)"
            )
        told = [whole - counts.get("no_vote_in_label_set", 0)] if whole is not None else []
        told += [limit for limit in (entry.limit, run["limit"]) if limit is not None]
        if told and (len(ids) > min(told) or (whole is not None and len(ids) < min(told))):
            raise Broken(
                f"{path}: corpus {name}: found {len(ids)} utterances, expected {min(told)} (expect, limit and counts of "
                "config/plan.yaml, config/run.json, inputs/corpora.json)"
            )


def _check_draws(evidence: Evidence) -> None:
    """Every question of a ready cell was asked about every clip and answered once, every candidate to be judged has one score."""
    corpora = {name: LoadedCorpus(name, evidence.labels[name], all_of) for name, all_of in evidence.utterances.items()}
    stands = Expanded(evidence.plan, {}, corpora, evidence.cells, ())
    asked: dict[tuple[str, str], dict[tuple, int]] = {}
    for one in draw_sets(stands):
        question = (one.prompt_id, one.decoding, one.audio)
        asked.setdefault((one.model, one.corpus), {})[question] = judged_candidates(stands, one)
    for model, corpus in sorted({*asked, *evidence.answers, *evidence.scores}):
        path, questions = f"answers/{model}/{corpus}.jsonl.gz", asked.get((model, corpus), {})
        with _naming(path):
            told = evidence.answers.get((model, corpus), [])
            judged = _check_candidates(path, told, questions, {u.audio_sha256 for u in evidence.utterances[corpus]})
        path = f"scores/{model}/{corpus}.jsonl.gz"
        with _naming(path):
            for number, row in enumerate(evidence.scores.get((model, corpus), []), 1):
                if row["about"] not in judged:
                    raise _row(path, number, row, f"found a score of {row['about']} that no cell asks for, or twice")
                judged.remove(row["about"])
            for about in sorted(judged):
                raise Broken(f"data/{path}: found no row about {about}, expected one")


def _check_candidates(path: str, rows: list[Row], questions: Mapping[tuple, int], clips: set[str]) -> set[str]:
    """Raises Broken unless each question has, for each clip, one failure or candidates 0 to count - 1; returns the ones to be judged."""
    draws: dict[tuple, list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows, 1):
        question = (row["prompt_id"], Decoding(**row["decoding"]), row["audio"])
        if question not in questions:
            raise _row(path, number, row, f"found an answer to {_said(question)}, which no cell that is filled asks")
        draws.setdefault((question, row["audio_sha256"]), []).append((number, row))
    judged = set()
    for (question, _), told in draws.items():
        number, first = told[0]
        found = [row["index"] for _, row in told]
        failed, expected = bool(first.get("failure")), list(range(question[1].count))
        if found != [None] if failed else found != expected:
            raise _row(
                path, number, first, f"found candidates {found} of its draw, expected {[None] if failed else expected}"
            )
        judged |= {f"{row['draw']}#{row['index']}" for _, row in told[: questions[question]] if not failed}
    for question in questions:
        for clip in sorted(clips):
            if (question, clip) not in draws:
                raise Broken(f"data/{path}: found no answer to {_said(question)} about clip {clip[:12]}…, expected one")
    return judged


def _said(question: tuple) -> str:
    return " ".join(map(str, question))


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


def _row(path: str, number: int, row: Row, what: str) -> Broken:
    return Broken(f"data/{path}: row {number} ({row['utterance_id']}): {what}")


def _check_key(path: str, number: int, row: Row, draw: Draw) -> None:
    for key, expected in (("draw", draw.key), ("seed", draw.seed), ("prompt_sha256", draw.prompt_sha256)):
        if row[key] != expected:
            raise _row(
                path,
                number,
                row,
                f"found {key} {str(row[key])[:12]}…, its question gives {str(expected)[:12]}…; "
                "the answer, its prompt or its model was exchanged",
            )


def _check_clip(path: str, number: int, row: Row, owners: set[tuple[str, str]]) -> None:
    if (row["utterance_id"], row["audio_sha256"]) not in owners:
        clip = row["audio_sha256"][:12]
        raise _row(
            path, number, row, f"found clip {clip}…, expected one that inputs/utterances.jsonl gives this utterance"
        )


def _check_told(path: str, number: int, row: Row, expected: Row) -> None:
    for key, value in expected.items():
        if row[key] != value:
            raise _row(path, number, row, f"key {key}: found {row[key]!r}, expected {value!r} by its text")
    sure = row["log_likelihood"]
    if sure is not None and (type(sure) not in (int, float) or not math.isfinite(sure) or sure > LOG_OF_ONE):
        raise _row(path, number, row, f"key log_likelihood: found {sure!r}, expected null or a number up to 0")


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
        return [strict(line) for line in data.decode("utf-8").split("\n") if line]


def strict(text: str) -> Any:
    """A JSON value. Raises ValueError for what JSON lacks or readers take differently: NaN, Infinity, a key twice in one object."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)


def _once(pairs: list[tuple[str, Any]]) -> Row:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"found key {next(key for key in keys if keys.count(key) > 1)!r} twice, expected once")
    return made


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"found the number {text}, expected a finite one")
    return value


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
