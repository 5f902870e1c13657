"""Tables for people, as heads and lines of text: `terminal` prints them, `markdown` is the bundle's
results.md.

The numbers come from the rows of the CSV files.
"""

import math
from collections.abc import Sequence

from ambiemo.jsonlines import Row
from ambiemo.labels import CLEAR_CUT, LEVELS
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.results.study import Study
from ambiemo.results.tables.csv_form import rows_from
from ambiemo.strategies import OWN, PARTS

SHOWN = (
    ("js_divergence_bits", "JS bits ↓", True),
    ("bhattacharyya", "BC ↑", False),
    ("r2_pearson", "R² Pearson ↑", False),
    ("accuracy", "accuracy ↑", False),
    ("macro_f1", "macro F1 ↑", False),
    ("ece_10", "ECE 10 ↓", False),
)


def heading() -> list[str]:
    """Column heads of the table for people."""
    return [
        "strategy",
        *(title for _, title, _ in SHOWN),
        "n",
        "failed",
        "unparsed",
    ]


def grouped(results: Sequence[Row], cells: Sequence[Row]) -> dict[tuple[str, str], list[list[str]]]:
    """The tables for people, one per (corpus, model): baselines first, then the strategies, then
    the controls.

    Of strategies that differ in the number of candidates alone, the one with the most stands here,
    the others in `scaling`.
    """
    smaller = {_name(cell) for family in _families(results, cells) for cell in family[:-1]}
    groups: dict[tuple[str, str], list[list[str]]] = {}
    for corpus, model in dict.fromkeys(
        (row["corpus"], row["model"]) for row in results if row["model"] != "baselines"
    ):
        wanted = [
            row
            for row in results
            if row["level"] == "all"
            and row["corpus"] == corpus
            and row["model"] in ("baselines", model)
            and _name(row) not in smaller
        ]
        groups[(corpus, model)] = [_line(row) for row in wanted]
    return groups


def by_level(results: Sequence[Row]) -> list[list[str]]:
    """JS by level of ambiguity, a description: heads, then one line per strategy. LEVEL_WARNING
    belongs above it."""
    rows = {(_name(row), row["level"]): row for row in results}
    there = [level for level in (*LEVELS, CLEAR_CUT) if any(level == own for _, own in rows)]
    lines = [["model", "strategy", *(f"JS {level}" for level in there)]]
    for row in results:
        if row["level"] != "all":
            continue
        of_levels = [rows.get((_name(row), level)) for level in there]
        cells = ["" if one is None else _number(one["js_divergence_bits"]) for one in of_levels]
        lines.append([f"{row['model']} on {row['corpus']}", _label(row), *cells])
    return lines


def scaling(results: Sequence[Row], cells: Sequence[Row]) -> list[list[str]]:
    """What more candidates give: heads, then one line per strategy that the plan has with several
    numbers of candidates, JS by that number."""
    families = _families(results, cells)
    counts = sorted({cell["count"] for family in families for cell in family})
    if not counts:
        return []
    rows = {_name(row): row for row in results if row["level"] == "all"}
    lines = [["model", "strategy", *(f"N = {count}" for count in counts)]]
    for family in families:
        by_count = {cell["count"]: rows.get(_name(cell)) for cell in family}
        values = [
            _interval(row, "js_divergence_bits") if (row := by_count.get(count)) else ""
            for count in counts
        ]
        lines.append(
            [f"{family[-1]['model']} on {family[-1]['corpus']}", _label(family[-1]), *values]
        )
    return lines


def _families(results: Sequence[Row], cells: Sequence[Row]) -> list[list[Row]]:
    """Cells with results that differ in the number of candidates and in nothing else, two or more,
    in the order of that number."""
    filled = {_name(row) for row in results}
    families: dict[tuple, list[Row]] = {}
    for cell in (cell for cell in cells if _name(cell) in filled):
        families.setdefault(tuple(str(cell[name]) for name in SAME_FAMILY), []).append(cell)
    return [
        sorted(family, key=lambda cell: cell["count"])
        for family in families.values()
        if len({cell["count"] for cell in family}) == len(family) > 1
    ]


def _name(row: Row) -> tuple[str, str, str, str]:
    return (row["corpus"], row["model"], row["strategy"], row["control"])


def _label(row: Row) -> str:
    return row["strategy"] + (
        "" if row["control"] == NO_CONTROL else f" · {row['control'].replace('_', ' ')}"
    )


def _line(row: Row) -> list[str]:
    cells = [_label(row)]
    for name, _, with_interval in SHOWN:
        cells.append(_interval(row, name) if with_interval else _number(row[name]))
    return [
        *cells,
        str(row["n"]),
        str(row["failed"]),
        f"{row['unparsed']}/{row['candidates']}" if row["candidates"] else "",
    ]


def _interval(row: Row, name: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    return (
        _number(value) if math.isnan(low) else f"{_number(value)} [{_number(low)}, {_number(high)}]"
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def markdown(
    study: Study, results: Sequence[Row], cells: Sequence[Row], heard: Sequence[Row] = ()
) -> str:
    """The table for people as Markdown, with what it can and cannot say."""
    plan = study.plan
    parts = [f"# {plan.title or plan.name}", "", *notes(study, results), ""]
    for (corpus, model), table in grouped(results, cells).items():
        parts += [
            f"## {model} on {corpus}",
            "",
            markdown_row(heading()),
            markdown_row(["---", *["---:"] * (len(heading()) - 1)]),
        ]
        parts += [markdown_row(line) for line in table] + [""]
        parts += [f"{note}\n" for note in unscored(results, corpus, model)]
    if more := scaling(results, cells):
        parts += [
            f"## {MORE}",
            "",
            markdown_row(more[0]),
            markdown_row(["---", "---", *["---:"] * (len(more[0]) - 2)]),
        ]
        parts += [markdown_row(line) for line in more[1:]] + [""]
    levels = by_level(results)
    parts += [f"## {LEVEL_TITLE}", "", LEVEL_WARNING, ""]
    parts += [
        markdown_row(levels[0]),
        markdown_row(["---", "---", *["---:"] * (len(levels[0]) - 2)]),
    ]
    parts += [markdown_row(line) for line in levels[1:]] + [""]
    if heard:
        lines = heard_table(heard)
        parts += [
            "## Was it heard?",
            "",
            markdown_row(lines[0]),
            markdown_row(["---"] * 3 + ["---:"] * (len(lines[0]) - 4) + ["---"]),
        ]
        parts += [markdown_row(line) for line in lines[1:]] + [""]
    filled = {_name(row) for row in results}
    left_out = [(cell, cell.skipped or NO_OTHER) for cell in study.cells]
    left_out = [
        (cell, why)
        for cell, why in left_out
        if cell.skipped or (cell.corpus, cell.model, cell.strategy.name, cell.control) not in filled
    ]
    if left_out:
        parts += ["## Left out", ""]
        parts += [
            f"- {cell.model} × {cell.corpus} × {cell.strategy.name} ({cell.control}): {why}"
            for cell, why in left_out
        ] + [""]
    return "\n".join(parts)


SAME_FAMILY = ("corpus", "model", "control", *PARTS, *OWN)
"""Columns of cells.csv in which strategies agree that differ in the number of candidates alone."""
MORE = "More candidates: JS bits by their number"
LEVEL_TITLE = "By level of ambiguity: a description"
LEVEL_WARNING = (
    "Levels and truth share their votes: differences between levels mean nothing by themselves "
    "(docs/metrics.md says why, and which test to use)."
)
NO_OTHER = "all utterances are of one speaker, so there is no other speaker's clip to give"
"""Why a control that could be asked has no rows."""


def unscored(results: Sequence[Row], corpus: str, model: str) -> list[str]:
    """A line that says which strategies could not use all candidates that parsed, or none."""
    shares = [
        f"{_label(row)} {row['unscored']}/{row['candidates']}"
        for row in results
        if (row["corpus"], row["model"], row["level"]) == (corpus, model, "all") and row["unscored"]
    ]
    return (
        [f"Candidates without a score, which have no weight: {', '.join(shares)}."]
        if shares
        else []
    )


def heard_table(heard: Sequence[Row]) -> list[list[str]]:
    """The table of controls for people: heads, then one line per control.

    JS in bits, the difference with its interval and p, how many answers did not change, and where
    any failed, how many.
    """
    failures = any(row["failed_clip"] or row["failed_control"] for row in heard)
    heads = [
        "model", "strategy", "control", "JS with the clip", "JS without",
        "difference", "p (Holm)", "unchanged", "n",
    ]  # fmt: skip
    heads += ["failed with", "failed without"] if failures else []
    lines = [
        [
            f"{row['model']} on {row['corpus']}",
            row["strategy"],
            row["control"].replace("_", " "),
            _number(row["js_bits_with_clip"]),
            _number(row["js_bits_under_control"]),
            _interval(
                row | {"difference_low": row["low"], "difference_high": row["high"]}, "difference"
            ),
            _number(row["p_holm"]),
            "–" if math.isnan(row["unchanged"]) else f"{row['unchanged']:.0%}",
            str(row["n"]),
            *([str(row["failed_clip"]), str(row["failed_control"])] if failures else []),
            row["heard"],
        ]
        for row in heard
    ]
    return [[*heads, "heard?"], *lines]


def notes(study: Study, results: Sequence[Row]) -> list[str]:
    """What a reader must know before the numbers."""
    plan = study.plan
    failed = sum(row["failed"] for row in results if row["level"] == "all")
    level = f"{plan.bootstrap.level:.0%}"
    return [
        f"JS is the Jensen-Shannon divergence in bits, with a {level} interval by jackknife over "
        "speakers, t with G_eff − 1 degrees (docs/metrics.md).",
        f"Levels of ambiguity by rule `{plan.ambiguity.rule}`. Weights of the weighted strategies "
        "are our reading of the paper (grade I).",
        "`prior` and `prior_one_hot` are made from the very votes they are scored on: a hard bar, "
        "not a method. `prior_without_speaker` has not seen the speaker it is scored on.",
        f"Failed predictions are in no metric: {failed} here."
        if failed
        else "No prediction failed.",
    ]


def markdown_row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def from_csv(data: bytes) -> list[Row]:
    """Rows of a table's CSV, numbers as numbers ("" = NaN)."""
    words = {"corpus", "model", "strategy", "control", "level", "heard", "skipped", *PARTS}
    words |= {"by_bootstrap", "reason", "method", "p_method"}
    counts = {
        "n",
        "failed",
        "candidates",
        "unparsed",
        "unscored",
        "speakers",
        "r2_pearson_n",
        "count",
    }
    counts |= {"failed_clip", "failed_control"}
    return rows_from(data, words, counts)
