"""`verifier.csv`: how good the verifier's scores are, where the truth is known to the table and not
to the verifier. One row per corpus, model, question and quantity.

Only candidates that parsed and have a score count, within one clip: a clip that is easy for all
candidates says nothing about the verifier. "Better" is a smaller JS to the raters.

    concordance     of the pairs that differ in JS, the share in which the better one has the
                    higher score; equal scores count half. 0.5 is a coin
    kendall_tau_b   mean over clips of Kendall's tau-b between score and -JS: -1 to 1; a clip whose
                    scores, or whose JS, are all equal has none
    tied_pairs      share of all pairs with equal scores
    order_slope     change of the score from one candidate to the next, within clips
    order_slope_js  change of -JS in the same steps. A verifier that judges one candidate at a time
                    cannot see the order, and the order of samples means nothing: there a slope
                    other than 0 is chance or a fault. Beams are in order of likelihood: there the
                    score may fall as the quality does
    mean_score      by number of the candidate

A listwise verifier sees all candidates at once, in an order drawn by chance
(`plan.sharing.shown_order`). So a slope over the places is what the place does to the score: no
quality of the candidates explains it.

    place_slope          change of the score from one place to the next, within clips
    place_slope_js       change of -JS in the same steps: other than 0 by chance alone. It checks the
                         shuffle
    mean_score_at_place  by place, in the column of the candidate's number; 1 is the first

The place is where the verifier was shown the candidate whose score was read. Two candidates stand
in the same place in both draws about a clip, so with two there is no slope.

    self_preference_score  mean score of the judge's own candidates minus that of other models', on
                           the same clips and question
    self_preference_js     the same difference in -JS. A judge that prefers itself has a score
                           difference that the JS difference does not explain

Source: Kendall 1945 for tau-b; concordance is the area under the ROC curve within a clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ambiemo.jsonlines import Row
from ambiemo.metrics.arithmetic import TOLERANCE, Array, ratio, row_sum
from ambiemo.metrics.decomposition import candidate_losses
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.metrics.jackknife import Estimate
from ambiemo.plan.sharing import LISTWISE
from ambiemo.results.evidence import Evidence
from ambiemo.results.tables.estimates import Clusters, long, unknown

NO_PAIRS = "no clip has two scored candidates that differ in JS"
NO_TAU = "in no clip do both scores and JS differ"
ONE_CANDIDATE = "no clip has two scored candidates"
ONE_PLACE = "in no clip were two scored candidates shown in different places"
ONE_JUDGE = (
    "one judge: {judge} judges no other model on this question, so a liking of its own answers "
    "cannot be told from a liking of answers of this kind"
)
OTHER_JUDGE = "the judge, {judge}, answers nothing itself on this question"


@dataclass(frozen=True)
class Judged:
    """What the comparison of models needs of one judged question.

    judge           the model that gave the scores
    score, quality  (n,) mean score and mean -JS of each utterance's scored candidates; NaN for none
    """

    judge: str
    score: Array
    quality: Array


def verifier_rows(evidence: Evidence) -> tuple[list[Row], dict[str, Judged]]:
    """The rows of a unit, and by question what `self_preference_rows` needs."""
    rows: list[Row] = []
    judged: dict[str, Judged] = {}
    judge = evidence.study.judges[evidence.unit[0]]
    for question in evidence.questions():
        if not question.judged:
            continue
        asked = evidence.candidates[question.name].first(question.judged)
        scores = asked.scores[evidence.rows]
        quality = -candidate_losses(
            evidence.truths.truth, asked.distributions[evidence.rows], js_divergence_bits
        )
        known = ~np.isnan(scores) & ~np.isnan(quality)
        scores, quality = (np.where(known, one, np.nan) for one in (scores, quality))
        head = {**evidence.name, "judge": judge, "question": question.name}
        estimates = _estimates(evidence.clusters, scores, quality)
        if question.judge == LISTWISE:
            places = evidence.shown[question.name][evidence.rows]
            estimates += estimates_by_place(evidence.clusters, places, scores, quality)
        for name, candidate, estimate in estimates:
            rows.append({**head, "quantity": name, "candidate": candidate, **long(estimate)})
        judged[question.name] = Judged(judge, _mean(scores), _mean(quality))
    return rows, judged


def _estimates(
    clusters: Clusters, scores: Array, quality: Array
) -> list[tuple[str, int | str, Estimate]]:
    pairs = _pairs(scores, quality)
    unlike = pairs["unlike"] > 0
    parts = np.stack([pairs["right"] + pairs["even"] / 2, pairs["unlike"]], axis=1)
    concordance = clusters.of(parts, unlike, _ratio)
    tau = clusters.mean(_tau_b(pairs))
    ties = clusters.of(
        np.stack([pairs["tied"], pairs["every"]], axis=1), pairs["every"] > 0, _ratio
    )
    estimates: list[tuple[str, int | str, Estimate]] = [
        ("concordance", "", _or(concordance, NO_PAIRS)),
        ("kendall_tau_b", "", _or(tau, NO_TAU)),
        ("tied_pairs", "", _or(ties, ONE_CANDIDATE)),
    ]
    several = np.asarray((~np.isnan(scores)).sum(axis=1) > 1)
    number = np.broadcast_to(np.arange(1, scores.shape[1] + 1), scores.shape)
    for name, values in (("order_slope", scores), ("order_slope_js", quality)):
        slope = clusters.of(_slope_statistics(number, values), several, _ratio)
        estimates.append((name, "", _or(slope, ONE_CANDIDATE)))
    for place in range(scores.shape[1]):
        one = clusters.mean(scores[:, place])
        estimates.append(("mean_score", place + 1, _or(one, "no such candidate has a score")))
    return estimates


def estimates_by_place(
    clusters: Clusters, places: npt.NDArray[np.int64], scores: Array, quality: Array
) -> list[tuple[str, int | str, Estimate]]:
    """What the place does to a listwise score. places (n, B): 1 is the first."""
    estimates: list[tuple[str, int | str, Estimate]] = []
    for name, values in (("place_slope", scores), ("place_slope_js", quality)):
        statistics = _slope_statistics(places, values)
        slope = clusters.of(statistics, statistics[:, 1] > 0, _ratio)
        estimates.append((name, "", _or(slope, ONE_PLACE)))
    known = ~np.isnan(scores)
    for place in range(1, scores.shape[1] + 1):
        here = known & (places == place)
        parts = np.stack([row_sum(np.where(here, scores, 0.0)), here.sum(axis=1)], axis=1)
        one = clusters.of(parts, parts[:, 1] > 0, _ratio)
        reason = "no candidate that was shown at this place has a score"
        estimates.append(("mean_score_at_place", place, _or(one, reason)))
    return estimates


def _or(estimate: Estimate, reason: str) -> Estimate:
    """The estimate; with a clearer reason where it rests on no utterance."""
    return estimate if estimate.n else estimate._replace(reason=reason)


def _ratio(sums: Array) -> Array:
    return ratio(sums[..., 0], sums[..., 1])


def _pairs(scores: Array, quality: Array) -> dict[str, Array]:
    """Counts over the pairs of candidates of every clip, each (n,).

    every   both have a score
    tied    equal scores; same: equal JS, whatever the score
    unlike  the JS differs: of these the better one has the higher score (right), the lower one
            (wrong), or an equal one (even)
    """
    names = ("every", "tied", "same", "unlike", "right", "wrong", "even")
    counts = {name: np.zeros(len(scores)) for name in names}
    for i in range(scores.shape[1]):
        for j in range(i):
            apart, better = scores[:, i] - scores[:, j], quality[:, i] - quality[:, j]
            both = ~np.isnan(apart)
            tied, same = both & (apart == 0), both & (np.abs(better) <= TOLERANCE)
            unlike = both & ~same
            agree = np.sign(apart) * np.sign(better)
            counts["every"] += both
            counts["tied"] += tied
            counts["same"] += same
            counts["unlike"] += unlike
            counts["right"] += unlike & (agree > 0)
            counts["wrong"] += unlike & (agree < 0)
            counts["even"] += unlike & tied
    return counts


def _tau_b(pairs: Mapping[str, Array]) -> Array:
    """Kendall's tau-b of every clip, (n,); NaN where its scores or its JS are all equal."""
    every = pairs["every"]
    below = np.sqrt((every - pairs["tied"]) * (every - pairs["same"]))
    return ratio(pairs["right"] - pairs["wrong"], below)


def _slope_statistics(steps: npt.NDArray[np.int64], values: Array) -> Array:
    """Sums of x y and x x within each clip, (n, 2); x: the step of a known value less the clip's
    mean. steps and values (n, B).

    The ratio of the two sums is the slope with one intercept per clip.
    """
    known = ~np.isnan(values)
    many = known.sum(axis=1)
    centre = ratio(row_sum(np.where(known, steps, 0.0)), many)[:, None]
    x = np.where(known, steps - centre, 0.0)
    y = np.where(known, values, 0.0)
    return np.where((many > 1)[:, None], np.stack([row_sum(x * y), row_sum(x * x)], axis=1), 0.0)


def _mean(values: Array) -> Array:
    """Mean over the known candidates of each clip, (n,), NaN for none; added by size, so that no
    order of the candidates changes a bit."""
    known = ~np.isnan(values)
    filled = np.sort(np.where(known, values, 0.0), axis=1)
    return ratio(row_sum(filled), known.sum(axis=1))


def self_preference_rows(
    speakers: Sequence[str],
    corpus: str,
    judged: Mapping[str, Mapping[str, Judged]],
    level: float,
) -> list[Row]:
    """Two rows per judge and question of one corpus. judged: by model, by question; level: of the
    intervals.
    """
    rows: list[Row] = []
    clusters = Clusters(speakers, level)
    for model, questions in judged.items():
        for question, own in questions.items():
            others = [
                of[question]
                for other, of in judged.items()
                if other != model and question in of and of[question].judge == own.judge
            ]
            for name in ("score", "quality"):
                if own.judge != model:
                    # The judge's own row is where the difference stands.
                    stands = own.judge in judged and question in judged[own.judge]
                    if stands and judged[own.judge][question].judge == own.judge:
                        continue
                    estimate = unknown(OTHER_JUDGE.format(judge=own.judge))
                elif not others:
                    estimate = unknown(ONE_JUDGE.format(judge=own.judge))
                else:
                    theirs = _mean(np.stack([getattr(one, name) for one in others], axis=1))
                    estimate = _or(
                        clusters.mean(getattr(own, name) - theirs),
                        "no clip has scores of both",
                    )
                quantity = f"self_preference_{'js' if name == 'quality' else name}"
                head = {"corpus": corpus, "model": model, "judge": own.judge, "question": question}
                rows.append({**head, "quantity": quantity, "candidate": "", **long(estimate)})
    return rows
