"""What a plan would do, before it is done: the grid, the draws before and after sharing, their
cost, and what is missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from ambiemo import models, terminal
from ambiemo.errors import shown
from ambiemo.models.spec import AROUND, AUDIO_MARGIN
from ambiemo.plan import sharing
from ambiemo.plan.expand import NO_CONTROL, Cell, Expanded, Missing, as_if_complete
from ambiemo.strategies import Strategy
from ambiemo.terminal import Column, Line, Part, Table

LONGEST = 1000
"""Characters of a line about something missing."""
READ_AGAIN = 4
"""Upper bound: tokens that a verifier reads per token of another model's answer (grade I)."""


@dataclass(frozen=True)
class ModelCost:
    """An upper bound of what a model's draws cost: every answer taken as long as the plan allows.
    None = unknown.

    A prompt has at most one token per byte; its tokens leave out the clip's. Dollars are those of
    the openai engine, with the clips and what a model thinks; an answer that is lost on its way and
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
    per draw, of `longest` tokens at most.
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
        )  # it sends one request per answer, each with prompt and clip
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
    if as_json:
        terminal.show_json(as_object(expanded))
    else:
        terminal.show(*parts(expanded))
    return not expanded.missing


def as_object(expanded: Expanded) -> dict[str, Any]:
    """The dry run as JSON values."""
    whole = as_if_complete(expanded)
    counts = sharing.count_draws(whole)
    return {
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
    }


def parts(expanded: Expanded) -> list[Part]:
    """The dry run for people: the grid, the draws, their cost, and what is missing."""
    whole = as_if_complete(expanded)
    counts = sharing.count_draws(whole)
    plan = expanded.plan
    reasons: dict[str, int] = {}
    for cell in expanded.cells:
        if cell.skipped:
            reason = f"{_mark(cell)} {cell.skipped}"
            reasons[reason] = reasons.get(reason, 0) + 1
    priced = costs(whole)
    rate = plan.assume.tokens_per_gpu_second
    return [
        Line(f"{plan.name}  {plan.title}".rstrip(), "bold"),
        _sizes(expanded, whole),
        "",
        *_grid(expanded),
        *(f"{reason} ({number} cells)" for reason, number in reasons.items()),
        *[""] * bool(reasons),
        f"draws: {counts.alone:,} if every strategy made its own, {counts.shared:,} after sharing "
        f"({counts.answers:,} answers, {counts.scores:,} verifier scores)",
        "",
        _priced(priced),
        f"GPU-hours assume {rate:g} answer tokens a second on one GPU (assume.tokens_per_gpu_second).",
        *[DOLLARS] * any(bool(one.dollars) for one in priced),
        *(f"{model} may be gone: {text}" for model, text in _availability(expanded).items()),
        *missing_parts(expanded.missing),
    ]


DOLLARS = (
    "Dollars: a token a byte of prompt, twice the usual audio, whole answers and whole thinking. "
    "An answer lost on its way and asked for again comes on top; "
    "`options: {max_dollars: …}` of a model is a ceiling over all."
)
PRICED = (
    Column("model", "key"),
    Column("engine", "words", 5),
    Column("draws", "number", 2),
    Column("answers", "number", 3),
    Column("prompt tokens", "number", 6),
    Column("answer tokens", "number", 4),
    Column("GPU-hours", "number", 1),
    Column("dollars"),
)


def _priced(priced: Sequence[ModelCost]) -> Table:
    rows = []
    for one in priced:
        hours = "–" if one.gpu_hours is None else f"{one.gpu_hours:.2f}"
        dollars = "unknown" if one.dollars is None else f"{one.dollars:,.2f}"
        numbers = (one.draws, one.answers, one.prompt_tokens, one.answer_tokens)
        counted = tuple(f"{number:,}" for number in numbers)
        rows.append((one.model, one.engine, *counted, hours, dollars))
    title = "at most (every answer as long as the plan allows)"
    return Table(title, PRICED, tuple(rows), see="ambiemo plan PLAN --json")


def _availability(expanded: Expanded) -> dict[str, str]:
    """What is known of the shut-down of a plan's models: only a request would tell, and nobody's
    key is spent for a dry run.
    """
    return {name: spec.availability for name, spec in expanded.specs.items() if spec.availability}


def _sizes(expanded: Expanded, whole: Expanded) -> str:
    sizes = []
    for entry in expanded.plan.corpora:
        if entry.id in expanded.corpora:
            sizes.append(f"{entry.id}: {len(expanded.corpora[entry.id].utterances):,} utterances")
        elif entry.id in whole.corpora:
            sizes.append(
                f"{entry.id}: not here, reckoned with {len(whole.corpora[entry.id].utterances):,} utterances"
            )
        else:
            sizes.append(f"{entry.id}: not here and of unknown size, so not counted below")
    return "; ".join(sizes)


def _mark(cell: Cell) -> str:
    return "✓" if not cell.skipped else "✗" if cell.cannot else "○"


def _grid(expanded: Expanded) -> list[Part]:
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
    marks = {(c.model, c.corpus, c.strategy.name, c.control): _mark(c) for c in expanded.cells}
    lines = []
    for row, family, control in rows:
        counts = ", ".join(str(one.count) for one in sorted(family, key=lambda one: one.count))
        name = row.name + (f" · {control.replace('_', ' ')}" if control != NO_CONTROL else "")
        lines.append(
            (
                f"{name}, N = {counts}" if len(family) > 1 else name,
                *(
                    " ".join(
                        marks[entry.id, corpus.id, row.name, control] for corpus in plan.corpora
                    )
                    for entry in plan.models
                ),
            )
        )
    several = [f"a mark for each corpus: {', '.join(corpus.id for corpus in plan.corpora)}"]
    columns = [Column(entry.id, "number", place) for place, entry in enumerate(plan.models)]
    return [
        "cells: ✓ can be filled here, ○ something is missing here, ✗ the model cannot",
        *several * (len(plan.corpora) > 1),
        Table("", (Column("strategy", "key"), *columns), tuple(lines), "ambiemo plan PLAN --json"),
    ]


def print_missing(missing: Sequence[Missing]) -> None:
    """The whole list of what is missing, with what to do about each."""
    terminal.show(*missing_parts(missing))


def missing_parts(missing: Sequence[Missing]) -> list[Part]:
    """What is missing, and below each what to do about it."""
    if not missing:
        return ["nothing is missing"]
    lines: list[Part] = ["", f"missing ({len(missing)}):"]
    for item in missing:
        lines.append(Line(shown(f"{item.kind} {item.id}: {item.what}", LONGEST), indent=2))
        lines.append(Line(shown(f"do: {item.do}", LONGEST), indent=6))
    return lines
