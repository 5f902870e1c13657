"""Does the gain over a reference grow with ambiguity? Split votes, so that noise selects nothing.

Levels made from the votes that also score select clips whose votes came out divided by chance. On
such levels every predictor's error differs, whatever the true distributions are: of simulated
worlds where all clips have one true distribution, 100 % showed a "significant" difference between
levels. So the raters of a clip are split: one half sets its level, the other half scores.

    B(p)   sum over labels of (t - p)² - (1 - sum of t²) / (N - 1), t from the N scoring raters:
           the squared distance to the true distribution, unbiased (`floors.brier_unbiased`)
    G_l    mean over level l of B(reference) - B(strategy): the gain
    F_l    sum over l of [B(reference) - B(strategy)] / sum over l of B(reference): share removed
    contrasts  F_high - F_low and G_high - G_low, with the jackknife over clusters

Levels are thirds of the level half's entropy, ties together. There are two references: the first
prediction (greedy) and the same one tempered, because flattening an answer towards uniform gains
more on ambiguous clips without hearing anything.

Departures from "R seeded splits": every split is counted with its number of ways (`panels`), so the
result is the mean over all splits, needs no seed and has no Monte Carlo noise. All clips' splits
form one ranking from which the thirds are cut, instead of one ranking per drawn split.

Source: ours (grade I). Sample splitting against selection: Cox 1975. Nothing here is random, and no
order of the utterances changes a bit. The clusters' names decide only into which fold each falls.
"""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ambiemo.labels import DECIMALS, LEVELS, entropy_bits
from ambiemo.metrics.arithmetic import Array, grouped_totals, pair, ratio, row_sum, totals
from ambiemo.metrics.inference import cluster_sums_and_total
from ambiemo.metrics.jackknife import LEVEL, NO_SPREAD, Estimate, from_sums, sizes
from ambiemo.metrics.panels import subpanels, whole_votes

Verdict = Literal["HOLDS", "NOT REPRODUCED", "NOT SHOWN", "NOT TESTED"]
Reference = Literal["first", "first_tempered"]
Contrast = Literal["share_removed", "gain"]

LEAST_RATERS = 4
"""Fewest raters of a clip that is tested: two set the level, two score."""
LEAST_SHARE = 0.8
"""Smallest share of the clips that must have at least this many raters."""
LEAST_SE = 3.0
"""How many standard errors the reference's error at "low" must be above 0 for a share of it to mean
anything.
"""
MOST_PANELS = 5000
"""Bound on the different level halves of one clip; above it, fewer raters set the level and more
score."""
FOLDS = 5
EXPONENTS = tuple(2.0 ** (step / 8) for step in range(-32, 33))
"""The exponents beta that tempering tries: 1/16 to 16, eight per doubling."""


class Levels(NamedTuple):
    """What the splits of a corpus' votes say, whatever was predicted. Made once, used for every
    strategy.

    kept     (n,) bool: the clips with at least 4 raters; the arrays below hold these m clips only
    weight   (m, 3): the share of the clip's splits in which it is low, medium, high; rows sum to 1
    votes    (m, 3, K): sum over those splits of the share of splits times t of the scoring half
    constant (m, 3): the same of sum t² - (1 - sum t²) / (N - 1)
    """

    kept: npt.NDArray[np.bool_]
    weight: Array
    votes: Array
    constant: Array

    def error(self, predicted: Array) -> Array:
        """B of predictions (..., m, K) in each level, times the share of splits, (..., m, 3):
        additive over clips."""
        cross = row_sum(self.votes * predicted[..., None, :])
        return self.constant - 2 * cross + self.weight * row_sum(predicted**2)[..., None]


class Row(NamedTuple):
    """One contrast, high minus low, against one reference."""

    reference: Reference
    contrast: Contrast
    estimate: Estimate


class Ambiguity(NamedTuple):
    """The result of the test.

    verdict  HOLDS if all four contrasts and both overall gains are above 0; NOT REPRODUCED if the
             share removed is shown to be smaller at "high" than at "low" against both references;
             NOT SHOWN otherwise; NOT TESTED where the test means nothing
    reason   why the verdict is what it is, in words
    rows     the four contrasts; empty if NOT TESTED before any was made
    gains    overall mean of B(reference) - B(strategy), by reference
    n        clips tested
    shares   the share of splits in each level, low to high
    """

    verdict: Verdict
    reason: str
    rows: tuple[Row, ...] = ()
    gains: tuple[tuple[Reference, Estimate], ...] = ()
    n: int = 0
    shares: tuple[float, ...] = ()


def levels(votes: npt.ArrayLike) -> Levels:
    """Count all splits of the votes (n, K) of clips with at least 4 raters.

    Half of the raters, rounded down, set the level. With very many raters fewer do, so that there
    are never more than MOST_PANELS different level halves; how many depends on N and K only, never
    on the votes. Raises ValueError for votes that are not whole numbers.
    """
    counts = whole_votes(votes)
    raters, labels = counts.sum(axis=1), counts.shape[1]
    kept = raters >= LEAST_RATERS
    kinds = sorted(set(map(tuple, counts[kept].tolist())))
    place = {kind: index for index, kind in enumerate(kinds)}
    index = np.array([place[kind] for kind in map(tuple, counts[kept].tolist())], dtype=np.int64)
    many = np.bincount(index, minlength=len(kinds)).tolist()

    halves = [_halves(kind, level_raters(sum(kind), labels)) for kind in kinds]
    mass: dict[float, dict[int, int]] = {}  # entropy -> number of all ways -> ways
    for half, clips in zip(halves, many, strict=True):
        for entropy, ways in zip(half.entropies, half.ways, strict=True):
            by_every = mass.setdefault(entropy, {})
            by_every[half.every] = by_every.get(half.every, 0) + ways * clips
    third = _thirds(mass)

    summed = np.zeros((len(kinds), 3, labels + 2))
    for row, half in enumerate(halves):
        for entropy, parts in zip(half.entropies, half.parts, strict=True):
            summed[row, third[entropy]] += parts
    weight, moment, constant = summed[..., 0], summed[..., 1:-1], summed[..., -1]
    return Levels(kept, weight[index], moment[index], constant[index])


def level_raters(raters: int, labels: int) -> int:
    """How many of N raters set the level: half, rounded down, or fewer if that allows too many
    panels."""
    size = raters // 2
    while math.comb(size + labels - 1, labels - 1) > MOST_PANELS and size > 2:
        size -= 1
    return size


def temper(distributions: npt.ArrayLike, beta: float, mix: float) -> Array:
    """(1 - mix) p^beta / sum of p^beta + mix / K. distributions (n, K); beta > 0; mix from 0 to 1.

    beta below 1 flattens, above 1 sharpens; mix moves towards uniform.
    """
    p = np.asarray(distributions, dtype=np.float64)
    return (1 - mix) * _powered(p, beta) + mix / p.shape[-1]


def fit_tempering(votes: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[float, float]:
    """The (beta, mix) with the smallest mean squared distance to the votes' shares.

    For each beta of EXPONENTS the best mix is known in closed form. Of equally good ones the beta
    nearest to 1 counts, so a tie tempers least. votes (n, K), each row with a vote; predicted (n,
    K).
    """
    sums = _tempering_sums(votes, predicted)
    return _fitted(np.array([totals(part) for part in sums]), sums.shape[1])


def tempered(votes: npt.ArrayLike, predicted: npt.ArrayLike, clusters: Sequence[str]) -> Array:
    """The predictions (n, K), tempered by what fits the other folds of clusters best.

    Clusters are dealt to 5 folds in the order of the SHA-256 of their names, so that no ordering of
    names (by sex or recording day) makes a fold special. With fewer than 5 clusters each is a fold.
    Raises ValueError for fewer than two clusters.
    """
    counts, p = np.asarray(votes, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    names = sorted(set(clusters), key=lambda name: hashlib.sha256(name.encode("utf-8")).digest())
    if len(names) < 2:
        raise ValueError(f"clusters: found {len(names)}; fitting on the others needs at least 2")
    fold_of = {name: place % FOLDS for place, name in enumerate(names)}
    folds = np.array([fold_of[name] for name in clusters])
    many = min(FOLDS, len(names))
    table = _tempering_sums(counts, p).transpose(1, 0, 2).reshape(len(p), -1)
    edges = np.concatenate([[0], np.cumsum(np.bincount(folds, minlength=many))])
    by_fold = grouped_totals(table[np.argsort(folds, kind="stable")], edges).tolist()
    flattened = np.empty_like(p)
    for fold in range(many):
        inside = folds == fold
        others = [
            math.fsum(part) for part in zip(*by_fold[:fold], *by_fold[fold + 1 :], strict=True)
        ]
        best = _fitted(np.array(others).reshape(len(EXPONENTS), -1), int((~inside).sum()))
        flattened[inside] = temper(p[inside], *best)
    return flattened


def ambiguity_test(
    votes: npt.ArrayLike,
    strategy: npt.ArrayLike,
    reference: npt.ArrayLike,
    clusters: Sequence[str],
    *,
    heard: bool = True,
    split: Levels | None = None,
    flattened: npt.ArrayLike | None = None,
    level: float = LEVEL,
) -> Ambiguity:
    """Whether the strategy's gain over the reference is larger on more ambiguous clips.

    votes      (n, K) whole numbers of raters, one vote each
    strategy   (n, K) distributions; a failed prediction is uniform, put in by the caller
    reference  (n, K) distributions, as `greedy`
    clusters   (n,) names
    heard      False if the model was not shown to hear the audio: then nothing is tested
    split      `levels(votes)`, if it is known already
    flattened  `tempered(votes, reference, clusters)`, if it is known already
    Raises ValueError for predictions that are not distributions. What the data cannot answer gets
    the verdict NOT TESTED with its reason.
    """

    def not_tested(reason: str, **known: object) -> Ambiguity:
        return Ambiguity("NOT TESTED", reason, **known)  # type: ignore[arg-type]

    strategy, reference = pair(strategy, reference)
    if len(clusters) != len(strategy):
        raise ValueError(f"{len(strategy)} utterances but {len(clusters)} cluster names")
    if not heard:
        return not_tested("the model was not shown to hear the audio")
    if not len(strategy):
        return not_tested("no utterances")
    try:
        counts = whole_votes(votes)
    except ValueError:
        return not_tested("the votes are not whole numbers of raters, so they cannot be split")
    if not counts.sum(axis=1).all():
        return not_tested("a clip has no votes")
    split = split or levels(counts)
    share = float(np.mean(split.kept))
    if share < LEAST_SHARE:
        return not_tested(
            f"{share:.0%} of the clips have {LEAST_RATERS} or more raters; "
            f"at least {LEAST_SHARE:.0%} must"
        )
    names = [name for name, kept in zip(clusters, split.kept.tolist(), strict=True) if kept]
    if len(set(names)) < 2:
        return not_tested("one cluster: nothing varies between clusters")
    weights = totals(split.weight)
    tested = {"n": len(names), "shares": tuple((weights / weights.sum()).tolist())}
    for place in (0, 2):
        if weights[place] == 0:
            return not_tested(f"no clip is ever '{LEVELS[place]}': the votes tie", **tested)
    if flattened is None:
        flattened = tempered(counts, reference, clusters)

    ours = split.error(strategy[split.kept])
    number = sizes(names)
    rows: list[Row] = []
    gains: list[tuple[Reference, Estimate]] = []
    against: dict[Reference, Array] = {
        "first": reference,
        "first_tempered": np.asarray(flattened, dtype=np.float64),
    }
    for name, answers in against.items():
        theirs = split.error(answers[split.kept])
        parts = np.concatenate([theirs - ours, theirs, split.weight], axis=1)
        sums, whole = cluster_sums_and_total(parts, names)
        low = from_sums(sums, number, whole, lambda s: s[..., 3], level)
        if low.value <= 0 or low.reason or low.value < LEAST_SE * low.se:
            of = "the reference" if name == "first" else "the tempered reference"
            why = low.reason or f"{low.value:.3g} with a standard error of {low.se:.3g}"
            return not_tested(
                f"the error of {of} at 'low' is not {LEAST_SE:g} standard errors above 0 ({why})",
                **tested,
            )
        rows.append(
            Row(name, "share_removed", from_sums(sums, number, whole, share_contrast, level))
        )
        rows.append(Row(name, "gain", from_sums(sums, number, whole, gain_contrast, level)))
        gains.append((name, from_sums(sums, number, whole, overall_gain, level)))
    verdict, reason = _decided(rows, gains)
    return Ambiguity(verdict, reason, tuple(rows), tuple(gains), **tested)  # type: ignore[arg-type]


def share_contrast(sums: Array) -> Array:
    """F_high - F_low from sums (..., 9): gain by level, B(reference) by level, share of splits by
    level."""
    return _share(sums, 2) - _share(sums, 0)


def gain_contrast(sums: Array) -> Array:
    """G_high - G_low from the same sums."""
    return ratio(sums[..., 2], sums[..., 8]) - ratio(sums[..., 0], sums[..., 6])


def overall_gain(sums: Array) -> Array:
    """Mean of B(reference) - B(strategy) over all levels, from the same sums."""
    return ratio(row_sum(sums[..., :3]), row_sum(sums[..., 6:]))


def _share(sums: Array, place: int) -> Array:
    below = sums[..., 3 + place]
    return np.where(below > 0, ratio(sums[..., place], below), np.nan)


def _decided(
    rows: Sequence[Row], gains: Sequence[tuple[Reference, Estimate]]
) -> tuple[Verdict, str]:
    for estimate in (*(row.estimate for row in rows), *(estimate for _, estimate in gains)):
        if estimate.reason and estimate.reason != NO_SPREAD:
            return "NOT TESTED", estimate.reason
    unknown = next((row.estimate.reason for row in rows if row.estimate.reason), "")
    if unknown:
        return "NOT SHOWN", f"strategy and reference differ nowhere, or alike everywhere: {unknown}"
    wanting = [
        f"{row.contrast} against {row.reference}" for row in rows if not row.estimate.low > 0
    ]
    wanting += [
        f"the overall gain against {name}" for name, estimate in gains if not estimate.low > 0
    ]
    if not wanting:
        return "HOLDS", "all four contrasts and both overall gains are above 0"
    shares = [row.estimate for row in rows if row.contrast == "share_removed"]
    if all(estimate.high < 0 for estimate in shares):
        return "NOT REPRODUCED", "the share removed is smaller at 'high' than at 'low'"
    return "NOT SHOWN", f"not shown to be above 0: {', '.join(wanting)}"


class _Halves(NamedTuple):
    """The level halves of one clip, those of equal entropy together: the entropies (E,), their ways
    (E,), the number of all ways, and sums over the scoring halves (E, K + 2) of share, share times
    t, share times the constant of B.
    """

    entropies: tuple[float, ...]
    ways: tuple[int, ...]
    every: int
    parts: Array


@lru_cache(maxsize=1 << 16)
def _halves(kind: tuple[int, ...], size: int) -> _Halves:
    panels, ways = subpanels(kind, size)
    every = math.comb(sum(kind), size)
    scoring = np.array(kind) - panels
    n = sum(kind) - size
    t = scoring / n
    square = row_sum(t * t)
    constant = (square - (1 - square) / (n - 1))[:, None]
    parts = np.concatenate([np.ones((len(t), 1)), t, constant], axis=1)
    parts *= np.array(ways, dtype=np.float64)[:, None] / every
    rows: dict[float, list[int]] = {}
    for row, entropy in enumerate(np.round(entropy_bits(panels / size), DECIMALS).tolist()):
        rows.setdefault(entropy, []).append(row)
    entropies = sorted(rows)
    return _Halves(
        tuple(entropies),
        tuple(sum(ways[row] for row in rows[entropy]) for entropy in entropies),
        every,
        np.stack([totals(parts[rows[entropy]]) for entropy in entropies]),
    )


def _tempering_sums(votes: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """What the squared distance after tempering is made of, (len(EXPONENTS), n, 3), additive over
    clips.

    With q = p^beta / sum p^beta, u = 1 / K - q and m = t - q, the distance at a mix is
    sum (m - mix u)² = sum m² - 2 mix sum u m + mix² sum u².
    """
    counts = np.asarray(votes, dtype=np.float64)
    truth, p = pair(counts / row_sum(counts)[:, None], predicted)
    tables = []
    scaled = _scaled(p)
    for beta in EXPONENTS:
        powered = scaled**beta
        powered /= row_sum(powered)[..., None]
        away, miss = 1 / p.shape[-1] - powered, truth - powered
        parts = row_sum(miss * miss), row_sum(away * miss), row_sum(away * away)
        tables.append(np.stack(parts, axis=-1))
    return np.stack(tables)


def _fitted(sums: Array, n: int) -> tuple[float, float]:
    """The best (beta, mix) from summed parts (len(EXPONENTS), 3)."""
    best, choice = math.inf, (1.0, 0.0)
    nearest = sorted(
        range(len(EXPONENTS)), key=lambda place: (abs(math.log2(EXPONENTS[place])), place)
    )
    for place in nearest:
        square, cross, away = sums[place].tolist()
        # Uniform answers are as far away as their rounding: any mix would fit them.
        mix = min(1.0, max(0.0, cross / away)) if away > 1e-12 * n else 0.0
        loss = square - 2 * mix * cross + mix * mix * away
        if loss < best - 1e-12 * n:
            best, choice = loss, (EXPONENTS[place], mix)
    return choice


def _powered(p: Array, beta: float) -> Array:
    powered = _scaled(p) ** beta
    return powered / row_sum(powered)[..., None]


def _scaled(p: Array) -> Array:
    """Divided by the row's largest, so that no power underflows to a row of zeros."""
    return p / p.max(axis=-1, keepdims=True)


def _thirds(mass: dict[float, dict[int, int]]) -> dict[float, int]:
    """The third of each entropy: the one in which the middle of its ranks lies (as
    `labels._thirds`).

    Ranks are weighted by the share of splits, added exactly as fractions.
    """
    size = {
        entropy: sum(
            (Fraction(ways, every) for every, ways in sorted(ways_of.items())), Fraction(0)
        )
        for entropy, ways_of in mass.items()
    }
    whole, before, third = sum(size.values(), Fraction(0)), Fraction(0), {}
    for entropy in sorted(size):
        middle = before + size[entropy] / 2
        third[entropy] = min(int(3 * middle / whole), 2)
        before += size[entropy]
    return third
