"""From predictions to tables. A table is a function of the bundle's answers and inputs alone.

`results.csv` one row per corpus, model, strategy, control and ambiguity level: counts, and each
              metric with its interval.
`paired.csv`  differences on the same utterances: each strategy against `greedy`, the baselines and
              its own controls.
`heard.csv`   was the clip heard? Each control against its strategy; only where the plan has any.
`draws.csv`   what was asked and what came back: draws, candidates, tokens, verdicts, failures.
`levels.csv`  the ambiguity levels of each corpus and the entropy behind them.
`cells.csv`   every cell of the plan: what its strategy is made of, and why it was skipped.
The CSV files are the authority; `results.md` is for reading.

Rows are made one unit (a model and a corpus) at a time: no row compares two models or two corpora.
Intervals and p are those of `metrics.intervals`; FAMILIES says which p are corrected together.
"""

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ambiemo import labels as votes_to
from ambiemo.jsonlines import Row
from ambiemo.metrics import metric
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.distribution import js_divergence_bits, r2_pearson
from ambiemo.metrics.inference import holm, statistics_of
from ambiemo.metrics.intervals import BOOTSTRAP, JACKKNIFE, Sure
from ambiemo.metrics.jackknife import detectable
from ambiemo.metrics.signflip import floor
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.results.measures import Bools, Measures
from ambiemo.results.predictions import BASELINE, Column
from ambiemo.results.study import Study
from ambiemo.results.truths import ALL, Truths

PLACES = 6
"""Decimals of every number in a table. Differences between processors are in the sixteenth."""
SAME = 1e-9
"""Shares that are closer are the same answer."""
CALLED = 0.05
"""A p below this is called a difference."""
UNIFORM_FOR_FAILED = "js_divergence_bits_failed_as_uniform"
EXPLORATORY = "exploratory"
"""The `family` of a comparison that belongs to none: its p is its own, and no claim rests on it."""


@dataclass(frozen=True)
class Family:
    """Comparisons whose p are corrected together, fixed by name before there are any answers.

    name       as in the column `family`
    places     the comparisons: names of strategies, of which the first that the model has is taken.
               A stand-in follows the name it stands in for, for models without beams
    reference  what they are compared with, without a control
    level, metric
    """

    name: str
    places: tuple[tuple[str, ...], ...]
    reference: str
    level: str
    metric: str

    @property
    def size(self) -> int:
        """How many comparisons are corrected for. A plan that leaves some out does not change
        it.
        """
        return len(self.places)

    def members(self, names: Iterable[str]) -> set[str]:
        """Those of a model's strategies that are in the family."""
        there = set(names)
        return {
            next(name for name in place if name in there)
            for place in self.places
            if there & set(place)
        }


FAMILIES = (
    Family(
        "strategies against greedy, JS, all",
        (
            ("cot",),
            ("bon", "bon_sampled"),
            ("w_bon", "w_bon_sampled"),
            ("alm_v", "alm_v_sampled"),
            ("w_alm_v", "w_alm_v_sampled"),
            ("majority_vote",),
            ("self_consistency",),
        ),
        reference="greedy",
        level=ALL,
        metric="js_divergence_bits",
    ),
)
"""The families of paired.csv, each once per model and corpus. All other rows are exploratory."""


@dataclass(frozen=True)
class UnitRows:
    """The rows of one unit in the tables that have rows per model; baselines are a unit too."""

    results: list[Row] = field(default_factory=list)
    paired: list[Row] = field(default_factory=list)
    heard: list[Row] = field(default_factory=list)
    draws: list[Row] = field(default_factory=list)
    ambiguity: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    floors: list[Row] = field(default_factory=list)
    gains: list[Row] = field(default_factory=list)
    verifier: list[Row] = field(default_factory=list)


def result_rows(measures: Measures, columns: Sequence[Column]) -> Iterator[Row]:
    """One row per column and ambiguity level, `all` first.

    Metrics are over the `n` utterances with a prediction; `failed` are the others. `r2_pearson_n`:
    on how many of them `r2_pearson` exists (docs/metrics.md). `by_bootstrap` names the metrics
    whose bounds are not the jackknife's; `reason` says which have none, and why.
    """
    truths = measures.truths
    for column in columns:
        correlated = np.zeros(len(truths.ids), dtype=bool)
        correlated[column.has_prediction] = ~np.isnan(
            r2_pearson(truths.truth[column.has_prediction], column.predicted[column.has_prediction])
        )
        filled = _failed_as_uniform(measures, column)
        for level, inside in truths.inside().items():
            scored = inside & column.has_prediction
            speakers = measures.speakers(scored)
            values = measures.values(column, level, scored)
            values = values | {UNIFORM_FOR_FAILED: filled(level, inside, values)}
            row: Row = {
                "corpus": column.corpus,
                "model": column.model,
                "strategy": column.strategy,
                "control": column.control,
                "level": level,
                "n": int(scored.sum()),
                "failed": int((inside & ~column.has_prediction).sum()),
                "candidates": int(column.candidates[inside].sum()),
                "unparsed": int(column.unparsed[inside].sum()),
                "unscored": int(column.unscored[inside].sum()),
                "speakers": len(speakers.counts),
                "g_eff": speakers.effective,
                "r2_pearson_n": int(correlated[scored].sum()),
            }
            for name, sure in values.items():
                row |= {name: sure.value, f"{name}_low": sure.low, f"{name}_high": sure.high}
            by_bootstrap = [n for n, sure in values.items() if sure.method == BOOTSTRAP]
            row |= {"by_bootstrap": ", ".join(by_bootstrap), "reason": _reasons(values)}
            yield row


def _reasons(values: Mapping[str, Sure]) -> str:
    """Which metrics have no interval, and why: "kl_nats (the value is infinite)"."""
    names: dict[str, list[str]] = {}
    for name, sure in values.items():
        if sure.reason:
            names.setdefault(sure.reason, []).append(name)
    words = {
        reason: "every metric" if len(own) == len(values) else ", ".join(own)
        for reason, own in names.items()
    }
    return "; ".join(f"{own} ({reason})" for reason, own in words.items())


def _failed_as_uniform(
    measures: Measures, column: Column
) -> Callable[[str, Bools, Mapping[str, Sure]], Sure]:
    """JS with every failed prediction taken as uniform: never mixed into the metric proper."""
    js = metric("js_divergence_bits")
    labels = measures.truths.truth.shape[1]
    parts: list[tuple[Array, dict[str, slice]]] = []

    def filled(level: str, inside: Bools, values: Mapping[str, Sure]) -> Sure:
        if column.has_prediction[inside].all():
            return values[js.name]
        if not parts:
            whole = np.where(column.has_prediction[:, None], column.predicted, 1 / labels)
            parts.append(statistics_of((js,), measures.truths.truth, whole))
        statistics, places = parts[0]
        return measures.of((js,), statistics[inside], places, level, inside)[js.name]

    return filled


def paired_rows(measures: Measures, columns: Sequence[Column]) -> list[Row]:
    """Differences a − b on the utterances where both have a prediction, with interval and p.

    columns: those of one model and of the baselines. p_holm and detectable_family only in a named
    family (FAMILIES); all other rows are exploratory. detectable: the smallest difference that
    would be called with 80 % power.
    """
    rows: list[Row] = []
    truths = measures.truths
    strategies = [
        one.strategy for one in columns if one.model != BASELINE and one.control == NO_CONTROL
    ]
    members = {family: family.members(strategies) for family in FAMILIES}
    for a, b in _pairs(columns):
        for level, inside in truths.inside().items():
            both = inside & a.has_prediction & b.has_prediction
            speakers = measures.speakers(both)
            for name, (estimate, p_method) in measures.differences(a, b, both).items():
                family = next(
                    (
                        one
                        for one in FAMILIES
                        if (one.level, one.metric) == (level, name)
                        and (b.model, b.strategy, b.control) == (a.model, one.reference, NO_CONTROL)
                        and a.strategy in members[one]
                    ),
                    None,
                )
                rows.append(
                    {
                        "corpus": a.corpus,
                        "model": a.model,
                        "a": a.strategy,
                        "a_control": a.control,
                        "b": b.strategy,
                        "b_control": b.control,
                        "level": level,
                        "metric": name,
                        "better": metric(name).better,
                        "family": family.name if family else EXPLORATORY,
                        "n": estimate.n,
                        "failed_a": int((inside & ~a.has_prediction).sum()),
                        "failed_b": int((inside & ~b.has_prediction).sum()),
                        "speakers": len(speakers.counts),
                        "g_eff": speakers.effective,
                        "difference": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                        "method": JACKKNIFE,
                        "p": estimate.p,
                        "p_method": p_method,
                        "p_holm": math.nan,
                        "detectable": detectable(estimate),
                        "detectable_family": (
                            detectable(estimate, family.size) if family else math.nan
                        ),
                        "reason": estimate.reason,
                    }
                )
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family.name]
        for row, adjusted in zip(own, _holm([row["p"] for row in own], family.size), strict=True):
            row["p_holm"] = adjusted
    return rows


def _holm(p: Sequence[float], size: int) -> list[float]:
    """Holm-adjusted p of a family of `size`: a missing comparison counts as not estimable."""
    return holm([*p, *[math.nan] * (size - len(p))])[: len(p)].tolist()


def heard_rows(truths: Truths, columns: Sequence[Column], differences: Sequence[Row]) -> list[Row]:
    """Was the clip heard? One row per control: how much worse the answers are without the clip.

    `difference` is JS under the control minus JS with the clip, on the utterances that have both,
    with interval and p as in `paired.csv`. `p_holm` is over all controls of the model on the
    corpus.
    `unchanged` is the share of answers that the control did not change.
    `heard` is "yes" where the difference is above 0, p_holm is below .05, and the interval, where
    there is one, lies above 0; "no" where no answer changed (nor failed on one side only, which is
    a change too); else "not shown". `reason` says why there is no interval, or that no p could have
    been small enough.
    """
    by_name = {column.name: column for column in columns}
    rows: list[Row] = []
    cells = [
        row
        for row in differences
        if row["b_control"] != NO_CONTROL
        and (row["level"], row["metric"]) == (ALL, "js_divergence_bits")
    ]
    adjusted = _holm([row["p"] for row in cells], len(cells))
    for cell, p_holm in zip(cells, adjusted, strict=True):
        own = by_name[(cell["corpus"], cell["model"], cell["a"], NO_CONTROL)]
        without = by_name[(cell["corpus"], cell["model"], cell["b"], cell["b_control"])]
        both, one_failed = (
            own.has_prediction & without.has_prediction,
            own.has_prediction ^ without.has_prediction,
        )
        truth = truths.truth[both]
        apart = np.abs(own.predicted[both] - without.predicted[both]).max(axis=1, initial=0.0)
        unchanged = _mean((apart <= SAME).astype(float))
        clip, control = (
            _mean(js_divergence_bits(truth, one.predicted[both])) for one in (own, without)
        )
        heard = "not shown"
        if -cell["difference"] > 0 and p_holm < CALLED and not -cell["high"] <= 0:
            heard = "yes"
        elif unchanged == 1 and not one_failed.any():
            heard = "no"
        rows.append(
            {
                "corpus": own.corpus,
                "model": own.model,
                "strategy": own.strategy,
                "control": without.control,
                "n": int(both.sum()),
                "failed_clip": int((~own.has_prediction).sum()),
                "failed_control": int((~without.has_prediction).sum()),
                "speakers": cell["speakers"],
                "g_eff": cell["g_eff"],
                "js_bits_with_clip": clip,
                "js_bits_under_control": control,
                "difference": -cell["difference"],
                "low": -cell["high"],
                "high": -cell["low"],
                "method": cell["method"],
                "p": cell["p"],
                "p_method": cell["p_method"],
                "p_holm": p_holm,
                "detectable": cell["detectable"],
                "unchanged": unchanged,
                "heard": heard,
                "reason": cell["reason"] or _too_few(cell["speakers"], len(cells)),
            }
        )
    return rows


def _too_few(speakers: int, family: int) -> str:
    """Why nothing can be called with so few speakers; empty if something can."""
    least = min(1.0, floor(speakers) * family)
    if least < CALLED:
        return ""
    return f"{speakers} speakers: no p of {family} controls is below {least:.3g} after Holm"


def _pairs(columns: Sequence[Column]) -> Iterator[tuple[Column, Column]]:
    by_name = {column.name: column for column in columns}
    for column in columns:
        if column.model == BASELINE or column.control != NO_CONTROL:
            continue
        greedy = by_name.get((column.corpus, column.model, "greedy", NO_CONTROL))
        if greedy is not None and column is not greedy:
            yield column, greedy
        for other in columns:
            same = (other.corpus, other.model, other.strategy) == (
                column.corpus,
                column.model,
                column.strategy,
            )
            if (same and other.control != NO_CONTROL) or (
                other.corpus == column.corpus and other.model == BASELINE
            ):
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
        return Tally(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )


def draw_rows(
    study: Study, unit: tuple[str, str], tallies: Mapping[str, tuple[Tally, Tally]]
) -> list[Row]:
    """What was asked and what came back, by question; the verifier's questions last.

    tallies: by question, of its answers and of the verifier's scores of them.
    """
    model, corpus = unit
    by_question: dict[tuple[str, ...], Tally] = {}
    for question in study.questions:
        if question.unit != unit:
            continue
        answers, scores = tallies[question.name]
        kind, count = question.decoding.kind, question.decoding.count
        decoding = kind if kind == "greedy" else f"{kind}({count})"
        by_question[("answer", question.prompt_id, decoding, question.audio)] = answers
        if question.judged:
            asked = (f"score by {study.judges[model]}", question.judge, "greedy", question.audio)
            by_question[asked] = by_question.get(asked, Tally()) + scores
    heads = ("purpose", "prompt", "decoding", "audio")
    return [
        {"corpus": corpus, "model": model, **dict(zip(heads, asked, strict=True)), **vars(tally)}
        for asked, tally in sorted(by_question.items())
    ]


def level_rows(study: Study, truths: Mapping[str, Truths]) -> list[Row]:
    """The ambiguity levels of each corpus: utterances, votes, mean entropy raw and corrected for
    the number of raters."""
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
                    "entropy_bits_miller_madow": _mean(
                        votes_to.miller_madow_bits(corpus.votes[inside] / unit)
                    ),
                }
            )
    return rows


def cell_rows(study: Study) -> list[Row]:
    """Every cell of the plan with what its strategy is made of, filled or skipped with the
    reason."""
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


def _exact(count: int, unit: int) -> int | float:
    """count / unit, an integer where it is one."""
    return count / unit if count % unit else count // unit


def _mean(values: np.ndarray) -> float:
    return _place(math.fsum(values) / len(values)) if len(values) else math.nan


def _place(value: float) -> float:
    return round(value, PLACES) + 0.0  # no "-0.0"


def rows_from(data: bytes, words: Collection[str], counts: Collection[str] = ()) -> list[Row]:
    """Rows of a table's CSV: `words` as text, `counts` as whole numbers, the others as numbers
    ("" = NaN).
    """
    return [
        {
            name: value
            if name in words
            else int(value)
            if name in counts
            else float(value or "nan")
            for name, value in row.items()
        }
        for row in csv.DictReader(io.StringIO(data.decode("utf-8")))
    ]


def as_csv(rows: Iterable[Row]) -> bytes:
    """Rows as CSV: floats with six decimals, "" for what is not estimable, "inf" where a metric
    diverges."""
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
        if not math.isfinite(value):
            return "" if math.isnan(value) else str(value)
        return f"{_place(value):.{PLACES}f}"
    return value
