"""`ambiemo score`: every metric for anybody's predictions, from CSV files and no plan.

All files hold `utterance_id` and one column per label, in any order of rows and columns. Votes are
counts or shares; predictions are probabilities. What does not match is never guessed, filled in or
left out: it is one line that names file and line. Several files of predictions are compared with
the first. A file of clusters (speakers or dialogues) gives intervals.
"""

import csv
import io
import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ambiemo.errors import BadInput
from ambiemo.limits import CELL, CSV_COLUMNS, CSV_FILE, CSV_ROWS, TooMuch, read_regular
from ambiemo.metrics import METRICS, Metric, evaluate
from ambiemo.metrics.arithmetic import Array, row_sum, totals
from ambiemo.metrics.distribution import (
    determination_statistics,
    kl_nats,
    r2_pearson,
    r2_per_emotion,
)
from ambiemo.metrics.inference import holm
from ambiemo.metrics.intervals import BOOTSTRAP, Sure, difference_with_interval, value_with_interval
from ambiemo.metrics.jackknife import Estimate, effective_clusters, jackknife, sizes
from ambiemo.seeds import seed
from ambiemo.terminal import Column, Line, Part, Table

if TYPE_CHECKING:
    from ambiemo.metrics.ambiguity import Ambiguity

ID = "utterance_id"
CLUSTER = "cluster"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ROUNDING = 0.005
"""What rounding to two decimals, as the paper's group does, can move one probability: a sum may be
off by this per label.
"""
DIGITS = 12
"""Decimals of a value in JSON: far finer than any use, coarser than the last bit, which may differ
between processors.
"""


@dataclass(frozen=True)
class Rows:
    """One CSV file: its labels in the file's order, numbers by utterance, and the line each
    utterance stands on.
    """

    path: Path
    labels: tuple[str, ...]
    numbers: dict[str, tuple[float, ...]]
    lines: dict[str, int]


@dataclass(frozen=True)
class Scored:
    """The result of `score`: n utterances, labels (sorted), every metric's value (NaN or infinite
    where there is none), the reason for each such metric, how many predictions were renormalised,
    and what single metrics left out.
    """

    n: int
    labels: tuple[str, ...]
    metrics: dict[str, float]
    not_estimable: dict[str, str]
    renormalised: int
    left_out: dict[str, int]


def score(votes_path: Path, predictions_path: Path) -> Scored:
    """Score a CSV of predictions against a CSV of votes. Raises BadInput for the first thing in
    either file that cannot be used.

    Rows are joined by id and columns by name, then sorted by name, so no order in either file
    changes a digit.
    """
    votes = read(votes_path)
    ids, labels, truth = _truth(votes)
    return _scored(*_predicted(votes, read(predictions_path), ids, labels), ids, labels, truth)


@dataclass(frozen=True)
class Board:
    """The result of `leaderboard`.

    files      the files of predictions, as given
    scored     each file's metrics
    sure       each file's metrics with their intervals; empty without a file of clusters
    paired     (file, metric, the difference file - first, Holm-adjusted p over the files)
    ambiguity  (file, result of the test)
    unbiased   each file's numbers corrected for the few raters; empty if votes are shares
    floors     what the raters themselves reach, by name; empty if votes are shares
    clusters   how many clusters, and how many effective ones; None without a file of clusters
    notes      what a reader must know about the numbers
    """

    files: tuple[str, ...]
    scored: tuple[Scored, ...]
    sure: tuple[dict[str, Sure], ...]
    paired: tuple[tuple[str, str, Sure, float], ...]
    ambiguity: tuple[tuple[str, "Ambiguity"], ...]
    unbiased: tuple[dict[str, Estimate], ...]
    floors: dict[str, float]
    clusters: tuple[int, float] | None
    notes: tuple[str, ...]


def leaderboard(
    votes_path: Path,
    prediction_paths: Sequence[Path],
    clusters_path: Path | None = None,
    by_ambiguity: bool = False,
) -> Board:
    """Score several files of predictions, and compare each with the first.

    Raises BadInput for the first thing in any file that cannot be used, before anything is
    computed. Without clusters every utterance is a cluster of its own, and a note says so.
    """
    doubled = [
        path for place, path in enumerate(prediction_paths) if path in prediction_paths[:place]
    ]
    if doubled:
        raise BadInput(f"{doubled[0]}: given twice; name each file of predictions once")
    if by_ambiguity and len(prediction_paths) < 2:
        raise BadInput(
            "--by-ambiguity: found 1 file of predictions; expected the reference first and at least one "
            "more file to compare with it"
        )
    votes = read(votes_path)
    ids, labels, truth = _truth(votes)
    counts = _array(votes, ids, labels)
    if by_ambiguity:
        _whole(votes, ids, counts)
    answers, scored = [], []
    for path in prediction_paths:
        predicted, changed = _predicted(votes, read(path), ids, labels)
        answers.append(predicted)
        scored.append(_scored(predicted, changed, ids, labels, truth))
    names = ids if clusters_path is None else _clusters(clusters_path, votes, ids)
    files = tuple(map(str, prediction_paths))

    sure: list[dict[str, Sure]] = []
    if clusters_path is not None:
        for predicted in answers:
            sure.append(
                {m.name: value_with_interval(m, truth, predicted, names, _seed(m)) for m in METRICS}
            )
    paired: list[tuple[str, str, Sure, float]] = []
    for m in METRICS:
        differences = [
            difference_with_interval(m, truth, predicted, answers[0], names, _seed(m))
            for predicted in answers[1:]
        ]
        adjusted = holm([one.p for one in differences]).tolist()
        paired += [
            (file, m.name, one, p)
            for file, one, p in zip(files[1:], differences, adjusted, strict=True)
        ]
    paired.sort(key=lambda row: files.index(row[0]))

    tested: list[tuple[str, Ambiguity]] = []
    if by_ambiguity:
        from ambiemo.metrics.ambiguity import ambiguity_test, levels, tempered

        split = levels(counts)
        flattened = tempered(counts, answers[0], names) if len(set(names)) > 1 else None
        for file, predicted in zip(files[1:], answers[1:], strict=True):
            result = ambiguity_test(
                counts, predicted, answers[0], names, split=split, flattened=flattened
            )
            tested.append((file, result))

    whole = bool((counts == np.floor(counts)).all())
    few = int((counts.sum(axis=1) < 2).sum())
    unbiased = (
        [_unbiased(counts, predicted, names, clusters_path is not None) for predicted in answers]
        if whole
        else []
    )

    remarks = []
    if not whole:
        remarks.append("votes are shares: no correction for few raters, no floors")
    elif few:
        remarks.append(
            f"{few} of {_count(len(ids), 'utterance')} have one vote: the corrections for few raters and one rater's accuracy leave them out"
        )
    if clusters_path is None and len(files) + by_ambiguity > 1:
        remarks.append(
            "no --clusters: every utterance counts as independent; intervals and p are too small if speakers repeat"
        )
    if any(one.method == BOOTSTRAP for table in sure for one in table.values()) or any(
        one.method == BOOTSTRAP for _, _, one, _ in paired
    ):
        remarks.append(
            "ece_5, ece_10: bounds by percentile bootstrap over clusters; all others by jackknife"
        )
    known = None if clusters_path is None else (len(set(names)), effective_clusters(sizes(names)))
    floors = _floors(counts) if whole else {}
    return Board(
        files=files,
        scored=tuple(scored),
        sure=tuple(sure),
        paired=tuple(paired),
        ambiguity=tuple(tested),
        unbiased=tuple(unbiased),
        floors=floors,
        clusters=known,
        notes=tuple(remarks),
    )


def _unbiased(
    counts: Array, predicted: Array, names: Sequence[str], clustered: bool
) -> dict[str, Estimate]:
    """The numbers that are corrected for the few raters, by name; skill needs clusters."""
    from ambiemo.metrics.distribution import mean
    from ambiemo.metrics.floors import (
        brier_unbiased,
        js_divergence_bits_vote_jackknife,
        skill,
        skill_statistics,
        statistics_of,
    )

    estimates = {
        "brier_unbiased": jackknife(statistics_of(brier_unbiased(counts, predicted)), names, mean),
        "js_divergence_bits_vote_jackknife": jackknife(
            statistics_of(js_divergence_bits_vote_jackknife(counts, predicted)), names, mean
        ),
    }
    if clustered and len(set(names)) > 1:
        estimates["skill"] = jackknife(skill_statistics(counts, predicted, names), names, skill)
    return estimates


def _floors(counts: Array) -> dict[str, float]:
    """What the raters reach: a second panel at every size that every clip allows, one rater, the
    best there is.
    """
    from ambiemo.metrics.distribution import mean
    from ambiemo.metrics.floors import (
        best_accuracy,
        leave_one_rater_out_accuracy,
        second_panel_js_bits,
        statistics_of,
    )

    parts = {
        f"second_panel_js_bits_{size}": second_panel_js_bits(counts, size)
        for size in range(1, int(counts.sum(axis=1).min()) // 2 + 1)
    }
    parts["leave_one_rater_out_accuracy"] = leave_one_rater_out_accuracy(counts)
    parts["best_accuracy"] = best_accuracy(counts / counts.sum(axis=1, keepdims=True))
    return {name: float(mean(totals(statistics_of(values)))) for name, values in parts.items()}


def _truth(votes: Rows) -> tuple[list[str], tuple[str, ...], Array]:
    """The utterances and labels, sorted, and the truth (n, K)."""
    ids, labels = sorted(votes.numbers), tuple(sorted(votes.labels))
    counts = _array(votes, ids, labels)
    return ids, labels, counts / _sums(votes, ids, counts)[:, None]


def _predicted(
    votes: Rows, predictions: Rows, ids: Sequence[str], labels: Sequence[str]
) -> tuple[Array, int]:
    """The predictions (n, K) in the order of `ids`, and how many were renormalised."""
    _same_labels(votes, predictions)
    _same_utterances(votes, predictions)
    predicted = _array(predictions, ids, labels)
    sums = _sums(predictions, ids, predicted)
    _probabilities(predictions, ids, sums)
    return predicted / sums[:, None], int((np.abs(sums - 1) > 1e-6).sum())


def _scored(
    predicted: Array, renormalised: int, ids: Sequence[str], labels: tuple[str, ...], truth: Array
) -> Scored:
    metrics = evaluate(truth, predicted)
    constant = int(np.isnan(r2_pearson(truth, predicted)).sum())
    unvaried = int(
        np.isnan(r2_per_emotion(totals(determination_statistics(truth, predicted)))).sum()
    )
    return Scored(
        n=len(ids),
        labels=labels,
        metrics=metrics,
        not_estimable=_reasons(metrics, ids, truth, predicted),
        renormalised=renormalised,
        left_out={"r2_pearson_utterances": constant, "r2_determination_labels": unvaried},
    )


def _whole(votes: Rows, ids: Sequence[str], counts: Array) -> None:
    for utterance, row in zip(ids, counts, strict=True):
        if (row != np.floor(row)).any():
            raise BadInput(
                f"{votes.path}: line {votes.lines[utterance]}: {_short(utterance)} has {row.tolist()}, expected whole "
                "numbers of raters for --by-ambiguity; shares cannot be split between raters, so leave the option out"
            )


def _clusters(path: Path, votes: Rows, ids: Sequence[str]) -> list[str]:
    """The cluster of each utterance. Rows for other utterances are ignored: one file may serve
    several sets.
    """
    cluster_of: dict[str, str] = {}
    lines: dict[str, int] = {}
    records = _records(path, f"a header '{ID},{CLUSTER}' and a row per utterance")
    first, header = records[0]
    if sorted(header) != sorted((ID, CLUSTER)):
        raise BadInput(
            f"{path}: line {first}: found the columns {_short(','.join(header))}; expected '{ID},{CLUSTER}'"
        )
    at = header.index(ID)
    for line, record in records[1:]:
        if len(record) != 2:
            raise BadInput(
                f"{path}: line {line}: {_count(len(record), 'column')}; the header has 2"
            )
        utterance, cluster = record[at], record[1 - at]
        if not utterance or not cluster:
            empty = CLUSTER if utterance else ID
            raise BadInput(
                f"{path}: line {line}: {empty} is empty; every utterance needs a cluster"
            )
        if utterance in cluster_of:
            raise BadInput(
                f"{path}: line {line}: {_short(utterance)} is on line {lines[utterance]} already; keep one row of it"
            )
        cluster_of[utterance], lines[utterance] = cluster, line
    lost = [utterance for utterance in votes.numbers if utterance not in cluster_of]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise BadInput(
            f"{path}: no cluster for {_short(lost[0])}{more}, {votes.path} line {votes.lines[lost[0]]}; "
            "give every utterance of the votes a cluster"
        )
    return [cluster_of[utterance] for utterance in ids]


def _seed(m: Metric) -> int:
    """The seed of the bootstrap of a calibration error; nothing else here is random."""
    return seed("score", m.name)


def read(path: Path) -> Rows:
    """Read one CSV (UTF-8, a byte-order mark and CRLF are welcome). Raises BadInput for
    anything that is not a table of ids and numbers >= 0.
    """
    records = _records(path, f"a header '{ID},LABEL,LABEL,...' and a row per utterance")
    labels, at = _header(path, *records[0])
    numbers: dict[str, tuple[float, ...]] = {}
    lines: dict[str, int] = {}
    for line, record in records[1:]:
        if len(record) != len(labels) + 1:
            raise BadInput(
                f"{path}: line {line}: {_count(len(record), 'column')}; the header has {len(labels) + 1}"
            )
        utterance = record.pop(at)
        if not utterance:
            raise BadInput(f"{path}: line {line}: {ID} is empty; name the utterance")
        if utterance in numbers:
            first = lines[utterance]
            raise BadInput(
                f"{path}: line {line}: {_short(utterance)} is on line {first} already; keep one row of it"
            )
        numbers[utterance] = tuple(
            _number(path, line, *cell) for cell in zip(labels, record, strict=True)
        )
        lines[utterance] = line
    if not numbers:
        raise BadInput(f"{path}: a header and no rows; expected one row per utterance")
    return Rows(path, labels, numbers, lines)


def _records(path: Path, expected: str) -> list[tuple[int, list[str]]]:
    """The lines of a CSV file that are not blank: (line number, cells)."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    records: list[tuple[int, list[str]]] = []
    try:
        for record in reader:
            if (
                len(record) > CSV_COLUMNS
                or len(records) > CSV_ROWS
                or max(map(len, record), default=0) > CELL
            ):
                raise BadInput(
                    f"{path}: line {reader.line_num}: found {len(record):,} columns, the longest cell of "
                    f"{max(map(len, record), default=0):,} characters; expected {CSV_COLUMNS} columns, {CELL:,} characters, "
                    f"{CSV_ROWS:,} rows at most"
                )
            records.append((reader.line_num, [cell.strip() for cell in record]))
    except csv.Error as error:
        raise BadInput(
            f"{path}: line {reader.line_num}: {error}; expected comma-separated values"
        ) from None
    records = [
        (line, cells) for line, cells in records if any(cells)
    ]  # spreadsheets leave blank rows at the end
    if not records:
        raise BadInput(f"{path}: the file is empty; expected {expected}")
    return records


def as_json(scored: Scored) -> str:
    """One strict JSON object: n, metrics (null where there is no finite value), the reasons, and
    what was left out or renormalised.
    """
    return _dumped(_json_of(scored))


def board_as_json(board: Board) -> str:
    """One strict JSON object of the contract in docs/metrics.md; null where there is no finite
    value.

    `metrics` is that of the first file; `files` has those of all.
    """
    tables = []
    for place, (file, scored) in enumerate(zip(board.files, board.scored, strict=True)):
        table: dict[str, Any] = {"file": file, **_json_of(scored)}
        if board.sure:
            sure = board.sure[place]
            table["metrics"] = {
                name: {
                    "value": _finite(one.value),
                    "low": _finite(one.low),
                    "high": _finite(one.high),
                }
                for name, one in sure.items()
            }
            table["no_interval"] = {name: one.reason for name, one in sure.items() if one.reason}
        if board.unbiased:
            table["no_interval" if board.sure else "not_estimable"] |= {
                name: one.reason
                for name, one in board.unbiased[place].items()
                if one.reason and (board.sure or not math.isfinite(one.value))
            }
            table["unbiased"] = {
                name: {
                    "value": _finite(one.value),
                    "low": _finite(one.low),
                    "high": _finite(one.high),
                }
                if board.sure
                else _finite(one.value)
                for name, one in board.unbiased[place].items()
            }
        tables.append(table)
    whole = {key: value for key, value in tables[0].items() if key != "file"}
    if len(tables) > 1:
        whole["paired"] = [
            {
                "file": file,
                "metric": name,
                "difference": _finite(one.value),
                "low": _finite(one.low),
                "high": _finite(one.high),
                "p": _finite(one.p),
                "p_holm": _finite(p),
                "clusters": one.clusters,
                "n": one.n,
            }
            for file, name, one, p in board.paired
        ]
        whole["not_paired"] = [
            {"file": file, "metric": name, "reason": one.reason}
            for file, name, one, _ in board.paired
            if one.reason
        ]
    if board.ambiguity:
        whole["ambiguity"] = [
            {
                "file": file,
                "reference": reference,
                "contrast": contrast,
                "estimate": _finite(row.value),
                "low": _finite(row.low),
                "high": _finite(row.high),
                "p": _finite(row.p),
                "verdict": result.verdict,
            }
            for file, result in board.ambiguity
            for reference, contrast, row in _contrasts(result)
        ]
        whole["ambiguity_reasons"] = {file: result.reason for file, result in board.ambiguity}
    if len(tables) > 1:
        whole["files"] = tables
    if board.floors:
        whole["floors"] = {name: _finite(value) for name, value in board.floors.items()}
    if board.clusters:
        whole["clusters"] = {"count": board.clusters[0], "effective": _finite(board.clusters[1])}
    whole["notes"] = board.notes
    return _dumped(whole)


def _contrasts(result: "Ambiguity") -> list[tuple[str, str, Estimate]]:
    """The four contrasts of a result; without numbers where nothing was tested."""
    estimates = {(row.reference, row.contrast): row.estimate for row in result.rows}
    nan = math.nan
    nothing = Estimate(nan, nan, nan, nan, nan, 0, nan, result.n, result.reason)
    return [
        (reference, contrast, estimates.get((reference, contrast), nothing))
        for reference in ("first", "first_tempered")
        for contrast in ("share_removed", "gain")
    ]


def _json_of(scored: Scored) -> dict[str, Any]:
    return {
        "n": scored.n,
        "metrics": {name: _finite(value) for name, value in scored.metrics.items()},
        "not_estimable": scored.not_estimable,
        "labels": scored.labels,
        "renormalised": scored.renormalised,
        "left_out": scored.left_out,
    }


def _finite(value: float) -> float | None:
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else None


def _dumped(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)


VALUES = (
    Column("metric", "key"),
    Column("value"),
    Column("better", "words", 1),
    Column("what it is", "words", 2),
)
BOARD = (
    Column("metric", "key"),
    Column("better", "words", 2),
    Column("value"),
    Column("low", "number", 1),
    Column("high", "number", 1),
)
PAIRED = (
    Column("metric", "key"),
    Column("difference"),
    Column("low", "number", 1),
    Column("high", "number", 1),
    Column("p", "number", 3),
    Column("p_holm", "number", 2),
)
CONTRASTS = (
    Column("reference", "key"),
    Column("contrast", "key"),
    Column("estimate"),
    Column("low", "number", 1),
    Column("high", "number", 1),
    Column("p", "number", 2),
)
SEE = "ambiemo score ... --json"


def parts(scored: Scored) -> list[Part]:
    """The values for people, with notes below on what has no value and what was left out."""
    rows = tuple(
        (one.name, _printed(scored.metrics[one.name]), one.better, one.meaning) for one in METRICS
    )
    return [Table(_sizes(scored), VALUES, rows, SEE), *notes(scored)]


def board_parts(board: Board) -> list[Part]:
    """Each file's values, the comparisons with the first, the ambiguity test, and what to know, for
    people.
    """
    title = _sizes(board.scored[0])
    if board.clusters:
        title += f"; {_count(board.clusters[0], 'cluster')}, {board.clusters[1]:.1f} effective"
    content: list[Part] = [Line(title, "bold"), ""]
    for place, (file, scored) in enumerate(zip(board.files, board.scored, strict=True)):
        columns = BOARD if board.sure else BOARD[:3]
        content += [Table(file, columns, tuple(_values(board, place)), SEE), *notes(scored)]
        content += [""] * bool(notes(scored))
    for file in board.files[1:]:
        rows = [
            (name, _bound(one.value), _bound(one.low), _bound(one.high), _p(one.p), _p(p))
            for of, name, one, p in board.paired
            if of == file
        ]
        content.append(Table(f"{file} - {board.files[0]}", PAIRED, tuple(rows), SEE))
    for file, result in board.ambiguity:
        contrasts = [
            (
                *(reference, contrast, _bound(row.value)),
                *(_bound(row.low), _bound(row.high), _p(row.p)),
            )
            for reference, contrast, row in _contrasts(result)
        ]
        asked = f"{file}: does its gain over {board.files[0]} grow with ambiguity? (split votes, high - low)"
        content += [Table(asked, CONTRASTS, tuple(contrasts), SEE)]
        content += [f"{result.verdict}: {result.reason}.", ""]
    if board.floors:
        floors = tuple((name, _bound(value)) for name, value in board.floors.items())
        heads = (Column("floor", "key"), Column("value"))
        content.append(Table("what the raters themselves reach", heads, floors, SEE))
    reasons = {
        f"{name}: no interval: {one.reason}."
        for sure in board.sure
        for name, one in sure.items()
        if one.reason
    } | {f"{name}: no difference: {one.reason}." for _, name, one, _ in board.paired if one.reason}
    return [*content, *sorted(reasons), *(f"{note}." for note in board.notes)]


def _sizes(scored: Scored) -> str:
    return (
        f"{_count(scored.n, 'utterance')}, {len(scored.labels)} labels: {', '.join(scored.labels)}"
    )


def _values(board: Board, place: int) -> Iterator[tuple[str, ...]]:
    """One file's rows: every metric, then the numbers that are corrected for few raters."""
    for one in METRICS:
        row: tuple[str, str, str] = (
            one.name,
            one.better,
            _printed(board.scored[place].metrics[one.name]),
        )
        sure = board.sure[place][one.name] if board.sure else None
        yield (*row, _bound(sure.low), _bound(sure.high)) if sure else row
    for name, corrected in board.unbiased[place].items() if board.unbiased else ():
        better = "higher" if name == "skill" else "lower"
        head = (name, better, _printed(corrected.value))
        yield (*head, _bound(corrected.low), _bound(corrected.high)) if board.sure else head


def _bound(value: float) -> str:
    return f"{value + 0.0:.6f}" if math.isfinite(value) else "-"


def _p(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def notes(scored: Scored) -> list[str]:
    """Sentences that belong under the table."""
    constant, unvaried = scored.left_out.values()
    sentences = [f"{name}: {reason}." for name, reason in scored.not_estimable.items()]
    if constant and "r2_pearson" not in scored.not_estimable:
        sentences.append(
            f"r2_pearson: {_count(constant, 'utterance')} left out: votes or prediction are the same for every label."
        )
    if unvaried and "r2_determination" not in scored.not_estimable:
        sentences.append(
            f"r2_determination: {_count(unvaried, 'label')} left out: the votes' share never varies."
        )
    if scored.renormalised:
        what = _count(scored.renormalised, "prediction")
        sentences.append(
            f"renormalised: {what} whose sum is not 1 within 1e-6 (two-decimal rounding is allowed)."
        )
    return sentences


def _text(path: Path) -> str:
    try:
        data = read_regular(path, CSV_FILE)
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror}; expected a CSV file") from None
    except TooMuch as error:
        raise BadInput(f"{path}: {error}; expected a CSV file") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: byte {error.start} is not UTF-8; save the file as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise BadInput(f"{path}: holds a NUL byte, so it is no text; save the file as CSV in UTF-8")
    return text


def _header(path: Path, line: int, header: list[str]) -> tuple[tuple[str, ...], int]:
    """Labels, and the place of the id's column."""
    if ID not in header:
        hint = "; separate columns by commas" if len(header) == 1 else ""
        raise BadInput(
            f"{path}: line {line}: no column '{ID}' in the header {_short(','.join(header))}{hint}"
        )
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise BadInput(f"{path}: line {line}: column {_short(doubled[0])} is there twice; keep one")
    if not all(map(str.isprintable, header)):
        odd = next(name for name in header if not name.isprintable())
        raise BadInput(
            f"{path}: line {line}: column {_short(odd)} holds a control character; rename it"
        )
    if "" in header:
        raise BadInput(
            f"{path}: line {line}: column {header.index('') + 1} has no name; name it or drop it"
        )
    at = header.index(ID)
    labels = tuple(header[:at] + header[at + 1 :])
    if len(labels) < 2:
        raise BadInput(
            f"{path}: line {line}: {_count(len(labels), 'label')}; expected at least 2 columns in addition to '{ID}'"
        )
    return labels, at


def _number(path: Path, line: int, label: str, cell: str) -> float:
    where = f"{path}: line {line}: {_short(label)}"
    value = float(cell) if NUMBER.fullmatch(cell) else math.nan
    if not math.isfinite(value):
        raise BadInput(
            f"{where}: found {_short(cell)}, expected a finite number such as 0.25 (0 where there is none)"
        )
    if value < 0:
        raise BadInput(f"{where}: found {cell}, expected a number >= 0")
    return value + 0.0


def _same_labels(votes: Rows, predictions: Rows) -> None:
    missing = [label for label in votes.labels if label not in predictions.labels]
    extra = [label for label in predictions.labels if label not in votes.labels]
    if missing or extra:
        faults = [f"lacks {', '.join(map(_short, missing))}"] * bool(missing) + [
            f"has {', '.join(map(_short, extra))} that {votes.path} lacks"
        ] * bool(extra)
        raise BadInput(
            f"{predictions.path}: header: {' and '.join(faults)}; both files must have the same labels"
        )


def _same_utterances(votes: Rows, predictions: Rows) -> None:
    for one, other, what in ((votes, predictions, "prediction"), (predictions, votes, "votes")):
        lost = [utterance for utterance in one.numbers if utterance not in other.numbers]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            raise BadInput(
                f"{other.path}: no {what} for {_short(lost[0])}{more}, {one.path} line {one.lines[lost[0]]}; "
                "both files must have the same utterances"
            )


def _array(rows: Rows, ids: Sequence[str], labels: Sequence[str]) -> Array:
    columns = [rows.labels.index(label) for label in labels]
    return np.array([[rows.numbers[utterance][column] for column in columns] for utterance in ids])


def _sums(rows: Rows, ids: Sequence[str], values: Array) -> Array:
    with np.errstate(over="ignore"):
        sums = row_sum(values)
    for utterance, total in zip(ids, sums.tolist(), strict=True):
        if total == 0 or not math.isfinite(total):
            raise BadInput(
                f"{rows.path}: line {rows.lines[utterance]}: {_short(utterance)} sums to {total:g}, "
                "expected a finite sum above 0; fix the row, or leave the utterance out of both files"
            )
    return sums


def _probabilities(rows: Rows, ids: Sequence[str], sums: Array) -> None:
    allowed = ROUNDING * len(rows.labels) + 1e-9
    for utterance, total in zip(ids, sums.tolist(), strict=True):
        if abs(total - 1) > allowed:
            percent = abs(total - 100) < 100 * allowed
            hint = "divide percentages by 100" if percent else "normalise the row"
            raise BadInput(
                f"{rows.path}: line {rows.lines[utterance]}: {_short(utterance)} sums to {total:.6g}, "
                f"expected 1 (within {allowed:.2g}, for rounding to two decimals); {hint}"
            )


def _reasons(
    metrics: dict[str, float], ids: Sequence[str], truth: Array, predicted: Array
) -> dict[str, str]:
    """Why each metric that has no finite value has none."""
    reasons = {}
    if math.isinf(metrics["kl_nats"]):
        divergences = kl_nats(truth, predicted).tolist()
        infinite = [
            utterance
            for utterance, value in zip(ids, divergences, strict=True)
            if math.isinf(value)
        ]
        reasons["kl_nats"] = (
            f"infinite: {_of(infinite, ids)} gave probability 0 to a label that got votes, first {_short(infinite[0])}"
        )
    if math.isnan(metrics["r2_pearson"]):
        reasons["r2_pearson"] = (
            "in every utterance votes or prediction are the same for every label, so nothing correlates"
        )
    if math.isnan(metrics["r2_determination"]):
        reasons["r2_determination"] = (
            "no label's share of the votes varies between utterances, so there is nothing to explain"
        )
    return reasons


def _of(some: Collection[str], everything: Collection[str]) -> str:
    return f"{len(some)} of {_count(len(everything), 'utterance')}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _printed(value: float) -> str:
    if math.isnan(value):
        return "not estimable"
    return "infinite" if math.isinf(value) else f"{value + 0.0:.6f}"


def _short(text: str) -> str:
    """The text in quotes on one line, cut to 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
