"""How good can a prediction look? Floors, ceilings, and corrections for the small number of raters.

A truth made of few votes is not the true distribution. A model that knows the true distribution
exactly still has a Jensen-Shannon divergence of about .08 bits to 10 raters, .13 to 5 and .19 to 3.
So raw numbers differ between corpora for that reason alone, and these numbers belong next to them.

`votes` (n, K) are whole numbers of raters, one vote per rater. A rater with several tags must not
be counted several times: the corrections divide by N - 1, where N is the number of independent
votes.

Unless it says otherwise, a function returns one number per utterance, (n,), NaN where it is not
estimable. `statistics_of` makes additive statistics of it, for `jackknife` with the value
`distribution.mean`.

A floor from a fitted Dirichlet-multinomial was tried and failed (.072 where the known floor is
.090), so there is none here.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ambiemo.metrics.arithmetic import Array, pair, ratio, row_sum, top_shares, totals
from ambiemo.metrics.distribution import LN2, js_nats
from ambiemo.metrics.panels import subpanels, whole_votes

MOST_PAIRS = 250_000
"""Most pairs of panels of one clip that `second_panel_js_bits` looks at."""


def statistics_of(values: npt.ArrayLike) -> Array:
    """Additive statistics (n, 3) of one number per utterance (n,): the number, whether there is
    one, whether it is infinite. NaN is left out of the mean. The layout is that of
    `distribution.averaged`.
    """
    array = np.asarray(values, dtype=np.float64)
    known = np.where(np.isfinite(array), array, 0.0)
    return np.stack([known, ~np.isnan(array), np.isinf(array)], axis=-1).astype(np.float64)


def brier_unbiased(votes: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Squared distance of the prediction to the true distribution, unbiased whatever the number of
    raters.

    B = sum over labels of (t - p)² - (1 - sum of t²) / (N - 1), with t = votes / N. NaN for N < 2.
    The second term is the unbiased estimate of the votes' own variance, so the mean of B over
    panels is the sum of (true - p)². One clip's B may be below 0. Source: the variance of a
    multinomial; as a fair score Ferro 2014 (grade I: the application is ours).
    """
    counts, total, truth, p = _votes_and(votes, predicted)
    del counts
    noise = ratio(1 - row_sum(truth * truth), total - 1)
    return np.where(total > 1, row_sum((truth - p) ** 2) - noise, np.nan)


def js_divergence_bits_vote_jackknife(votes: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Jensen-Shannon divergence in bits with most of the few-raters bias removed. NaN for N < 2.

    N · JS(v) - (N - 1) · sum over labels of (v_k / N) · JS(v with one vote of k less).
    Removes the bias of order 1 / N, not all of it: with few raters some is left. Source: the
    jackknife of Quenouille 1956 over raters (grade I: the application is ours).
    """
    counts, total, truth, p = _votes_and(votes, predicted)
    nats = total * js_nats(truth, p)
    for label in range(counts.shape[1]):
        fewer = counts - np.eye(counts.shape[1], dtype=np.int64)[label]
        there = (counts[:, label] > 0) & (total > 1)
        share = np.where(there[:, None], fewer / np.maximum(total - 1, 1)[:, None], truth)
        weight = np.where(there, (total - 1) * counts[:, label] / np.maximum(total, 1), 0.0)
        nats = nats - weight * js_nats(share, p)
    return np.where(total > 1, nats / LN2, np.nan)


def second_panel_js_bits(votes: npt.ArrayLike, size: int) -> Array:
    """Jensen-Shannon divergence in bits between two panels of `size` raters of the same clip: what
    a second panel would score as a model.

    Mean over all pairs of disjoint panels, exactly. NaN for N < 2 · size, and for the rare clip
    with more than MOST_PAIRS pairs of different panels. size >= 1.
    """
    if size < 1:
        raise ValueError(f"size: found {size}; expected at least 1 rater")
    counts = whole_votes(votes)
    # The divergence does not care which label is which, so one order of the counts stands for all.
    kinds = [tuple(sorted((x for x in row if x), reverse=True)) for row in counts.tolist()]
    return np.array([_between_panels(kind, size) for kind in kinds])


def second_panel_curve(votes: npt.ArrayLike) -> dict[int, Array]:
    """`second_panel_js_bits` at every size that some clip allows: {size: (n,)}. Compare sizes with
    care: a larger one is the mean over fewer clips.
    """
    counts = whole_votes(votes)
    most = int(counts.sum(axis=1).max(initial=0)) // 2
    return {size: second_panel_js_bits(counts, size) for size in range(1, most + 1)}


def leave_one_rater_out_accuracy(votes: npt.ArrayLike) -> Array:
    """How often one rater names the plurality of the other raters, ties shared: a human's accuracy.

    sum over labels of (v_k / N) · the label's share of the win without that vote. NaN for N < 2.
    Accuracy only: as a distribution one rater's vote is worse than a uniform answer, so it is no
    ceiling.
    """
    counts = whole_votes(votes)
    total = counts.sum(axis=1)
    accuracy = np.zeros(len(counts))
    for label in range(counts.shape[1]):
        others = np.maximum(counts - np.eye(counts.shape[1], dtype=np.int64)[label], 0)
        wins = top_shares(others.astype(np.float64))[:, label]
        accuracy = accuracy + ratio(counts[:, label], total) * wins
    return np.where(total > 1, accuracy, np.nan)


def accuracy_untied(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Accuracy on the utterances whose raters have one plurality; NaN, so left out, for the others.

    truth and predicted (n, K). Tied labels of the prediction share the win.
    """
    t, p = pair(truth, predicted)
    winners = top_shares(t)
    return np.where(winners.max(axis=-1) == 1, row_sum(winners * top_shares(p)), np.nan)


def accuracy_any_tied(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """Accuracy where naming any of the raters' tied labels counts as right.

    truth and predicted (n, K). Tied labels of the prediction share the win.
    """
    t, p = pair(truth, predicted)
    return row_sum((top_shares(t) > 0) * top_shares(p))


def best_accuracy(truth: npt.ArrayLike) -> Array:
    """The best `accuracy` that any prediction can have: 1 / the number of the raters' tied labels.

    truth (n, K). For `accuracy_untied` and `accuracy_any_tied` the best is 1.
    """
    return top_shares(np.asarray(truth, dtype=np.float64)).max(axis=-1)


def prior_leave_cluster_out(truth: npt.ArrayLike, clusters: Sequence[str]) -> Array:
    """The mean distribution of the other clusters for every utterance, (n, K).

    `baselines.prior` is the mean over all utterances, so it has seen what it is scored on; this has
    not. truth (n, K); clusters (n,). Raises ValueError for fewer than two clusters.
    """
    shares = np.asarray(truth, dtype=np.float64)
    if len(shares) != len(clusters):
        raise ValueError(f"{len(shares)} utterances but {len(clusters)} cluster names")
    members: dict[str, list[int]] = {}
    for row, name in enumerate(clusters):
        members.setdefault(name, []).append(row)
    if len(members) < 2:
        raise ValueError(f"clusters: found {len(members)}; leaving one out needs at least 2")
    whole, priors = totals(shares), np.empty_like(shares)
    for rows in members.values():
        # Rounding may leave a label that only this cluster has at -1e-17.
        rest = np.maximum(whole - totals(shares[rows]), 0.0)
        priors[rows] = rest / row_sum(rest)
    return priors


def skill_statistics(
    votes: npt.ArrayLike, predicted: npt.ArrayLike, clusters: Sequence[str]
) -> Array:
    """Statistics (n, 2) of `skill`: B of the prediction and B of the prior that leaves the cluster
    out.

    0 and 0 for an utterance with fewer than two votes.
    """
    counts, total, truth, p = _votes_and(votes, predicted)
    del total
    prior = prior_leave_cluster_out(truth, clusters)
    statistics = np.stack([brier_unbiased(counts, p), brier_unbiased(counts, prior)], axis=-1)
    return np.where(np.isnan(statistics), 0.0, statistics)


def skill(sums: Array) -> Array:
    """1 - B(prediction) / B(prior), from summed statistics (..., 2) -> (...): 1 knows the true
    distribution, 0 is as good as the corpus' mean, below 0 is worse. NaN where the prior has
    nothing to explain (B <= 0).
    """
    return np.where(sums[..., 1] > 0, 1 - ratio(sums[..., 0], sums[..., 1]), np.nan)


def macro_f1_truth_labels(sums: Array) -> Array:
    """Mean F1 over the labels that occur in the truth, from summed confusion matrices (..., K * K)
    -> (...).

    `macro_f1` also averages over labels that only predictions name, as scikit-learn does: one stray
    answer with a label nobody voted for moves it from .733 to .556. Here such an answer costs its
    own label's recall, and no 0 is added. NaN without utterances. Source: scikit-learn's
    f1_score(average="macro", labels=those of the truth).
    """
    labels = round(sums.shape[-1] ** 0.5)
    matrix = sums.reshape(*sums.shape[:-1], labels, labels)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    in_truth, in_prediction = row_sum(matrix), row_sum(np.swapaxes(matrix, -1, -2))
    there = in_truth > 0
    f1 = np.where(there, 2 * hits / np.where(there, in_truth + in_prediction, 1.0), 0.0)
    return ratio(row_sum(f1), row_sum(there.astype(np.float64)))


def _votes_and(
    votes: npt.ArrayLike, predicted: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array, Array]:
    """Counts (n, K), N (n,), truth (n, K) and prediction (n, K), checked."""
    counts = whole_votes(votes)
    total = counts.sum(axis=1)
    if not total.all():
        raise ValueError(f"votes: row {int(np.argwhere(total == 0)[0][0])} has no votes")
    truth, p = pair(counts / total[:, None], predicted)
    return counts, total, truth, p


@lru_cache(maxsize=1 << 14)
def _between_panels(votes: tuple[int, ...], size: int) -> float:
    if sum(votes) < 2 * size:
        return float("nan")
    if len(votes) == 1:
        return 0.0
    panels, ways = subpanels(votes, size)
    rests = [subpanels(tuple(rest), size) for rest in (np.array(votes) - panels).tolist()]
    if sum(len(others) for others, _ in rests) > MOST_PAIRS:
        return float("nan")
    terms, number = [], 0
    for panel, times, (others, other_ways) in zip(panels, ways, rests, strict=True):
        apart = js_nats(np.repeat(panel[None, :], len(others), axis=0) / size, others / size) / LN2
        for value, other_times in zip(apart.tolist(), other_ways, strict=True):
            terms.append(value * (times * other_times))
            number += times * other_times
    return math.fsum(terms) / number
