"""From predictions to tables. A table is a function of the bundle's answers and inputs alone: `recompute` makes every one again.

`results.csv` one row a (corpus, model, strategy, control, ambiguity level): counts, and each metric with its interval.
`paired.csv`  differences on the same utterances: each strategy against `greedy`, the baselines and its own controls.
`heard.csv`   was the clip heard? each control against its strategy; only where the plan has controls.
`draws.csv`   what was asked and what came back: draws, candidates, tokens, verdicts, failures.
`levels.csv`  the ambiguity levels of each corpus and the entropy behind them.
`cells.csv`   every cell of the plan: what its strategy is made of, and why it was skipped.
The CSV files are the authority; `results.md` is for reading.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ambiemo import labels as votes_to
from ambiemo.metrics import METRICS, Metric
from ambiemo.metrics.distribution import js_divergence_bits, r2_pearson
from ambiemo.metrics.inference import Difference, holm, intervals, paired
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.plan.schema import Plan
from ambiemo.results.evidence import Evidence, Row, check_rows, from_files, lines, packed
from ambiemo.results.predictions import BASELINE, baseline_rows, in_order, predict_cell, work
from ambiemo.seeds import seed
from ambiemo.strategies import PARTS

PLACES = 6
"""Decimals of every number in a table. Differences between processors are in the sixteenth."""
ALL = "all"
SAME = 1e-9
"""Shares that are closer are the same answer."""
PAIRED_METRICS = ("js_divergence_bits", "bhattacharyya", "brier", "accuracy")
UNIFORM_FOR_FAILED = "js_divergence_bits_failed_as_uniform"


@dataclass(frozen=True)
class Truths:
    """A corpus as arrays, rows sorted by utterance id: truth (n, K), who spoke, and the ambiguity level."""

    ids: tuple[str, ...]
    truth: np.ndarray
    votes: np.ndarray
    speakers: tuple[str, ...]
    levels: np.ndarray


@dataclass(frozen=True)
class Column:
    """The predictions of one (corpus, model, strategy, control) as arrays beside the corpus: (n, K) with NaN rows where there is none."""

    corpus: str
    model: str
    strategy: str
    control: str
    predicted: np.ndarray
    candidates: np.ndarray
    unparsed: np.ndarray
    unscored: np.ndarray

    @property
    def name(self) -> tuple[str, str, str, str]:
        return (self.corpus, self.model, self.strategy, self.control)

    @property
    def made(self) -> np.ndarray:
        """Which utterances have a prediction, (n,) of bool."""
        return ~np.isnan(self.predicted).any(axis=1)


def recompute(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Predictions and tables again from a bundle's files (paths below `data/`): what `verify` compares. Raises Broken for an unusable file."""
    evidence = from_files(files)
    check_rows(evidence, files)
    rows = [row for cell in work(evidence) for row in predict_cell(cell)]
    return derived(evidence, rows)


def derived(evidence: Evidence, predicted: Iterable[Row]) -> dict[str, bytes]:
    """Every file that follows from the evidence: predictions (of the models as given, of the baselines made here), tables, failures."""
    rows = in_order([*predicted, *baseline_rows(evidence)], evidence)
    files: dict[str, bytes] = {}
    for model, corpus in sorted({(row["model"], row["corpus"]) for row in rows}):
        own = [row for row in rows if (row["model"], row["corpus"]) == (model, corpus)]
        files[f"predictions/{model}/{corpus}.jsonl.gz"] = packed(lines(own))
    return files | tables(evidence, rows) | {"log/failures.csv": failures(evidence)}


def failures(evidence: Evidence) -> bytes:
    """Every draw that brought nothing, with its reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", "model", "corpus", "utterance_id", "draw", "failure"))
    for kind, folder in (("answer", evidence.answers), ("score", evidence.scores)):
        for (model, corpus), rows in sorted(folder.items()):
            for row in rows:
                if row.get("failure"):
                    writer.writerow((kind, model, corpus, row["utterance_id"], row["draw"], row["failure"]))
    return text.getvalue().encode("utf-8")


def tables(evidence: Evidence, rows: Sequence[Row]) -> dict[str, bytes]:
    """The tables, by path below `data/`, from predictions in their order."""
    from ambiemo.results.reading import markdown

    truths = {corpus: truths_of(evidence, corpus) for corpus in sorted(evidence.utterances)}
    columns = columns_of(rows, truths)
    results = list(result_rows(evidence.plan, truths, columns))
    differences = paired_rows(evidence.plan, truths, columns)
    heard = heard_rows(truths, columns, differences)
    cells = cell_rows(evidence)
    return {
        "tables/results.csv": as_csv(results),
        "tables/paired.csv": as_csv(differences),
        **({"tables/heard.csv": as_csv(heard)} if heard else {}),
        "tables/draws.csv": as_csv(draw_rows(evidence)),
        "tables/levels.csv": as_csv(level_rows(evidence, truths)),
        "tables/cells.csv": as_csv(cells),
        "tables/results.md": markdown(evidence, results, cells, heard).encode("utf-8"),
    }


def truths_of(evidence: Evidence, corpus: str) -> Truths:
    """The arrays of one corpus; a speaker the owner does not name is stood in for by the cluster."""
    utterances = sorted(evidence.utterances[corpus], key=lambda one: one.id)
    votes = np.array([one.votes for one in utterances], dtype=float)
    rule = evidence.plan.ambiguity
    acted = np.array([one.truth_source == "acted" for one in utterances])
    return Truths(
        ids=tuple(one.id for one in utterances),
        truth=votes_to.truth(votes),
        votes=votes,
        speakers=tuple(one.speaker or one.cluster for one in utterances),
        levels=votes_to.ambiguity_levels(votes, rule.rule, acted=acted, **rule.thresholds),
    )


def columns_of(rows: Sequence[Row], truths: Mapping[str, Truths]) -> list[Column]:
    """Predictions as arrays, in the order of the rows."""
    grouped: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["corpus"], row["model"], row["strategy"], row["control"]), []).append(row)
    columns = []
    for (corpus, model, strategy, control), own in grouped.items():
        place = {one: index for index, one in enumerate(truths[corpus].ids)}
        predicted = np.full(truths[corpus].truth.shape, np.nan)
        counts = {name: np.zeros(len(place), dtype=int) for name in ("candidates", "unparsed", "unscored")}
        for row in own:
            at = place[row["utterance_id"]]
            for name, count in counts.items():
                count[at] = row[name]
            if row["distribution"] is not None:
                shares = np.array(row["distribution"])
                predicted[at] = shares / math.fsum(shares)  # nine kept digits need not add up to 1
        columns.append(Column(corpus, model, strategy, control, predicted, **counts))
    return columns


def result_rows(plan: Plan, truths: Mapping[str, Truths], columns: Sequence[Column]) -> Iterator[Row]:
    """One row a column and ambiguity level, `all` first. Metrics are over the utterances that have a prediction; `failed` are the others.

    `r2_pearson_n`: on how many of them `r2_pearson` exists (docs/metrics.md).
    """
    for column in columns:
        corpus = truths[column.corpus]
        for level, inside in _levels(corpus):
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
                "speakers": len({corpus.speakers[i] for i in np.flatnonzero(scored)}),
                "r2_pearson_n": int((~np.isnan(r2_pearson(corpus.truth[scored], column.predicted[scored]))).sum()),
            }
            found = _intervals(plan, METRICS, corpus, column.predicted, scored, (*column.name, level))
            for metric in METRICS:
                row |= _three(metric.name, found.get(metric.name))
            row |= _three(UNIFORM_FOR_FAILED, _failed_as_uniform(plan, corpus, column, inside, level))
            yield row


def _failed_as_uniform(plan: Plan, corpus: Truths, column: Column, inside: np.ndarray, level: str) -> tuple | None:
    """JS with every failed prediction taken as uniform: a column of its own, never mixed into the metric proper."""
    filled = np.where(column.made[:, None], column.predicted, 1 / corpus.truth.shape[1])
    js = tuple(metric for metric in METRICS if metric.name == "js_divergence_bits")
    return _intervals(plan, js, corpus, filled, inside, (*column.name, level)).get(js[0].name)


def _intervals(
    plan: Plan,
    metrics: tuple[Metric, ...],
    corpus: Truths,
    predicted: np.ndarray,
    rows: np.ndarray,
    name: tuple[str, ...],
) -> Mapping[str, tuple]:
    if not rows.any():
        return {}
    speakers = [corpus.speakers[i] for i in np.flatnonzero(rows)]
    # one seed a corpus and level, so that all strategies meet the same resampled speakers
    chance = seed("bootstrap", plan.seed, name[0], name[-1])
    boot = plan.bootstrap
    return intervals(metrics, corpus.truth[rows], predicted[rows], speakers, chance, boot.resamples, boot.level)


def paired_rows(plan: Plan, truths: Mapping[str, Truths], columns: Sequence[Column]) -> list[Row]:
    """Differences a − b on the utterances where both have a prediction, with p by bootstrap and by Holm.

    Holm's family: every strategy of a model against the same reference (`greedy`, a baseline, a control), by corpus, metric and level.
    """
    rows: list[Row] = []
    boot = plan.bootstrap
    chosen = [metric for metric in METRICS if metric.name in PAIRED_METRICS]
    for a, b in _pairs(columns):
        corpus = truths[a.corpus]
        for level, inside in _levels(corpus):
            both = inside & a.made & b.made
            speakers = [corpus.speakers[i] for i in np.flatnonzero(both)]
            chance = seed("bootstrap", plan.seed, a.corpus, level)
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
                    "speakers": len(set(speakers)),
                }
                if both.any():
                    made = (a.predicted[both], b.predicted[both], speakers, chance, boot.resamples, boot.level)
                    found = paired(metric, corpus.truth[both], *made)
                else:
                    found = Difference(math.nan, math.nan, math.nan, math.nan)
                difference, low, high, p = map(_place, found)
                rows.append(row | {"difference": difference, "low": low, "high": high, "p": p, "p_holm": math.nan})
    _correct(rows)
    return rows


def heard_rows(truths: Mapping[str, Truths], columns: Sequence[Column], differences: Sequence[Row]) -> list[Row]:
    """Was the clip heard? One row a control: how much worse the answers are without the clip, and how many did not change at all.

    `difference` is JS under the control minus JS with the clip, on the utterances that have both, with its interval from `paired.csv`. `heard`
    is "yes" where that interval lies above 0, "no" where no answer changed (nor failed on one side only, which is a change too), and else
    "not shown".
    """
    by_name = {column.name: column for column in columns}
    rows: list[Row] = []
    for found in differences:
        if found["b_control"] == NO_CONTROL or (found["level"], found["metric"]) != (ALL, "js_divergence_bits"):
            continue
        own = by_name[(found["corpus"], found["model"], found["a"], NO_CONTROL)]
        without = by_name[(found["corpus"], found["model"], found["b"], found["b_control"])]
        both, one_failed = own.made & without.made, own.made ^ without.made
        truth = truths[own.corpus].truth[both]
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


def draw_rows(evidence: Evidence) -> list[Row]:
    """What was asked and what came back, by question; the verifier's questions last."""
    found: dict[tuple, list[Row]] = {}
    for (model, corpus), rows in sorted(evidence.answers.items()):
        for row in rows:
            found.setdefault((corpus, model, "answer", row["prompt_id"], _decoding(row), row["audio"]), []).append(row)
    for (model, corpus), rows in sorted(evidence.scores.items()):
        for row in rows:
            judge = evidence.judges[model]
            found.setdefault((corpus, model, f"score by {judge}", "verifier", _decoding(row), row["audio"]), []).append(
                row
            )
    table = []
    for (corpus, model, purpose, prompt, decoding, audio), rows in sorted(found.items()):
        told = [row for row in rows if not row.get("failure")]
        verdicts = [row["verdict"] for row in told]
        table.append(
            {
                "corpus": corpus,
                "model": model,
                "purpose": purpose,
                "prompt": prompt,
                "decoding": decoding,
                "audio": audio,
                "draws": len({row["draw"] for row in rows}),
                "failed": len({row["draw"] for row in rows if row.get("failure")}),
                "candidates": len(told),
                "tokens": sum(row["tokens"] for row in told),
                **{verdict: verdicts.count(verdict) for verdict in ("exact", "repaired", "partial", "unparsed")},
                "cut_at_max_tokens": sum(row["finish_reason"] == "length" for row in told),
                "clips_truncated": len({row["draw"] for row in rows if row["truncated"]}),
            }
        )
    return table


def _decoding(row: Row) -> str:
    decoding = row["decoding"]
    return decoding["kind"] if decoding["kind"] == "greedy" else f"{decoding['kind']}({decoding['count']})"


def level_rows(evidence: Evidence, truths: Mapping[str, Truths]) -> list[Row]:
    """The ambiguity levels of each corpus: utterances, votes, and mean entropy raw and corrected for the number of raters."""
    rows = []
    for name, corpus in truths.items():
        unit = evidence.vote_units[name]
        for level, inside in _levels(corpus):
            rows.append(
                {
                    "corpus": name,
                    "level": level,
                    "rule": evidence.plan.ambiguity.rule,
                    "n": int(inside.sum()),
                    "votes": _exact(int(corpus.votes[inside].sum()), unit),
                    "entropy_bits": _mean(votes_to.entropy_bits(corpus.truth[inside])),
                    "entropy_bits_miller_madow": _mean(votes_to.miller_madow_bits(corpus.votes[inside] / unit)),
                }
            )
    return rows


def cell_rows(evidence: Evidence) -> list[Row]:
    """Every cell of the plan with what its strategy is made of, filled or skipped with the reason: nothing is left out in silence."""
    return [
        {
            "corpus": cell.corpus,
            "model": cell.model,
            "strategy": cell.strategy.name,
            "control": cell.control,
            **{part: getattr(cell.strategy, part) for part in PARTS},
            "count": cell.strategy.count,
            "skipped": cell.skipped,
        }
        for cell in evidence.cells
    ]


def _levels(corpus: Truths) -> Iterator[tuple[str, np.ndarray]]:
    yield ALL, np.ones(len(corpus.ids), dtype=bool)
    for level in (*votes_to.LEVELS, votes_to.CLEAR_CUT):
        inside = corpus.levels == level
        if inside.any() or level in votes_to.LEVELS:
            yield level, inside


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
