"""One unit, a model on a corpus: from its rows of answers to its predictions and its rows of every
table.

The run reads the rows from the answer store, `verify` and `tables` from a bundle's files; from
there on it is the same code.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ambiemo.jsonlines import Row
from ambiemo.metrics.arithmetic import Array
from ambiemo.plan.sharing import LISTWISE, Question, shown_place
from ambiemo.results.claims.columns import claimed
from ambiemo.results.claims.evidence import Key
from ambiemo.results.evidence import Evidence
from ambiemo.results.measures import Measures
from ambiemo.results.predictions import (
    BASELINE,
    Column,
    baseline_columns,
    prediction_lines,
    unit_columns,
)
from ambiemo.results.study import Study, Unit
from ambiemo.results.tables.ambiguity import ambiguity_rows
from ambiemo.results.tables.curves import Cost, curve_rows, spent
from ambiemo.results.tables.draws import Tally, draw_rows
from ambiemo.results.tables.floors import floor_rows
from ambiemo.results.tables.gains import gain_rows
from ambiemo.results.tables.heard import heard_rows
from ambiemo.results.tables.paired import paired_rows
from ambiemo.results.tables.results import result_rows
from ambiemo.results.tables.verifier import Judged, verifier_rows
from ambiemo.results.truths import Truths, truths_of
from ambiemo.strategies.candidates import Candidates
from ambiemo.strategies.collecting import Collected

Failure = tuple[str, str, str, str, str, str]
"""kind ("answer" or "score"), model, corpus, utterance id, key of the draw, reason."""


class Gathered:
    """What came back to one question, gathered draw by draw: columns of candidates, counts,
    failures. Texts are not kept.

    asked, judging: tokens of the prompt and seconds of audio of every draw and judgement that
    brought something.
    """

    def __init__(self, question: Question, labels: int) -> None:
        self.question = question
        self.answers, self.scores = Tally(), Tally()
        self.failures: list[Failure] = []
        self.asked: list[tuple[int, float]] = []
        self.judging: list[tuple[int, float]] = []
        self._collected = Collected(question.decoding.count, labels)
        self._shown = array("q")

    def add(
        self,
        rows: Sequence[Row],
        distributions: Sequence[Sequence[float] | None],
        scores: Sequence[Row] = (),
    ) -> None:
        """Add one draw: its rows, how each candidate was read, and the verifier's rows about the
        first of them.
        """
        self.answers.add(rows)
        if self.question.judge == LISTWISE:
            key, count = rows[0]["draw"], self.question.judged
            self._shown.extend([shown_place(key, index, count) + 1 for index in range(count)])
        if "failure" not in rows[0]:
            self.asked.append((rows[0]["prompt_tokens"], rows[0]["audio_s"]))
        for row in scores:
            self.scores.add([row])
            if "failure" not in row:
                self.judging.append((row["prompt_tokens"], row["audio_s"]))
            self._note("score", row)
        if "failure" in rows[0]:
            self._note("answer", rows[0])
            self._collected.failed(rows[0]["failure"])
            return
        self._collected.answered(
            distributions,
            [row["log_likelihood"] for row in rows],
            [row["tokens"] for row in rows],
            [row.get("score") for row in scores],
        )

    def _note(self, kind: str, row: Row) -> None:
        if "failure" in row:
            name = (self.question.model, self.question.corpus, row["utterance_id"], row["draw"])
            self.failures.append((kind, *name, row["failure"]))

    def columns(self) -> Candidates:
        """The candidates as columns, one row per draw in the order they were added."""
        return self._collected.columns()

    def shown(self) -> npt.NDArray[np.int64]:
        """At which place a listwise judge was shown each judged candidate, (draws, judged); 1 is
        the first. No rows for another judge."""
        return np.array(self._shown, dtype=np.int64).reshape(-1, max(self.question.judged, 1))


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


@dataclass(frozen=True)
class UnitResult:
    """What a unit adds to the tables.

    failures  the draws that brought nothing
    judged    by question what was judged, for the rows that compare models
    claimed   the predictions that claims look at
    """

    rows: UnitRows
    failures: list[Failure] = field(default_factory=list)
    judged: dict[str, Judged] = field(default_factory=dict)
    claimed: dict[Key, Array] = field(default_factory=dict)


def unit_result(
    study: Study, unit: Unit, gather: Callable[[Study, Unit], Mapping[str, Gathered]]
) -> tuple[Iterator[bytes], UnitResult]:
    """The lines of a unit's predictions file, and its rows of every table.

    gather  what came back to the unit's questions, by their names; not called for the baselines of
            a corpus, which ask nothing
    """
    truths = truths_of(study, unit[1])
    if unit[0] == BASELINE:
        columns, result = _of_baselines(study, unit[1], truths)
    else:
        columns, result = _of_model(study, unit, truths, gather(study, unit))
    return prediction_lines(truths, columns), result


def _of_model(
    study: Study, unit: Unit, truths: Truths, gathered: Mapping[str, Gathered]
) -> tuple[list[Column], UnitResult]:
    corpus = unit[1]
    candidates = {name: one.columns() for name, one in gathered.items()}
    columns = unit_columns(study, unit, truths, candidates)
    shown = {name: one.shown() for name, one in gathered.items() if one.question.judge == LISTWISE}
    evidence = Evidence(study, unit, truths, columns, candidates, shown)
    measures = Measures(study.plan, truths, corpus)
    everyone = [*baseline_columns(study, corpus, truths), *columns]
    results = list(result_rows(measures, columns))
    differences = paired_rows(measures, everyone)
    heard = heard_rows(truths, everyone, differences)
    scores, judged = verifier_rows(evidence)
    rows = UnitRows(
        results=results,
        paired=differences,
        heard=heard,
        draws=draw_rows(
            study, unit, {name: (one.answers, one.scores) for name, one in gathered.items()}
        ),
        ambiguity=ambiguity_rows(evidence, heard),
        curves=curve_rows(evidence, _costs(study, unit, gathered)),
        floors=floor_rows(evidence),
        gains=gain_rows(evidence),
        verifier=scores,
    )
    kinds = ("answer", "score")
    failures = sorted(
        (failure for one in gathered.values() for failure in one.failures),
        key=lambda one: (kinds.index(one[0]), one[3:]),
    )
    return columns, UnitResult(
        rows, failures, judged, claimed(study, unit, truths, columns, candidates)
    )


def _costs(study: Study, unit: Unit, gathered: Mapping[str, Gathered]) -> dict[str, Cost]:
    """What one candidate and one judgement cost, on average over what came back, by question."""
    price, judge = study.prices.get(unit[0]), study.prices.get(study.judges[unit[0]])
    return {
        name: Cost(
            *spent(one.answers.tokens, one.answers.candidates, one.asked, price),
            *spent(one.scores.tokens, one.scores.candidates, one.judging, judge),
        )
        for name, one in gathered.items()
    }


def _of_baselines(study: Study, corpus: str, truths: Truths) -> tuple[list[Column], UnitResult]:
    """Baselines have rows in `results.csv` and `floors.csv` alone."""
    columns = baseline_columns(study, corpus, truths)
    evidence = Evidence(study, (BASELINE, corpus), truths, columns, {})
    rows = UnitRows(
        results=list(result_rows(Measures(study.plan, truths, corpus), columns)),
        floors=floor_rows(evidence),
    )
    return columns, UnitResult(rows)


def all_units(study: Study) -> list[Unit]:
    """The units in the order of the tables: each corpus' baselines, then models as the plan names
    them, corpora by name.
    """
    return [*((BASELINE, corpus) for corpus in sorted(study.utterances)), *study.units]
