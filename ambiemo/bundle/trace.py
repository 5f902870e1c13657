"""From one number of results.csv back to what it rests on: utterances, predictions, candidates, draws, clips."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ambiemo.bundle.reading import payload, shown
from ambiemo.errors import BadInput

KEYS = ("corpus", "model", "strategy", "control", "level")
TABLE = "tables/results.csv"


@dataclass(frozen=True)
class Source:
    """One candidate: line of the answers' file (from 1), key of its draw, its index, the parser's verdict, its text.

    score and score_draw: what a verifier gave it and under which key, None and "" where none was asked.
    """

    line: int
    draw: str
    index: int
    verdict: str
    text: str
    score: float | None = None
    score_draw: str = ""


@dataclass(frozen=True)
class Step:
    """One utterance behind a number: votes, whose clip was heard (its hash), the prediction, its own value, its candidates.

    value: the column's metric on this utterance alone (infinite where it diverges), None where the metric has none (a failed prediction;
    F1, recall, calibration and explained variance exist for many utterances only).
    """

    utterance_id: str
    speaker: str
    votes: tuple[int, ...]
    audio_sha256: str
    distribution: tuple[float, ...] | None
    failure: str
    value: float | None
    answers: tuple[Source, ...]


@dataclass(frozen=True)
class Trace:
    """A cell of the table, the file its answers are in (a baseline's predictions: it asks nothing), and every utterance behind it."""

    row: dict[str, str]
    column: str
    file: str
    labels: tuple[str, ...]
    steps: tuple[Step, ...]


def trace(files: Mapping[str, bytes], table: str, row: str, column: str) -> Trace:
    """What one number rests on (files by path below `data/`).

    table: "results" (also "results.csv"). row: its line number, the header being 1, or corpus/model/strategy/control/level.
    Raises BadInput for a table, row or column that is not there; Broken for a file that cannot be used.
    """
    from ambiemo.results.evidence import from_files, read_lines
    from ambiemo.results.predictions import BASELINE
    from ambiemo.results.tables import truths_of

    if table.removeprefix("tables/").removesuffix(".csv") != "results":
        raise BadInput(f"table '{table}': cannot be traced; only 'results' can, whose numbers the others are made of")
    said = find_row(files, row)
    if column not in said:
        raise BadInput(f"{TABLE}: column '{column}': not there; there are {', '.join(said)}")
    corpus, model, strategy, control, level = (said[key] for key in KEYS)
    evidence = from_files(files)
    truths = truths_of(evidence, corpus)
    inside = {one for one, own in zip(truths.ids, truths.levels, strict=True) if level in ("all", own)}
    mine = (strategy, control)
    predictions = [
        one
        for one in read_lines(f"predictions/{model}/{corpus}.jsonl.gz", files)
        if (one["strategy"], one["control"]) == mine and one["utterance_id"] in inside
    ]
    utterances = {one.id: one for one in evidence.utterances[corpus]}
    behind = candidates(evidence, corpus, model, strategy, control)
    steps = []
    for one in predictions:
        utterance = utterances[one["utterance_id"]]
        clip, sources = behind.get(utterance.id, ("", ()))
        truth = truths.truth[truths.ids.index(utterance.id)]
        distribution = None if one["distribution"] is None else tuple(one["distribution"])
        value = alone(column, truth, distribution)
        about = (utterance.id, utterance.speaker, tuple(utterance.votes), clip)
        steps.append(Step(*about, distribution, one["failure"], value, tuple(sources)))
    folder = "predictions" if model == BASELINE else "answers"
    return Trace(said, column, f"data/{folder}/{model}/{corpus}.jsonl.gz", evidence.labels[corpus], tuple(steps))


def find_row(files: Mapping[str, bytes], row: str) -> dict[str, str]:
    """The row of results.csv by line number or by its five names."""
    if TABLE not in files:
        raise BadInput(f"data/{TABLE}: not there; `ambiemo verify` says what else is wrong with the bundle")
    rows = list(csv.DictReader(io.StringIO(files[TABLE].decode("utf-8"), newline="")))
    if row.isdecimal():
        if not 2 <= int(row) <= len(rows) + 1:
            raise BadInput(f"{TABLE}: row {row}: not there; rows are lines 2 to {len(rows) + 1}, line 1 is the header")
        return rows[int(row) - 2]
    for one in rows:
        if row == "/".join(one[key] for key in KEYS):
            return one
    example = "/".join(rows[0][key] for key in KEYS) if rows else "corpus/model/strategy/control/level"
    raise BadInput(f"{TABLE}: row '{row}': not there; name a line number or {'/'.join(KEYS)}, such as {example}")


def candidates(
    evidence: Any, corpus: str, model: str, strategy: str, control: str
) -> dict[str, tuple[str, list[Source]]]:
    """By utterance: the clip that was heard and the candidates that the strategy read; {} for a baseline, which hears nothing."""
    from ambiemo.plan.sharing import heard, shared_decoding

    wanted = (corpus, model, strategy, control)
    cells = [cell for cell in evidence.cells if (cell.corpus, cell.model, cell.strategy.name, cell.control) == wanted]
    if not cells:
        return {}
    decoding = shared_decoding(evidence.plan, evidence.cells, cells[0], len(evidence.labels[corpus]))
    audio = "silence" if control == "silence" else "clip"
    question = (cells[0].strategy.prompt, decoding.kind, decoding.count, audio)
    scores = {row["about"]: row for row in evidence.scores.get((model, corpus), ())}
    by_clip: dict[str, list[Source]] = {}
    for line, row in enumerate(evidence.answers.get((model, corpus), ()), start=1):
        asked = (row["prompt_id"], row["decoding"]["kind"], row["decoding"]["count"], row["audio"])
        if (
            asked == question
            and row["index"] is not None
            and row["index"] < (cells[0].strategy.count or decoding.count)
        ):
            judged = scores.get(f"{row['draw']}#{row['index']}", {}) if cells[0].strategy.verified else {}
            score = (judged.get("score"), judged.get("draw", ""))
            source = Source(line, row["draw"], row["index"], row["verdict"], row["text"], *score)
            by_clip.setdefault(row["audio_sha256"], []).append(source)
    clips = {utterance.id: utterance.audio_sha256 for utterance in evidence.utterances[corpus]}
    listens = heard(list(clips), control, evidence.plan.seed, corpus)
    return {one: (clips[other], by_clip.get(clips[other], [])) for one, other in listens.items()}


AVERAGED = {"js_divergence_bits", "js_distance_nats", "bhattacharyya", "r2_pearson", "accuracy", "brier", "kl_nats"}


def alone(column: str, truth: Any, distribution: tuple[float, ...] | None) -> float | None:
    """The column's metric on one utterance; the column's value is the mean of these where the metric is a mean."""
    import numpy as np

    from ambiemo.metrics import evaluate
    from ambiemo.results.tables import UNIFORM_FOR_FAILED

    name = column.removesuffix("_low").removesuffix("_high")
    if name == UNIFORM_FOR_FAILED:
        name, distribution = "js_divergence_bits", distribution or (1.0,) * len(truth)
    if name not in AVERAGED or distribution is None:
        return None
    shares = np.array(distribution)
    value = evaluate(truth[None], (shares / shares.sum())[None])[name]
    return None if math.isnan(value) else value


def show(bundle: Path, table: str, row: str, column: str, as_json: bool) -> None:
    """Print the trace of one number of a bundle's folder."""
    found = trace(payload(bundle), table, row, column)
    if as_json:
        print(json.dumps(as_json_object(found), indent=1, ensure_ascii=False, allow_nan=False))
        return
    for line in as_lines(found):
        print(line)


def as_json_object(found: Trace) -> dict[str, Any]:
    """The trace as JSON has it, which knows no infinite number: "inf" instead, as in the tables."""
    told = asdict(found)
    for step in told["steps"]:
        if step["value"] == math.inf:
            step["value"] = "inf"
    return told


def as_lines(found: Trace) -> Iterator[str]:
    """The trace for people: the number, then a block an utterance."""
    where = "/".join(found.row[key] for key in KEYS)
    yield f"{found.column} = {found.row[found.column] or 'not estimable'}   {where}"
    origin = "predictions, made from the votes," if found.row["model"] == "baselines" else "answers"
    yield f"{len(found.steps)} utterances; labels {', '.join(found.labels)}; {origin} in {found.file}"
    for step in found.steps:
        value = "" if step.value is None else f"   {found.column} {step.value:.6f}"
        yield f"\n{shown(step.utterance_id)}   votes {list(step.votes)}   clip {step.audio_sha256[:16] or 'none'}{value}"
        said = "failed: " + step.failure if step.distribution is None else list(step.distribution)
        yield f"  prediction {said}"
        for source in step.answers:
            name = f"line {source.line} draw {source.draw[:16]} #{source.index} {source.verdict}"
            name += f" score {source.score} by draw {source.score_draw[:16]}" if source.score_draw else ""
            yield f"  {name}: {shown(source.text)}"
