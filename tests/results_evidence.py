"""Evidence of one unit from arrays: what the tables of `results` are made of, without a run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import bundle_real
import numpy as np

from ambiemo.corpora.utterances import Utterance, Utterances
from ambiemo.labels import SIX
from ambiemo.plan.expand import Cell
from ambiemo.results.evidence import Evidence
from ambiemo.results.predictions import unit_columns
from ambiemo.results.study import Study
from ambiemo.results.truths import truths_of
from ambiemo.strategies.candidates import Candidates

UNIT = ("tiny", "tiny")
N_STRATEGIES = ("greedy", "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote", "linear_pool")


def study(
    votes: Sequence[Sequence[int]],
    speakers: Sequence[str],
    strategies: Sequence[Any] = N_STRATEGIES,
    vote_unit: int = 1,
    source: str = "votes",
) -> Study:
    """A study of one corpus with these votes: utterances u000, u001, …, each with its own clip."""
    plan = bundle_real.plan(strategies=list(strategies), controls=[])
    cells = tuple(Cell(*UNIT, entry.row()) for entry in plan.strategies)
    rows = [
        Utterance(f"u{i:03}", who, who, "", f"{i:064x}", 1.0, tuple(cast), source)
        for i, (cast, who) in enumerate(zip(votes, speakers, strict=True))
    ]
    base = bundle_real.study()
    return replace(
        base,
        plan=plan,
        cells=cells,
        labels={"tiny": SIX},
        utterances={"tiny": Utterances.of(rows)},
        judges={"tiny": "tiny"},
        vote_units={"tiny": vote_unit},
    )


def candidates(
    distributions: Any, likelihoods: Any = None, scores: Any = None, tokens: Any = None
) -> Candidates:
    """Candidates from arrays (n, N, K), (n, N), (n, N), (n, N); NaN rows did not parse."""
    pool = np.asarray(distributions, dtype=np.float64)
    shape = pool.shape[:2]

    def filled(given: Any) -> np.ndarray:
        return np.full(shape, np.nan) if given is None else np.asarray(given, dtype=np.float64)

    return Candidates(
        distributions=pool,
        log_likelihoods=filled(likelihoods),
        tokens=np.full(shape, 10) if tokens is None else np.asarray(tokens),
        scores=filled(scores),
        there=np.ones(shape, dtype=bool),
        failures=np.full(shape[0], "", dtype=object),
    )


def evidence(of: Study, asked: Mapping[str, Candidates]) -> Evidence:
    """The evidence with the predictions that the strategies make of these candidates."""
    truths = truths_of(of, "tiny")
    return Evidence(of, UNIT, truths, unit_columns(of, UNIT, truths, asked), asked)


def seeded(
    n: int = 60,
    speakers: int = 10,
    raters: int = 9,
    strategies: Sequence[Any] = N_STRATEGIES,
    **told: Any,
) -> Evidence:
    """Seeded evidence: candidates near the truth, a few unparsed, likelihoods and whole scores."""
    rng = np.random.default_rng(3)
    true = rng.dirichlet(np.full(6, 0.5), n)
    votes = [rng.multinomial(raters, row).tolist() for row in true]
    of = study(votes, [f"s{i % speakers}" for i in range(n)], strategies, **told)
    return evidence(of, asked_of(of, rng, true))


def asked_of(of: Study, rng: np.random.Generator, true: np.ndarray) -> dict[str, Candidates]:
    """Seeded candidates for every question of a study."""
    asked = {}
    for question in of.questions:
        shape = (len(true), question.decoding.count)
        pool = np.stack([rng.dirichlet(6 * row + 0.3, shape[1]) for row in true])
        if shape[1] > 1:
            pool[rng.random(shape) < 0.05] = np.nan
        scores = np.full(shape, np.nan)
        scores[:, : question.judged] = rng.integers(4, 9, (shape[0], question.judged))
        asked[question.name] = candidates(pool, -rng.gamma(3, 2, shape), scores)
    return asked


def permuted(one: Evidence, order: np.ndarray) -> Evidence:
    """The same evidence with the candidates of every draw in another order; order (N,) numbers."""

    def moved(asked: Candidates) -> Candidates:
        count = asked.there.shape[1]
        place = np.argsort(order[:count])
        names = ("distributions", "log_likelihoods", "tokens", "scores", "there")
        return replace(asked, **{name: getattr(asked, name)[:, place] for name in names})

    return evidence(one.study, {name: moved(asked) for name, asked in one.candidates.items()})


def renamed(one: Evidence, order: np.ndarray) -> Evidence:
    """The same utterances under other ids, so in another order: utterance order[i] becomes number
    i."""
    rows = list(one.study.utterances["tiny"])
    moved = [replace(rows[place], id=f"u{i:03}") for i, place in enumerate(order.tolist())]
    of = replace(one.study, utterances={"tiny": Utterances.of(moved)})
    return evidence(of, {name: asked.of(order) for name, asked in one.candidates.items()})


def without_reason(row: Mapping[str, Any]) -> list[str]:
    """Columns of a row that are NaN although the row gives no reason for them."""
    lost = [name for name, value in row.items() if isinstance(value, float) and np.isnan(value)]
    if not row["reason"]:
        return lost
    named = {
        word.strip() for part in row["reason"].split(";") for word in part.split(":")[0].split(",")
    }
    every = [name for name in row if f"{name}_low" in row]
    if not named & set(every):
        return []  # one reason for all numbers of the row
    bare = [name.removesuffix("_low").removesuffix("_high") for name in lost]
    return [name for name, of in zip(lost, bare, strict=True) if of in every and of not in named]
