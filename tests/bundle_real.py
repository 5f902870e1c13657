"""The files of a real bundle, made by the package's own code, with answers that a seeded hand wrote
instead of a model.

Every strategy, both controls, two corpora with different label sets, ties, answers that need
mending, unparsed ones, failed draws, scores that are missing or unreadable, two clips with the same
bytes.
"""

import json
import random
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ambiemo.bundle.contents import (
    answer_rows,
    answers_path,
    predictions_path,
    score_row,
    scores_path,
    study_files,
)
from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.recomputing import assembled
from ambiemo.corpora import parsed
from ambiemo.corpora.options import resolved
from ambiemo.corpora.utterances import LoadedCorpus, Utterance
from ambiemo.draws import Answer, Candidate, Draw
from ambiemo.durable import sha256
from ambiemo.jsonlines import lines, packed
from ambiemo.labels import FOUR, SIX
from ambiemo.models import MODELS
from ambiemo.pipeline.account import Account
from ambiemo.plan import sharing
from ambiemo.plan.expand import Expanded, laid_out
from ambiemo.plan.schema import Plan, check
from ambiemo.results.predictions import Column
from ambiemo.results.study import Study, Unit, study_of
from ambiemo.results.units import Gathered, UnitResult, all_units, unit_result
from ambiemo.strategies import STRATEGIES

MENDED = (
    "happy: 0.5, sad: 50%",
    "{'happy': 0.9, 'sad': 0.1}",
    '{"happy": 1, "boredom": 3}',
    "I would say sad: 0.7 and happy: 0.3.",
)
OWN: dict[str, Any] = {"tiny": {"id": "tiny", "root": "${OWN_CLIPS}"}}
"""The utterances below are invented, so they must not pass for the packaged clips, which `verify`
knows.
"""
LOST = (
    "",
    "no idea",
    '{"happy": -1}',
    '{"happy": NaN}',
    '{"happy": 0.2, "happy": 0.9}',
    '{"happy": 0.',
)


RUN_LOG = json.dumps(vars(Account()), indent=2, sort_keys=True).encode() + b"\n"


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
        "controls": [
            {"name": "shuffled_audio", "strategies": ["greedy", "w_bon"]},
            {"name": "silence"},
        ],
        "bootstrap": {"resamples": 100},
    }
    asked = {**wanted, **changes}
    return check({**asked, "corpora": [OWN.get(one, one) for one in asked["corpora"]]}, "plan")


def utterances(corpus: str, labels: tuple[str, ...], count: int) -> tuple[Utterance, ...]:
    """Utterances whose votes are seeded; two have the same clip."""
    chance = random.Random(f"votes {corpus}")
    made = []
    for number in range(count):
        votes = [0] * len(labels)
        for _ in range(chance.choice([1, 3, 6, 9])):
            votes[min(int(chance.expovariate(0.7)), len(labels) - 1)] += 1
        clip = sha256(f"{corpus} {max(number, 1)}".encode())
        speaker = "" if corpus == "crema-d" else f"speaker{number % 4}"
        made.append(
            Utterance(
                f"u{number:03}", speaker, f"cluster{number % 5}", "a.wav", clip, 1.5, tuple(votes)
            )
        )
    return tuple(made)


def loaded(corpus: str, labels: tuple[str, ...], all_of: tuple[Utterance, ...]) -> LoadedCorpus:
    """The utterances with the account that a loader gives of them."""
    cast = [one for one in all_of if one.truth_source == "votes"]
    counts = {
        "utterances": len(all_of),
        "no_vote_in_label_set": 0,
        "same_clip": len(all_of) - len({one.audio_sha256 for one in all_of}),
        "speakers": len({one.speaker for one in all_of}),
        "votes": sum(sum(one.votes) for one in cast),
        "vote_unit": 1,
    }
    return LoadedCorpus(corpus, labels, all_of, counts=counts, options=resolved(parsed(corpus)))


def answer_text(labels: tuple[str, ...], chance: random.Random, mended: bool) -> str:
    """What a model might say: mostly plain JSON, sometimes not."""
    if chance.random() < 0.1:
        return chance.choice(LOST)
    if mended and chance.random() < 0.1:
        return chance.choice(MENDED)
    shares = [chance.choice([0, 0.1, 0.2, 0.25, 0.5]) for _ in labels]
    shares[chance.randrange(len(labels))] += 0.1
    total = sum(shares)
    text = json.dumps(
        {label: round(share / total, 2) for label, share in zip(labels, shares, strict=True)}
    )
    return chance.choice(["{}", "The voice is high.\n{}", "```json\n{}\n```"]).format(text)


def score_text(chance: random.Random) -> str:
    return chance.choice(
        [
            '{"score": 0}',
            '{"score": 7}',
            '{"score": 10}',
            f'{{"score": {chance.randint(0, 10)}}}',
            "?",
        ]
    )


def answered(draw: Draw, labels: tuple[str, ...], mended: bool) -> Answer:
    """An answer by the draw's seed, its samples nested."""
    chance = random.Random(draw.seed)
    if chance.random() < 0.03:
        return Answer(draw.key, (), draw.decoding, failure="the engine gave up")
    candidates = []
    for index in range(draw.decoding.count):
        chance = random.Random(f"{draw.seed} {index}")
        text = (
            score_text(chance) if draw.purpose == "score" else answer_text(labels, chance, mended)
        )
        if draw.decoding.kind == "forced":
            text = draw.labels[index]
        likelihood = (
            None
            if chance.random() < 0.05
            else -chance.choice([1.0, 2.5, 2.5, chance.expovariate(0.1)])
        )
        candidates.append(Candidate(text, len(text) // 4, likelihood, "stop"))
    return Answer(draw.key, tuple(candidates), draw.decoding)


def expanded(plan: Plan, count: int) -> Expanded:
    """The plan as if model and corpora were here."""
    labels = {"tiny": SIX, "crema-d": SIX}
    if len(plan.corpora) > 1:
        labels["crema-d"] = FOUR
    corpora = {
        entry.id: loaded(entry.id, labels[entry.id], utterances(entry.id, labels[entry.id], count))
        for entry in plan.corpora
    }
    stands = Expanded(plan, {"tiny": MODELS["tiny"]}, corpora, (), ())
    return replace(stands, cells=tuple(laid_out(stands, set())))


def answers_of(
    stands: Expanded, mended: bool
) -> tuple[dict[Unit, dict[str, Gathered]], dict[str, bytes]]:
    """Draw and score as the pipeline does: what came back, by unit and question, and the files of
    it.
    """
    gathered: dict[Unit, dict[str, Gathered]] = {}
    made: dict[str, bytes] = {}
    for question in sharing.questions_of(stands):
        corpus = stands.corpora[question.corpus]
        ask, judge = sharing.asking(stands, question), sharing.judging(stands, question)
        one = gathered.setdefault(question.unit, {}).setdefault(
            question.name, Gathered(question, len(corpus.labels))
        )
        answers, scores = [], []
        for utterance in sharing.distinct(corpus.utterances):
            draw = ask(utterance)
            rows, read = answer_rows(draw, answered(draw, corpus.labels, mended), corpus.labels)
            judged = [] if "failure" in rows[0] else rows[: question.judged]
            texts = [row["text"] for row in judged]
            asked = [judge(draw, row["index"], texts) for row in judged]
            about = [
                score_row(one, index, answered(one, corpus.labels, False), len(texts))
                for index, one in enumerate(asked)
            ]
            one.add(rows, [parsed.distribution for parsed in read], about)
            answers += rows
            scores += about
        made[answers_path(question)] = packed(lines(answers))
        if question.judged:
            made[scores_path(question)] = packed(lines(scores))
    return gathered, made


def derived(study: Study, gathered: dict[Unit, dict[str, Gathered]]) -> dict[str, bytes]:
    """Predictions and tables of the answers, as files."""
    results: dict[Unit, UnitResult] = {}
    made: dict[str, bytes] = {}
    for unit in all_units(study):
        predicted, results[unit] = unit_result(study, unit, lambda _, unit: gathered[unit])
        made[predictions_path(*unit)] = packed(b"".join(predicted))
    return made | assembled(study, results)


def column(name: tuple[str, str, str, str], predicted: np.ndarray) -> Column:
    """The predictions of one (corpus, model, strategy, control), one candidate each."""
    n = len(predicted)
    counts = [np.ones(n, int), np.zeros(n, int), np.zeros(n, int)]
    clip_of = tuple(f"u{place:02}" for place in range(n))
    return Column(
        *name,
        predicted.copy(),
        *counts,
        np.full((n, 3), np.nan),
        np.full(n, "", dtype=object),
        clip_of,
    )


@cache
def study(count: int = 10, corpora: tuple[str, ...] = ("tiny",)) -> Study:
    """The study of the bundle."""
    return study_of(expanded(plan(corpora=list(corpora)), count))


@cache
def files(
    count: int = 10, mended: bool = True, corpora: tuple[str, ...] = ("tiny",)
) -> dict[str, bytes]:
    """What lies below data/ of the bundle, but for its provenance."""
    stands = expanded(plan(corpora=list(corpora)), count)
    told = study_of(stands)
    gathered, answers = answers_of(stands, mended)
    made = {**study_files(told), **answers, **derived(told, gathered), **input_files(stands, None)}
    return {**made, "log/run.log": RUN_LOG}


def whole(**changes: Any) -> dict[str, bytes]:
    """All that lies below data/ of the bundle."""
    made = files(**changes)
    return made | provenance(made)


def whole_of(plan: Plan, count: int) -> dict[str, bytes]:
    """All that lies below data/ of a bundle of another plan."""
    stands = expanded(plan, count)
    told = study_of(stands)
    gathered, answers = answers_of(stands, True)
    made = {**study_files(told), **answers, **derived(told, gathered), **input_files(stands, None)}
    made |= {"log/run.log": RUN_LOG}
    return made | provenance(made)
