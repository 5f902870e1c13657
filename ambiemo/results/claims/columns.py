"""What claims need of a run: a few columns of predictions per unit, and what the run itself was.

A unit (a model and a corpus) gives the columns while its candidates are at hand; whoever joins the
tables holds the columns of all units, (n, K) each, and never an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ambiemo.metrics.arithmetic import Array
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.results.claims.deciding import Run
from ambiemo.results.claims.evidence import CONTROL, Evidence, Key, Panel, uniform_where_failed
from ambiemo.results.claims.reading import POOL, REFERENCE, Claims, claims
from ambiemo.results.predictions import Column, clip_rows, rounded, settings_of
from ambiemo.results.study import Study, Unit
from ambiemo.results.truths import Truths
from ambiemo.strategies import Decode, aggregator, strategy
from ambiemo.strategies.candidates import Candidates
from ambiemo.strategies.predict import predict


def claimed(
    study: Study,
    unit: Unit,
    truths: Truths,
    columns: Sequence[Column],
    candidates: Mapping[str, Candidates],
) -> dict[Key, Array]:
    """The columns of a unit that claims look at, NaN rows where a prediction failed.

    columns: the unit's predictions; candidates: by question. A pool is the plain mean of the very
    candidates that its strategy chooses from.
    """
    book, (model, corpus) = claims(), unit
    by_key = {}
    for column in columns:
        if column.control == NO_CONTROL and column.strategy in book.strategies:
            by_key[Key(corpus, model, column.strategy)] = column.predicted
        elif (column.strategy, column.control) == (REFERENCE, CONTROL):
            by_key[Key(corpus, model, REFERENCE, CONTROL)] = column.predicted
    for cell in study.cells_of(unit):
        if cell.control == NO_CONTROL and cell.strategy.name in book.pooled:
            asked = candidates[study.question_of[cell.name]]
            pool = replace(cell.strategy, scorer=None, aggregator=aggregator("linear_pool"))
            predictions = predict(
                pool, asked.first(cell.strategy.count or asked.there.shape[1]), settings_of(study)
            )
            answers = rounded(predictions.distributions)[clip_rows(truths)]
            by_key[Key(corpus, model, cell.strategy.name, POOL)] = answers
    return by_key


def evidence_of(
    study: Study, truths: Mapping[str, Truths], columns: Mapping[Key, Array]
) -> Evidence:
    """The evidence of a whole run: failed predictions become uniform here, and are counted."""
    filled = {key: uniform_where_failed(answers) for key, answers in columns.items()}
    panels = {
        name: Panel(one.votes, one.truth, one.speakers, study.vote_units[name])
        for name, one in truths.items()
    }
    return Evidence(
        panels,
        {key: answers for key, (answers, _) in filled.items()},
        {key: failed for key, (_, failed) in filled.items()},
    )


def run_of(study: Study, limit: int | None = None, missing: Sequence[str] = ()) -> Run:
    """What of a run decides whether it may speak of the paper. missing: what was not there, by
    name.
    """
    partial = [f"limited to {limit} utterances per corpus"] if limit is not None else []
    partial += [
        f"the plan takes {one.limit} utterances of {one.id}"
        for one in study.plan.corpora
        if one.limit
    ]
    partial += [f"missing: {', '.join(dict.fromkeys(missing))}"] if missing else []
    return Run(
        partial="; ".join(partial),
        corpora=tuple(sorted(study.utterances)),
        stand_ins=tuple(one.id for one in study.plan.models if one.engine == "null"),
        renamed=_renamed(study, claims()),
    )


def _renamed(study: Study, book: Claims) -> tuple[str, ...]:
    names = []
    for entry in study.plan.strategies:
        if entry.name in book.variants:
            base, kind, count = book.variants[entry.name]
            meant = replace(strategy(base), name=entry.name, decoding=Decode(kind, count))  # type: ignore[arg-type]
            if entry.row() != meant:
                names.append(entry.name)
    return tuple(names)
