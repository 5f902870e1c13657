"""All that the tables of one unit are made of: truths, predictions, and the candidates behind
them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.panels import whole_votes
from ambiemo.plan.expand import NO_CONTROL, Cell
from ambiemo.plan.sharing import Question
from ambiemo.results.predictions import Column, clip_rows, settings_of
from ambiemo.results.study import Study, Unit
from ambiemo.results.tables.estimates import Clusters
from ambiemo.results.truths import Truths
from ambiemo.strategies.candidates import Candidates
from ambiemo.strategies.predict import Settings

NO_RATINGS = "the truth is one acted label: nobody voted"
SEVERAL_TAGS = "a rater may have given several tags: the number of independent votes is not known"
NOT_WHOLE = "the votes are not whole numbers of raters"


@dataclass(frozen=True)
class Evidence:
    """One unit, or the baselines of a corpus (then without candidates).

    candidates  by the name of the question, one row per distinct clip
    shown       by the name of a question with a listwise judge: at which place, 1 is the first, the
                judge was shown each candidate when it was asked about it, (clips, judged)
    """

    study: Study
    unit: Unit
    truths: Truths
    columns: Sequence[Column]
    candidates: Mapping[str, Candidates]
    shown: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    @property
    def name(self) -> dict[str, str]:
        """The first columns of every row."""
        return {"corpus": self.unit[1], "model": self.unit[0]}

    @cached_property
    def clusters(self) -> Clusters:
        return Clusters(self.truths.speakers, self.study.plan.bootstrap.level)

    @cached_property
    def settings(self) -> Settings:
        return settings_of(self.study)

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each utterance's clip in the candidates."""
        return clip_rows(self.truths)

    @cached_property
    def by_strategy(self) -> dict[str, Column]:
        """The predictions with the clip, by strategy."""
        return {one.strategy: one for one in self.columns if one.control == NO_CONTROL}

    @cached_property
    def no_panels(self) -> str:
        """Why the raters cannot be counted, so that no panel can be split or corrected for; "" if
        they can."""
        corpus = self.unit[1]
        if self.study.utterances[corpus].acted.any():
            return NO_RATINGS
        if self.study.vote_units[corpus] != 1:
            return SEVERAL_TAGS
        try:
            whole_votes(self.truths.votes)
        except ValueError:
            return NOT_WHOLE
        return ""

    def cells(self) -> list[Cell]:
        """The cells with the clip, in the order of the plan."""
        return [
            cell
            for cell in self.study.cells_of(self.unit)
            if cell.control == NO_CONTROL and cell.strategy.name in self.by_strategy
        ]

    def questions(self) -> list[Question]:
        """The questions with the clip."""
        return [
            one for one in self.study.questions if one.unit == self.unit and one.audio == "clip"
        ]

    def of_cell(self, cell: Cell) -> Candidates:
        """The candidates a cell reads, one row per distinct clip."""
        asked = self.candidates[self.study.question_of[cell.name]]
        return asked.first(cell.strategy.count or asked.there.shape[1])

    def failed_as_uniform(self, column: Column) -> Array:
        """The predictions (n, K), with every failed one taken as uniform."""
        return np.where(
            column.has_prediction[:, None], column.predicted, 1 / self.truths.truth.shape[1]
        )
