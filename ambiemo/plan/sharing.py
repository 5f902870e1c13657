"""Draw once, aggregate many: the questions all strategies of a plan need, each once, and how many
draws that saves.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ambiemo import models
from ambiemo.corpora.utterances import Utterance, Utterances
from ambiemo.draws import Decoding, Draw
from ambiemo.models.parsing import ParsedScore, parse_score, parse_scores
from ambiemo.plan.expand import Cell, Expanded
from ambiemo.plan.schema import Plan
from ambiemo.seeds import seed
from ambiemo.strategies import Strategy

Audio = Literal["clip", "silence"]
VERIFIER, LISTWISE = "verifier", "listwise"
"""Prompts by which candidates are judged: one at a time, and all of them in one list."""


@dataclass(frozen=True)
class Question:
    """All draws that ask one model the same about a corpus: one prompt, decoding and kind of audio.

    serves: the strategies that read the answers. judged: how many candidates of each draw (the
    first so many) a verifier judges, by the prompt `judge`. Strategies that are judged by another
    prompt than `verifier` have a question of their own, about the same draws: these are made once.
    """

    model: str
    corpus: str
    prompt_id: str
    decoding: Decoding
    audio: Audio
    serves: tuple[str, ...]
    judged: int = 0
    judge: str = VERIFIER

    @property
    def name(self) -> str:
        """Short name, unique among the questions to one model about one corpus: "direct.beam-5",
        "direct.greedy.silence", "direct.beam-3.rubric".
        """
        kind = (
            self.decoding.kind
            if self.decoding.kind == "greedy"
            else f"{self.decoding.kind}-{self.decoding.count}"
        )
        other = [self.judge] if self.judge != VERIFIER else []
        return ".".join(
            [self.prompt_id, kind, *([self.audio] if self.audio != "clip" else []), *other]
        )

    @property
    def draws(self) -> "Question":
        """What tells its draws: questions that differ in the judging alone have the same ones."""
        return replace(self, serves=(), judged=0, judge=VERIFIER)

    @property
    def unit(self) -> tuple[str, str]:
        """The model and the corpus."""
        return (self.model, self.corpus)


def decoding(plan: Plan, row: Strategy, labels: int) -> Decoding:
    """The decoding a strategy asks for under a plan, of a corpus with so many labels."""
    if row.decoding.kind == "forced":
        return Decoding("forced", labels, max_tokens=0)
    longest = getattr(plan.max_tokens, row.prompt)
    if row.decoding.kind == "sample":
        return Decoding(
            "sample", row.count, plan.sampling.temperature, plan.sampling.top_p, longest
        )
    return Decoding(row.decoding.kind, row.count, max_tokens=longest)


def questions(
    plan: Plan, cells: Sequence[Cell], labels: Mapping[str, Sequence[str]]
) -> list[Question]:
    """The questions that all ready cells need, each once, in a fixed order. labels: by corpus."""
    asked: dict[Question, list[Cell]] = {}
    for cell, question in _asked(plan, cells, labels):
        asked.setdefault(question, []).append(cell)
    complete = [
        replace(
            question,
            serves=tuple(dict.fromkeys(cell.strategy.name for cell in own)),
            judged=max((cell.strategy.count for cell in own if cell.strategy.verified), default=0),
        )
        for question, own in asked.items()
    ]
    return sorted(
        complete,
        key=lambda one: (
            one.model,
            one.corpus,
            one.prompt_id,
            str(one.decoding),
            one.audio,
            one.judge,
        ),
    )


def question_of_cells(
    plan: Plan, cells: Sequence[Cell], labels: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str, str, str], str]:
    """Name of the question whose answers each ready cell reads, by (model, corpus, strategy,
    control).
    """
    return {cell.name: question.name for cell, question in _asked(plan, cells, labels)}


def _asked(
    plan: Plan, cells: Sequence[Cell], labels: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Cell, Question]]:
    """Each ready cell with the question it reads. Samples are nested: the largest N of one question
    serves every smaller one.
    """
    ready = [
        (cell, decoding(plan, cell.strategy, len(labels[cell.corpus])))
        for cell in cells
        if not cell.skipped
    ]
    most: dict[tuple, Decoding] = {}
    for cell, wanted in ready:
        if wanted.kind == "sample":
            asked = (cell.model, cell.corpus, cell.strategy.prompt)
            most[asked] = max(most.get(asked, wanted), wanted, key=lambda one: one.count)
    for cell, wanted in ready:
        asked = (cell.model, cell.corpus, cell.strategy.prompt)
        audio: Audio = "silence" if cell.control == "silence" else "clip"
        yield (
            cell,
            Question(
                *asked,
                most[asked] if wanted.kind == "sample" else wanted,
                audio,
                serves=(),
                judge=cell.strategy.judge or VERIFIER,
            ),
        )


def questions_of(expanded: Expanded) -> list[Question]:
    """The questions of a plan as it stands on this machine."""
    return questions(
        expanded.plan, expanded.cells, {name: one.labels for name, one in expanded.corpora.items()}
    )


def draws(expanded: Expanded, which: Question) -> Iterator[Draw]:
    """The draws of one question, one for each utterance, in the corpus' order."""
    return map(asking(expanded, which), expanded.corpora[which.corpus].utterances)


def asking(expanded: Expanded, which: Question) -> Callable[[Utterance], Draw]:
    """The function that makes the draw of one question about an utterance."""
    corpus, spec = expanded.corpora[which.corpus], expanded.specs[which.model]
    return ask_of(
        which,
        revision=spec.revision or "",
        engine=expanded.engine(which.model),
        prompt=models.prompt(spec, which.prompt_id),
        labels=corpus.labels,
        plan_seed=expanded.plan.seed,
        root=corpus.root,
    )


def ask_of(
    which: Question,
    *,
    revision: str,
    engine: str,
    prompt: str,
    labels: tuple[str, ...],
    plan_seed: int,
    root: str = "",
) -> Callable[[Utterance], Draw]:
    """The same from its parts: the model's revision and engine, the prompt's text with its
    placeholders, the corpus' labels and folder.
    """
    same: dict[str, Any] = {
        "model": which.model,
        "revision": revision,
        "engine": engine,
        "corpus": which.corpus,
        "prompt_id": which.prompt_id,
        "prompt": models.render(prompt, labels),
        "decoding": which.decoding,
        "plan_seed": plan_seed,
        "audio": which.audio,
        "labels": labels if which.decoding.kind == "forced" else (),
    }

    folder = str(Path(root))

    def ask(utterance: Utterance) -> Draw:
        path = os.path.join(folder, utterance.audio_path) if utterance.audio_path else ""
        return Draw(
            utterance_id=utterance.id, audio_sha256=utterance.audio_sha256, audio_path=path, **same
        )

    return ask


Judge = Callable[[Draw, int, Sequence[str]], Draw]
"""(judged draw, index of a candidate, texts of all judged candidates) -> the verifier's draw."""


def judging(expanded: Expanded, which: Question) -> Judge:
    """The function that makes the draw which asks the verifier about one candidate of a draw of
    `which`.

    It takes the judged draw, the candidate's index and the texts of all judged ones, verbatim. The
    verifier is given the same clip.
    """
    judge = expanded.verifier(which.model)
    spec = expanded.specs[judge]
    return judge_of(
        judge,
        revision=spec.revision or "",
        engine=expanded.engine(judge),
        prompt_id=which.judge,
        prompt=models.prompt(spec, which.judge),
        labels=expanded.corpora[which.corpus].labels,
        max_tokens=expanded.plan.max_tokens.verifier,
    )


def judge_of(
    judge: str,
    *,
    revision: str,
    engine: str,
    prompt_id: str,
    prompt: str,
    labels: Sequence[str],
    max_tokens: int,
) -> Judge:
    """The same from its parts."""
    same: dict[str, Any] = {
        "model": judge,
        "revision": revision,
        "engine": engine,
        "prompt_id": prompt_id,
        "decoding": Decoding("greedy", max_tokens=max_tokens),
        "purpose": "score",
        "labels": (),
    }

    def judge_one(judged: Draw, index: int, candidates: Sequence[str]) -> Draw:
        shown = candidates[index]
        if prompt_id == LISTWISE:
            order = shown_order(judged.key, index, len(candidates))
            shown = "\n".join(
                f"Answer {place}: {candidates[one]}" for place, one in enumerate(order, 1)
            )
        text = models.render(prompt, labels, candidate=shown)
        return Draw(  # `replace` takes as long again
            corpus=judged.corpus,
            utterance_id=judged.utterance_id,
            audio_sha256=judged.audio_sha256,
            audio_path=judged.audio_path,
            audio=judged.audio,
            plan_seed=judged.plan_seed,
            prompt=text,
            about=f"{judged.key}#{index}",
            **same,
        )

    return judge_one


def shown_order(key: str, index: int, count: int) -> list[int]:
    """In which order a listwise verifier is shown the candidates when it is asked about one.

    key: of the judged draw. The candidates are put in the order of `seeds.seed("listwise", key,
    number)` and turned by `index` places. So over the draws about a clip's candidates each of them
    stands once in every place, and a preference for a place favours none.
    """
    order = sorted(range(count), key=lambda number: seed("listwise", key, number))
    return order[index:] + order[:index]


def shown_place(key: str, index: int, count: int) -> int:
    """At which place a listwise verifier is shown the candidate that it is asked about; 0 is the
    first. Drawn by chance: every place has the same probability, whatever the candidate."""
    return shown_order(key, index, count).index(index)


def score_read(judgement: Draw, index: int, count: int, text: str) -> ParsedScore:
    """The score of candidate `index` of `count` in a verifier's answer."""
    if judgement.prompt_id != LISTWISE:
        return parse_score(text)
    place = shown_place(judgement.about.rpartition("#")[0], index, count)
    return parse_scores(text, count, place)


def distinct(utterances: Sequence[Utterance]) -> Sequence[Utterance]:
    """The utterances without those whose clip has the bytes of an earlier one's: they would ask the
    same.
    """
    if isinstance(utterances, Utterances) and utterances.clips_differ:
        return utterances
    first: dict[str, Utterance] = {}
    for one in utterances:
        first.setdefault(one.audio_sha256, one)
    return list(first.values())


def clip_owners(
    ids: Sequence[str], speakers: Sequence[str], control: str, plan_seed: int, corpus_id: str
) -> dict[str, str]:
    """Whose clip a model is given for each utterance: its own, or under `shuffled_audio` one of
    another speaker.

    ids and speakers (n,). Seeded; no order of `ids` changes it. Every clip is given once, unless
    one speaker has more than half of the utterances: the others' clips are then given several
    times. A corpus of one speaker has no other's clip: the mapping is empty.

    The utterances are put in a seeded order and each is given the clip of the one before it. A clip
    that would be the own speaker's is exchanged with the next one, in that order, for which the
    exchange is right on both sides.
    """
    if control != "shuffled_audio":
        return {one: one for one in sorted(ids)}
    speaker = dict(zip(ids, speakers, strict=True))
    if len(set(speakers)) < 2:
        return {}
    cycle = sorted(ids, key=lambda one: seed("shuffled_audio", plan_seed, corpus_id, one))
    given = [cycle[place - 1] for place in range(len(cycle))]
    too_many: set[str] = set()
    for place, one in enumerate(cycle):
        own = speaker[one]
        if speaker[given[place]] != own or own in too_many:
            continue
        later = ((place + step) % len(cycle) for step in range(1, len(cycle)))
        fits = (p for p in later if own not in (speaker[cycle[p]], speaker[given[p]]))
        other = next(fits, None)
        if other is None:
            too_many.add(own)
        else:
            given[place], given[other] = given[other], given[place]
    return dict(zip(cycle, _others(cycle, given, speaker), strict=True))


def _others(
    cycle: Sequence[str], given: Sequence[str], speaker: Mapping[str, str]
) -> Iterator[str]:
    """The clips as given, where no own speaker's is left; else the other speakers' in turn."""
    turns: dict[str, Iterator[str]] = {}
    for one, clip in zip(cycle, given, strict=True):
        own = speaker[one]
        if speaker[clip] == own:
            if own not in turns:
                turns[own] = itertools.cycle([two for two in cycle if speaker[two] != own])
            clip = next(turns[own])
        yield clip


@dataclass(frozen=True)
class Counts:
    """Draws of a plan: what each strategy by itself would make, and what the run makes because
    strategies share.
    """

    answers_alone: int
    scores_alone: int
    answers: int
    scores: int

    @property
    def alone(self) -> int:
        """Draws if every strategy made its own."""
        return self.answers_alone + self.scores_alone

    @property
    def shared(self) -> int:
        """Draws the run makes on an empty store."""
        return self.answers + self.scores


def count_draws(expanded: Expanded) -> Counts:
    """Count draws before and after sharing, over the cells that can be filled.

    Exact unless a draw fails (its candidates then need no verifier). Clips with the same bytes are
    one draw: counted once.
    """
    clips = {
        name: [clip or str(place) for place, clip in enumerate(clips_of(corpus.utterances))]
        for name, corpus in expanded.corpora.items()
    }
    ready = [cell for cell in expanded.cells if not cell.skipped]
    asked = questions_of(expanded)
    return Counts(
        answers_alone=sum(len(clips[cell.corpus]) for cell in ready),
        scores_alone=sum(
            len(clips[cell.corpus]) * cell.strategy.count
            for cell in ready
            if cell.strategy.verified
        ),
        answers=sum(len(set(clips[one.corpus])) for one in {one.draws for one in asked}),
        scores=sum(len(set(clips[one.corpus])) * one.judged for one in asked),
    )


def clips_of(utterances: Sequence[Utterance]) -> list[str]:
    """Hash of each utterance's clip."""
    return (
        utterances.audio_sha256
        if isinstance(utterances, Utterances)
        else [one.audio_sha256 for one in utterances]
    )
