"""The aggregate stage: Ray Data maps over the units (a model and a corpus each), from stored
answers to the bundle's files.

A task reads the answer store and writes next to it, so it runs on the node of the driver, whose disk
that is. What travels is a unit's rows of the tables, and the few predictions that claims look at;
one more task joins those of all units. So the driver is given the tables alone, and holds no more
for many models than for one. The mapped functions are pure and live in `results`; answers are read
some draws at a time.
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
from ambiemo.bundle.recomputing import assembled
from ambiemo.draws import Answer, Draw
from ambiemo.durable import refused
from ambiemo.errors import AmbiemoError, BadInput, Broken
from ambiemo.jsonlines import LEVEL, Row, line
from ambiemo.pipeline.index import Index
from ambiemo.pipeline.store import AnswerFile
from ambiemo.plan.expand import Expanded
from ambiemo.plan.sharing import Judge, Question, asking, distinct, judging
from ambiemo.results.claims.deciding import Run
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


CLIPS = 256
"""Clips whose draws are looked up in the store together."""


def aggregate(work: Work, run: Run) -> dict[str, bytes]:
    """Write every unit's answers, scores and predictions below `work.staging`, and return the
    tables of all units, by path below `data/`. run: what of it decides what claims may say.

    Raises Broken where the store or the disk refuses; nothing is lost by it, the same command goes
    on.
    """
    import ray

    units = all_units(study_of(work.expanded))
    rows = [{"unit": pickle.dumps(unit)} for unit in units]
    here: dict[str, Any] = {
        "num_cpus": 1 if _driver_has_cpus(ray) else 0,
        "label_selector": {"ray.io/node-id": ray.get_runtime_context().get_node_id()},
    }
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Task(work),
        batch_size=1,
        **here,
    )
    try:
        joined = ray.remote(_joined).options(**here)
        tables, why, exit_code = ray.get(joined.remote(work, run, *dataset.to_arrow_refs()))
    except ray.exceptions.RayError as error:
        raise Broken(
            f"strategies: a task ended without its result ({str(error).strip().splitlines()[-1]}); "
            "the answers are kept, run the same command again"
        ) from error
    if why:
        raise (BadInput if exit_code == BadInput.exit_code else Broken)(why)
    return tables


def _joined(work: Work, run: Run, *blocks: Any) -> tuple[dict[str, bytes], str, int]:
    """The task that makes the tables of what `_Task` gave; an error of ours, and its exit code, in
    their place.
    """
    results: dict[Unit, UnitResult] = {}
    for block in blocks:
        for packed in block.column("result"):
            unit, result, error, exit_code = pickle.loads(packed.as_py())
            if error:
                return {}, error, exit_code
            results[unit] = result
    try:
        return assembled(study_of(work.expanded), results, run), "", 0
    except AmbiemoError as error:
        return {}, str(error), error.exit_code


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
                for start in range(0, len(clips), CLIPS):
                    draws = [ask(one) for one in clips[start : start + CLIPS]]
                    read = [
                        answer_rows(draw, answer, labels)
                        for draw, answer in zip(draws, answers(draws), strict=True)
                    ]
                    about = _judged(draws, [rows for rows, _ in read], question, judge_one, scores)
                    for (rows, parsed), scored in zip(read, about, strict=True):
                        answers_out.write(candidate_lines(rows))
                        if judged:
                            judged.writelines(map(line, scored))
                        gathered[question.name].add(
                            rows, [one.distribution for one in parsed], scored
                        )
    return gathered


Look = Callable[[Sequence[Draw]], Iterator[Answer]]
"""The stored answers to some draws, in their order."""


def stored(stack: ExitStack, folder: Path, model: str, index: Index) -> Look:
    """What looks up the stored answers to draws of one model. Raises Broken for a draw that was
    never made.
    """
    file = stack.enter_context(AnswerFile(folder / f"{model}.jsonl"))

    def answers(draws: Sequence[Draw]) -> Iterator[Answer]:
        keys = [draw.key for draw in draws]
        for draw, place in zip(draws, index.of(keys).tolist(), strict=True):
            if place < 0:
                raise Broken(
                    f"{file.path}: no answer of {model} about {draw.utterance_id} (draw {draw.key[:12]}…); "
                    "run the same command again, the draw is made then"
                )
            yield file.answer(draw.key, place)

    return answers


def _judged(
    draws: Sequence[Draw],
    answered: Sequence[Sequence[Row]],
    question: Question,
    judge: Judge | None,
    scores: Look,
) -> list[list[Row]]:
    """The rows of the scores of each draw's candidates; none for a draw that failed.

    answered: the rows of the draws' answers.
    """
    if judge is None:
        return [[] for _ in draws]
    asked: list[list[Draw]] = []
    for draw, rows in zip(draws, answered, strict=True):
        count = 0 if "failure" in rows[0] else question.judged
        texts = [row["text"] for row in rows[:count]]
        asked.append([judge(draw, index, texts) for index in range(count)])
    scored = scores([one for some in asked for one in some])
    return [
        [score_row(one, index, next(scored), question.judged) for index, one in enumerate(some)]
        for some in asked
    ]


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
