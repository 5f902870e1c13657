"""`paired.csv`: differences on the same utterances, with interval and p. Each strategy is compared
with `greedy`, with the baselines and with its own controls.

Intervals and p are those of `metrics.intervals`; `families.FAMILIES` says which p are corrected
together.
"""

import math
from collections.abc import Iterator, Sequence

from ambiemo.jsonlines import Row
from ambiemo.metrics import metric
from ambiemo.metrics.intervals import JACKKNIFE, SIGN_FLIP
from ambiemo.metrics.jackknife import detectable
from ambiemo.metrics.signflip import floor
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.results.measures import Measures
from ambiemo.results.predictions import BASELINE, Column
from ambiemo.results.tables.families import EXPLORATORY, FAMILIES, holm_of, too_few


def paired_rows(measures: Measures, columns: Sequence[Column]) -> list[Row]:
    """Differences a − b on the utterances where both have a prediction, with interval and p.

    columns: those of one model and of the baselines. p_holm and detectable_family only in a named
    family (FAMILIES); all other rows are exploratory. detectable: the smallest difference that
    would be called with 80 % power; NaN, with the reason, where so few speakers can call none.
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
                flipped = p_method == SIGN_FLIP
                least = floor(estimate.clusters) if flipped else 0.0
                many = family.size if family else 1
                few = too_few(estimate.clusters, many, "comparisons") if flipped else ""
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
                        "detectable": detectable(estimate, least_p=least),
                        "detectable_family": (
                            detectable(estimate, many, least_p=least) if family else math.nan
                        ),
                        "reason": estimate.reason or few,
                    }
                )
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family.name]
        for row, adjusted in zip(own, holm_of([row["p"] for row in own], family.size), strict=True):
            row["p_holm"] = adjusted
    return rows


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
