"""`results.csv`: counts, and each metric with its interval. One row per corpus, model, strategy,
control and ambiguity level.

Intervals are those of `metrics.intervals`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ambiemo.jsonlines import Row
from ambiemo.metrics import metric
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.distribution import r2_pearson
from ambiemo.metrics.inference import statistics_of
from ambiemo.metrics.intervals import BOOTSTRAP, Sure
from ambiemo.results.measures import Bools, Measures
from ambiemo.results.predictions import Column

UNIFORM_FOR_FAILED = "js_divergence_bits_failed_as_uniform"


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
