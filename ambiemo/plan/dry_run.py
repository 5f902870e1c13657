"""What a plan would do, before it is done: the grid, the draws before and after sharing, their
cost, and what is missing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING

from ambiemo import models
from ambiemo.errors import shown
from ambiemo.models.spec import AROUND, AUDIO_MARGIN
from ambiemo.plan import sharing
from ambiemo.plan.expand import NO_CONTROL, Cell, Expanded, Missing, as_if_complete
from ambiemo.strategies import Strategy

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 1000
"""Characters of a line about something missing."""
READ_AGAIN = 4
"""Tokens at most that a verifier reads for each one another model said (grade I)."""


@dataclass(frozen=True)
class ModelCost:
    """An upper bound of what a model's draws cost: every answer taken as long as the plan allows.
    None = unknown.

    A prompt has a token a byte at most; its tokens leave out the clip's. Dollars are those of the
    openai engine, with the clips and what a model thinks; an answer that is lost on its way and
    asked for again is not in them.
    """

    model: str
    engine: str
    draws: int
    answers: int
    prompt_tokens: int
    answer_tokens: int
    gpu_hours: float | None
    dollars: float | None


@dataclass(frozen=True)
class _Question:
    """Draws that ask the same of each utterance of a corpus: `each` of them, with `answers` answers
    a draw, of `longest` tokens at most.
    """

    model: str
    corpus: str
    each: int
    answers: int
    prompt_bytes: int
    longest: int


def costs(expanded: Expanded) -> list[ModelCost]:
    """Cost of each model's draws, the verifiers' included, on an empty store."""
    seconds = {
        name: sum(u.duration_s or 0.0 for u in one.utterances)
        for name, one in expanded.corpora.items()
    }
    questions = list(_questions(expanded))
    return [
        _cost(expanded, model, [q for q in questions if q.model == model], seconds)
        for model in expanded.specs
    ]


def _cost(
    expanded: Expanded, model: str, questions: Sequence[_Question], seconds: Mapping[str, float]
) -> ModelCost:
    engine, price = expanded.engine(model), expanded.specs[model].price
    draws = answers = prompt = answer = 0
    heard = 0.0
    for one in questions:
        n = len(expanded.corpora[one.corpus].utterances) * one.each
        asked = (
            one.answers if engine == "openai" else 1
        )  # it sends a request an answer, each with prompt and clip
        draws += n
        answers += n * one.answers
        prompt += n * asked * (one.prompt_bytes + AROUND)
        answer += n * one.answers * one.longest
        heard += seconds[one.corpus] * one.each * asked
    dollars = (
        None
        if price is None
        else ceil(100 * price.dollars(prompt, AUDIO_MARGIN * heard, answer)) / 100
    )
    rate = expanded.plan.assume.tokens_per_gpu_second * 3600
    hours = round(answer / rate, 3) if engine in ("transformers", "vllm") else None
    return ModelCost(
        model, engine, draws, answers, prompt, answer, hours, dollars if engine == "openai" else 0.0
    )


def _questions(expanded: Expanded) -> Iterator[_Question]:
    drawn: set[sharing.Question] = set()
    for one in sharing.questions_of(expanded):
        longest = _longest(expanded, one.model, one.decoding.max_tokens)
        size = _prompt_bytes(expanded, one.model, one.prompt_id, one.corpus)
        if one.draws not in drawn:  # questions that differ in the judging alone share their draws
            drawn.add(one.draws)
            yield _Question(one.model, one.corpus, 1, one.decoding.count, size, longest)
        if judged := one.judged:
            judge = expanded.verifier(one.model)
            read = judged if one.judge == sharing.LISTWISE else 1
            size = _prompt_bytes(expanded, judge, one.judge, one.corpus)
            size += read * READ_AGAIN * longest
            yield _Question(
                judge,
                one.corpus,
                judged,
                1,
                size,
                _longest(expanded, judge, expanded.plan.max_tokens.verifier),
            )


def _longest(expanded: Expanded, model: str, max_tokens: int) -> int:
    """Tokens of a model's longest answer: a server may spend on the answer what the openai engine
    leaves for thinking.
    """
    return max_tokens + (
        expanded.specs[model].thinking_tokens if expanded.engine(model) == "openai" else 0
    )


def _prompt_bytes(expanded: Expanded, model: str, prompt_id: str, corpus: str) -> int:
    text = models.render(
        models.prompt(expanded.specs[model], prompt_id), expanded.corpora[corpus].labels
    )
    return len(text.encode("utf-8"))


def show(expanded: Expanded, as_json: bool) -> bool:
    """Print the dry run; True if nothing is missing. Draws and costs are those of a machine that
    lacks nothing.
    """
    whole = as_if_complete(expanded)
    counts = sharing.count_draws(whole)
    if as_json:
        print(
            json.dumps(
                {
                    "plan": expanded.plan.name,
                    "draws_alone": counts.alone,
                    "draws_shared": counts.shared,
                    "answers_shared": counts.answers,
                    "scores_shared": counts.scores,
                    "costs": [asdict(one) for one in costs(whole)],
                    "cells": [
                        {
                            "model": c.model,
                            "corpus": c.corpus,
                            "strategy": c.strategy.name,
                            "control": c.control,
                            "skipped": c.skipped,
                        }
                        for c in expanded.cells
                    ],
                    "availability": _availability(expanded),
                    "missing": [asdict(item) for item in expanded.missing],
                },
                indent=2,
            )
        )
    else:
        _print(expanded, whole, counts)
    return not expanded.missing


def _print(expanded: Expanded, whole: Expanded, counts: sharing.Counts) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=max(Console().width if Console().is_terminal else 150, 100))
    plan = expanded.plan
    console.print(Text.assemble((plan.name, "bold"), f"  {plan.title}"))
    console.print(_sizes(expanded, whole), highlight=False, markup=False)
    _print_grid(console, expanded)
    reasons: dict[str, int] = {}
    for cell in expanded.cells:
        if cell.skipped:
            reason = f"{_mark(cell)} {cell.skipped}"
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, number in reasons.items():
        console.print(f"{reason} ({number} cells)", highlight=False, markup=False)

    console.print(
        f"\ndraws: {counts.alone} if every strategy made its own, [bold]{counts.shared}[/bold] after sharing"
        f" ({counts.answers} answers, {counts.scores} verifier scores)",
        highlight=False,
    )
    priced = Table(
        box=box.SIMPLE_HEAD,
        title="at most (every answer as long as the plan allows)",
        title_justify="left",
        pad_edge=False,
    )
    for title in (
        "model",
        "engine",
        "draws",
        "answers",
        "prompt tokens",
        "answer tokens",
        "GPU-hours",
        "dollars",
    ):
        priced.add_column(title, justify="left" if title in ("model", "engine") else "right")
    told = costs(whole)
    for one in told:
        hours = "–" if one.gpu_hours is None else f"{one.gpu_hours:.2f}"
        dollars = "unknown" if one.dollars is None else f"{one.dollars:.2f}"
        numbers = (one.draws, one.answers, one.prompt_tokens, one.answer_tokens)
        priced.add_row(
            one.model, one.engine, *(f"{number:,}" for number in numbers), hours, dollars
        )
    console.print(priced)
    console.print(
        f"GPU-hours assume {plan.assume.tokens_per_gpu_second:g} answer tokens a second on one GPU (assume.tokens_per_gpu_second).",
        highlight=False,
    )
    if any(one.dollars for one in told):
        console.print(
            "Dollars: a token a byte of prompt, twice the usual audio, whole answers and whole thinking. "
            "An answer lost on its way and asked for again comes on top; `options: {max_dollars: …}` of a model is a ceiling over all.",
            highlight=False,
        )
    for model, said in _availability(expanded).items():
        console.print(f"{model} may be gone: {said}", highlight=False, markup=False)
    print_missing(expanded.missing)


def _availability(expanded: Expanded) -> dict[str, str]:
    """What is known of the shut-down of a plan's models: only a request would tell, and nobody's
    key is spent for a dry run.
    """
    return {name: spec.availability for name, spec in expanded.specs.items() if spec.availability}


def _sizes(expanded: Expanded, whole: Expanded) -> str:
    told = []
    for entry in expanded.plan.corpora:
        if entry.id in expanded.corpora:
            told.append(f"{entry.id}: {len(expanded.corpora[entry.id].utterances)} utterances")
        elif entry.id in whole.corpora:
            told.append(
                f"{entry.id}: not here, reckoned with {len(whole.corpora[entry.id].utterances)} utterances"
            )
        else:
            told.append(f"{entry.id}: not here and of unknown size, so not counted below")
    return "; ".join(told)


def _mark(cell: Cell) -> str:
    return "✓" if not cell.skipped else "✗" if cell.cannot else "○"


def _print_grid(console: "Console", expanded: Expanded) -> None:
    from rich import box
    from rich.table import Table

    plan = expanded.plan
    # strategies that differ in the number of candidates alone need the same of a model: one row
    families: dict[tuple[str, ...], list[Strategy]] = {}
    for row in (entry.row() for entry in plan.strategies):
        families.setdefault((*row.parts.values(), *map(str, row.own.values())), []).append(row)
    rows = [
        (max(family, key=lambda row: row.count), family, NO_CONTROL) for family in families.values()
    ]
    named = {row.name: row for family in families.values() for row in family}
    rows += [
        (named[name], [], control.name) for control in plan.controls for name in control.strategies
    ]
    console.print("cells: ✓ can be filled here, ○ something is missing here, ✗ the model cannot")
    if len(plan.corpora) > 1:
        console.print(
            f"a mark for each corpus: {', '.join(corpus.id for corpus in plan.corpora)}",
            highlight=False,
        )
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("strategy")
    for entry in plan.models:
        grid.add_column(entry.id.replace("-", "-\n"), justify="center")
    marks = {(c.model, c.corpus, c.strategy.name, c.control): _mark(c) for c in expanded.cells}
    for row, family, control in rows:
        counts = ", ".join(str(one.count) for one in sorted(family, key=lambda one: one.count))
        name = row.name + (f" · {control.replace('_', ' ')}" if control != NO_CONTROL else "")
        grid.add_row(
            f"{name}, N = {counts}" if len(family) > 1 else name,
            *(
                " ".join(marks[entry.id, corpus.id, row.name, control] for corpus in plan.corpora)
                for entry in plan.models
            ),
        )
    console.print(grid)


def print_missing(missing: Sequence[Missing]) -> None:
    """The whole list of what is missing, with what to do about each."""
    if not missing:
        print("nothing is missing")
        return
    print(f"\nmissing ({len(missing)}):")
    for item in missing:
        print(shown(f"  {item.kind} {item.id}: {item.what}", LONGEST))
        print(shown(f"      do: {item.do}", LONGEST))
