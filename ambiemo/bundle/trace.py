"""From one number of results.csv back to what it rests on: utterances, predictions, candidates,
draws, clips.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambiemo import terminal
from ambiemo.bundle.folder import payload
from ambiemo.errors import BadInput, nearest, shown

if TYPE_CHECKING:
    from ambiemo.results.study import Study

KEYS = ("corpus", "model", "strategy", "control", "level")
TABLE = "tables/results.csv"
LONGEST_LINE = 2000


@dataclass(frozen=True)
class Source:
    """One candidate: line of the answers' file (from 1), key of its draw, its index, the parser's
    verdict, its text.

    score and score_draw: what a verifier gave it and under which key, None and "" where none was
    asked.
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
    """One utterance behind a number: votes, whose clip was heard (its hash), the prediction, its
    own value, its candidates.

    value: the column's metric on this utterance alone (infinite where it diverges), None where the
    metric has none (a failed prediction; F1, recall, calibration and explained variance exist for
    many utterances only).
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
    """A cell of the table, the file its answers are in (a baseline's predictions: it asks nothing),
    and every utterance behind it.
    """

    row: dict[str, str]
    column: str
    file: str
    labels: tuple[str, ...]
    steps: tuple[Step, ...]


def trace(files: Mapping[str, bytes], table: str, row: str, column: str) -> Trace:
    """What one number rests on (files by path below `data/`).

    table: "results" (also "results.csv"). row: its line number, the header being 1, or
    corpus/model/strategy/control/level. Raises BadInput for a table, row or column that is not
    there; Broken for a file that cannot be used.
    """
    from ambiemo.bundle.contents import naming, predictions_path, read_rows, study_from
    from ambiemo.results.predictions import BASELINE
    from ambiemo.results.truths import truths_of

    if table.removeprefix("tables/").removesuffix(".csv") != "results":
        raise BadInput(
            f"table '{table}': cannot be traced; only 'results' can, whose numbers the others are made of"
        )
    cells = find_row(files, row)
    if column not in cells:
        raise BadInput(f"{TABLE}: column '{column}': not there; {nearest(column, cells)}")
    corpus, model, strategy, control, level = (cells[key] for key in KEYS)
    study = study_from(files)
    truths = truths_of(study, corpus)
    inside = {
        one for one, own in zip(truths.ids, truths.levels, strict=True) if level in ("all", own)
    }
    path = predictions_path(model, corpus)
    place = {one: index for index, one in enumerate(truths.ids)}
    file, behind = candidates(study, files, corpus, model, strategy, control)
    steps = []
    with naming(path):
        for one in read_rows(path, files):
            utterance = one["utterance_id"]
            if (one["strategy"], one["control"]) != (strategy, control) or utterance not in inside:
                continue
            at = place[utterance]
            clip = truths.clips[place[one["clip_of"]]] if one["clip_of"] else ""
            distribution = None if one["distribution"] is None else tuple(one["distribution"])
            steps.append(
                Step(
                    utterance,
                    truths.speakers[at],
                    tuple(int(vote) for vote in truths.votes[at]),
                    clip,
                    distribution,
                    one["failure"],
                    alone(column, truths.truth[at], distribution),
                    tuple(behind.get(clip, ())),
                )
            )
    return Trace(
        cells,
        column,
        f"data/{path if model == BASELINE else file}",
        study.labels[corpus],
        tuple(steps),
    )


def find_row(files: Mapping[str, bytes], row: str) -> dict[str, str]:
    """The row of results.csv by line number or by its five names."""
    if TABLE not in files:
        raise BadInput(
            f"data/{TABLE}: not there; `ambiemo verify` says what else is wrong with the bundle"
        )
    rows = list(csv.DictReader(io.StringIO(files[TABLE].decode("utf-8"), newline="")))
    if row.isdecimal():
        if not 2 <= int(row) <= len(rows) + 1:
            raise BadInput(
                f"{TABLE}: row {row}: not there; rows are lines 2 to {len(rows) + 1}, line 1 is the header"
            )
        return rows[int(row) - 2]
    for one in rows:
        if row == "/".join(one[key] for key in KEYS):
            return one
    example = (
        "/".join(rows[0][key] for key in KEYS) if rows else "corpus/model/strategy/control/level"
    )
    raise BadInput(
        f"{TABLE}: row '{row}': not there; name a line number or {'/'.join(KEYS)}, such as {example}"
    )


def candidates(
    study: "Study", files: Mapping[str, bytes], corpus: str, model: str, strategy: str, control: str
) -> tuple[str, dict[str, list[Source]]]:
    """The file of the answers that the strategy read, and by clip the candidates it used; nothing
    for a baseline.
    """
    from ambiemo.bundle.contents import answers_path, naming, read_rows, scores_path

    name = study.question_of.get((model, corpus, strategy, control))
    if name is None:
        return "", {}
    question = next(
        one for one in study.questions if (one.unit, one.name) == ((model, corpus), name)
    )
    row = next(one.row() for one in study.plan.strategies if one.name == strategy)
    path, judged = answers_path(question), {}
    if row.verified:
        with naming(scores_path(question)):
            for one in read_rows(scores_path(question), files):
                judged[(one["utterance_id"], one["index"])] = (one.get("score"), one["draw"])
    by_clip: dict[str, list[Source]] = {}
    with naming(path):
        for line, one in enumerate(read_rows(path, files), 1):
            own = by_clip.setdefault(one["audio_sha256"], [])
            if one["index"] is None or (row.count and one["index"] >= row.count):
                continue
            score = judged.get((one["utterance_id"], one["index"]), (None, ""))
            own.append(Source(line, one["draw"], one["index"], one["verdict"], one["text"], *score))
    return path, by_clip


AVERAGED = {
    "js_divergence_bits",
    "js_distance_nats",
    "bhattacharyya",
    "r2_pearson",
    "accuracy",
    "brier",
    "kl_nats",
}


def alone(column: str, truth: Any, distribution: tuple[float, ...] | None) -> float | None:
    """The column's metric on one utterance; the column's value is the mean of these where the
    metric is a mean.
    """
    import numpy as np

    from ambiemo.metrics import evaluate
    from ambiemo.results.tables.results import UNIFORM_FOR_FAILED

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
    result = trace(payload(bundle), table, row, column)
    if as_json:
        terminal.show_json(as_json_object(result))
        return
    for line in as_lines(result):
        terminal.show(*[""] * line.startswith("\n"), shown(line.lstrip("\n"), LONGEST_LINE))


def as_json_object(result: Trace) -> dict[str, Any]:
    """The trace as JSON values. JSON has no infinite number: "inf" instead, as in the tables."""
    values = asdict(result)
    for step in values["steps"]:
        if step["value"] == math.inf:
            step["value"] = "inf"
    return values


def as_lines(result: Trace) -> Iterator[str]:
    """The trace for people: the number, then one block per utterance."""
    where = "/".join(result.row[key] for key in KEYS)
    yield f"{result.column} = {result.row[result.column] or 'not estimable'}   {where}"
    origin = (
        "predictions, made from the votes," if result.row["model"] == "baselines" else "answers"
    )
    yield f"{len(result.steps)} utterances; labels {', '.join(result.labels)}; {origin} in {result.file}"
    for step in result.steps:
        value = "" if step.value is None else f"   {result.column} {step.value:.6f}"
        yield f"\n{shown(step.utterance_id)}   votes {list(step.votes)}   clip {step.audio_sha256[:16] or 'none'}{value}"
        prediction = (
            "failed: " + step.failure if step.distribution is None else list(step.distribution)
        )
        yield f"  prediction {prediction}"
        for source in step.answers:
            name = f"line {source.line} draw {source.draw[:16]} #{source.index} {source.verdict}"
            name += (
                f" score {source.score} by draw {source.score_draw[:16]}"
                if source.score_draw
                else ""
            )
            yield f"  {name}: {shown(source.text)}"
