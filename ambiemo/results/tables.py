"""From predictions to tables. A table is a function of the bundle's answers and inputs alone.

`results.csv` one row a (corpus, model, strategy, control, ambiguity level): counts, and each metric with its interval.
`paired.csv`  differences on the same utterances: each strategy against `greedy`, the baselines and its own controls.
`heard.csv`   was the clip heard? each control against its strategy; only where the plan has controls.
`draws.csv`   what was asked and what came back: draws, candidates, tokens, verdicts, failures.
`levels.csv`  the ambiguity levels of each corpus and the entropy behind them.
`cells.csv`   every cell of the plan: what its strategy is made of, and why it was skipped.
The CSV files are the authority; `results.md` is for reading.

Rows are made one unit (a model and a corpus) at a time: no row compares two models or two corpora.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ambiemo import labels as votes_to
from ambiemo.jsonlines import Row
from ambiemo.metrics import METRICS
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.distribution import js_divergence_bits, r2_pearson
from ambiemo.metrics.inference import Difference, Resamples, holm, statistics_of
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.plan.schema import Plan
from ambiemo.results.predictions import BASELINE, Column
from ambiemo.results.study import Study
from ambiemo.results.truths import ALL, Truths
from ambiemo.seeds import seed

PLACES = 6
"""Decimals of every number in a table. Differences between processors are in the sixteenth."""
SAME = 1e-9
"""Shares that are closer are the same answer."""
PAIRED_METRICS = ("js_divergence_bits", "bhattacharyya", "brier", "accuracy")
UNIFORM_FOR_FAILED = "js_divergence_bits_failed_as_uniform"

Bools = NDArray[np.bool_]
Measured = tuple[float, Array]
"""A metric's value, and its values on the resampled speakers."""


@dataclass(frozen=True)
class UnitRows:
    """The rows of one unit in the tables that have a row per model; a baseline's are a unit of their own."""

    results: list[Row] = field(default_factory=list)
    paired: list[Row] = field(default_factory=list)
    heard: list[Row] = field(default_factory=list)
    draws: list[Row] = field(default_factory=list)
    ambiguity: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    floors: list[Row] = field(default_factory=list)
    gains: list[Row] = field(default_factory=list)
    verifier: list[Row] = field(default_factory=list)


class Measures:
    """The metrics of one corpus' columns, each evaluated once for each set of utterances."""

    def __init__(self, plan: Plan, truths: Truths, corpus: str) -> None:
        self.plan, self.truths, self.corpus = plan, truths, corpus
        self._resamples: dict[tuple[str, bytes], Resamples] = {}
        self._measured: dict[tuple, dict[str, Measured]] = {}
        self._latest: tuple[Column | None, tuple[Array, dict[str, slice]]] = (None, (np.zeros((0, 0)), {}))

    def resamples(self, level: str, rows: Bools) -> Resamples:
        """The resampled speakers of some utterances. One seed per corpus and level, so that all strategies meet the same ones."""
        key = (level, rows.tobytes())
        if key not in self._resamples:
            speakers = [self.truths.speakers[place] for place in np.flatnonzero(rows)]
            chance = seed("bootstrap", self.plan.seed, self.corpus, level)
            self._resamples[key] = Resamples(speakers, chance, self.plan.bootstrap.resamples)
        return self._resamples[key]

    def of(self, column: Column, level: str, rows: Bools) -> dict[str, Measured]:
        """Every metric of a column on some utterances. What `paired.csv` needs is kept for the next question."""
        key = (*column.name, level, rows.tobytes())
        if key in self._measured:
            return self._measured[key]
        parts, places = self._statistics(column)
        points, repeats = self.resamples(level, rows).evaluate(METRICS, parts[rows[column.made]], places)
        found = {name: (points[name], repeats[name]) for name in points}
        self._measured[key] = {name: found[name] for name in PAIRED_METRICS}
        return found

    def _statistics(self, column: Column) -> tuple[Array, dict[str, slice]]:
        if self._latest[0] is not column:
            made = column.made
            self._latest = (column, statistics_of(METRICS, self.truths.truth[made], column.predicted[made]))
        return self._latest[1]


def result_rows(measures: Measures, columns: Sequence[Column]) -> Iterator[Row]:
    """One row per column and ambiguity level, `all` first. Metrics are over the utterances that have a prediction; `failed` are the others.

    `r2_pearson_n`: on how many of them `r2_pearson` exists (docs/metrics.md).
    """
    truths, level_of = measures.truths, measures.plan.bootstrap.level
    for column in columns:
        correlated = np.zeros(len(truths.ids), dtype=bool)
        correlated[column.made] = ~np.isnan(r2_pearson(truths.truth[column.made], column.predicted[column.made]))
        filled = _failed_as_uniform(measures, column)
        for level, inside in truths.inside().items():
            scored = inside & column.made
            row: Row = {
                "corpus": column.corpus,
                "model": column.model,
                "strategy": column.strategy,
                "control": column.control,
                "level": level,
                "n": int(scored.sum()),
                "failed": int((inside & ~column.made).sum()),
                "candidates": int(column.candidates[inside].sum()),
                "unparsed": int(column.unparsed[inside].sum()),
                "unscored": int(column.unscored[inside].sum()),
                "speakers": len({truths.speakers[i] for i in np.flatnonzero(scored)}),
                "r2_pearson_n": int(correlated[scored].sum()),
            }
            found = measures.of(column, level, scored) if scored.any() else {}
            drawn = measures.resamples(level, scored) if scored.any() else None
            for metric in METRICS:
                row |= _three(metric.name, drawn.interval(*found[metric.name], level_of) if drawn else None)
            row |= _three(UNIFORM_FOR_FAILED, filled(level, inside, found))
            yield row


def _failed_as_uniform(measures: Measures, column: Column) -> Callable[[str, Bools, dict[str, Measured]], tuple | None]:
    """JS with every failed prediction taken as uniform: a column of its own, never mixed into the metric proper."""
    name = "js_divergence_bits"
    js = tuple(metric for metric in METRICS if metric.name == name)
    labels = measures.truths.truth.shape[1]
    parts: list[tuple[Array, dict[str, slice]]] = []

    def filled(level: str, inside: Bools, found: dict[str, Measured]) -> tuple | None:
        if not inside.any():
            return None
        drawn = measures.resamples(level, inside)
        if not found or not column.made[inside].all():
            if not parts:
                whole = np.where(column.made[:, None], column.predicted, 1 / labels)
                parts.append(statistics_of(js, measures.truths.truth, whole))
            points, repeats = drawn.evaluate(js, parts[0][0][inside], parts[0][1])
            found = {name: (points[name], repeats[name])}
        return drawn.interval(*found[name], measures.plan.bootstrap.level)

    return filled


def paired_rows(measures: Measures, columns: Sequence[Column]) -> list[Row]:
    """Differences a − b on the utterances where both have a prediction, with p by bootstrap and by Holm.

    columns: those of one model and of the baselines. Holm's family: every strategy of a model against the same reference
    (`greedy`, a baseline, a control), by corpus, metric and level.
    """
    rows: list[Row] = []
    truths = measures.truths
    chosen = [metric for metric in METRICS if metric.name in PAIRED_METRICS]
    for a, b in _pairs(columns):
        for level, inside in truths.inside().items():
            both = inside & a.made & b.made
            found = [measures.of(side, level, both) for side in (a, b)] if both.any() else []
            drawn = measures.resamples(level, both) if both.any() else None
            for metric in chosen:
                row: Row = {
                    "corpus": a.corpus,
                    "model": a.model,
                    "a": a.strategy,
                    "a_control": a.control,
                    "b": b.strategy,
                    "b_control": b.control,
                    "level": level,
                    "metric": metric.name,
                    "better": metric.better,
                    "n": int(both.sum()),
                    "failed_a": int((inside & ~a.made).sum()),
                    "failed_b": int((inside & ~b.made).sum()),
                    "speakers": len({truths.speakers[i] for i in np.flatnonzero(both)}),
                }
                if drawn:
                    sides = [side[metric.name] for side in found]
                    made = drawn.difference(sides[0], sides[1], measures.plan.bootstrap.level)
                else:
                    made = Difference(math.nan, math.nan, math.nan, math.nan)
                difference, low, high, p = map(_place, made)
                rows.append(row | {"difference": difference, "low": low, "high": high, "p": p, "p_holm": math.nan})
    _correct(rows)
    return rows


def heard_rows(truths: Truths, columns: Sequence[Column], differences: Sequence[Row]) -> list[Row]:
    """Was the clip heard? One row per control: how much worse the answers are without the clip, and how many did not change at all.

    `difference` is JS under the control minus JS with the clip, on the utterances that have both, with its interval from
    `paired.csv`. `heard` is "yes" where that interval lies above 0, "no" where no answer changed (nor failed on one side only,
    which is a change too), and else "not shown".
    """
    by_name = {column.name: column for column in columns}
    rows: list[Row] = []
    for found in differences:
        if found["b_control"] == NO_CONTROL or (found["level"], found["metric"]) != (ALL, "js_divergence_bits"):
            continue
        own = by_name[(found["corpus"], found["model"], found["a"], NO_CONTROL)]
        without = by_name[(found["corpus"], found["model"], found["b"], found["b_control"])]
        both, one_failed = own.made & without.made, own.made ^ without.made
        truth = truths.truth[both]
        same = np.abs(own.predicted[both] - without.predicted[both]).max(axis=1, initial=0.0) <= SAME
        unchanged = _mean(same.astype(float))
        nothing_changed = unchanged == 1 and not one_failed.any()
        clip, control = (_mean(js_divergence_bits(truth, one.predicted[both])) for one in (own, without))
        rows.append(
            {
                "corpus": own.corpus,
                "model": own.model,
                "strategy": own.strategy,
                "control": without.control,
                "n": int(both.sum()),
                "failed_clip": int((~own.made).sum()),
                "failed_control": int((~without.made).sum()),
                "js_bits_with_clip": clip,
                "js_bits_under_control": control,
                "difference": -found["difference"] + 0.0,
                "low": -found["high"] + 0.0,
                "high": -found["low"] + 0.0,
                "unchanged": unchanged,
                "heard": "yes" if -found["high"] > 0 else "no" if nothing_changed else "not shown",
            }
        )
    return rows


def _correct(rows: list[Row]) -> None:
    families: dict[tuple, list[Row]] = {}
    for row in rows:
        reference = (
            row["b"] if row["b_control"] == NO_CONTROL else ""
        )  # a control's reference is the strategy's own answer
        same = (row["corpus"], row["model"], row["metric"], row["level"], reference, row["b_control"])
        families.setdefault(same, []).append(row)
    for family in families.values():
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = _place(float(adjusted))


def _pairs(columns: Sequence[Column]) -> Iterator[tuple[Column, Column]]:
    by_name = {column.name: column for column in columns}
    for column in columns:
        if column.model == BASELINE or column.control != NO_CONTROL:
            continue
        greedy = by_name.get((column.corpus, column.model, "greedy", NO_CONTROL))
        if greedy is not None and column is not greedy:
            yield column, greedy
        for other in columns:
            same = (other.corpus, other.model, other.strategy) == (column.corpus, column.model, column.strategy)
            if (same and other.control != NO_CONTROL) or (other.corpus == column.corpus and other.model == BASELINE):
                yield column, other


@dataclass
class Tally:
    """Counts of what came back to one question: columns of `draws.csv`."""

    draws: int = 0
    failed: int = 0
    candidates: int = 0
    tokens: int = 0
    exact: int = 0
    repaired: int = 0
    partial: int = 0
    unparsed: int = 0
    cut_at_max_tokens: int = 0
    clips_truncated: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Count one draw: its candidates' rows, or the single row of its failure."""
        self.draws += 1
        self.clips_truncated += bool(rows[0]["truncated"])
        if rows[0].get("failure"):
            self.failed += 1
            return
        for row in rows:
            self.candidates += 1
            self.tokens += row["tokens"]
            self.cut_at_max_tokens += row["finish_reason"] == "length"
            verdict = row["verdict"]
            setattr(self, verdict, getattr(self, verdict) + 1)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def draw_rows(study: Study, unit: tuple[str, str], tallies: Mapping[str, tuple[Tally, Tally]]) -> list[Row]:
    """What was asked and what came back, by question; the verifier's questions last.

    tallies: by question, of its answers and of the verifier's scores of them.
    """
    model, corpus = unit
    found: dict[tuple[str, ...], Tally] = {}
    for question in study.questions:
        if question.unit != unit:
            continue
        answers, scores = tallies[question.name]
        kind, count = question.decoding.kind, question.decoding.count
        decoding = kind if kind == "greedy" else f"{kind}({count})"
        found[("answer", question.prompt_id, decoding, question.audio)] = answers
        if question.judged:
            asked = (f"score by {study.judges[model]}", "verifier", "greedy", question.audio)
            found[asked] = found.get(asked, Tally()) + scores
    heads = ("purpose", "prompt", "decoding", "audio")
    return [
        {"corpus": corpus, "model": model, **dict(zip(heads, asked, strict=True)), **vars(tally)}
        for asked, tally in sorted(found.items())
    ]


def level_rows(study: Study, truths: Mapping[str, Truths]) -> list[Row]:
    """The ambiguity levels of each corpus: utterances, votes, and mean entropy raw and corrected for the number of raters."""
    rows = []
    for name, corpus in sorted(truths.items()):
        unit = study.vote_units[name]
        for level, inside in corpus.inside().items():
            rows.append(
                {
                    "corpus": name,
                    "level": level,
                    "rule": study.plan.ambiguity.rule,
                    "n": int(inside.sum()),
                    "votes": _exact(int(corpus.votes[inside].sum()), unit),
                    "entropy_bits": _mean(votes_to.entropy_bits(corpus.truth[inside])),
                    "entropy_bits_miller_madow": _mean(votes_to.miller_madow_bits(corpus.votes[inside] / unit)),
                }
            )
    return rows


def cell_rows(study: Study) -> list[Row]:
    """Every cell of the plan with what its strategy is made of, filled or skipped with the reason: nothing is left out in silence."""
    return [
        {
            "corpus": cell.corpus,
            "model": cell.model,
            "strategy": cell.strategy.name,
            "control": cell.control,
            **cell.strategy.parts,
            "count": cell.strategy.count,
            **{name: math.nan if one is None else one for name, one in cell.strategy.own.items()},
            "skipped": cell.skipped,
        }
        for cell in study.cells
    ]


def _three(name: str, found: tuple | None) -> Row:
    value, low, high = found if found is not None else (math.nan,) * 3
    return {name: _place(value), f"{name}_low": _place(low), f"{name}_high": _place(high)}


def _exact(count: int, unit: int) -> int | float:
    """count / unit, an integer where it is one."""
    return count / unit if count % unit else count // unit


def _mean(values: np.ndarray) -> float:
    return _place(math.fsum(values) / len(values)) if len(values) else math.nan


def _place(value: float) -> float:
    return round(value, PLACES) + 0.0  # no "-0.0"


def as_csv(rows: Iterable[Row]) -> bytes:
    """Rows as CSV: floats with six decimals, "" for what is not estimable, "inf" where a metric diverges."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(_cell(value) for value in row.values())
    return text.getvalue().encode("utf-8")


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{PLACES}f}" if math.isfinite(value) else str(value)
    return value
