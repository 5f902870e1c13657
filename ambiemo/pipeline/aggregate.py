"""The aggregate stage: Ray Data maps over the units (a model and a corpus each), from stored
answers to the bundle's files.

A task reads the answer store and writes next to it, so it runs on the node of the driver, whose disk
that is. What travels is a unit's rows of the tables. The mapped functions are pure and live in
`results`; answers are read one draw at a time.
"""

import gzip
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedWriter
from pathlib import Path
from typing import IO, Any

from ambiemo.bundle.contents import (
    answer_rows,
    answers_path,
    candidate_lines,
    predictions_path,
    score_row,
    scores_path,
)
from ambiemo.draws import Answer, Draw
from ambiemo.durable import refused
from ambiemo.errors import AmbiemoError, BadInput, Broken
from ambiemo.jsonlines import LEVEL, Row, line
from ambiemo.pipeline.index import Index
from ambiemo.pipeline.store import AnswerFile
from ambiemo.plan.expand import Expanded
from ambiemo.plan.sharing import Judge, Question, asking, distinct, judging
from ambiemo.results.study import Study, Unit, study_of
from ambiemo.results.units import Gathered, UnitResult, all_units, unit_result

BUFFER = 1 << 18
"""Bytes that wait to be packed."""


@dataclass(frozen=True)
class Work:
    """What every task is given: the plan as it stands, the answer store's folder, and the folder
    that the files go to.
    """

    expanded: Expanded
    store: Path
    staging: Path


def aggregate(work: Work) -> dict[Unit, UnitResult]:
    """Write every unit's answers, scores and predictions below `work.staging`, and return its rows
    of the tables.

    Raises Broken where the store or the disk refuses; nothing is lost by it, the same command goes
    on.
    """
    import ray

    units = all_units(study_of(work.expanded))
    rows = [{"unit": pickle.dumps(unit)} for unit in units]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Task(work),
        batch_size=1,
        num_cpus=1 if _driver_has_cpus(ray) else 0,
        label_selector={"ray.io/node-id": ray.get_runtime_context().get_node_id()},
    )
    results: dict[Unit, UnitResult] = {}
    try:
        batch: Any
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            for packed in batch.column("result").to_pylist():
                unit, result, error, exit_code = pickle.loads(packed)
                if error:
                    raise (BadInput if exit_code == BadInput.exit_code else Broken)(error)
                results[unit] = result
    except ray.exceptions.RayError as error:
        raise Broken(
            f"strategies: a task ended without its result ({str(error).strip().splitlines()[-1]}); "
            "the answers are kept, run the same command again"
        ) from error
    return results


def _driver_has_cpus(ray: Any) -> bool:
    """A cluster's head often has none: its tasks then ask for none."""
    here = ray.get_runtime_context().get_node_id()
    return any(
        node["NodeID"] == here and node["Resources"].get("CPU", 0) >= 1 for node in ray.nodes()
    )


class _Task:
    """The mapped function: a batch with one unit in, its result out; an error of ours is a result
    too, so that it stays one line.
    """

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, batch: Any) -> Any:
        results = []
        for packed in batch["unit"]:
            unit = pickle.loads(packed)
            try:
                results.append(pickle.dumps((unit, unit_from_store(self.work, unit), "", 0)))
            except AmbiemoError as error:
                results.append(pickle.dumps((unit, None, str(error), error.exit_code)))
        return {"result": results}


def unit_from_store(work: Work, unit: Unit) -> UnitResult:
    """One unit: its stored answers to files of the bundle, to predictions, to rows of the
    tables.
    """
    predicted, result = unit_result(study_of(work.expanded), unit, partial(_gathered, work))
    with written(work.staging / predictions_path(*unit)) as file:
        file.writelines(predicted)
    return result


def _gathered(work: Work, study: Study, unit: Unit) -> dict[str, Gathered]:
    expanded = work.expanded
    labels = study.labels[unit[1]]
    clips = list(distinct(expanded.corpora[unit[1]].utterances))  # every question reads them
    asked = [question for question in study.questions if question.unit == unit]
    gathered = {question.name: Gathered(question, len(labels)) for question in asked}
    judge = study.judges[unit[0]]
    with ExitStack() as stack:
        index = {
            model: AnswerFile(work.store / f"{model}.jsonl").index() for model in {unit[0], judge}
        }
        # two readers even of one file: each keeps the group that it read last
        answers, scores = (
            stored(stack, work.store, model, index[model]) for model in (unit[0], judge)
        )
        for question in asked:
            ask = asking(expanded, question)
            judge_one = judging(expanded, question) if question.judged else None
            with ExitStack() as files:
                answers_out = files.enter_context(written(work.staging / answers_path(question)))
                judged = (
                    files.enter_context(written(work.staging / scores_path(question)))
                    if question.judged
                    else None
                )
                for utterance in clips:
                    draw = ask(utterance)
                    rows, read = answer_rows(draw, answers(draw), labels)
                    answers_out.write(candidate_lines(rows))
                    about = _judged(draw, rows, question, judge_one, scores)
                    if judged:
                        judged.writelines(map(line, about))
                    gathered[question.name].add(rows, [one.distribution for one in read], about)
    return gathered


def stored(stack: ExitStack, folder: Path, model: str, index: Index) -> Callable[[Draw], Answer]:
    """What looks up the stored answer to a draw of one model. Raises Broken for a draw that was
    never made.
    """
    file = stack.enter_context(AnswerFile(folder / f"{model}.jsonl"))

    def answer(draw: Draw) -> Answer:
        place = index.find(draw.key)
        if place is None:
            raise Broken(
                f"{file.path}: no answer of {model} about {draw.utterance_id} (draw {draw.key[:12]}…); "
                "run the same command again, the draw is made then"
            )
        return file.answer(draw.key, place)

    return answer


def _judged(
    draw: Draw,
    rows: Sequence[Row],
    question: Question,
    judge: Judge | None,
    scores: Callable[[Draw], Answer],
) -> list[Row]:
    if judge is None or "failure" in rows[0]:
        return []
    score_rows, texts = [], [row["text"] for row in rows[: question.judged]]
    for index in range(question.judged):
        asked = judge(draw, index, texts)
        score_rows.append(score_row(asked, index, scores(asked), question.judged))
    return score_rows


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A gzip file without time and name, to write; whole once the `with` block has ended. Raises
    Broken where the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as raw:
            packing = gzip.GzipFile(
                filename="", mode="wb", compresslevel=LEVEL, mtime=0, fileobj=raw
            )
            with packing, BufferedWriter(packing, BUFFER) as file:  # type: ignore[type-var]  # a line alone is a slow write
                yield file
            raw.flush()
            os.fsync(raw.fileno())
    except OSError as error:
        raise refused(path, error) from error
