"""`curves.csv`: what more samples give, and what they cost. One row per corpus, model, question,
method and number k of samples, over all subsets of k samples and not "the first k".

Methods, over the samples of one question, with the clip:

    greedy              the single greedy answer, for comparison
    linear_pool         the mean of k samples
    vote                share of the k samples that name each label
    best_by_likelihood  the likeliest of k, ties shared
    best_by_verifier    the one of k that the verifier scores highest, ties shared; over the judged
                        samples only

k is "inf" for the limit of infinitely many samples, of the linear pool only: the a of a + b / k,
exact and unbiased for Brier, fitted to the larger half of the k for JS. A clip with fewer than k
parsed samples keeps the value of all that it has, so n does not depend on k (a limit needs two).
With more than 8 samples k are powers of two, and subsets are 64 seeded ones where there are more
than 100.

What a row costs, per clip:

    draws    answers, and judgements, as a judgement hears the clip again
    tokens   mean tokens of an answer times k, and of a judgement times the judgements
    dollars_per_1000_clips
             these tokens, prompts and audio at the price in inputs/models.json; empty without one

Seconds are not here: they belong to a machine, and no answer says them.

Compared at equal budget: `same_draws` is JS minus that of the linear pool of the same question with
as many draws (`same_draws_k`). `pareto` is "yes" if no row of the same corpus and model has no more
tokens and no more JS, and less of one: of the values, whatever their intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ambiemo.jsonlines import Row
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.curves import brier_pool_curve
from ambiemo.metrics.distribution import brier, js_divergence_bits
from ambiemo.metrics.jackknife import NO_SPREAD, Estimate
from ambiemo.models import Price
from ambiemo.plan.sharing import Question
from ambiemo.results.evidence import Evidence
from ambiemo.results.tables.csv_form import place
from ambiemo.results.tables.estimates import NAN, sizes, unknown, wide
from ambiemo.results.tables.subset_losses import Curve, pool_and_best, vote

POOL = "linear_pool"
LIMIT = "inf"
IS_REFERENCE = "the linear pool is what is compared with"
NO_BUDGET = "a limit has no budget"
OTHER_QUESTION = "no samples of this question"
NO_LIMIT = "no clip has two parsed samples"
NOTHING = "no utterance has a candidate that counts"


@dataclass(frozen=True)
class Cost:
    """What one candidate costs: mean tokens of an answer and of a judgement, dollars of each; NaN
    where unknown."""

    answer_tokens: float = NAN
    answer_dollars: float = NAN
    judgement_tokens: float = NAN
    judgement_dollars: float = NAN


@dataclass(frozen=True)
class _Point:
    """One row before it is written: losses (n,) of one method at one k."""

    question: str
    method: str
    k: int | str
    draws: float
    tokens: float
    dollars: float
    js: Array
    brier: Array


def spent(
    tokens: int, many: int, asked: Sequence[tuple[int, float]], price: Price | None
) -> tuple[float, float]:
    """Mean tokens of one answer, and its price in US dollars with its prompt and audio.

    tokens, many  tokens of all answers, and how many they are
    asked         tokens of the prompt and seconds of audio, by draw
    price         NaN dollars without it. Every answer pays for its prompt, as an API asks for
                  samples one by one. Hidden thinking is in no count of tokens, so not in the price
    """
    if not many:
        return NAN, NAN
    each = tokens / many
    if price is None or not asked:
        return each, NAN
    heard = math.fsum(seconds for _, seconds in asked) / len(asked)
    prompt = sum(number for number, _ in asked) / len(asked)
    heard = min(heard, prompt / price.audio_tokens_per_second)
    text = prompt - heard * price.audio_tokens_per_second
    return each, price.dollars(text, heard, each)


def curve_rows(evidence: Evidence, costs: Mapping[str, Cost]) -> list[Row]:
    """The rows of a unit. costs: by question."""
    points: list[_Point] = []
    for question in evidence.questions():
        if question.decoding.kind == "greedy":
            points += _greedy(evidence, question, costs[question.name])
        elif question.decoding.kind == "sample" and question.decoding.count > 1:
            points += _curves(evidence, question, costs[question.name])
    pools = {(one.question, one.k): one for one in points if one.method == POOL}
    rows = [_row(evidence, one, pools) for one in points]
    front = _front(rows)
    return [row | {"pareto": word} for row, word in zip(rows, front, strict=True)]


def _greedy(evidence: Evidence, question: Question, cost: Cost) -> list[_Point]:
    pool = evidence.candidates[question.name].distributions[evidence.rows][:, 0]
    parsed = ~np.isnan(pool).any(axis=1)
    losses = []
    for loss in (js_divergence_bits, brier):
        values = np.full(len(pool), np.nan)
        values[parsed] = loss(evidence.truths.truth[parsed], pool[parsed])
        losses.append(values)
    spent = (1, cost.answer_tokens, cost.answer_dollars)
    return [_Point(question.name, "greedy", 1, *spent, *losses)]


def _curves(evidence: Evidence, question: Question, cost: Cost) -> list[_Point]:
    truth, asked = evidence.truths.truth, evidence.candidates[question.name]
    pool, likelihoods = asked.distributions[evidence.rows], asked.log_likelihoods[evidence.rows]
    scored = not np.isnan(likelihoods).all()
    linear, best = pool_and_best(truth, pool, [likelihoods] if scored else [])
    methods: list[tuple[str, Curve, bool]] = [
        (POOL, linear, False),
        ("vote", vote(truth, pool), False),
    ]
    methods += [("best_by_likelihood", one, False) for one in best]
    if question.judged > 1:
        judged = asked.first(question.judged)
        scores = judged.scores[evidence.rows]
        _, (one,) = pool_and_best(truth, judged.distributions[evidence.rows], [scores])
        methods.append(("best_by_verifier", one, True))
    points = []
    for method, curve, verified in methods:
        draws, tokens, dollars = 1.0, cost.answer_tokens, cost.answer_dollars
        if verified:
            draws, tokens = 2.0, tokens + cost.judgement_tokens
            dollars += cost.judgement_dollars
        for k in curve.js:
            spent = (draws * k, tokens * k, dollars * k)
            points.append(_Point(question.name, method, k, *spent, curve.js[k], curve.brier[k]))
        if method == POOL:
            exact = brier_pool_curve(truth, pool).a
            whole = (NAN, NAN, NAN)
            points.append(_Point(question.name, method, LIMIT, *whole, curve.js_limit, exact))
    return points


def _row(evidence: Evidence, one: _Point, pools: Mapping[tuple[str, int | str], _Point]) -> Row:
    clusters = evidence.clusters
    estimates = {"js_divergence_bits": clusters.mean(one.js), "brier": clusters.mean(one.brier)}
    if not estimates["brier"].n:
        reason = NO_LIMIT if one.k == LIMIT else NOTHING
        estimates = {name: unknown(reason) for name in estimates}
    same: int | str = ""
    estimates["same_draws"], same = _at_same_draws(evidence, one, pools)
    return {
        **evidence.name,
        "question": one.question,
        "method": one.method,
        "k": one.k,
        "draws": place(one.draws),
        "tokens": place(one.tokens),
        "dollars_per_1000_clips": place(1000 * one.dollars),
        **sizes(estimates["brier"]),
        "same_draws_k": same,
        **wide(estimates),
    }


def _at_same_draws(
    evidence: Evidence, one: _Point, pools: Mapping[tuple[str, int | str], _Point]
) -> tuple[Estimate, int | str]:
    if one.k == LIMIT:
        return unknown(NO_BUDGET), ""
    if one.method == POOL:
        return unknown(IS_REFERENCE), ""
    affordable = [
        k
        for question, k in pools
        if question == one.question and isinstance(k, int) and k <= one.draws
    ]
    if not affordable:
        return unknown(OTHER_QUESTION), ""
    k = max(affordable)
    apart = one.js - pools[one.question, k].js
    estimate = evidence.clusters.mean(apart)
    if estimate.reason == NO_SPREAD and not np.nan_to_num(apart).any():
        estimate = estimate._replace(se=0.0, low=0.0, high=0.0, reason="")  # as `jackknife.paired`
    return estimate, k


def _front(rows: Sequence[Row]) -> list[str]:
    """Whether each row is on the front of fewest tokens and least JS; "" where one is unknown."""
    points = [(row["tokens"], row["js_divergence_bits"]) for row in rows]
    known = [point for point in points if not np.isnan(point).any()]

    def beaten(point: tuple[float, float]) -> bool:
        return any(
            other[0] <= point[0] and other[1] <= point[1] and other != point for other in known
        )

    return ["" if np.isnan(point).any() else "no" if beaten(point) else "yes" for point in points]
