"""The score stage: a verifier ALM judges candidates, one draw per candidate. It uses the draw
stage; here is only what it is asked.

Candidates are read from the answer store when a group of questions is made, never all at once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ambiemo.corpora.utterances import Utterance
from ambiemo.draws import Draw
from ambiemo.errors import Broken
from ambiemo.pipeline.store import AnswerFile, AnswerStore
from ambiemo.plan.expand import Expanded
from ambiemo.plan.sharing import (
    LISTWISE,
    Judge,
    Question,
    asking,
    distinct,
    judging,
    questions_of,
)


class Judgements(Sequence[Draw]):
    """The verifier's draws about the first candidates of one question's answers, made when they are
    asked for.

    clips: the utterances that were asked about. answered (m,): places in `clips` whose draw brought
    candidates; stored (m,): where in `file` their answers are.
    """

    def __init__(
        self,
        question: Question,
        clips: Sequence[Utterance],
        ask: Callable[[Utterance], Draw],
        judge: Judge,
        file: AnswerFile,
        answered: NDArray[np.int64],
        stored: NDArray[np.int64],
    ) -> None:
        self.question, self.clips, self.ask, self.judge = question, clips, ask, judge
        self.file, self.answered, self.stored = file, answered, stored
        self.listwise = question.judge == LISTWISE

    def __len__(self) -> int:
        return len(self.answered) * self.question.judged

    @overload
    def __getitem__(self, at: int) -> Draw: ...
    @overload
    def __getitem__(self, at: slice) -> list[Draw]: ...
    def __getitem__(self, at: int | slice) -> Draw | list[Draw]:
        if isinstance(at, int):
            return self[at : at + 1 or None][0]
        return [self._one(place) for place in range(len(self))[at]]

    def __iter__(self) -> Iterator[Draw]:
        return map(self._one, range(len(self)))

    def _one(self, place: int) -> Draw:
        number, index = divmod(place, self.question.judged)
        draw = self.ask(self.clips[int(self.answered[number])])
        candidates = self.file.answer(draw.key, int(self.stored[number])).candidates
        judged = [one.text for one in candidates[: self.question.judged]]
        if index >= len(judged) or (self.listwise and len(judged) < self.question.judged):
            raise Broken(
                f"{self.file.path}: {draw.utterance_id} (draw {draw.key[:12]}…): found {len(candidates)} candidates, "
                f"expected {self.question.decoding.count}; the engine brought fewer than it was asked for"
            )
        return self.judge(draw, index, judged)


def judgements(
    expanded: Expanded, store: AnswerStore, about: Sequence[Question] | None = None
) -> dict[str, list[Judgements]]:
    """What each verifier is to be asked, by its id, about the stored answers to these questions
    (default: all).
    """
    asked: dict[str, list[Judgements]] = {}
    for question in questions_of(expanded) if about is None else about:
        if not question.judged:
            continue
        clips = distinct(expanded.corpora[question.corpus].utterances)
        ask, index = asking(expanded, question), store.index(question.model)
        stored = index.answered.of([ask(one).key for one in clips])
        answered = np.flatnonzero(stored >= 0)
        file = AnswerFile(store.path(question.model))
        one = Judgements(
            question, clips, ask, judging(expanded, question), file, answered, stored[answered]
        )
        asked.setdefault(expanded.verifier(question.model), []).append(one)
    return asked
