"""The tables of the page: which rows and columns of a bundle's CSV files, under which heads.

A number stands with every digit of its file; the page dims the last ones. What is left out here is
in the page's "All tables", which has each file whole.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ambiemo.results.report.calibration import BINS, Reliability
from ambiemo.results.report.cells import Cell, Line, Reckoned, Table

Kind = Literal["word", "sentence", "number", "interval", "chip"]


@dataclass(frozen=True)
class Head:
    """A column of a grid: its head, how it is shown, and the CSV's columns: value, or value, low and
    high.
    """

    text: str
    kind: Kind
    columns: tuple[str, ...]

    @property
    def numeric(self) -> bool:
        """Whether it is aligned to the right."""
        return self.kind in ("number", "interval")


@dataclass(frozen=True)
class Row:
    """One row of a grid, and the unit it is about (corpus, model)."""

    unit: tuple[str, str]
    cells: tuple[tuple[Cell | Reckoned, ...], ...]


@dataclass(frozen=True)
class Grid:
    """A table of the page. name: unique on the page; source: the CSV file's name."""

    name: str
    source: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]


def word(text: str, column: str) -> Head:
    return Head(text, "word", (column,))


def number(text: str, column: str) -> Head:
    return Head(text, "number", (column,))


def sentence(text: str, column: str, *reasons: str) -> Head:
    """A sentence, with its reason below it."""
    return Head(text, "sentence", (column, *reasons))


def chip(text: str, column: str) -> Head:
    return Head(text, "chip", (column,))


def interval(text: str, column: str) -> Head:
    """A value whose bounds are COLUMN_low and COLUMN_high."""
    return Head(text, "interval", (column, f"{column}_low", f"{column}_high"))


def bounded(text: str, column: str) -> Head:
    """A value whose bounds are `low` and `high`."""
    return Head(text, "interval", (column, "low", "high"))


POWERS = ("1", "2", "4", "8", "16", "32", "64", "128", "inf")
CORRECTED = ("brier_unbiased", "skill", "js_divergence_bits_vote_jackknife", "brier_to_true")
"""Numbers of samples, and quantities of floors.csv, that have a place here; all are in the file."""
UNIT = (word("corpus", "corpus"), word("model", "model"))


@dataclass(frozen=True)
class Plan:
    """How a grid is built: its table, its columns, its rows."""

    source: str
    heads: tuple[Head, ...]
    wanted: Callable[[Line], bool] = lambda line: True


def _all(line: Line) -> bool:
    return line["level"] == "all"


def _family(line: Line) -> bool:
    return (
        (line["b"], line["a_control"], line["b_control"]) == ("greedy", "none", "none")
        and _all(line)
        and line["metric"] == "js_divergence_bits"
    )


PLANS: dict[str, Plan] = {
    "claims": Plan(
        "claims",
        (
            word("claim", "id"),
            chip("verdict", "verdict"),
            sentence("what it says", "sentence", "reason"),
            bounded("estimate", "estimate"),
            number("p (Holm)", "p_holm"),
            number("to flip", "flips"),
        ),
        lambda line: line["verdict"] != "NOT TESTED",
    ),
    "untested": Plan(
        "claims",
        (
            word("claim", "id"),
            chip("verdict", "verdict"),
            sentence("what it says", "sentence", "reason"),
            number("published", "published"),
            word("grade", "grade"),
        ),
        lambda line: line["verdict"] == "NOT TESTED",
    ),
    "differences": Plan(
        "paired",
        (
            *UNIT,
            word("strategy", "a"),
            bounded("JS − greedy's, bits", "difference"),
            number("p", "p"),
            number("p (Holm)", "p_holm"),
            number("detectable", "detectable"),
            number("n", "n"),
            word("family", "family"),
        ),
        _family,
    ),
    "levels": Plan(
        "results",
        (
            *UNIT,
            word("strategy", "strategy"),
            word("control", "control"),
            interval("JS bits ↓", "js_divergence_bits"),
            interval("Brier ↓", "brier"),
            interval("BC ↑", "bhattacharyya"),
            interval("accuracy ↑", "accuracy"),
            interval("macro F1 ↑", "macro_f1"),
            interval("ECE 10 ↓", "ece_10"),
            number("n", "n"),
            number("failed", "failed"),
            number("unparsed", "unparsed"),
            number("of candidates", "candidates"),
        ),
        _all,
    ),
    "by_level": Plan(
        "results",
        (
            *UNIT,
            word("strategy", "strategy"),
            word("control", "control"),
            word("level", "level"),
            interval("JS bits ↓", "js_divergence_bits"),
            number("n", "n"),
        ),
        lambda line: not _all(line),
    ),
    "gains": Plan(
        "gains",
        (
            *UNIT,
            word("strategy", "strategy"),
            number("N", "candidates"),
            interval("decoding", "decoding"),
            interval("averaging", "averaging"),
            interval("choice", "choice"),
            interval("total", "total"),
            interval("regret", "regret"),
            interval("effective N", "effective_candidates"),
            interval("ties", "ties"),
        ),
    ),
    "curves": Plan(
        "curves",
        (
            *UNIT,
            word("question", "question"),
            word("method", "method"),
            number("k", "k"),
            interval("JS bits ↓", "js_divergence_bits"),
            interval("Brier ↓", "brier"),
            interval("JS − pool's, same draws", "same_draws"),
        ),
        lambda line: line["k"] in POWERS,
    ),
    "pareto": Plan(
        "curves",
        (
            *UNIT,
            word("question", "question"),
            word("method", "method"),
            number("k", "k"),
            number("draws", "draws"),
            number("tokens", "tokens"),
            number("$ per 1000 clips", "dollars_per_1000_clips"),
            interval("JS bits ↓", "js_divergence_bits"),
            word("on the front", "pareto"),
        ),
        lambda line: line["pareto"] == "yes",
    ),
    "ambiguity": Plan(
        "ambiguity",
        (
            *UNIT,
            word("strategy", "strategy"),
            chip("verdict", "verdict"),
            interval("share removed", "share_removed_against_greedy"),
            interval("gain", "gain_against_greedy"),
            interval("overall gain", "overall_gain_against_greedy"),
            interval("share removed, tempered", "share_removed_against_tempered"),
            interval("gain, tempered", "gain_against_tempered"),
            interval("overall gain, tempered", "overall_gain_against_tempered"),
            sentence("why", "reason"),
        ),
    ),
    "raters": Plan(
        "floors",
        (
            word("corpus", "corpus"),
            word("quantity", "quantity"),
            number("raters", "raters"),
            bounded("value", "value"),
            number("n", "n"),
        ),
        lambda line: not line["strategy"],
    ),
    "corrected": Plan(
        "floors",
        (
            *UNIT,
            word("strategy", "strategy"),
            word("quantity", "quantity"),
            bounded("value", "value"),
            number("n", "n"),
        ),
        lambda line: bool(line["strategy"]) and line["quantity"] in CORRECTED,
    ),
    "heard": Plan(
        "heard",
        (
            *UNIT,
            word("strategy", "strategy"),
            word("control", "control"),
            chip("heard?", "heard"),
            number("JS with the clip", "js_bits_with_clip"),
            number("JS without", "js_bits_under_control"),
            bounded("difference", "difference"),
            number("p (Holm)", "p_holm"),
            number("unchanged", "unchanged"),
            number("n", "n"),
        ),
    ),
    "verifier": Plan(
        "verifier",
        (
            *UNIT,
            word("question", "question"),
            word("judge", "judge"),
            word("quantity", "quantity"),
            number("candidate", "candidate"),
            bounded("value", "value"),
            number("n", "n"),
            sentence("why no value", "reason"),
        ),
    ),
}


def grids(tables: Mapping[str, Table]) -> dict[str, Grid]:
    """Every grid that has rows, by name."""
    by_name = {name: _grid(name, plan, tables[plan.source]) for name, plan in PLANS.items()}
    return {name: one for name, one in by_name.items() if one.rows}


def _grid(name: str, plan: Plan, table: Table) -> Grid:
    heads = plan.heads
    if len({line["corpus"] for line in table if "corpus" in line.texts}) < 2:
        heads = tuple(head for head in heads if head.columns != ("corpus",))
    rows = [_row(heads, line) for line in _rows(plan, table)]
    kept = [place for place, head in enumerate(heads) if _has_text(head, place, rows)]
    return Grid(
        name,
        plan.source,
        tuple(heads[place] for place in kept),
        tuple(Row(row.unit, tuple(row.cells[place] for place in kept)) for row in rows),
    )


def _rows(plan: Plan, table: Table) -> Iterable[Line]:
    return [line for line in table if plan.wanted(line)] if table.columns else []


def _row(heads: tuple[Head, ...], line: Line) -> Row:
    unit = line.unit if "corpus" in line.texts else ("", "")
    return Row(unit, tuple(tuple(line.cell(name) for name in head.columns) for head in heads))


def _has_text(head: Head, place: int, rows: list[Row]) -> bool:
    """True if a column has text in some row. Empty columns are left out."""
    return any(cell for row in rows for cell in row.cells[place])


BIN_HEADS = (
    word("model", "model"),
    word("strategy", "strategy"),
    number("ECE 10", "ece_10"),
    number("by chance", ""),
    word("how sure", ""),
    number("clips", ""),
    number("mean confidence", ""),
    number("mean correctness", ""),
)


def reliability_grid(reliabilities: Iterable[Reliability], results: Table) -> Grid:
    """The bins behind the figures of reliability: the ECE is the table's, the rest is made of
    predictions.
    """
    rows = []
    for one in reliabilities:
        (line,) = results.of(
            corpus=one.corpus, model=one.model, strategy=one.strategy, control="none", level="all"
        )
        source = f"made for this page from data/predictions/{one.model}/{one.corpus}.jsonl.gz"
        for place in range(BINS):
            if not one.counts[place]:
                continue
            texts = (
                f"{one.by_chance:.3f}",
                f"({place / BINS:g}, {(place + 1) / BINS:g}]",
                str(one.counts[place]),
                f"{one.confidence[place]:.3f}",
                f"{one.correct[place]:.3f}",
            )
            named = (line.cell("model"), line.cell("strategy"), line.cell("ece_10"))
            rows.append(
                Row(
                    line.unit,
                    (*((one,) for one in named), *((Reckoned(text, source),) for text in texts)),
                )
            )
    return Grid("calibration", "results", BIN_HEADS, tuple(rows))
