"""The summary in words: sentences made from verdicts and tables, each number with its cell.

A sentence is a tuple of texts and cells. Nothing here judges: verdicts are those of claims.csv,
heard.csv and ambiguity.csv; of paired.csv only the named family after Holm counts; where an interval
alone is read, the sentence says so.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ambiemo.results.claims.deciding import HOLDS, NOT_TESTED, VERDICTS
from ambiemo.results.report.cells import Cell, Line, Table
from ambiemo.results.tables.families import CALLED, EXPLORATORY

MOST_NAMED = 6
"""Strategies that a sentence names with their values."""
Part = str | Cell
GOOD, BAD, OPEN, PLAIN = "good", "bad", "open", "plain"


@dataclass(frozen=True)
class Sentence:
    """One fact. tone: good, bad, open (not shown, not tested) or plain; unit: corpus and model that
    it is about, "" for the whole run.
    """

    head: str
    parts: tuple[Part, ...]
    tone: str = PLAIN
    unit: tuple[str, str] = ("", "")


def summary(tables: Mapping[str, Table]) -> list[Sentence]:
    """What the bundle says, the claims first."""
    sentences = claims_summary(tables["claims"])
    for unit in tables["results"].units:
        about = f"{unit[1]} on {unit[0]}" if len(tables["results"].units) > 1 else ""
        own = {
            name: Table(name, table.columns, tuple(one for one in table if one.unit == unit))
            for name, table in tables.items()
            if {"corpus", "model"} <= set(table.columns)
        }
        of_unit = [
            heard_sentence(own["heard"]) if "heard" in own else None,
            against_greedy_sentence(own["paired"]) if "paired" in own else None,
            choice_sentence(own["gains"]) if "gains" in own else None,
            ambiguity_sentence(own["ambiguity"]) if "ambiguity" in own else None,
            verifier_sentence(own["verifier"]) if "verifier" in own else None,
            failures_sentence(own["results"]),
        ]
        sentences += [
            Sentence(f"{one.head}, {about}" if about else one.head, one.parts, one.tone, unit)
            for one in of_unit
            if one is not None
        ]
    return sentences


def claims_summary(claims: Table) -> list[Sentence]:
    """How many claims have which verdict: those about the paper, then the embedded corpus' own."""
    sentences = []
    for about, words in (("paper", "about the paper"), ("embedded", "about the embedded corpus")):
        rows = claims.of(about=about) if len(claims) else []
        if not rows:
            continue
        counts = Counter(row["verdict"] for row in rows)
        counted = ", ".join(f"{counts[one]} {one}" for one in VERDICTS if counts[one])
        because = _why_untested(rows)
        only = len(rows) == counts[NOT_TESTED]
        parts: list[Part] = [
            f"Of {len(rows)} claims {words}, {'none is tested' if only else counted}{because}."
        ]
        for row in rows:
            if row["verdict"] == HOLDS:
                parts += [f" {row['id']} holds: {row['sentence']}."]
        head = "The paper" if about == "paper" else "The same rules here"
        sentences.append(Sentence(head, tuple(parts), OPEN if only else PLAIN))
    return sentences or [Sentence("Claims", ("This bundle has no claims.",), OPEN)]


def _why_untested(rows: Iterable[Line]) -> str:
    """ ": REASON" where all that was not tested has one reason."""
    reasons = {row["reason"] for row in rows if row["verdict"] == NOT_TESTED}
    return f": {reasons.pop()}" if len(reasons) == 1 else ""


def heard_sentence(rows: Table) -> Sentence | None:
    """Whether the model heard the clips, by its controls."""
    if not len(rows):
        return None
    parts: list[Part] = []
    for row in rows:
        control = row["control"].replace("_", " ")
        words = {
            "yes": "is worse by ",
            "no": "does not change: ",
        }.get(row["heard"], "is not shown to be worse: ")
        parts += [f"With {control} instead of the clip {row['strategy']} {words}"]
        parts += [*_with_bounds(row, "difference", "low", "high"), " bits of JS. "]
    verdicts = {row["heard"] for row in rows}
    tone = GOOD if verdicts == {"yes"} else BAD if "no" in verdicts else OPEN
    return Sentence("Was it heard?", tuple(parts), tone)


def _reach(row: Line) -> tuple[Part, ...]:
    """What a run can show at all."""
    if math.isnan(row.number("detectable_family")):
        return (". With so few speakers this run could call no difference.",)
    cell = row.cell("detectable_family")
    return (". This run would have called a difference of ", cell, " bits in four of five cases.")


def against_greedy_sentence(paired: Table) -> Sentence | None:
    """Which strategies of the named family differ from the single answer, after Holm."""
    rows = paired.where(
        lambda row: (
            row["family"] != EXPLORATORY
            and row["b"] == "greedy"
            and (row["level"], row["metric"]) == ("all", "js_divergence_bits")
        )
    )
    if not rows:
        return None
    called = [row for row in rows if row.number("p_holm") < CALLED]
    if not called:
        best = min(rows, key=lambda row: row.number("difference"))
        return Sentence(
            "Against the single answer",
            (
                f"None of the {len(rows)} strategies of the family is shown to be better or worse than greedy. "
                f"The largest gain seen is that of {best['a']}: ",
                *_with_bounds(best, "difference", "low", "high"),
                " bits, p after Holm ",
                best.cell("p_holm"),
                *_reach(best),
            ),
            OPEN,
        )
    parts: list[Part] = []
    for row in called:
        way = "better" if row.number("difference") < 0 else "worse"
        parts += [f"{row['a']} is shown to be {way} than greedy: "]
        parts += [*_with_bounds(row, "difference", "low", "high"), " bits, p after Holm "]
        parts += [row.cell("p_holm"), ". "]
    rest = len(rows) - len(called)
    parts += [f"Of the other {rest} of the family nothing is shown."] if rest else []
    tones = {row.number("difference") < 0 for row in called}
    return Sentence(
        "Against the single answer",
        tuple(parts),
        PLAIN if len(tones) > 1 else GOOD if tones == {True} else BAD,
    )


def choice_sentence(gains: Table) -> Sentence | None:
    """Whether choosing among candidates adds anything to their plain mean, by intervals alone."""
    rows = gains.where(lambda row: not math.isnan(row.number("choice")))
    if not rows:
        return None
    helps = [row for row in rows if row.sure("choice") and row.number("choice") < 0]
    hurts = [row for row in rows if row.sure("choice") and row.number("choice") > 0]
    parts: list[Part] = ["Choosing among the candidates adds to their plain mean "]
    parts += ["for no strategy" if not helps else "for "]
    parts += _listed(helps, "choice")
    parts += ["; it costs for " if hurts else "", *_listed(hurts, "choice")]
    parts += [" (bits; intervals, not corrected for the number of strategies)."]
    return Sentence("What the gain consists of", tuple(parts), GOOD if helps else OPEN)


def _listed(rows: Sequence[Line], column: str) -> list[Part]:
    """Strategies with their values; of more than MOST_NAMED only those with the largest."""
    named = rows
    if len(rows) > MOST_NAMED:
        named = sorted(rows, key=lambda row: -abs(row.number(column)))[: MOST_NAMED - 1]
    parts: list[Part] = []
    for row in named:
        parts += [", " if parts else "", f"{row['strategy']} ", row.cell(column)]
    others = len(rows) - len(named)
    return [*parts, f" and less for {others} others"] if others else parts


def ambiguity_sentence(rows: Table) -> Sentence | None:
    """Verdicts of the split-vote test."""
    if not len(rows):
        return None
    counts = Counter(row["verdict"] for row in rows)
    counted = ", ".join(f"{counts[one]} {one}" for one in VERDICTS if counts[one])
    counted += _why_untested(rows)
    which = [row["strategy"] for row in rows if row["verdict"] == HOLDS]
    more = f" It holds for {', '.join(which)}." if which else ""
    return Sentence(
        "Does the gain grow with ambiguity?",
        (f"By split votes, of {len(rows)} strategies: {counted}.{more}",),
        GOOD if which else OPEN,
    )


def verifier_sentence(rows: Table) -> Sentence | None:
    """Whether the verifier ranks candidates better than a coin."""
    concordances = rows.of(quantity="concordance")
    if not concordances:
        return None
    parts: list[Part] = []
    tone = GOOD
    for row in concordances:
        low = row.number("low")
        better = not math.isnan(low) and low > 0.5
        tone = tone if better else OPEN
        parts += [
            f"{row['judge']} {'ranks' if better else 'is not shown to rank'} candidates of {row['question']} "
            "better than a coin: concordance ",
            *_with_bounds(row, "value", "low", "high"),
            " (0.5 is a coin). ",
        ]
    return Sentence("Does the verifier know?", tuple(parts), tone)


def failures_sentence(results: Table) -> Sentence | None:
    """Failed predictions and candidates that were not understood, of the largest column."""
    rows = results.of(level="all")
    failed = [row for row in rows if row["failed"] not in ("", "0")]
    unparsed = [row for row in rows if row["unparsed"] not in ("", "0")]
    if not rows:
        return None
    if not failed and not unparsed:
        return Sentence(
            "Failures", ("No prediction failed, and every candidate was understood.",), GOOD
        )
    parts: list[Part] = [
        "No prediction failed." if not failed else "Failed predictions are in no metric: "
    ]
    for place, row in enumerate(failed):
        parts += [", " if place else "", f"{row['strategy']} ", row.cell("failed")]
    parts += ["." if failed else ""]
    if unparsed:
        worst = max(unparsed, key=lambda row: int(row["unparsed"]) / max(1, int(row["candidates"])))
        parts += [" Candidates that were not understood, at most: ", worst.cell("unparsed"), " of "]
        parts += [worst.cell("candidates"), f" ({worst['strategy']})."]
    return Sentence("Failures", tuple(parts), PLAIN if failed else GOOD)


def _with_bounds(row: Line, value: str, low: str, high: str) -> list[Part]:
    if not row[low] or not row[high]:
        return [row.cell(value)]
    return [row.cell(value), " [", row.cell(low), ", ", row.cell(high), "]"]
