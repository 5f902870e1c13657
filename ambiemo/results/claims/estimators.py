"""One function per way to estimate a claim: (places, claim, evidence) -> Outcome.

Corpora are strata of equal weight. With theta_c and its jackknife SE_c in each of S corpora,

    theta  mean of the theta_c
    SE²    sum of SE_c² / S²
    G_eff  1 + (sum of SE_c²)² / sum of (SE_c⁴ / (G_eff,c - 1))     (Satterthwaite 1946)

so one corpus alone is the jackknife of `metrics.jackknife`. The p of a mean is the sign flip of all
clusters' sums, each divided by S times the utterances of its corpus; of anything else it is by t.
A p is two-sided; where a claim says a sign, the p of the other sign is 1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ambiemo.metrics import jackknife
from ambiemo.metrics.ambiguity import LEAST_SE, gain_contrast, overall_gain, share_contrast
from ambiemo.metrics.arithmetic import Array, ratio
from ambiemo.metrics.inference import cluster_sums, cluster_sums_and_total, holm
from ambiemo.metrics.intervals import MANY
from ambiemo.metrics.jackknife import Estimate
from ambiemo.metrics.signflip import sign_flips
from ambiemo.metrics.student import critical, two_sided_p
from ambiemo.results.claims.evidence import Evidence, Key, Untestable, mean_of, means_of
from ambiemo.results.claims.reading import POOL, REFERENCE, Claim, Place

Moves = Mapping[Key, Array | float]
"""By column, per utterance: which sign of a change in its loss raises the estimate (0: no
effect).
"""


@dataclass(frozen=True)
class Outcome:
    """What an estimator returns.

    main    what the row of the table shows
    p       of the claim, before Holm over its family; in the claim's direction
    parts   what the rule looks at, if that is more than `main`
    moves   how a changed answer moves the estimate; each entry is tried on its own by `flips`
    note    what a reader should know of it, in words
    """

    main: Estimate
    p: float
    parts: tuple[Estimate, ...] = ()
    moves: tuple[Moves, ...] = ()
    note: str = ""
    guards: tuple[Estimate, ...] = field(default=())


Estimator = Callable[[Sequence[Place], Claim, Evidence], Outcome]


# Strata


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates from different corpora. Raises Untestable where one has no interval."""
    for one in estimates:
        if one.reason:
            raise Untestable(one.reason)
    if len(estimates) == 1:
        return estimates[0]
    many = len(estimates)
    value = math.fsum(one.value for one in estimates) / many
    variances = [one.se**2 for one in estimates]
    se = math.sqrt(math.fsum(variances)) / many
    clusters, n = sum(one.clusters for one in estimates), sum(one.n for one in estimates)
    if se == 0:
        return Estimate(value, 0.0, value, value, 1.0 if value == 0 else 0.0, clusters, math.nan, n)
    df = math.fsum(variances) ** 2 / math.fsum(
        v * v / (one.effective - 1) for v, one in zip(variances, estimates, strict=True)
    )
    margin = critical(1 - jackknife.LEVEL, df) * se
    p = two_sided_p(value / se, df)
    return Estimate(value, se, value - margin, value + margin, p, clusters, df + 1, n)


def flip_p(by_corpus: dict[str, Array], evidence: Evidence) -> float:
    """p that the mean over corpora of mean differences is 0. by_corpus: (n,) differences."""
    return float(
        flip_ps([{corpus: values[:, None] for corpus, values in by_corpus.items()}], evidence)[0]
    )


def flip_ps(several: Sequence[dict[str, Array]], evidence: Evidence) -> Array:
    """`flip_p` of several differences at once, all of the same corpora; (n, M) each."""
    scaled = []
    for corpus in sorted(several[0]):
        values = np.concatenate([one[corpus] for one in several], axis=1)
        sums = cluster_sums(values, evidence.panels[corpus].clusters)
        scaled.append(sums / (len(values) * len(several[0])))
    every = np.concatenate(scaled)
    if len(every) > MANY:
        return np.full(every.shape[1], np.nan)
    return sign_flips(every)


def directed(p: float, value: float, sign: int) -> float:
    """p, or 1 if the value has the other sign."""
    return p if math.isnan(p) or value * sign > 0 else 1.0


def _mean(by_corpus: dict[str, Array], evidence: Evidence) -> tuple[Estimate, float]:
    estimate = combined(
        [mean_of(by_corpus[one], evidence.panels[one].clusters) for one in sorted(by_corpus)]
    )
    p = flip_p(by_corpus, evidence)
    return estimate, estimate.p if math.isnan(p) else p


def _of(corpus: str, places: Sequence[Place]) -> list[Place]:
    return [place for place in places if place.corpus == corpus]


def _corpora(places: Sequence[Place]) -> list[str]:
    return sorted({place.corpus for place in places})


def _own(place: Place) -> Key:
    return Key(place.corpus, place.model, place.strategy)


def _reference(place: Place, claim: Claim) -> Key:
    if claim.reference == POOL:
        return Key(place.corpus, place.model, place.strategy, POOL)
    return Key(place.corpus, place.model, REFERENCE)


def _gain(place: Place, claim: Claim, evidence: Evidence, loss: str) -> Array:
    return evidence.loss(_reference(place, claim), loss) - evidence.loss(_own(place), loss)


def _average(values: Sequence[Array]) -> Array:
    return np.stack(values).sum(axis=0) / len(values)


def _against(places: Sequence[Place], claim: Claim) -> Moves:
    """Strategies' losses lower the gain, the single answers' raise it; a pool is no answer."""
    moves: dict[Key, float] = {}
    for place in places:
        moves[_own(place)] = -1.0
        if claim.reference == REFERENCE:
            key = _reference(place, claim)
            moves[key] = moves.get(key, 0.0) + 1.0
    return moves


# Estimators


def mean_gain(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """Mean of loss(reference) - loss(strategy) over cells and utterances. Guard: the same by
    Brier.
    """
    d, guard = {}, []
    for corpus in _corpora(places):
        here = _of(corpus, places)
        d[corpus] = _average([_gain(one, claim, evidence, claim.metric) for one in here])
        other = _average([_gain(one, claim, evidence, "brier") for one in here])
        guard.append(mean_of(other, evidence.panels[corpus].clusters))
    main, p = _mean(d, evidence)
    guards = (combined(guard),) if claim.metric == "js" else ()
    return Outcome(
        main, directed(p, main.value, claim.sign), moves=(_against(places, claim),), guards=guards
    )


def metric_gain(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """Mean of metric(strategy) - metric(greedy), in the published number's unit and sign."""
    (place,) = places
    d = -_gain(place, claim, evidence, claim.metric)
    main, p = _mean({place.corpus: d}, evidence)
    sign = 1 if (claim.published or 0.0) > 0 else -1
    moves = {_own(place): 1.0, _reference(place, claim): -1.0}
    return Outcome(main, directed(p, main.value, sign), moves=(moves,))


def metric_level(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """The metric's mean. It has no p: a level is compared, not tested."""
    (place,) = places
    level = combined(
        [mean_of(evidence.loss(_own(place), claim.metric), evidence.panels[place.corpus].clusters)]
    )
    return Outcome(level, math.nan, moves=({_own(place): 1.0},))


def group_gap(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """By corpus: mean loss of the open models minus that of the closed ones. p: the largest of
    them.

    "Above 0 everywhere" is shown at 5 % if every part is (intersection-union test, Berger 1982).
    """
    parts, ps, moves = [], [], []
    for corpus in _corpora(places):
        here, mean = _of(corpus, places), {}
        shares: dict[Key, float] = {}
        for group, sign in (("open", 1.0), ("closed", -1.0)):
            members = [_own(one) for one in here if one.group == group]
            mean[group] = _average([evidence.loss(key, claim.metric) for key in members])
            shares |= dict.fromkeys(members, sign / len(members))
        moves.append(shares)
        gap, p = _mean({corpus: mean["open"] - mean["closed"]}, evidence)
        parts.append(gap)
        ps.append(directed(p, gap.value, claim.sign))
    least = min(parts, key=lambda one: one.value * claim.sign)
    return Outcome(
        least, max(ps), tuple(parts), tuple(moves), note="the corpus with the smallest difference"
    )


def share_gap(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """Share of the single answer's error that the strategies remove: closed minus open models.

    Per model sum [B(greedy) - mean of B(strategies)] / sum B(greedy), all on the same utterances.
    A share and not a gain, because who errs more can gain more; never a regression of the gain on
    the baseline, which would find regression to the mean.
    """
    gaps: list[Estimate] = []
    moves: dict[Key, Array | float] = {}
    for corpus in _corpora(places):
        panel, here = evidence.panels[corpus], _of(corpus, places)
        columns, weights = [], []
        for model in sorted({one.model for one in here}):
            own = [one for one in here if one.model == model]
            base = evidence.loss(Key(corpus, model, REFERENCE), "unbiased")
            columns += [
                base - _average([evidence.loss(_own(one), "unbiased") for one in own]),
                base,
            ]
            weights.append(1.0 if own[0].group == "closed" else -1.0)
            for one in own:
                moves[_own(one)] = -weights[-1]
        kept = panel.counted
        parts = np.stack(columns, axis=1)[kept]
        names = [one for one, there in zip(panel.clusters, kept.tolist(), strict=True) if there]
        sides = np.array(weights)
        sides = np.where(
            sides > 0, sides / max((sides > 0).sum(), 1), sides / max((sides < 0).sum(), 1)
        )
        for place in range(len(weights)):
            _above_noise(mean_of(parts[:, 2 * place + 1], names), "the single answers")

        def value(sums: Array, sides: Array = sides) -> Array:
            return (ratio(sums[..., ::2], sums[..., 1::2]) * sides).sum(axis=-1)

        gaps.append(jackknife.jackknife(parts, names, value))
    main = combined(gaps)
    return Outcome(main, directed(main.p, main.value, claim.sign), moves=(moves,))


def worst_cell(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """The smallest gain of any cell. p: the smallest after Holm over the cells, of those below
    0.
    """
    known: dict[Place, tuple[Estimate, float]] = {}
    for corpus in _corpora(places):
        here = _of(corpus, places)
        d = np.stack([_gain(one, claim, evidence, claim.metric) for one in here], axis=1)
        flipped = flip_ps([{corpus: d}], evidence).tolist()
        for place, own, p in zip(
            here, means_of(d, evidence.panels[corpus].clusters), flipped, strict=True
        ):
            estimate = combined([own])
            known[place] = (
                estimate,
                directed(estimate.p if math.isnan(p) else p, estimate.value, -1),
            )
    parts, ps = zip(*(known[place] for place in places), strict=True)
    least = min(range(len(parts)), key=lambda at: parts[at].value)
    nearest = min(range(len(parts)), key=lambda at: parts[at].low)
    adjusted = holm(ps)
    moves = tuple(_against([places[at]], claim) for at in dict.fromkeys((least, nearest)))
    note = f"the smallest gain is that of {places[least]}"
    return Outcome(parts[least], float(np.nanmin(adjusted)), tuple(parts), moves, note)


def nowhere_best(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """How many strategies are in every cell's set of those that are not shown to be worse than
    another.

    A strategy leaves the set of a (model, corpus) if one of the others is better there, p < .05
    after Bonferroni over all (model, corpus) and all others. If the claim is false some strategy is
    best everywhere; it leaves a set with probability below .05, so the claim is found in at most
    5 % of such worlds, whatever the other strategies do (Hsu 1981 has sharper sets; these need no
    more than the sign flip). p: the largest over strategies of its smallest adjusted p.
    """
    strategies = list(dict.fromkeys(one.strategy for one in places))
    cells = list(dict.fromkeys((one.corpus, one.model) for one in places))
    if len(cells) < 2:
        raise Untestable("one model on one corpus: somewhere the best is always in its own set")
    many = len(cells) * (len(strategies) - 1)
    worse: dict[str, list[float]] = {name: [] for name in strategies}
    better_low: dict[str, list[float]] = {name: [] for name in strategies}
    n, effective, clusters = {}, [], {}
    for corpus, model in cells:
        losses = {
            name: evidence.loss(Key(corpus, model, name), claim.metric) for name in strategies
        }
        pairs = [(a, b) for place, a in enumerate(strategies) for b in strategies[place + 1 :]]
        d = np.stack([losses[a] - losses[b] for a, b in pairs], axis=1)  # above 0: a is worse
        names = evidence.panels[corpus].clusters
        ps = flip_ps([{corpus: d}], evidence)
        for (a, b), p, own in zip(pairs, ps.tolist(), means_of(d, names), strict=True):
            estimate = combined([own])
            p = estimate.p if math.isnan(p) else p
            worse[a].append(min(1.0, many * directed(p, estimate.value, 1)))
            worse[b].append(min(1.0, many * directed(p, estimate.value, -1)))
            better_low[b].append(estimate.low)
            better_low[a].append(-estimate.high)
            effective.append(estimate.effective)
        n[corpus], clusters[corpus] = len(names), len(set(names))
    smallest = {name: min(values) for name, values in worse.items()}
    staying = [name for name in strategies if smallest[name] >= 0.05]
    nan = math.nan
    g_eff = min((one for one in effective if not math.isnan(one)), default=nan)
    main = Estimate(
        float(len(staying)), nan, nan, nan, nan, sum(clusters.values()), g_eff, sum(n.values())
    )
    dominant = tuple(
        Estimate(min(values), nan, min(values), nan, nan, 0, nan, 0)
        for values in better_low.values()
    )
    nearest = max(strategies, key=smallest.__getitem__)
    moves = ({Key(corpus, model, nearest): 1.0 for corpus, model in cells},)
    note = f"in every set: {', '.join(staying) or 'none'}"
    return Outcome(main, max(smallest.values()), dominant, moves, note)


def spread_ratio(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """Log of the ratio of the spreads of the gain over cells: weighted strategy to its plain one.

    The spread is the standard deviation over (model, corpus) without what noise adds to it: from
    the variance of the estimated gains the mean variance of a gain, less the mean covariance of
    two, is taken off (by the jackknife; models on one corpus share its utterances). The interval
    is the jackknife's with that correction fixed. One part per pair of strategies, in the order
    of the groups `weighted` and `plain`; p: the largest.
    """
    groups = {name: [one for one in places if one.group == name] for name in ("weighted", "plain")}
    named = {
        name: list(dict.fromkeys(one.strategy for one in members))
        for name, members in groups.items()
    }
    parts, ps = [], []
    for pair in zip(named["weighted"], named["plain"], strict=True):
        log_ratio = combined([_log_ratio(pair, groups, claim, evidence)])
        parts.append(log_ratio)
        ps.append(directed(log_ratio.p, log_ratio.value, claim.sign))
    least = min(parts, key=lambda one: one.value * claim.sign)
    return Outcome(least, max(ps), tuple(parts), note="the pair that supports the claim least")


def _log_ratio(
    pair: tuple[str, str], groups: dict[str, list[Place]], claim: Claim, evidence: Evidence
) -> Estimate:
    cells = sorted({(one.corpus, one.model) for one in groups["weighted"]})
    if len(cells) < 3:
        raise Untestable(
            f"{len(cells)} (model, corpus) cells; a spread over cells needs at least 3"
        )
    whole, without, sizes = [], [], []
    for strategy in pair:
        here = [Place(corpus, model, strategy) for corpus, model in cells]
        values, left, corpora = [], [], []
        for place in here:
            names = evidence.panels[place.corpus].clusters
            d = _gain(place, claim, evidence, claim.metric)
            sums, total = cluster_sums_and_total(np.stack([d, np.ones(len(d))], axis=1), names)
            values.append(total[0] / total[1])
            if len(sums) < 2:
                raise Untestable("one cluster: nothing varies between clusters")
            left.append((total[0] - sums[:, 0]) / (total[1] - sums[:, 1]))
            corpora.append(place.corpus)
        noise = _noise(left, corpora)
        centre, spread = np.array(values), _spread(np.array(values)) - noise
        if not spread > 0:
            raise Untestable(
                f"the gains of {strategy} differ between cells by no more than their noise"
            )
        whole.append(spread)
        repeats = []
        for corpus in sorted(set(corpora)):
            inside = [at for at, one in enumerate(corpora) if one == corpus]
            moved = np.tile(centre, (len(left[inside[0]]), 1))
            for at in inside:
                moved[:, at] = left[at]
            repeats.append(_spread(moved) - noise)
        without.append(repeats)
    sizes = [
        (corpus, jackknife.sizes(evidence.panels[corpus].clusters))
        for corpus in sorted({one[0] for one in cells})
    ]
    value = 0.5 * math.log(whole[0] / whole[1])
    variances, effective = [], []
    for (_, counts), first, second in zip(sizes, without[0], without[1], strict=True):
        if not ((first > 0) & (second > 0)).all():
            raise Untestable(
                "without one of the clusters the gains differ by no more than their noise"
            )
        logs = 0.5 * np.log(first / second)
        variances.append(float(((logs - logs.mean()) ** 2).sum() * (len(logs) - 1) / len(logs)))
        effective.append(jackknife.effective_clusters(counts))
    variance = math.fsum(variances)
    n, clusters = sum(sum(counts) for _, counts in sizes), sum(len(counts) for _, counts in sizes)
    if min(effective) < jackknife.LEAST_EFFECTIVE:
        raise Untestable("one cluster has nearly all utterances")
    if not variance > 0:
        return Estimate(
            value,
            math.nan,
            math.nan,
            math.nan,
            math.nan,
            clusters,
            math.nan,
            n,
            jackknife.NO_SPREAD,
        )
    df = variance**2 / math.fsum(v * v / (g - 1) for v, g in zip(variances, effective, strict=True))
    se = math.sqrt(variance)
    margin = critical(1 - jackknife.LEVEL, df) * se
    return Estimate(
        value, se, value - margin, value + margin, two_sided_p(value / se, df), clusters, df + 1, n
    )


def _spread(values: Array) -> Array:
    """Variance over the last axis, divisor one less."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return (centred**2).sum(axis=-1) / (values.shape[-1] - 1)


def _noise(left: Sequence[Array], corpora: Sequence[str]) -> float:
    """What noise adds to the variance over cells: (trace - mean of all entries · M) / (M - 1)."""
    many, trace, every = len(left), 0.0, 0.0
    for corpus in sorted(set(corpora)):
        moved = np.stack([one for one, where in zip(left, corpora, strict=True) if where == corpus])
        moved = moved - moved.mean(axis=1, keepdims=True)
        scale = (moved.shape[1] - 1) / moved.shape[1]
        trace += float((moved**2).sum()) * scale
        every += float((moved.sum(axis=0) ** 2).sum()) * scale
    return (trace - every / many) / (many - 1)


def ambiguity_contrast(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """Does the gain grow with ambiguity? Split votes; the test of `metrics.ambiguity`, over
    corpora.

    Gains and errors are means over the cells of a corpus. Parts: against greedy and against greedy
    tempered, each F_high - F_low, G_high - G_low and the overall gain. p: the largest of the six.
    """
    by_corpus: list[list[Estimate]] = []
    moves: dict[Key, Array | float] = {}
    for corpus in _corpora(places):
        panel, here = evidence.panels[corpus], _of(corpus, places)
        weight = panel.split.weight
        _has_levels(weight)
        ours = _average([evidence.loss(_own(one), "levels") for one in here])
        keys = [_reference(one, claim) for one in here]
        plain = _average([evidence.loss(key, "levels") for key in keys])
        flat = _average([evidence.tempered_levels(key) for key in keys])
        contrasts = []
        for theirs, what in ((plain, "the reference"), (flat, "the tempered reference")):
            parts = np.concatenate([theirs - ours, theirs, weight], axis=1)
            names = panel.kept_clusters
            _above_noise(_sum_of(parts, names, lambda sums: sums[..., 3]), f"{what} at 'low'")
            contrasts += [
                _sum_of(parts, names, value)
                for value in (share_contrast, gain_contrast, overall_gain)
            ]
        by_corpus.append(contrasts)
        tilt = np.zeros(len(panel.clusters))
        tilt[panel.split.kept] = weight[:, 2] - weight[:, 0]
        moves |= {_own(one): -tilt for one in here}
    six = tuple(combined(column) for column in zip(*by_corpus, strict=True))
    p = max(directed(one.p, one.value, claim.sign) for one in six)
    return Outcome(six[0], p, six, (moves,), "share removed of greedy's error, high minus low")


def skill_contrast(places: Sequence[Place], claim: Claim, evidence: Evidence) -> Outcome:
    """Skill at split-vote levels, high minus low; skill is 1 - sum B(greedy) / sum B(prior).

    The prior is the mean truth of the other speakers: it knows nothing of the clip.
    """
    contrasts: list[Estimate] = []
    moves: dict[Key, Array | float] = {}
    for corpus in _corpora(places):
        panel, here = evidence.panels[corpus], _of(corpus, places)
        names, kept = panel.kept_clusters, panel.split.kept
        _has_levels(panel.split.weight)
        error = _average([evidence.loss(_own(one), "levels") for one in here])
        prior = panel.split.error(panel.prior[kept])
        for place, level in ((0, "low"), (2, "high")):
            _above_noise(mean_of(prior[:, place], names), f"the prior at '{level}'")
        parts = np.concatenate([error, prior], axis=1)
        contrasts.append(
            _sum_of(
                parts, names, lambda s: ratio(s[..., 0], s[..., 3]) - ratio(s[..., 2], s[..., 5])
            )
        )
        tilt = np.zeros(len(panel.clusters))
        tilt[kept] = panel.split.weight[:, 0] - panel.split.weight[:, 2]
        moves |= {_own(one): tilt for one in here}
    main = combined(contrasts)
    return Outcome(main, directed(main.p, main.value, claim.sign), moves=(moves,))


def _sum_of(parts: Array, clusters: Sequence[str], value: jackknife.Value) -> Estimate:
    estimate = jackknife.jackknife(parts, clusters, value)
    if estimate.reason == jackknife.NO_SPREAD and estimate.value == 0:
        return estimate._replace(se=0.0, low=0.0, high=0.0, p=1.0, reason="")
    return estimate


def _above_noise(estimate: Estimate, what: str) -> None:
    """Raise Untestable where an error that is divided by is not clearly above 0."""
    if estimate.reason or estimate.value <= 0 or estimate.value < LEAST_SE * estimate.se:
        why = estimate.reason or f"{estimate.value:.3g} with a standard error of {estimate.se:.3g}"
        raise Untestable(f"the error of {what} is not {LEAST_SE:g} standard errors above 0 ({why})")


def _has_levels(weight: Array) -> None:
    for place, level in ((0, "low"), (2, "high")):
        if not weight[:, place].any():
            raise Untestable(f"no clip is ever '{level}': the votes tie")


ESTIMATORS: dict[str, Estimator] = {
    "mean_gain": mean_gain,
    "metric_gain": metric_gain,
    "metric_level": metric_level,
    "group_gap": group_gap,
    "share_gap": share_gap,
    "worst_cell": worst_cell,
    "nowhere_best": nowhere_best,
    "spread_ratio": spread_ratio,
    "ambiguity_contrast": ambiguity_contrast,
    "skill_contrast": skill_contrast,
}
