"""Two bundles, cell by cell, on the utterances that both predict: the same, as good as the same,
different, or too few to tell.

Two runs of one plan on two machines do not give the same answers: floating-point sums differ, so
tokens do. Two questions are asked of every cell, both with the jackknife over speakers and the sign
flip of `metrics.intervals`, and without random numbers up to 16 speakers:
    equivalent?  the paired 90 % interval lies inside a margin that does not matter. That is two
                 one-sided tests at 5 % each (Schuirmann 1987). "No significant difference" alone
                 never counts as agreement.
    different?   p, corrected by Holm over all cells in which a model was asked, is below .05. Two
                 runs of one model have dozens of cells, so without the correction some would be
                 called different in most comparisons.
A prediction that failed in either bundle keeps its cell undecided, as the two may differ just
there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ambiemo import terminal
from ambiemo.bundle.claims_compared import claims_parts
from ambiemo.bundle.folder import payload
from ambiemo.errors import BadInput
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.terminal import Part, Table

if TYPE_CHECKING:
    from ambiemo.results.predictions import Column as Predicted
    from ambiemo.results.truths import Truths

METRIC = "js_divergence_bits"
MARGIN = 0.01
"""Bits. Ours (grade I): under half of the one gain in JS that is known second-hand (.0228 on
IEMOCAP, variant unknown)."""
TOST_LEVEL = 0.90
CALLED = 0.05
POWER = 0.8

Verdict = Literal["identical", "equivalent", "different", "undecided", "missing"]


@dataclass(frozen=True)
class Cell:
    """One (corpus, model, strategy, control) in both bundles.

    n           utterances that both predict; same: those with the same prediction
    failed      utterances of both bundles without a prediction in one or both
    unpaired    utterances of one bundle only, as after `--limit`
    difference  the second bundle's metric minus the first's over the n, with its 90 % interval
    p, p_holm   that the two differ; p_holm is NaN for a baseline, which asks no model
    g_eff       effective speakers
    n_needed    utterances that would show equivalence with 80 % power if nothing differs, with
                speakers as here
    reason      why there is no interval
    Numbers are NaN where they cannot be estimated.
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
    p: float = math.nan
    p_holm: float = math.nan
    g_eff: float = math.nan
    n_needed: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """All cells of either bundle, and what keeps the two from being compared (other votes, other
    labels)."""

    cells: tuple[Cell, ...]
    obstacles: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether there are cells, every one is identical or equivalent, and nothing stands in the
        way."""
        same = [cell.verdict in ("identical", "equivalent") for cell in self.cells]
        return bool(same) and all(same) and not self.obstacles


def compare(
    first: Mapping[str, bytes], second: Mapping[str, bytes], margin: float = MARGIN
) -> Comparison:
    """Compare two bundles' predictions, paired per utterance.

    first, second: files by path below `data/`. margin in bits, > 0. The bundles are taken as they
    are: verify both first. Raises Broken for a file that cannot be used.
    """
    truths, columns, labels = zip(*map(_read, (first, second)), strict=True)
    obstacles = [
        problem
        for corpus in sorted(set(truths[0]) & set(truths[1]))
        for problem in _obstacles(
            corpus, truths[0][corpus], truths[1][corpus], (labels[0][corpus], labels[1][corpus])
        )
    ]
    cells = []
    for name in sorted(set(columns[0]) | set(columns[1])):
        pair = [columns[side].get(name) for side in (0, 1)]
        if pair[0] is None or pair[1] is None:
            corpus, model, strategy, control = name
            cells.append(Cell(corpus, model, strategy, control, "missing"))
        elif not any(problem.startswith(f"{name[0]}:") for problem in obstacles):
            cells.append(
                _cell(name, truths[0][name[0]], truths[1][name[0]], pair[0], pair[1], margin)
            )
    return Comparison(tuple(_corrected(cells)), tuple(obstacles))


def _corrected(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with p corrected over all cells that ask a model, and with "different" decided."""
    from ambiemo.metrics.inference import holm
    from ambiemo.results.predictions import BASELINE

    asked = [
        place
        for place, cell in enumerate(cells)
        if cell.verdict != "missing" and cell.model != BASELINE
    ]
    new_cells = list(cells)
    adjusted = holm([cells[place].p for place in asked])
    for place, p_holm in zip(asked, adjusted.tolist(), strict=True):
        cell = replace(cells[place], p_holm=p_holm)
        if cell.verdict == "undecided" and not cell.failed and p_holm < CALLED:
            cell = replace(cell, verdict="different")
        new_cells[place] = cell
    return new_cells


def _read(
    files: Mapping[str, bytes],
) -> "tuple[dict[str, Truths], dict[tuple[str, str, str, str], Predicted], dict[str, tuple[str, ...]]]":
    """Truths by corpus, predictions by (corpus, model, strategy, control), and labels by corpus."""
    from ambiemo.bundle.contents import predictions_path, read_columns, study_from
    from ambiemo.results.truths import truths_of
    from ambiemo.results.units import all_units

    study = study_from(files)
    truths = {corpus: truths_of(study, corpus) for corpus in study.utterances}
    there = [unit for unit in all_units(study) if predictions_path(*unit) in files]
    columns = [column for unit in there for column in read_columns(unit, truths[unit[1]], files)]
    return truths, {column.name: column for column in columns}, study.labels


def _obstacles(
    corpus: str, first: "Truths", second: "Truths", labels: tuple[tuple[str, ...], ...]
) -> list[str]:
    """Why a corpus' predictions cannot be paired: other labels, no utterance in common, or other
    votes for the same ones."""
    if labels[0] != labels[1]:
        return [
            f"{corpus}: labels {', '.join(labels[0])} in the first bundle, "
            f"{', '.join(labels[1])} in the second"
        ]
    places = _common(first, second)
    if not places:
        return [f"{corpus}: no utterance in common"]
    changed = [first.ids[i] for i, j in places if (first.votes[i] != second.votes[j]).any()]
    return (
        [f"{corpus}: other votes for {len(changed)} utterances, such as {changed[0]}"]
        if changed
        else []
    )


def _common(first: "Truths", second: "Truths") -> list[tuple[int, int]]:
    """Rows of the utterances that both have."""
    at = {one: place for place, one in enumerate(second.ids)}
    return [(place, at[one]) for place, one in enumerate(first.ids) if one in at]


def _cell(
    name: tuple[str, str, str, str],
    first: "Truths",
    second: "Truths",
    a: "Predicted",
    b: "Predicted",
    margin: float,
) -> Cell:
    from ambiemo.metrics import metric
    from ambiemo.metrics.arithmetic import totals
    from ambiemo.metrics.inference import cluster_sums_and_total
    from ambiemo.metrics.intervals import mean_differences
    from ambiemo.metrics.jackknife import sizes

    places = _common(first, second)
    both = [(i, j) for i, j in places if a.has_prediction[i] and b.has_prediction[j]]
    counts: dict[str, Any] = {
        "n": len(both),
        "same": sum(bool((a.predicted[i] == b.predicted[j]).all()) for i, j in both),
        "failed": len(places) - len(both),
        "unpaired": len(first.ids) + len(second.ids) - 2 * len(places),
    }
    if not both:
        return Cell(*name, "undecided", **counts)
    mine, theirs = [i for i, _ in both], [j for _, j in both]
    chosen, truth = metric(METRIC), first.truth[mine]
    ours, other = (
        chosen.statistics(truth, one) for one in (a.predicted[mine], b.predicted[theirs])
    )
    speakers = [first.speakers[i] for i in mine]
    apart = other[:, :1] - ours[:, :1]
    sums, whole = cluster_sums_and_total(apart, speakers)
    ((interval, _),) = mean_differences(apart, sums, whole, sizes(speakers), TOST_LEVEL)
    identical = counts["same"] == len(both) and not counts["unpaired"]
    verdict: Verdict = "undecided"
    if not counts["failed"]:
        verdict = "identical" if identical else _verdict(interval.low, interval.high, margin)
    return Cell(
        *name,
        verdict,
        **counts,
        first=float(chosen.value(totals(ours))),
        second=float(chosen.value(totals(other))),
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        p=interval.p,
        g_eff=interval.effective,
        n_needed=needed(interval.se, interval.n, interval.effective, margin),
        reason=interval.reason,
    )


def _verdict(low: float, high: float, margin: float) -> Verdict:
    """Whether an interval lies inside the margin. Only p decides "different"."""
    return "equivalent" if -margin < low and high < margin else "undecided"


def needed(se: float, n: int, effective: float, margin: float) -> float:
    """How many utterances would show equivalence with 80 % power if nothing differs.

    n · ((t(.95) + t(.9)) · SE / margin)² with G_eff − 1 degrees, rounded up: SE shrinks with √n
    where speakers grow in number as utterances do. NaN without SE. Source: the sample size of two
    one-sided tests (Schuirmann 1987; Chow, Shao and Wang 2008), with t for normal quantiles.
    """
    from ambiemo.metrics.student import critical

    if not se >= 0:
        return math.nan
    df = effective - 1
    reach = critical(1 - TOST_LEVEL, df) + critical(1 - POWER, df)
    return float(math.ceil(n * (reach * se / margin) ** 2)) if se else float(n)


def show(first: Path, second: Path, margin: float, as_json: bool) -> bool:
    """Compare two bundles' folders, print the outcome, and return whether they agree."""
    if not margin > 0:
        raise BadInput(f"--margin: found {margin:g}, expected a number above 0 (bits)")
    comparison = compare(payload(first), payload(second), margin)
    if as_json:
        terminal.show_json(as_object(comparison, margin))
    else:
        terminal.show(*claims_parts(first, second), *parts(comparison, margin))
    return comparison.agree


def as_object(comparison: Comparison, margin: float) -> dict[str, Any]:
    """The comparison as JSON values, null where not estimable."""
    cells = [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in map(asdict, comparison.cells)
    ]
    agree = {"agree": comparison.agree, "metric": METRIC, "margin": margin, "level": TOST_LEVEL}
    agree |= {"power": POWER}
    return {**agree, "obstacles": list(comparison.obstacles), "cells": cells}


def parts(comparison: Comparison, margin: float) -> list[Part]:
    """The comparison for people."""
    rows = []
    for cell in comparison.cells:
        name = f"{cell.strategy} · {cell.control.replace('_', ' ')}"
        rows.append(
            (
                f"{cell.model} on {cell.corpus}",
                cell.strategy if cell.control == NO_CONTROL else name,
                cell.verdict,
                _signed(cell.difference),
                "" if math.isnan(cell.low) else f"[{_signed(cell.low)}, {_signed(cell.high)}]",
                "" if math.isnan(cell.p_holm) else f"{cell.p_holm:.3f}",
                *map(str, (cell.n, cell.same, cell.failed, cell.unpaired)),
                ""
                if cell.verdict != "undecided" or math.isnan(cell.n_needed)
                else f"{cell.n_needed:.0f}",
            )
        )
    title = f"Cells: B minus A, {METRIC}, paired by utterance"
    caveat = (
        f"90 % interval; equivalent within ±{margin:g}; different where p (Holm) < {CALLED:g}; "
        "n needed: utterances that would show equivalence."
    )
    table = Table(title, COLUMNS, tuple(rows), "ambiemo compare A B --json", caveat)
    return [
        *[table] * bool(rows),
        *comparison.obstacles,
        summary(comparison.cells, comparison.agree),
    ]


COLUMNS = (
    terminal.Column("model", "key", 1),
    terminal.Column("strategy", "key"),
    terminal.Column("verdict", "key"),
    terminal.Column("difference"),
    terminal.Column("interval", "number", 1),
    terminal.Column("p (Holm)", "number", 2),
    terminal.Column("n", "number", 4),
    terminal.Column("same", "number", 3),
    terminal.Column("failed", "number", 5),
    terminal.Column("unpaired", "number", 6),
    terminal.Column("n needed", "number", 7),
)


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.4f}"


def summary(cells: Sequence[Cell], agree: bool) -> str:
    """One line: how many cells of each verdict, and the answer."""
    order: tuple[Verdict, ...] = ("identical", "equivalent", "undecided", "different", "missing")
    verdicts = [cell.verdict for cell in cells]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}" for verdict in order if verdict in verdicts
    )
    return f"{'agree' if agree else 'not shown to agree'}: {counts or 'no cells'}"
