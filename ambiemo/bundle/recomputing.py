"""Recomputes predictions and tables from a bundle's answers alone: `verify` compares them, `ambiemo
tables` prints them.

The units (a model and a corpus each) are independent, so they are worked on in several processes.
"""

import csv
import io
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from ambiemo.bundle import layout
from ambiemo.bundle.complete import check_inputs, read_unit
from ambiemo.bundle.contents import check_format, naming, parsed, predictions_path, study_from
from ambiemo.bundle.difference import Difference, first_of_lines
from ambiemo.bundle.evidence import check_evidence
from ambiemo.bundle.folder import Files, opened
from ambiemo.durable import sha256
from ambiemo.errors import Broken
from ambiemo.jsonlines import GZIP_ERRORS, strict
from ambiemo.results.claims.columns import evidence_of, run_of
from ambiemo.results.claims.deciding import Run, claim_rows
from ambiemo.results.claims.reading import claims, packaged
from ambiemo.results.claims_rendering import claims_section
from ambiemo.results.predictions import BASELINE
from ambiemo.results.rendering import markdown
from ambiemo.results.sections import markdown_sections
from ambiemo.results.study import Study, Unit
from ambiemo.results.tables.cells import cell_rows
from ambiemo.results.tables.csv_form import as_csv
from ambiemo.results.tables.levels import level_rows
from ambiemo.results.tables.verifier import self_preference_rows
from ambiemo.results.truths import truths_of
from ambiemo.results.units import Failure, UnitResult, all_units, unit_result

MOST_PROCESSES = 8
"""Each holds the columns of one unit: some hundred MB for a large corpus."""
FAILURES = "log/failures.csv"
ROWS = ("results", "paired", "heard", "draws", "ambiguity", "curves", "floors", "gains", "verifier")
"""The tables made of every unit's rows: fields of `UnitRows`."""
MORE = ("ambiguity", "curves", "floors", "gains", "verifier")
"""Those of ROWS that a bundle has only if some unit has a row."""


def recompute(files: Mapping[str, bytes]) -> dict[str, bytes | Difference | None]:
    """Everything in a bundle that follows from the rest, by path below `data/`.

    Tables and failures are bytes. A predictions file may be large, so its value is the first
    difference from the bundle's own, None if there is none. Raises OtherFormat for a bundle of
    another layout, Broken naming the file that cannot be used.
    """
    check_format(files)
    layout.check(files)
    study = study_from(files)
    check_inputs(study, files)
    check_evidence(study, files)
    check_claims(files)
    results, differences = {}, {}
    for unit, result, difference in _worked(files, study, True):
        results[unit], differences[predictions_path(*unit)] = result, difference
    return {
        **assembled(study, results, run_from(study, files)),
        **differences,
        "config/claims.yaml": packaged(),
    }


def tables_again(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The tables of a bundle from its answers, by path below `data/`; its own tables and
    predictions are not read.
    """
    study = study_from(files)
    check_inputs(study, files)
    results = {unit: result for unit, result, _ in _worked(files, study, False)}
    return assembled(study, results, run_from(study, files))


def run_from(study: Study, files: Mapping[str, bytes]) -> Run:
    """The parts of the bundle's run that decide whether it may speak of the paper."""
    run = parsed("config/run.json", files, strict)
    with naming("config/run.json"):
        return run_of(study, run["limit"], [item["id"] for item in run["missing"]])


def check_claims(files: Mapping[str, bytes]) -> None:
    """Raise Broken unless the claims are those that the run was started with."""
    expected = parsed("config/run.json", files, strict).get("claims_sha256")
    digest = sha256(files["config/claims.yaml"])
    if expected != digest:
        raise Broken(
            f"data/config/claims.yaml: found SHA-256 {digest[:12]}…, expected {str(expected)[:12]}… (config/run.json): "
            "the claims were changed after the run"
        )


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


def work_on(
    files: Mapping[str, bytes], study: Study, compare: bool, unit: Unit
) -> tuple[Unit, UnitResult, Difference | None]:
    """One unit from its answers to its rows, and where the bundle's predictions first differ from
    ours.
    """
    expected, result = unit_result(study, unit, partial(read_unit, files=files))
    path = predictions_path(*unit)
    return unit, result, _difference(files, path, expected) if compare else None


def _difference(
    files: Mapping[str, bytes], path: str, expected: Iterable[bytes]
) -> Difference | None:
    if path not in files:
        return Difference("the whole file", "no such file", "a file, as the answers give one")
    with naming(path), opened(files, path) as file:
        try:
            return first_of_lines(file, expected)
        except GZIP_ERRORS as error:
            return Difference("the whole file", f"no readable gzip file ({error})", "a gzip file")


def assembled(
    study: Study, results: Mapping[Unit, UnitResult], run: Run | None = None
) -> dict[str, bytes]:
    """The tables and the list of failures, from every unit's rows. run: that of a whole run unless
    given.
    """
    ordered = [results[unit].rows for unit in all_units(study)]
    rows = {name: [row for one in ordered for row in getattr(one, name)] for name in ROWS}
    rows["draws"].sort(
        key=lambda row: [
            row[name] for name in ("corpus", "model", "purpose", "prompt", "decoding", "audio")
        ]
    )
    cells = cell_rows(study)
    truths = {corpus: truths_of(study, corpus) for corpus in sorted(study.utterances)}
    for corpus, one in truths.items():
        judged = {unit[0]: results[unit].judged for unit in study.units if unit[1] == corpus}
        rows["verifier"] += self_preference_rows(
            one.speakers, corpus, judged, study.plan.bootstrap.level
        )
    columns = {key: answers for one in results.values() for key, answers in one.claimed.items()}
    decided = claim_rows(claims(), evidence_of(study, truths, columns), run or run_of(study))
    text = (
        markdown(study, rows["results"], cells, rows["heard"])
        + markdown_sections(rows)
        + claims_section(decided)
    )
    return {
        "tables/results.csv": as_csv(rows["results"]),
        "tables/paired.csv": as_csv(rows["paired"]),
        **({"tables/heard.csv": as_csv(rows["heard"])} if rows["heard"] else {}),
        "tables/draws.csv": as_csv(rows["draws"]),
        **{f"tables/{name}.csv": as_csv(rows[name]) for name in MORE if rows[name]},
        "tables/levels.csv": as_csv(level_rows(study, truths)),
        "tables/cells.csv": as_csv(cells),
        "tables/claims.csv": as_csv(decided),
        "tables/results.md": text.encode("utf-8"),
        FAILURES: failures_csv(
            failure for unit in all_units(study) for failure in results[unit].failures
        ),
    }


def failures_csv(failures: Iterable[Failure]) -> bytes:
    """Every failed draw, with its reason: answers first, then scores."""
    rows = list(failures)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", "model", "corpus", "utterance_id", "draw", "failure"))
    order = sorted(
        (kind != "answer", model, corpus, place)
        for place, (kind, model, corpus, *_) in enumerate(rows)
    )
    writer.writerows(rows[place] for *_, place in order)
    return text.getvalue().encode("utf-8")
