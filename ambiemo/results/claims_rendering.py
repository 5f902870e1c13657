"""Verdicts for people: a compact table for the terminal, and a section of results.md.

Both are made from the rows of tables/claims.csv, which also has everything that is left out here.
"""

import math
from collections.abc import Sequence

from ambiemo.jsonlines import Row
from ambiemo.results.claims.deciding import NOT_TESTED, tally
from ambiemo.results.rendering import markdown_row
from ambiemo.results.tables.csv_form import rows_from

TITLE = "Claims"
HEADS = ["claim", "what it says", "verdict", "estimate", "p (Holm)", "answers to flip"]
WORDS = {
    "id", "about", "sentence", "grade", "verdict", "family", "flips_kind", "estimator", "rule", "reason"
}  # fmt: skip
COUNTS = {"n", "clusters", "cells_tested", "cells_missing", "failed_as_uniform"}
FEW = 20
"""Effective speakers below which the skewness of effects matters."""
SKEW_NOTE = (
    f"With fewer than {FEW} effective speakers these tests err more often where effects are strongly skewed (skewness 2): "
    "with 12 speakers, 7.0 % of the worlds in which nothing differs have something called by sign flip and 8.7 % by the "
    "jackknife, instead of 5 %."
)
"""A test holds the numbers to reproduce/bench/results/false_positives.json."""
EMBEDDED_NOTE = (
    "Claims E… are about the embedded corpus and its tiny model. They show what the rules look like and say nothing "
    "about the paper."
)


def claims_from_csv(data: bytes) -> list[Row]:
    """Rows of tables/claims.csv, numbers as numbers ("" = NaN)."""
    return rows_from(data, WORDS, COUNTS)


def claims_table(rows: Sequence[Row]) -> list[list[str]]:
    """Heads, then one line per claim; nothing without claims. Claims that are not tested for one
    reason share a line, and their reason stands where the sentence does.
    """
    if not rows:
        return []
    lines = [HEADS]
    for same in _runs(rows):
        if len(same) > 1:
            name = f"{same[0]['id']} to {same[-1]['id']}"
            lines.append([name, f"{len(same)} claims: {same[0]['reason']}", NOT_TESTED, "", "", ""])
        else:
            (row,) = same
            tested = row["verdict"] != NOT_TESTED
            says = row["sentence"] if tested else f"{row['sentence']}: {row['reason']}"
            lines.append(
                [
                    row["id"],
                    says,
                    row["verdict"],
                    estimate_of(row),
                    _number(row["p_holm"]),
                    flips_of(row),
                ]
            )
    return lines


def claims_section(rows: Sequence[Row]) -> str:
    """The section of results.md, "" without claims."""
    if not rows:
        return ""
    table = claims_table(rows)
    parts = [
        f"## {TITLE}",
        "",
        f"{tally(rows)}. What each verdict needs was written down before the run: data/config/claims.yaml.",
    ]
    parts += [
        "NOT SHOWN is tested, and neither shown nor refuted. The last column says how many answers, changed to the best or the"
    ]
    parts += ["worst there is, change the verdict: so many suffice, fewer may."]
    parts += [SKEW_NOTE] if any(row["g_eff"] < FEW for row in rows) else []
    parts += [EMBEDDED_NOTE] if any(row["about"] == "embedded" for row in rows) else []
    parts += [
        "",
        _row(table[0]),
        _row(["---", "---", "---", "---:", "---:", "---:"]),
        *map(_row, table[1:]),
        "",
    ]
    reasons = [row for row in rows if row["verdict"] != NOT_TESTED]
    parts += [f"- {row['id']}: {row['verdict']}: {row['reason']}" for row in reasons]
    return "\n".join([*parts, "", ""] if reasons else [*parts, ""])


def _runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Neighbouring claims that are not tested for the same reason together, every other one
    alone.
    """
    runs: list[list[Row]] = []
    for row in rows:
        last = runs[-1][-1] if runs else None
        if (
            last
            and row["verdict"] == last["verdict"] == NOT_TESTED
            and (row["reason"], row["about"]) == (last["reason"], last["about"])
        ):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def estimate_of(row: Row) -> str:
    if math.isnan(row["estimate"]):
        return ""
    if math.isnan(row["low"]):
        return f"{row['estimate']:.3g}"
    return f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def flips_of(row: Row) -> str:
    if row["flips_kind"] in ("", "never"):
        return row["flips_kind"]
    return f"{'' if row['flips_kind'] == 'exact' else '≤ '}{row['flips']:.0f}"


def _row(cells: Sequence[str]) -> str:
    return markdown_row([cell.replace("|", "\\|") for cell in cells])
