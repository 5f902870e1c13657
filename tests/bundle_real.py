"""The files of a real bundle, made by the package's own code, with answers that a seeded hand wrote instead of a model.

Every strategy, both controls, two corpora with different label sets, ties, answers that need mending, unparsed ones, failed draws, scores
that are missing or unreadable, an acted utterance, two clips with the same bytes.
"""

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from ambiemo.bundle.provenance import provenance
from ambiemo.corpora.utterances import LoadedCorpus, Utterance
from ambiemo.draws import Answer, Candidate, Draw
from ambiemo.durable import sha256
from ambiemo.labels import FOUR, SIX
from ambiemo.models import MODELS
from ambiemo.plan import sharing
from ambiemo.plan.expand import Cell, Expanded
from ambiemo.plan.schema import Plan, check
from ambiemo.results import evidence as evidences
from ambiemo.results.evidence import Evidence
from ambiemo.results.predictions import predict_cell, work
from ambiemo.results.provenance import describing_files
from ambiemo.results.tables import derived
from ambiemo.strategies import STRATEGIES

MENDED = (
    "happy: 0.5, sad: 50%",
    "{'happy': 0.9, 'sad': 0.1}",
    '{"happy": 1, "boredom": 3}',
    "I would say sad: 0.7 and happy: 0.3.",
)
LOST = ("", "no idea", '{"happy": -1}', '{"happy": NaN}', '{"happy": 0.2, "happy": 0.9}', '{"happy": 0.')


def plan(**changes: Any) -> Plan:
    """A plan with everything in it, smaller where a test need not wait."""
    strategies = [*STRATEGIES, {"name": "vote_of_3", "base": "majority_vote", "count": 3}]
    wanted: dict[str, Any] = {
        "name": "real",
        "title": "A title that is long enough to be folded by the YAML writer: it goes on, and on, 'quoted' and: with colons",
        "seed": 7,
        "models": [{"id": "tiny"}],
        "corpora": ["tiny"],
        "strategies": strategies,
        "controls": [{"name": "shuffled_audio", "strategies": ["greedy", "w_bon"]}, {"name": "silence"}],
        "bootstrap": {"resamples": 100},
    }
    return check({**wanted, **changes}, "plan")


def utterances(corpus: str, labels: tuple[str, ...], count: int) -> tuple[Utterance, ...]:
    """Utterances whose votes are seeded; one is acted, two have the same clip."""
    chance = random.Random(f"votes {corpus}")
    made = []
    for number in range(count):
        votes = [0] * len(labels)
        for _ in range(chance.choice([1, 3, 6, 9])):
            votes[min(int(chance.expovariate(0.7)), len(labels) - 1)] += 1
        clip = sha256(f"{corpus} {max(number, 1)}".encode())
        source = "acted" if number == 2 else "votes"
        speaker = "" if corpus == "crema-d" else f"speaker{number % 4}"
        made.append(
            Utterance(f"u{number:03}", speaker, f"cluster{number % 5}", "a.wav", clip, 1.5, tuple(votes), source)
        )
    return tuple(made)


def answer_text(labels: tuple[str, ...], chance: random.Random, mended: bool) -> str:
    """What a model might say: mostly plain JSON, sometimes not."""
    if chance.random() < 0.1:
        return chance.choice(LOST)
    if mended and chance.random() < 0.1:
        return chance.choice(MENDED)
    shares = [chance.choice([0, 0.1, 0.2, 0.25, 0.5]) for _ in labels]
    shares[chance.randrange(len(labels))] += 0.1
    total = sum(shares)
    text = json.dumps({label: round(share / total, 2) for label, share in zip(labels, shares, strict=True)})
    return chance.choice(["{}", "The voice is high.\n{}", "```json\n{}\n```"]).format(text)


def score_text(chance: random.Random) -> str:
    return chance.choice(
        ['{"score": 0}', '{"score": 7}', '{"score": 10}', f'{{"score": {chance.randint(0, 10)}}}', "?"]
    )


def answered(draw: Draw, labels: tuple[str, ...], mended: bool) -> Answer:
    """An answer by the draw's seed, its samples nested."""
    chance = random.Random(draw.seed)
    if chance.random() < 0.03:
        return Answer(draw.key, (), draw.decoding, failure="the engine gave up")
    candidates = []
    for index in range(draw.decoding.count):
        chance = random.Random(f"{draw.seed} {index}")
        text = score_text(chance) if draw.purpose == "score" else answer_text(labels, chance, mended)
        if draw.decoding.kind == "forced":
            text = draw.labels[index]
        likelihood = None if chance.random() < 0.05 else -chance.choice([1.0, 2.5, 2.5, chance.expovariate(0.1)])
        candidates.append(Candidate(text, len(text) // 4, likelihood, "stop"))
    return Answer(draw.key, tuple(candidates), draw.decoding)


def expanded(plan: Plan, count: int) -> Expanded:
    """The plan as if model and corpora were here."""
    labels = {"tiny": SIX, "crema-d": SIX}
    if len(plan.corpora) > 1:
        labels["crema-d"] = FOUR
    corpora = {
        entry.id: LoadedCorpus(entry.id, labels[entry.id], utterances(entry.id, labels[entry.id], count))
        for entry in plan.corpora
    }
    cells = []
    for corpus in corpora:
        for entry in plan.strategies:
            cells.append(Cell("tiny", corpus, entry.row()))
        for control in plan.controls:
            cells += [
                Cell("tiny", corpus, entry.row(), control.name)
                for entry in plan.strategies
                if entry.name in control.strategies
            ]
    cells.append(Cell("tiny", "tiny", STRATEGIES["cot"], "silence", skipped="not today"))
    return Expanded(plan, {"tiny": MODELS["tiny"]}, corpora, tuple(cells), ())


def evidence_of(plan: Plan, count: int, mended: bool) -> Evidence:
    """Draw, score and collect, as the pipeline does."""
    stands = expanded(plan, count)
    answers: dict[tuple[str, str], list] = {}
    scores: dict[tuple[str, str], list] = {}
    for one in sharing.draw_sets(stands):
        labels = stands.corpora[one.corpus].labels
        for draw in {draw.key: draw for draw in sharing.draws(stands, one)}.values():
            rows = evidences.answer_rows(draw, answered(draw, labels, mended), labels)
            answers.setdefault((one.model, one.corpus), []).extend(rows)
            scores.setdefault((one.model, one.corpus), []).extend(scored(stands, one, draw, rows, labels))
    return evidences.from_run(stands, answers, scores)


def scored(stands: Expanded, one: sharing.DrawSet, draw: Draw, rows: list, labels: tuple[str, ...]) -> Iterator[dict]:
    for row in rows[: sharing.judged_candidates(stands, one)]:
        if not row.get("failure"):
            question = sharing.score_draw(stands, draw, row["index"], row["text"])
            yield evidences.score_row(question, answered(question, labels, False))


@cache
def files(count: int = 10, mended: bool = True, corpora: tuple[str, ...] = ("tiny",)) -> dict[str, bytes]:
    """What lies below data/ of the bundle, but for its provenance."""
    wanted = plan(corpora=list(corpora))
    evidence = evidence_of(wanted, count, mended)
    rows = [row for cell in work(evidence) for row in predict_cell(cell)]
    described = describing_files(expanded(wanted, count), None)
    return {**evidences.to_files(evidence), **derived(evidence, rows), **described, "log/run.log": b"{}\n"}


def whole(**changes: Any) -> dict[str, bytes]:
    """All that lies below data/ of the bundle."""
    made = files(**changes)
    return made | provenance(made)
