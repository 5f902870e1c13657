"""Two bundles, cell by cell, on the utterances that both predict: the same, as good as the same, different, or too few to tell.

Two runs of one plan on two machines do not give the same answers: floating-point sums differ, so sampled and even greedy tokens
do. What can be asked is whether the difference of a metric lies within a margin that does not matter. That is an equivalence test:
the two one-sided tests at 5 % each hold when the paired 90 % interval lies inside the margin (Schuirmann 1987), and "no significant
difference" alone never counts as agreement. Neither does what is not there: a prediction that failed in either bundle keeps its cell
undecided, as the two may differ just there.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ambiemo.bundle.folder import payload
from ambiemo.errors import BadInput, shown
from ambiemo.seeds import seed

if TYPE_CHECKING:
    from ambiemo.results.predictions import Column
    from ambiemo.results.truths import Truths

METRIC = "js_divergence_bits"
MARGIN = 0.01
"""Bits. Ours (grade I): under half of the one gain in JS that is known second-hand (.0228 on IEMOCAP, variant unknown)."""
TOST_LEVEL = 0.90
RESAMPLES = 2000

Verdict = Literal["identical", "equivalent", "different", "undecided", "missing"]


@dataclass(frozen=True)
class Cell:
    """One (corpus, model, strategy, control) in both bundles.

    n: utterances that both predict; same: those with the same prediction; failed: in both bundles, but without a prediction in one
    or both; unpaired: in one bundle only, as after `--limit`. difference: the second bundle's metric minus the first's over the n,
    with its 90 % interval, NaN where it cannot be estimated.
    """

    corpus: str
    model: str
    strategy: str
    control: str
    verdict: Verdict
    n: int = 0
    same: int = 0
    failed: int = 0
    unpaired: int = 0
    first: float = math.nan
    second: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """All cells of either bundle, and what keeps the two from being compared (other votes, other labels)."""

    cells: tuple[Cell, ...]
    obstacles: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether there are cells, every one is identical or equivalent, and nothing stands in the way."""
        same = [cell.verdict in ("identical", "equivalent") for cell in self.cells]
        return bool(same) and all(same) and not self.obstacles


def compare(first: Mapping[str, bytes], second: Mapping[str, bytes], margin: float = MARGIN) -> Comparison:
    """Compare two bundles' predictions (files by path below `data/`), paired per utterance; margin in bits, > 0.

    The bundles are taken as they are: verify both first. Raises Broken for a file that cannot be used.
    """
    truths, columns, labels = zip(*map(_read, (first, second)), strict=True)
    obstacles = [
        problem
        for corpus in sorted(set(truths[0]) & set(truths[1]))
        for problem in _obstacles(corpus, truths[0][corpus], truths[1][corpus], (labels[0][corpus], labels[1][corpus]))
    ]
    cells = []
    for name in sorted(set(columns[0]) | set(columns[1])):
        pair = [columns[side].get(name) for side in (0, 1)]
        if pair[0] is None or pair[1] is None:
            corpus, model, strategy, control = name
            cells.append(Cell(corpus, model, strategy, control, "missing"))
        elif not any(problem.startswith(f"{name[0]}:") for problem in obstacles):
            cells.append(_cell(name, truths[0][name[0]], truths[1][name[0]], pair[0], pair[1], margin))
    return Comparison(tuple(cells), tuple(obstacles))


def _read(
    files: Mapping[str, bytes],
) -> "tuple[dict[str, Truths], dict[tuple[str, str, str, str], Column], dict[str, tuple[str, ...]]]":
    """Truths by corpus, predictions by (corpus, model, strategy, control), and labels by corpus."""
    from ambiemo.bundle.contents import predictions_path, read_columns, study_from
    from ambiemo.results.truths import truths_of
    from ambiemo.results.units import all_units

    study = study_from(files)
    truths = {corpus: truths_of(study, corpus) for corpus in study.utterances}
    there = [unit for unit in all_units(study) if predictions_path(*unit) in files]
    columns = [column for unit in there for column in read_columns(unit, truths[unit[1]], files)]
    return truths, {column.name: column for column in columns}, study.labels


def _obstacles(corpus: str, first: "Truths", second: "Truths", labels: tuple[tuple[str, ...], ...]) -> list[str]:
    """Why a corpus' predictions cannot be paired: other labels, no utterance in common, or other votes for the same ones."""
    if labels[0] != labels[1]:
        return [f"{corpus}: labels {', '.join(labels[0])} in the first bundle, {', '.join(labels[1])} in the second"]
    places = _common(first, second)
    if not places:
        return [f"{corpus}: no utterance in common"]
    changed = [first.ids[i] for i, j in places if (first.votes[i] != second.votes[j]).any()]
    return [f"{corpus}: other votes for {len(changed)} utterances, such as {changed[0]}"] if changed else []


def _common(first: "Truths", second: "Truths") -> list[tuple[int, int]]:
    """Rows of the utterances that both have."""
    at = {one: place for place, one in enumerate(second.ids)}
    return [(place, at[one]) for place, one in enumerate(first.ids) if one in at]


def _cell(
    name: tuple[str, str, str, str], first: "Truths", second: "Truths", a: "Column", b: "Column", margin: float
) -> Cell:
    from ambiemo.metrics import metric
    from ambiemo.metrics.inference import paired

    places = _common(first, second)
    both = [(i, j) for i, j in places if a.made[i] and b.made[j]]
    told: dict[str, Any] = {
        "n": len(both),
        "same": sum(bool((a.predicted[i] == b.predicted[j]).all()) for i, j in both),
        "failed": len(places) - len(both),
        "unpaired": len(first.ids) + len(second.ids) - 2 * len(places),
    }
    if not both:
        return Cell(*name, "undecided", **told)
    mine, theirs = [i for i, _ in both], [j for _, j in both]
    chosen, truth = metric(METRIC), first.truth[mine]
    p, q = b.predicted[theirs], a.predicted[mine]
    speakers = [first.speakers[i] for i in mine]
    found = paired(chosen, truth, p, q, speakers, seed("compare", name[0]), RESAMPLES, TOST_LEVEL)
    values = [float(chosen.value(chosen.statistics(truth, one).sum(axis=0))) for one in (q, p)]
    identical = told["same"] == len(both) and not told["unpaired"]
    decided: Verdict = "identical" if identical else _verdict(found[1], found[2], margin)
    verdict: Verdict = "undecided" if told["failed"] else decided
    return Cell(
        *name, verdict, **told, first=values[0], second=values[1], difference=found[0], low=found[1], high=found[2]
    )


def _verdict(low: float, high: float, margin: float) -> Verdict:
    """Of an interval: inside the margin, wholly on one side of 0 and not inside, or neither."""
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    if -margin < low and high < margin:
        return "equivalent"
    return "different" if low > 0 or high < 0 else "undecided"


def show(first: Path, second: Path, margin: float, as_json: bool) -> bool:
    """Compare two bundles' folders, print the outcome, and return whether they agree."""
    if not margin > 0:
        raise BadInput(f"--margin: found {margin:g}, expected a number above 0 (bits)")
    comparison = compare(payload(first), payload(second), margin)
    if as_json:
        print(json.dumps(as_object(comparison, margin), indent=1, allow_nan=False))
    else:
        as_lines(comparison, margin)
    return comparison.agree


def as_object(comparison: Comparison, margin: float) -> dict[str, Any]:
    """The comparison as JSON values, null where not estimable."""
    cells = [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in map(asdict, comparison.cells)
    ]
    agree = {"agree": comparison.agree, "metric": METRIC, "margin": margin, "level": TOST_LEVEL}
    return {**agree, "obstacles": list(comparison.obstacles), "cells": cells}


def as_lines(comparison: Comparison, margin: float) -> None:
    """The comparison for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=None if Console().is_terminal else 150)
    table = Table(title=f"second minus first: {METRIC}, paired, 90 % interval; equivalent within ±{margin:g}")
    for column in ("corpus", "model", "strategy", "control"):
        table.add_column(column)
    for column in ("n", "same", "failed", "unpaired", "difference", "interval"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for cell in comparison.cells:
        interval = "" if math.isnan(cell.low) else f"{cell.low:+.4f} to {cell.high:+.4f}"
        difference = "" if math.isnan(cell.difference) else f"{cell.difference:+.4f}"
        where = (Text(shown(name, 80)) for name in (cell.corpus, cell.model, cell.strategy, cell.control))
        counts = map(str, (cell.n, cell.same, cell.failed, cell.unpaired))
        table.add_row(*where, *counts, difference, interval, cell.verdict)
    console.print(table)
    for obstacle in comparison.obstacles:
        console.print(shown(obstacle, 1000), markup=False)
    console.print(summary(comparison.cells, comparison.agree))


def summary(cells: Sequence[Cell], agree: bool) -> str:
    """One line: how many cells of each verdict, and the answer."""
    order: tuple[Verdict, ...] = ("identical", "equivalent", "undecided", "different", "missing")
    verdicts = [cell.verdict for cell in cells]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in order if verdict in verdicts)
    return f"{'agree' if agree else 'not shown to agree'}: {counts or 'no cells'}"
