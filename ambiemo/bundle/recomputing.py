"""Predictions and tables again, from a bundle's answers alone: what `verify` compares and `ambiemo tables` prints.

The units (a model and a corpus each) are independent, so they are worked on in several processes.
"""

import csv
import io
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from ambiemo.bundle import layout
from ambiemo.bundle.complete import check_inputs, read_unit
from ambiemo.bundle.contents import check_format, naming, predictions_path, study_from
from ambiemo.bundle.difference import Difference, first_of_lines
from ambiemo.bundle.evidence import check_evidence
from ambiemo.bundle.folder import Files, opened
from ambiemo.errors import Broken
from ambiemo.jsonlines import GZIP_ERRORS, line
from ambiemo.results.predictions import BASELINE, Column, prediction_rows
from ambiemo.results.rendering import markdown
from ambiemo.results.study import Study, Unit
from ambiemo.results.tables import as_csv, cell_rows, level_rows
from ambiemo.results.truths import Truths, truths_of
from ambiemo.results.units import Failure, UnitResult, all_units, baseline_result, unit_result

MOST_PROCESSES = 8
"""Each holds the columns of one unit: some hundred MB for a large corpus."""
FAILURES = "log/failures.csv"


def recompute(files: Mapping[str, bytes]) -> dict[str, bytes | Difference | None]:
    """Everything in a bundle that follows from the rest, by path below `data/`.

    Tables and failures as bytes. Of a predictions file, which may be large, the first difference to the bundle's own, None
    if there is none. Raises OtherFormat for a bundle of another layout, Broken naming the file that cannot be used.
    """
    check_format(files)
    layout.check(files)
    study = study_from(files)
    check_inputs(study, files)
    check_evidence(study, files)
    results, made = {}, {}
    for unit, result, difference in _worked(files, study, True):
        results[unit], made[predictions_path(*unit)] = result, difference
    return {**assembled(study, results), **made}


def tables_again(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The tables of a bundle from its answers, by path below `data/`; its own tables and predictions are not looked at."""
    study = study_from(files)
    check_inputs(study, files)
    return assembled(study, {unit: result for unit, result, _ in _worked(files, study, False)})


def _worked(
    files: Mapping[str, bytes], study: Study, compare: bool
) -> Iterator[tuple[Unit, UnitResult, Difference | None]]:
    units = all_units(study)
    work = partial(work_on, files, study, compare)
    processes = min(os.cpu_count() or 1, sum(unit[0] != BASELINE for unit in units), MOST_PROCESSES)
    if processes < 2 or not isinstance(files, Files):
        yield from map(work, units)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(work, units)
        except BrokenProcessPool as error:
            raise Broken(
                "data: a process of the recomputation was ended from outside; it may have had too little memory: "
                f"{processes} processes work at once"
            ) from error


def work_on(files: Mapping[str, bytes], study: Study, compare: bool, unit: Unit) -> tuple[Unit, UnitResult, Difference | None]:
    """One unit from its answers to its rows, and where the bundle's predictions first differ from ours."""
    model, corpus = unit
    if model == BASELINE:
        columns, result = baseline_result(study, corpus)
    else:
        columns, result = unit_result(study, unit, read_unit(study, unit, files))
    path = predictions_path(model, corpus)
    return unit, result, _difference(files, path, truths_of(study, corpus), columns) if compare else None


def _difference(files: Mapping[str, bytes], path: str, truths: Truths, columns: Sequence[Column]) -> Difference | None:
    expected = map(line, prediction_rows(truths, columns))
    if path not in files:
        return Difference("the whole file", "no such file", "a file, as the answers give one")
    with naming(path), opened(files, path) as found:
        try:
            return first_of_lines(found, expected)
        except GZIP_ERRORS as error:
            return Difference("the whole file", f"no readable gzip file ({error})", "a gzip file")


def assembled(study: Study, results: Mapping[Unit, UnitResult]) -> dict[str, bytes]:
    """The tables and the list of failures, from every unit's rows."""
    ordered = [results[unit].rows for unit in all_units(study)]
    rows = {name: [row for one in ordered for row in getattr(one, name)] for name in ("results", "paired", "heard", "draws")}
    rows["draws"].sort(key=lambda row: [row[name] for name in ("corpus", "model", "purpose", "prompt", "decoding", "audio")])
    cells = cell_rows(study)
    truths = {corpus: truths_of(study, corpus) for corpus in sorted(study.utterances)}
    return {
        "tables/results.csv": as_csv(rows["results"]),
        "tables/paired.csv": as_csv(rows["paired"]),
        **({"tables/heard.csv": as_csv(rows["heard"])} if rows["heard"] else {}),
        "tables/draws.csv": as_csv(rows["draws"]),
        "tables/levels.csv": as_csv(level_rows(study, truths)),
        "tables/cells.csv": as_csv(cells),
        "tables/results.md": markdown(study, rows["results"], cells, rows["heard"]).encode("utf-8"),
        FAILURES: failures_csv(failure for unit in all_units(study) for failure in results[unit].failures),
    }


def failures_csv(failures: Iterable[Failure]) -> bytes:
    """Every draw that brought nothing, with its reason: answers first, then scores."""
    told = list(failures)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", "model", "corpus", "utterance_id", "draw", "failure"))
    order = sorted((kind != "answer", model, corpus, place) for place, (kind, model, corpus, *_) in enumerate(told))
    writer.writerows(told[place] for *_, place in order)
    return text.getvalue().encode("utf-8")

