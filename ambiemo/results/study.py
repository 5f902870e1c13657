"""What every number depends on in addition to the answers: the plan, its cells, and the utterances
with their votes.
"""

from dataclasses import dataclass, field
from functools import cached_property

from ambiemo.corpora.utterances import Utterances
from ambiemo.models import Price
from ambiemo.plan.expand import Cell, Expanded
from ambiemo.plan.schema import Plan
from ambiemo.plan.sharing import Question, question_of_cells, questions

Unit = tuple[str, str]
"""A model and a corpus: what is read, predicted and tabulated in one piece."""


@dataclass(frozen=True)
class Study:
    """A run without its answers.

    labels, utterances, vote_units   by corpus; `vote_units` says how many units of `votes` one rater has
    judges                           which model judges the candidates of each model
    prices                           of the models whose price is known, by model
    """

    plan: Plan
    cells: tuple[Cell, ...]
    labels: dict[str, tuple[str, ...]]
    utterances: dict[str, Utterances]
    judges: dict[str, str]
    vote_units: dict[str, int]
    prices: dict[str, Price] = field(default_factory=dict)

    @cached_property
    def questions(self) -> list[Question]:
        """What the ready cells ask, each question once, in a fixed order."""
        return questions(self.plan, self.cells, self.labels)

    @cached_property
    def question_of(self) -> dict[tuple[str, str, str, str], str]:
        """Name of the question whose answers each ready cell reads, by the cell's name."""
        return question_of_cells(self.plan, self.cells, self.labels)

    @property
    def units(self) -> list[Unit]:
        """Every model and corpus with a ready cell, in the plan's order of models, corpora by
        name.
        """
        asked = {question.unit for question in self.questions}
        return [
            (entry.id, corpus)
            for entry in self.plan.models
            for corpus in sorted(self.utterances)
            if (entry.id, corpus) in asked
        ]

    def cells_of(self, unit: Unit) -> list[Cell]:
        """The ready cells of a unit: controls in the plan's order, within each the strategies in
        the plan's order.
        """
        ready = [
            cell for cell in self.cells if not cell.skipped and (cell.model, cell.corpus) == unit
        ]
        controls = ["none", *(control.name for control in self.plan.controls)]
        strategies = [entry.name for entry in self.plan.strategies]
        return sorted(
            ready,
            key=lambda cell: (controls.index(cell.control), strategies.index(cell.strategy.name)),
        )


def study_of(expanded: Expanded) -> Study:
    """The study of a plan as it stands on this machine."""
    return Study(
        plan=expanded.plan,
        cells=expanded.cells,
        labels={name: corpus.labels for name, corpus in expanded.corpora.items()},
        utterances={
            name: Utterances.of(corpus.utterances) for name, corpus in expanded.corpora.items()
        },
        judges={entry.id: expanded.verifier(entry.id) for entry in expanded.plan.models},
        vote_units={
            name: int(corpus.counts.get("vote_unit", 1))
            for name, corpus in expanded.corpora.items()
        },
        prices={
            name: spec.price for name, spec in expanded.specs.items() if spec.price is not None
        },
    )
