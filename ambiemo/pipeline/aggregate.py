"""The aggregate stage: Ray Data maps over the units (a model and a corpus each), from stored
answers to the bundle's files.

A task reads the answer store and writes next to it, so it runs on the node of the driver, whose disk
that is. A unit's rows of the tables, and the few predictions that claims look at, wait in a file
there; one more task joins those of all units. So the driver is given the tables and no predictions.
The mapped functions are pure and live in `results`; answers are read some draws at a time.
"""

import gzip
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedWriter
from itertools import islice
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
from ambiemo.durable import refused, write
from ambiemo.errors import AmbiemoError, BadInput, Broken
from ambiemo.jsonlines import LEVEL, Row, line
from ambiemo.models.parsing import Parsed
from ambiemo.pipeline.index import Index
from ambiemo.pipeline.store import AnswerFile
from ambiemo.plan.expand import Expanded
from ambiemo.plan.sharing import Judge, Question, asking, distinct, judging
from ambiemo.results.claims.deciding import Run
from ambiemo.results.study import Study, Unit, study_of
from ambiemo.results.units import Gathered, UnitResult, all_units, unit_result

BUFFER = 1 << 18
"""Bytes that wait to be packed."""
CLIPS = 256
"""Clips whose draws are looked up in the store together."""


Look = Callable[[Sequence[Draw]], Iterator[Answer]]
"""The stored answers to some draws, in their order."""


@dataclass(frozen=True)
class Work:
    """What every task is given: the plan as it stands, the answer store's folder, and the folder
    that the files go to.
    """

    expanded: Expanded
    store: Path
    staging: Path


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
        batch: Any
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                _raise(**row)
    except ray.exceptions.RayError as error:
        raise _lost(error) from error
    try:
        tables, why, exit_code = ray.get(ray.remote(_tables).options(**here).remote(work, run))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error  # a fault of ours, as if it were made here
    except ray.exceptions.RayError as error:
        raise _lost(error) from error
    _raise(why, exit_code)
    return tables


def _raise(why: str, exit_code: int) -> None:
    """Raise what a task said; exit code 0 is no error."""
    if exit_code:
        raise (BadInput if exit_code == BadInput.exit_code else Broken)(why)


def _lost(error: Exception) -> Broken:
    return Broken(
        f"strategies: a task ended without its result ({str(error).strip().splitlines()[-1]}); "
        "the answers are kept, run the same command again"
    )


def _tables(work: Work, run: Run) -> tuple[dict[str, bytes], str, int]:
    """The task that makes the tables of what `_Task` left; an error of ours, and its exit code, in
    their place.
    """
    study = study_of(work.expanded)
    try:
        results = {unit: pickle.loads(_place(work, unit).read_bytes()) for unit in all_units(study)}
        return assembled(study, results, run), "", 0
    except OSError as error:
        why = f"{work.staging}: cannot read: {error.strerror}; run the same command again"
        return {}, why, Broken.exit_code
    except AmbiemoError as error:
        return {}, str(error), error.exit_code


def _place(work: Work, unit: Unit) -> Path:
    """Where a unit's result waits for the others', on this machine and for this run only."""
    model, corpus = unit
    return work.staging / "results" / model / f"{corpus}.pickle"


def _driver_has_cpus(ray: Any) -> bool:
    """A cluster's head often has none: its tasks then ask for none."""
    here = ray.get_runtime_context().get_node_id()
    return any(
        node["NodeID"] == here and node["Resources"].get("CPU", 0) >= 1 for node in ray.nodes()
    )


class _Task:
    """The mapped function: a batch with one unit in; its result goes to a file. What comes out is an
    error of ours, so that it stays one line, and its exit code; 0 if there was none.
    """

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, batch: Any) -> Any:
        outcome: dict[str, list[Any]] = {"why": [], "exit_code": []}
        for packed in batch["unit"]:
            unit, why, code = pickle.loads(packed), "", 0
            try:
                result = unit_from_store(self.work, unit)
                write(_place(self.work, unit), pickle.dumps(result))
            except AmbiemoError as error:
                why, code = str(error), error.exit_code
            outcome["why"].append(why)
            outcome["exit_code"].append(code)
        return outcome


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
            draws = map(asking(expanded, question), clips)
            judge_one = judging(expanded, question) if question.judged else None
            with ExitStack() as files:
                answers_out = files.enter_context(written(work.staging / answers_path(question)))
                judged = (
                    files.enter_context(written(work.staging / scores_path(question)))
                    if question.judged
                    else None
                )
                for rows, read, about in _read(draws, labels, question, judge_one, answers, scores):
                    answers_out.write(candidate_lines(rows))
                    if judged:
                        judged.writelines(map(line, about))
                    gathered[question.name].add(rows, [one.distribution for one in read], about)
    return gathered


def _read(
    draws: Iterator[Draw],
    labels: Sequence[str],
    question: Question,
    judge: Judge | None,
    answers: Look,
    scores: Look,
) -> Iterator[tuple[list[Row], list[Parsed], list[Row]]]:
    """Draw by draw: the rows of its answer, how each candidate was read, the rows of its scores."""
    while some := list(islice(draws, CLIPS)):
        read = [
            answer_rows(draw, answer, labels)
            for draw, answer in zip(some, answers(some), strict=True)
        ]
        judged = _judged(some, [rows for rows, _ in read], question, judge, scores)
        for (rows, parsed), about in zip(read, judged, strict=True):
            yield rows, parsed, about


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

    answered: the rows of the draws' answers. All scores are looked up together.
    """
    if judge is None:
        return [[] for _ in draws]
    asked: list[list[Draw]] = []
    for draw, rows in zip(draws, answered, strict=True):
        count = 0 if "failure" in rows[0] else question.judged
        texts = [row["text"] for row in rows[:count]]
        asked.append([judge(draw, index, texts) for index in range(count)])
    stored_scores = scores([one for some in asked for one in some])
    return [
        [
            score_row(one, index, next(stored_scores), question.judged)
            for index, one in enumerate(some)
        ]
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
