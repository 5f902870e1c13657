"""Every draw of a plan, models side by side.

One thread for each model; each thread runs one Ray Data execution at a time. Ray decides what runs
when: every actor asks for its GPUs and processors and waits until they are free, so local models
share the cluster and remote ones run at the same time, at their own rates. A pool needs no more than one
actor to work, so pools that cannot all fit take turns and never wait for each other.

A model is in one execution at a time, because it has one rate, one dollar ceiling and one journal.
Its verifier is asked as soon as its own answers are there. A model that stops, or cannot be loaded,
ends its own column: the others go on.
"""

import gc
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from ambiemo import engines
from ambiemo.engines import ModelStopped
from ambiemo.errors import Broken
from ambiemo.pipeline.account import Account
from ambiemo.pipeline.progress import Board, say
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import FAILED, Expanded, Missing, left_out, without_place

if TYPE_CHECKING:
    from ambiemo.pipeline.draw import Asked

NEARLY_ALL = 0.9
"""A model that brings no answer to this share of its draws, or to more, makes the run end with exit
1.
"""
END_S = 2.0
"""How long the other models' threads have to end once one has failed."""


def drawn(expanded: Expanded, store: AnswerStore, account: Account, board: Board) -> Expanded:
    """Make every draw that the store lacks. Returns the plan without the models that stopped
    (`account.stopped`).

    Raises BadInput where the cluster has not what the plan asks for, Broken where the store
    refuses.
    """
    from ambiemo.pipeline.cluster import enough, pool_size
    from ambiemo.pipeline.restarts import counters

    for model in asked_models(expanded):
        entry, engine = expanded.entry(model), expanded.engine(model)
        enough(model, entry, pool_size(entry, engine), engine=engine)
    held = counters()  # noqa: F841 (one process for all models, held until the last draw)
    asked: set[tuple[str, str, str]] = set()
    while True:
        # without a model that stopped, the others may be asked something new, such as fewer
        # samples; never the same twice
        new = [one for one in sharing.questions_of(expanded) if (*one.unit, one.name) not in asked]
        asked |= {(*one.unit, one.name) for one in new}
        failed = _SideBySide(expanded, store, account, board).draw(new)
        if not failed:
            return expanded
        expanded = left_out(expanded, failed)


def asked_models(expanded: Expanded) -> list[str]:
    """The models that a run asks anything, verifiers too; not those whose cells are all skipped."""
    questions = sharing.questions_of(expanded)
    asked = {one.model for one in questions} | {
        expanded.verifier(one.model) for one in questions if one.judged
    }
    return [model for model in expanded.specs if model in asked]


class Halted(Broken):
    """Another thread failed, or the person interrupted the run: this one stops too."""


class _SideBySide:
    """The threads of a run, one for each model."""

    def __init__(
        self, expanded: Expanded, store: AnswerStore, account: Account, board: Board
    ) -> None:
        self.expanded, self.store, self.account, self.board = expanded, store, account, board
        self.failed: list[Missing] = []
        self.waiting: dict[str, list[sharing.Question]] = {}
        self.turn: dict[str, threading.Lock] = {model: threading.Lock() for model in expanded.specs}
        self.lock = threading.Lock()
        self.halt = threading.Event()
        self.errors: list[BaseException] = []
        self.ended = threading.Semaphore(0)

    def draw(self, questions: Sequence[sharing.Question]) -> list[Missing]:
        """Ask these questions, then the verifiers about their candidates. Returns the models that
        failed.
        """
        by_model: dict[str, list[sharing.Question]] = {}
        for one in questions:
            by_model.setdefault(one.model, []).append(one)
        # remote models first: they ask for one processor each, which a pool of many local actors
        # would take
        order = sorted(
            by_model, key=lambda model: engines.ENGINES[self.expanded.engine(model)].local
        )
        threads = [
            threading.Thread(
                target=self._guarded,
                args=(model, by_model[model]),
                name=f"draw {model}",
                daemon=True,
            )
            for model in order
        ]
        try:
            for thread in threads:
                thread.start()
            left = len(threads)
            while left and not self.errors:
                left -= self.ended.acquire(timeout=1)
                self.board.tick()
        finally:
            self.halt.set()
            until = time.monotonic() + END_S
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
            gc.unfreeze()
        if self.errors:
            raise self.errors[0]
        order_of = {model: place for place, model in enumerate(self.expanded.specs)}
        return sorted(self.failed, key=lambda one: (order_of[one.id], one.kind))

    def _guarded(self, model: str, own: list[sharing.Question]) -> None:
        try:
            if self._answers(model, own):
                self._judged(self.expanded.verifier(model), [one for one in own if one.judged])
        except Halted:
            pass
        except BaseException as error:  # raised again in the thread that waits
            self.errors.append(error)
        finally:
            self.ended.release()

    def _answers(self, model: str, own: list[sharing.Question]) -> bool:
        """Draw a model's answers; False if it stopped."""
        clips = {
            one.corpus: sharing.distinct(self.expanded.corpora[one.corpus].utterances)
            for one in own
        }
        # Questions that differ in the judging alone have the same draws.
        drawn = {one.draws: one for one in own}.values()
        asked = [(sharing.asking(self.expanded, one), clips[one.corpus]) for one in drawn]
        with self.turn[model]:
            return self._draw("model", model, "answers", asked)

    def _judged(self, judge: str, own: list[sharing.Question]) -> None:
        """Ask the verifier about a model's candidates, and about those of every model that waits
        for it too.
        """
        from ambiemo.pipeline.score import judgements

        with self.lock:
            self.waiting.setdefault(judge, []).extend(own)
        with self.turn[judge]:
            with self.lock:
                about = self.waiting.pop(judge, [])
                lost = any(one.id == judge for one in self.failed)
            if about and not lost:
                draws = judgements(self.expanded, self.store, about)[judge]
                self._draw("verifier", judge, "scores", [(lambda draw: draw, one) for one in draws])
                for one in about:
                    self.store.forget(one.model)

    def _draw(
        self,
        kind: Literal["model", "verifier"],
        model: str,
        what: str,
        asked: "Sequence[Asked[Any]]",
    ) -> bool:
        try:
            draw_missing(
                self.expanded,
                model,
                what,
                asked,
                self.store,
                self.account,
                self.board,
                self.lock,
                self.halt,
            )
        except ModelStopped as error:
            do = "run the same command again when the cause is gone; what was drawn is kept"
            reason = without_place(str(error), self.expanded.specs[model])
            with self.lock:
                self.account.stopped[model] = reason
                self.failed.append(Missing(kind, model, f"{FAILED}{reason}", do))
            say(f"{model}: stopped: {error}")
            return False
        return True


def draw_missing(
    expanded: Expanded,
    model: str,
    what: str,
    questions: "Sequence[Asked[Any]]",
    store: AnswerStore,
    account: Account,
    board: Board | None = None,
    lock: AbstractContextManager[Any] | None = None,
    halt: threading.Event | None = None,
) -> None:
    """Make the draws of one model that the store lacks, as `pipeline.draw.groups` cuts them.

    lock: held while `account` changes. halt: set to end early. Raises ModelStopped, and Halted if
    `halt` was set.
    """
    from ambiemo.pipeline.draw import draw_groups, groups

    board, lock, halt = board or Board(), lock or threading.Lock(), halt or threading.Event()
    began = time.monotonic()
    wanted = sum(len(items) for _, items in questions)
    work = groups(questions, expanded.plan.group_size, lambda key: store.has(model, key))
    store.forget(model)
    reused = wanted - work.draws
    job = board.job(model, what, work.draws, reused)
    unasked, reasons = 0, Counter[str]()
    with lock:
        account.reused += reused
    # Ray's core asks for a whole gc.collect() of this process many times a minute. Half of the
    # driver's time went into looking at draws that stay until the end anyway.
    gc.freeze()
    try:
        if work and not halt.is_set():
            for one in draw_groups(
                expanded.specs[model], expanded.engine(model), expanded.entry(model), work, store
            ):
                with lock:
                    account.calls += one.draws - one.unasked
                    account.failed += one.failed
                    account.dollars[model] = account.dollars.get(model, 0.0) + one.dollars
                unasked += one.unasked
                reasons += one.reasons
                board.advance(job, one.draws, one.failed, one.dollars)
                if halt.is_set():
                    raise Halted("another model's thread failed")
    except BaseException as error:
        board.end(job, "stopped", str(error))
        raise
    why = unpaid(what, wanted, reasons) or barren(what, wanted - unasked, reasons)
    with lock:
        stage = f"{what} {model}"
        account.seconds[stage] = account.seconds.get(stage, 0.0) + time.monotonic() - began
        if why:
            account.barren[model] = why
    board.end(job, "done", why)


def unpaid(what: str, wanted: int, reasons: Mapping[str, int]) -> str:
    """Why a column is not whole, where the ceiling of dollars left no room for some draws; else
    "".
    """
    count = sum(number for reason, number in reasons.items() if engines.NO_ROOM in reason)
    if not count:
        return ""
    reason = next(reason for reason in sorted(reasons) if engines.NO_ROOM in reason)
    return (
        f"{count} of {wanted} draws of its {what} were {reason[reason.index(engines.NO_ROOM) :]}; what was "
        "paid is kept: raise max_dollars in the plan and run the same command again"
    )


def barren(what: str, wanted: int, reasons: Mapping[str, int]) -> str:
    """Why a column is worth nothing, where nearly all of its draws failed; "" where enough came
    back.

    wanted: draws of the whole column whose clip can be decoded. reasons: why draws of it failed,
    with counts.
    """
    failed = sum(reasons.values())
    if not failed or failed < NEARLY_ALL * wanted:
        return ""
    most = "; ".join(f"{count} × {reason}" for reason, count in Counter(reasons).most_common(3))
    return f"{failed} of {wanted} draws of its {what} failed, most often: {most}"
