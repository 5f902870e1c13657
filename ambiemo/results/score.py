"""`ambiemo score`: every metric for anybody's predictions, from two CSV files and no plan.

Both files hold `utterance_id` and one column per label, in any order of rows and columns. Votes are counts or
shares; predictions are probabilities. What does not match is never guessed, filled in or left out: it is one
line that names file and line.
"""

import csv
import io
import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ambiemo.errors import BadInput
from ambiemo.metrics import METRICS, evaluate
from ambiemo.metrics.arithmetic import Array, row_sum, totals
from ambiemo.metrics.distribution import determination_statistics, kl_nats, r2_pearson, r2_per_emotion

ID = "utterance_id"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ROUNDING = 0.005
"""What rounding to two decimals, as the paper's group does, can move one probability: a sum may be off by
this per label.
"""
DIGITS = 12
"""Decimals of a value in JSON: far finer than any use, coarser than the last bit, which may differ between
processors.
"""


@dataclass(frozen=True)
class Rows:
    """One CSV file: its labels in the file's order, numbers by utterance, and the line each utterance stands
    on.
    """

    path: Path
    labels: tuple[str, ...]
    numbers: dict[str, tuple[float, ...]]
    lines: dict[str, int]


@dataclass(frozen=True)
class Scored:
    """What `score` found: n utterances, labels (sorted), every metric's value (NaN or infinite where there is
    none), the reason for each
    such metric, how many predictions were renormalised, and what single metrics left out."""

    n: int
    labels: tuple[str, ...]
    metrics: dict[str, float]
    not_estimable: dict[str, str]
    renormalised: int
    left_out: dict[str, int]


def score(votes_path: Path, predictions_path: Path) -> Scored:
    """Score a CSV of predictions against a CSV of votes. Raises BadInput for the first thing in either file
    that cannot be used.

    Rows are joined by id and columns by name, then sorted by name, so no order in either file changes a
    digit.
    """
    votes, predictions = read(votes_path), read(predictions_path)
    _same_labels(votes, predictions)
    _same_utterances(votes, predictions)
    ids, labels = sorted(votes.numbers), tuple(sorted(votes.labels))
    truth = _array(votes, ids, labels)
    predicted = _array(predictions, ids, labels)
    sums = _sums(votes, ids, truth)
    truth = truth / sums[:, None]
    sums = _sums(predictions, ids, predicted)
    _probabilities(predictions, ids, sums)
    predicted = predicted / sums[:, None]
    metrics = evaluate(truth, predicted)
    constant = int(np.isnan(r2_pearson(truth, predicted)).sum())
    unvaried = int(np.isnan(r2_per_emotion(totals(determination_statistics(truth, predicted)))).sum())
    return Scored(
        n=len(ids),
        labels=labels,
        metrics=metrics,
        not_estimable=_reasons(metrics, ids, truth, predicted),
        renormalised=int((np.abs(sums - 1) > 1e-6).sum()),
        left_out={"r2_pearson_utterances": constant, "r2_determination_labels": unvaried},
    )


def read(path: Path) -> Rows:
    """Read one CSV (UTF-8, a byte-order mark and CRLF are welcome). Raises BadInput for whatever is no table
    of ids and numbers >= 0.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        records = [(reader.line_num, [cell.strip() for cell in record]) for record in reader]
    except csv.Error as error:
        raise BadInput(f"{path}: line {reader.line_num}: {error}; expected comma-separated values") from None
    records = [(line, cells) for line, cells in records if any(cells)]  # spreadsheets leave blank rows at the end
    if not records:
        raise BadInput(f"{path}: the file is empty; expected a header '{ID},LABEL,LABEL,...' and a row per utterance")
    labels, at = _header(path, *records[0])
    numbers: dict[str, tuple[float, ...]] = {}
    lines: dict[str, int] = {}
    for line, record in records[1:]:
        if len(record) != len(labels) + 1:
            raise BadInput(f"{path}: line {line}: {_count(len(record), 'column')}; the header has {len(labels) + 1}")
        utterance = record.pop(at)
        if not utterance:
            raise BadInput(f"{path}: line {line}: {ID} is empty; name the utterance")
        if utterance in numbers:
            first = lines[utterance]
            raise BadInput(f"{path}: line {line}: {_short(utterance)} is on line {first} already; keep one row of it")
        numbers[utterance] = tuple(_number(path, line, *cell) for cell in zip(labels, record, strict=True))
        lines[utterance] = line
    if not numbers:
        raise BadInput(f"{path}: a header and no rows; expected one row per utterance")
    return Rows(path, labels, numbers, lines)


def as_json(scored: Scored) -> str:
    """One strict JSON object: n, metrics (null where there is no finite value), the reasons, and what was
    left out or renormalised.
    """
    values = {
        name: round(value, DIGITS) + 0.0 if math.isfinite(value) else None for name, value in scored.metrics.items()
    }
    return json.dumps(
        {
            "n": scored.n,
            "metrics": values,
            "not_estimable": scored.not_estimable,
            "labels": scored.labels,
            "renormalised": scored.renormalised,
            "left_out": scored.left_out,
        },
        indent=2,
        allow_nan=False,
        ensure_ascii=False,
    )


def show(scored: Scored) -> None:
    """Print the values as an aligned table, with notes below it on what has no value and what was left out."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD,
        title_justify="left",
        title=f"{_count(scored.n, 'utterance')}, {len(scored.labels)} labels: {', '.join(scored.labels)}",
    )
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("better", no_wrap=True)
    table.add_column("what it is")
    for metric in METRICS:
        table.add_row(metric.name, _printed(scored.metrics[metric.name]), metric.better, metric.meaning)
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table)
    for note in notes(scored):
        console.print(note, soft_wrap=True)


def notes(scored: Scored) -> list[str]:
    """Sentences that belong under the table."""
    constant, unvaried = scored.left_out.values()
    found = [f"{name}: {reason}." for name, reason in scored.not_estimable.items()]
    if constant and "r2_pearson" not in scored.not_estimable:
        found.append(
            f"r2_pearson: {_count(constant, 'utterance')} left out: votes or prediction are the same for every label."
        )
    if unvaried and "r2_determination" not in scored.not_estimable:
        found.append(f"r2_determination: {_count(unvaried, 'label')} left out: the votes' share never varies.")
    if scored.renormalised:
        what = _count(scored.renormalised, "prediction")
        found.append(f"renormalised: {what} whose sum is not 1 within 1e-6 (two-decimal rounding is allowed).")
    return found


def _text(path: Path) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror}; expected a CSV file") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: byte {error.start} is not UTF-8; save the file as CSV in UTF-8") from None
    if "\0" in text:
        raise BadInput(f"{path}: holds a NUL byte, so it is no text; save the file as CSV in UTF-8")
    return text


def _header(path: Path, line: int, header: list[str]) -> tuple[tuple[str, ...], int]:
    """Labels, and the place of the id's column."""
    if ID not in header:
        hint = "; separate columns by commas" if len(header) == 1 else ""
        raise BadInput(f"{path}: line {line}: no column '{ID}' in the header {_short(','.join(header))}{hint}")
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise BadInput(f"{path}: line {line}: column {_short(doubled[0])} is there twice; keep one")
    if not all(map(str.isprintable, header)):
        odd = next(name for name in header if not name.isprintable())
        raise BadInput(f"{path}: line {line}: column {_short(odd)} holds a control character; rename it")
    if "" in header:
        raise BadInput(f"{path}: line {line}: column {header.index('') + 1} has no name; name it or drop it")
    at = header.index(ID)
    labels = tuple(header[:at] + header[at + 1 :])
    if len(labels) < 2:
        raise BadInput(
            f"{path}: line {line}: {_count(len(labels), 'label')}; expected at least 2 columns beside '{ID}'"
        )
    return labels, at


def _number(path: Path, line: int, label: str, cell: str) -> float:
    where = f"{path}: line {line}: {_short(label)}"
    value = float(cell) if NUMBER.fullmatch(cell) else math.nan
    if not math.isfinite(value):
        raise BadInput(f"{where}: found {_short(cell)}, expected a finite number such as 0.25 (0 where there is none)")
    if value < 0:
        raise BadInput(f"{where}: found {cell}, expected a number >= 0")
    return value + 0.0


def _same_labels(votes: Rows, predictions: Rows) -> None:
    missing = [label for label in votes.labels if label not in predictions.labels]
    extra = [label for label in predictions.labels if label not in votes.labels]
    if missing or extra:
        found = [f"lacks {', '.join(map(_short, missing))}"] * bool(missing) + [
            f"has {', '.join(map(_short, extra))} that {votes.path} lacks"
        ] * bool(extra)
        raise BadInput(f"{predictions.path}: header: {' and '.join(found)}; both files must have the same labels")


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
                "expected a finite sum above 0; mend the row, or leave the utterance out of both files"
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


def _reasons(metrics: dict[str, float], ids: Sequence[str], truth: Array, predicted: Array) -> dict[str, str]:
    """Why each metric that has no finite value has none."""
    reasons = {}
    if math.isinf(metrics["kl_nats"]):
        divergences = kl_nats(truth, predicted).tolist()
        infinite = [utterance for utterance, value in zip(ids, divergences, strict=True) if math.isinf(value)]
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
