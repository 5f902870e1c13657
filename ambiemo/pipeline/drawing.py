"""Every draw of a plan.

A model that stops, or cannot be loaded, ends its own column: the others go on. Its cells are then skipped with the reason.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ambiemo.engines import ModelStopped
from ambiemo.pipeline.account import Account
from ambiemo.pipeline.progress import progress, say
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import FAILED, Expanded, Missing, left_out

if TYPE_CHECKING:
    from ambiemo.pipeline.draw import Asked

NEARLY_ALL = 0.9
"""A model that brings no answer to this share of its draws, or to more, makes the run end with exit 1."""


def drawn(expanded: Expanded, store: AnswerStore, account: Account) -> Expanded:
    """Make every draw that the store lacks. Returns the plan without the models that stopped (`account.stopped`).

    Raises BadInput where the cluster has not what the plan asks for, Broken where the store refuses.
    """
    asked: set[tuple[str, str, str]] = set()
    while True:
        # without a model that stopped, the others may be asked something new, such as fewer samples; never the same twice
        new = [one for one in sharing.questions_of(expanded) if (*one.unit, one.name) not in asked]
        asked |= {(*one.unit, one.name) for one in new}
        failed = _draw(expanded, new, store, account)
        if not failed:
            return expanded
        expanded = left_out(expanded, failed)


def _draw(
    expanded: Expanded, questions: Sequence[sharing.Question], store: AnswerStore, account: Account
) -> list[Missing]:
    """Ask these questions, then the verifiers about their candidates. Returns the models that failed."""
    from ambiemo.pipeline.score import judgements

    failed: list[Missing] = []
    by_model: dict[str, list[sharing.Question]] = {}
    for one in questions:
        by_model.setdefault(one.model, []).append(one)
    for model, own in by_model.items():
        clips = {one.corpus: sharing.distinct(expanded.corpora[one.corpus].utterances) for one in own}
        asked = [(sharing.asking(expanded, one), clips[one.corpus]) for one in own]
        try:
            draw_missing(expanded, model, "answers", asked, store, account)
        except ModelStopped as error:
            failed.append(_failed("model", model, error, account))
    lost = {one.id for one in failed}
    left = [one for one in questions if one.model not in lost and expanded.verifier(one.model) not in lost]
    for judge, about in judgements(expanded, store, left).items():
        try:
            draw_missing(expanded, judge, "scores", [(lambda draw: draw, one) for one in about], store, account)
        except ModelStopped as error:
            failed.append(_failed("verifier", judge, error, account))
    return failed


def _failed(kind: Any, model: str, error: ModelStopped, account: Account) -> Missing:
    """A model that stopped, as run.json and the cells say it."""
    account.stopped[model] = str(error)
    say(f"{model}: stopped: {error}")
    return Missing(
        kind, model, f"{FAILED}{error}", "run the same command again when the cause is gone; what was drawn is kept"
    )


def draw_missing(
    expanded: Expanded,
    model: str,
    what: str,
    questions: "Sequence[Asked[Any]]",
    store: AnswerStore,
    account: Account,
) -> None:
    """Make the draws of one model that the store lacks, as `pipeline.draw.groups` cuts them. Raises ModelStopped."""
    from ambiemo.pipeline.draw import draw_groups, groups

    began = time.monotonic()
    wanted = sum(len(items) for _, items in questions)
    work = groups(questions, expanded.plan.group_size, lambda key: store.has(model, key))
    account.reused += wanted - work.draws
    say(f"{model}: {what}: {wanted} draws, {wanted - work.draws} in the store")
    unasked, reasons = 0, Counter[str]()
    if work:
        with progress(f"{model}: {what}", work.draws) as advance:
            entry, engine = expanded.entry(model), expanded.engine(model)
            for one in draw_groups(expanded.specs[model], engine, entry, work, store):
                account.calls += one.draws - one.unasked
                account.failed += one.failed
                account.dollars[model] = account.dollars.get(model, 0.0) + one.dollars
                unasked += one.unasked
                reasons += one.reasons
                advance(one.draws, one.failed)
    account.seconds[f"{what} {model}"] = time.monotonic() - began
    if why := barren(what, wanted - unasked, reasons):
        account.barren[model] = why


def barren(what: str, wanted: int, reasons: Counter[str]) -> str:
    """Why a column is worth nothing, where nearly all of its draws failed; "" where enough came back.

    wanted: draws of the whole column whose clip can be decoded. reasons: why draws of it failed, with counts.
    """
    failed = reasons.total()
    if not failed or failed < NEARLY_ALL * wanted:
        return ""
    most = "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
    return f"{failed} of {wanted} draws of its {what} failed, most often: {most}"
