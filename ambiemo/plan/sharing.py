"""Draw once, aggregate many: the questions all strategies of a plan need, each once, and how many draws that saves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ambiemo import models
from ambiemo.corpora.utterances import LoadedCorpus, Utterance, Utterances
from ambiemo.draws import Decoding, Draw
from ambiemo.plan.expand import Cell, Expanded
from ambiemo.plan.schema import Plan
from ambiemo.seeds import seed
from ambiemo.strategies import Strategy

Question = tuple[str, str, str, Decoding, Literal["clip", "silence"]]


@dataclass(frozen=True)
class DrawSet:
    """All draws of one question: one model, corpus, prompt, decoding and kind of audio; `serves` names the strategies that read them."""

    model: str
    corpus: str
    prompt_id: str
    decoding: Decoding
    audio: Literal["clip", "silence"]
    serves: tuple[str, ...]


def decoding(plan: Plan, row: Strategy, labels: int) -> Decoding:
    """The decoding a strategy asks for under a plan, of a corpus with so many labels."""
    if row.decoding == "forced":
        return Decoding("forced", labels, max_tokens=0)
    longest = getattr(plan.max_tokens, row.prompt)
    if row.decoding == "sample":
        return Decoding("sample", row.count, plan.sampling.temperature, plan.sampling.top_p, longest)
    return Decoding(row.decoding, row.count, max_tokens=longest)


def shared_decoding(plan: Plan, cells: Sequence[Cell], cell: Cell, labels: int) -> Decoding:
    """The decoding of the draw a cell reads: samples of one question are nested, so the largest N of the plan serves every smaller one."""
    wanted = decoding(plan, cell.strategy, labels)
    if wanted.kind != "sample":
        return wanted
    question = (cell.model, cell.corpus, cell.strategy.prompt, "sample")
    alike = [
        decoding(plan, other.strategy, labels)
        for other in cells
        if not other.skipped and (other.model, other.corpus, other.strategy.prompt, other.strategy.decoding) == question
    ]
    return max([wanted, *alike], key=lambda one: one.count)


def draw_sets(expanded: Expanded) -> list[DrawSet]:
    """The questions all ready cells need, each once, in a fixed order."""
    serves: dict[Question, list[str]] = {}
    for cell in expanded.cells:
        if not cell.skipped:
            audio: Literal["clip", "silence"] = "silence" if cell.control == "silence" else "clip"
            question = (
                cell.model,
                cell.corpus,
                cell.strategy.prompt,
                shared_decoding(expanded.plan, expanded.cells, cell, len(expanded.corpora[cell.corpus].labels)),
                audio,
            )
            serves.setdefault(question, []).append(cell.strategy.name)
    sets = [DrawSet(*question, tuple(dict.fromkeys(names))) for question, names in serves.items()]
    return sorted(sets, key=lambda one: (one.model, one.corpus, one.prompt_id, str(one.decoding), one.audio))


def draws(expanded: Expanded, which: DrawSet) -> Iterator[Draw]:
    """The draws of one question, one an utterance, in the corpus' order."""
    return map(asking(expanded, which), expanded.corpora[which.corpus].utterances)


def asking(expanded: Expanded, which: DrawSet) -> Callable[[Utterance], Draw]:
    """What makes the draw of one question about an utterance."""
    corpus, spec = expanded.corpora[which.corpus], expanded.specs[which.model]
    same: dict[str, Any] = {
        "model": which.model,
        "revision": spec.revision or "",
        "engine": expanded.engine(which.model),
        "corpus": which.corpus,
        "prompt_id": which.prompt_id,
        "prompt": models.render(models.prompt(spec, which.prompt_id), corpus.labels),
        "decoding": which.decoding,
        "plan_seed": expanded.plan.seed,
        "audio": which.audio,
        "labels": corpus.labels if which.decoding.kind == "forced" else (),
    }

    def ask(utterance: Utterance) -> Draw:
        return Draw(
            utterance_id=utterance.id,
            audio_sha256=utterance.audio_sha256,
            audio_path=_absolute(corpus, utterance),
            **same,
        )

    return ask


def distinct_clips(corpus: LoadedCorpus) -> Sequence[Utterance]:
    """The utterances of a corpus without those whose clip has the bytes of an earlier one's: they would ask the same."""
    if isinstance(corpus.utterances, Utterances) and corpus.utterances.clips_differ:
        return corpus.utterances
    first: dict[str, Utterance] = {}
    for one in corpus.utterances:
        first.setdefault(one.audio_sha256, one)
    return list(first.values())


def score_draw(expanded: Expanded, judged: Draw, index: int, candidate: str) -> Draw:
    """The draw that asks the verifier about candidate `index` (its text verbatim) of the draw `judged`, with the same audio."""
    judge = expanded.verifier(judged.model)
    spec, labels = expanded.specs[judge], expanded.corpora[judged.corpus].labels
    return replace(
        judged,
        model=judge,
        revision=spec.revision or "",
        engine=expanded.engine(judge),
        prompt_id="verifier",
        prompt=models.render(models.prompt(spec, "verifier"), labels, candidate=candidate),
        decoding=Decoding("greedy", max_tokens=expanded.plan.max_tokens.verifier),
        purpose="score",
        about=f"{judged.key}#{index}",
    )


def heard(ids: Sequence[str], control: str, plan_seed: int, corpus_id: str) -> dict[str, str]:
    """Whose clip is heard for each utterance: its own, or under `shuffled_audio` another's (one seeded cycle, so never its own).

    Independent of the order of `ids`. A corpus of one utterance has no other clip: the mapping is then empty.
    """
    if control != "shuffled_audio":
        return {one: one for one in sorted(ids)}
    if len(ids) < 2:
        return {}
    cycle = sorted(ids, key=lambda one: seed("shuffled_audio", plan_seed, corpus_id, one))
    return {one: cycle[place - 1] for place, one in enumerate(cycle)}


def _absolute(corpus: LoadedCorpus, utterance: Utterance) -> str:
    return str(Path(corpus.root) / utterance.audio_path) if utterance.audio_path else ""


@dataclass(frozen=True)
class Counts:
    """Draws of a plan: what each strategy by itself would make, and what the run makes because strategies share."""

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

    Exact unless a draw fails (its candidates then need no verifier). Clips with the same bytes are one draw: counted once.
    """
    clips = {name: [u.audio_sha256 or u.id for u in corpus.utterances] for name, corpus in expanded.corpora.items()}
    ready = [cell for cell in expanded.cells if not cell.skipped]
    sets = draw_sets(expanded)
    return Counts(
        answers_alone=sum(len(clips[cell.corpus]) for cell in ready),
        scores_alone=sum(len(clips[cell.corpus]) * cell.strategy.count for cell in ready if cell.strategy.verified),
        answers=sum(len(set(clips[one.corpus])) for one in sets),
        scores=sum(len(set(clips[one.corpus])) * judged_candidates(expanded, one) for one in sets),
    )


def judged_candidates(expanded: Expanded, which: DrawSet) -> int:
    """How many of a question's candidates (the first so many) a verifier judges; 0 where no strategy asks it."""
    rows = strategies_of(expanded)
    return max((rows[name].count for name in which.serves if rows[name].verified), default=0)


def strategies_of(expanded: Expanded) -> dict[str, Strategy]:
    """The plan's strategies by name."""
    return {entry.name: entry.row() for entry in expanded.plan.strategies}
