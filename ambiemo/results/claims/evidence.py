"""What claims are decided from: votes, speakers, predictions, and which models were shown to hear.

A failed prediction is uniform, so nobody wins by failing on hard clips. Predictions are (n, K) per
column; answers never come here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambiemo.metrics import jackknife
from ambiemo.metrics.ambiguity import LEAST_RATERS, LEAST_SHARE, Levels, levels, tempered
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.classification import accuracy
from ambiemo.metrics.distribution import bhattacharyya, brier, js_divergence_bits
from ambiemo.metrics.floors import brier_unbiased, prior_leave_cluster_out
from ambiemo.metrics.inference import cluster_sums_and_total, holm
from ambiemo.results.claims.reading import POOL, REFERENCE

CONTROL = "shuffled_audio"
"""The control that shows whether a model hears: the same question about another clip."""
WHOLE = 1e-9
"""Votes this close to a whole number of raters are one."""
ALPHA = 0.05


class Key(NamedTuple):
    """One column of predictions. role: "" for the strategy's own answers, `pool` for the plain mean
    of the candidates that it chooses from, or the name of a control.
    """

    corpus: str
    model: str
    strategy: str
    role: str = ""


class Untestable(Exception):
    """The data cannot answer the question. The message is the reason of a NOT TESTED."""


@dataclass(frozen=True)
class Panel:
    """One corpus: votes (n, K), truth (n, K), and each utterance's speaker (n,).

    unit: how many units of `votes` one rater has; above 1 where raters may give several labels.
    """

    votes: Array
    truth: Array
    clusters: tuple[str, ...]
    unit: int = 1

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Raters by label, (n, K). A row of zeros where a rater gave several labels: such votes are
        shares, which can neither be split nor corrected for their number."""
        raters = np.asarray(self.votes, dtype=np.float64) / self.unit
        whole: NDArray[np.bool_] = np.all(np.abs(raters - np.round(raters)) < WHOLE, axis=1)
        return np.where(whole[:, None], np.round(raters), 0).astype(np.int64)

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Utterances with at least two whole votes. Raises Untestable if they are too few."""
        enough = np.asarray(self.counts.sum(axis=1) > 1)
        if not len(enough) or enough.mean() < LEAST_SHARE:
            share = enough.mean() if len(enough) else 0.0
            raise Untestable(
                f"{share:.0%} of the clips have two or more whole votes; at least {LEAST_SHARE:.0%} must"
            )
        return enough

    @cached_property
    def split(self) -> Levels:
        """The splits of the votes. Raises Untestable if too few clips have enough raters."""
        splits = levels(self.counts)
        share = float(splits.kept.mean()) if len(splits.kept) else 0.0
        if share < LEAST_SHARE:
            raise Untestable(
                f"{share:.0%} of the clips have {LEAST_RATERS} or more raters with one vote each; "
                f"at least {LEAST_SHARE:.0%} must"
            )
        return splits

    @cached_property
    def kept_clusters(self) -> tuple[str, ...]:
        return tuple(one for one, kept in zip(self.clusters, self.split.kept, strict=True) if kept)

    @cached_property
    def prior(self) -> Array:
        """The mean truth of the other speakers, (n, K). Raises Untestable for one speaker."""
        if len(set(self.clusters)) < 2:
            raise Untestable("one cluster: nothing varies between clusters")
        return prior_leave_cluster_out(self.truth, self.clusters)


def _unbiased(panel: Panel, predicted: Array) -> Array:
    return np.nan_to_num(brier_unbiased(panel.counts, predicted))


def _levels(panel: Panel, predicted: Array) -> Array:
    return panel.split.error(predicted[panel.split.kept])


LOSSES: dict[str, Callable[[Panel, Array], Array]] = {
    "js": lambda panel, predicted: js_divergence_bits(panel.truth, predicted),
    "brier": lambda panel, predicted: brier(panel.truth, predicted),
    "accuracy": lambda panel, predicted: 100 * accuracy(panel.truth, predicted),
    "bhattacharyya": lambda panel, predicted: bhattacharyya(panel.truth, predicted),
    "unbiased": _unbiased,
    "levels": _levels,
}
"""One number per utterance, (n,); `levels` has three, (m, 3), for the m clips that can be split."""


@dataclass
class Evidence:
    """Everything a claim may look at.

    panels     by corpus
    predicted  by column, (n, K), rows without a prediction uniform
    failed     by column, how many of its rows had none
    """

    panels: Mapping[str, Panel]
    predicted: Mapping[Key, Array]
    failed: Mapping[Key, int] = field(default_factory=dict)
    _known: dict[tuple[Key, str], Array] = field(default_factory=dict, repr=False)

    def loss(self, key: Key, name: str) -> Array:
        """A loss of a column, one row per utterance; evaluated once."""
        if (key, name) not in self._known:
            self._known[key, name] = LOSSES[name](self.panels[key.corpus], self.predicted[key])
        return self._known[key, name]

    def tempered_levels(self, key: Key) -> Array:
        """`levels` of a column after tempering on the other speakers; never of a changed column."""
        if (key, "tempered") not in self._known:
            panel = self.panels[key.corpus]
            if len(set(panel.kept_clusters)) < 2:
                raise Untestable("one cluster: nothing varies between clusters")
            kept = panel.split.kept
            flat = tempered(panel.counts[kept], self.predicted[key][kept], panel.kept_clusters)
            self._known[key, "tempered"] = panel.split.error(flat)
        return self._known[key, "tempered"]

    @cached_property
    def heard(self) -> dict[tuple[str, str], str]:
        """By (corpus, model): "" if the model was shown to hear the clips, else why not.

        Shown: without the clip JS of `greedy` is higher, by the jackknife, after Holm over all
        (model, corpus) of the run.
        """
        names: list[tuple[str, str]] = []
        worse: dict[str, list[Array]] = {}
        for corpus, model in sorted({(key.corpus, key.model) for key in self.predicted}):
            with_clip, without = (
                Key(corpus, model, REFERENCE),
                Key(corpus, model, REFERENCE, CONTROL),
            )
            if with_clip in self.predicted and without in self.predicted:
                names.append((corpus, model))
                apart = self.loss(without, "js") - self.loss(with_clip, "js")
                worse.setdefault(corpus, []).append(apart)
        estimates = [
            one
            for corpus, columns in worse.items()
            for one in means_of(np.stack(columns, axis=1), self.panels[corpus].clusters)
        ]
        adjusted = holm([one.p for one in estimates])
        reasons = {
            (key.corpus, key.model): f"the run has no control {CONTROL} of {REFERENCE}"
            for key in self.predicted
        }
        for name, one, p in zip(names, estimates, adjusted.tolist(), strict=True):
            shown = one.value > 0 and p < ALPHA
            reasons[name] = (
                "" if shown else f"not shown to hear: {CONTROL} is not shown to be worse"
            )
        return reasons


def mean_of(values: Array, clusters: Sequence[str]) -> jackknife.Estimate:
    """The mean of one number per utterance, with its jackknife interval. All 0: bounds 0 and p
    1.
    """
    return means_of(values[:, None], clusters)[0]


def means_of(values: Array, clusters: Sequence[str]) -> list[jackknife.Estimate]:
    """`mean_of` of every column of values (n, M)."""
    (sums, whole), sizes = cluster_sums_and_total(values, clusters), jackknife.sizes(clusters)
    counts = np.array(sizes, dtype=np.float64)
    estimates = []
    for own, total, column in zip(sums.T, whole.tolist(), values.T, strict=True):
        parts = np.stack([own, counts], axis=1)
        one = jackknife.from_sums(parts, sizes, np.array([total, counts.sum()]), _mean)
        if one.reason == jackknife.NO_SPREAD and not np.any(column):
            one = one._replace(se=0.0, low=0.0, high=0.0, p=1.0, reason="")
        estimates.append(one)
    return estimates


def _mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def uniform_where_failed(predicted: Array) -> tuple[Array, int]:
    """Predictions (n, K) with rows of NaN made uniform, and how many there were. The same array
    where there are none.
    """
    failed: NDArray[np.bool_] = np.any(np.isnan(predicted), axis=1)
    if not failed.any():
        return predicted, 0
    return np.where(failed[:, None], 1 / predicted.shape[1], predicted), int(failed.sum())


def best_and_worst(panel: Panel) -> tuple[Array, Array]:
    """The answers that help and hurt most: the truth, and all on the label with the fewest
    votes.
    """
    worst = np.eye(panel.truth.shape[1])[panel.truth.argmin(axis=1)]
    return panel.truth, worst


class Changed(Evidence):
    """Evidence with some answers changed to the best or the worst there could be."""

    def __init__(
        self,
        base: Evidence,
        best: Evidence,
        worst: Evidence,
        to_worst: Mapping[Key, Array],
        masks: Mapping[Key, Array],
    ) -> None:
        super().__init__(base.panels, base.predicted, base.failed)
        self.base, self.best, self.worst, self.to_worst, self.masks = (
            base,
            best,
            worst,
            to_worst,
            masks,
        )

    def loss(self, key: Key, name: str) -> Array:
        if key not in self.masks:
            return self.base.loss(key, name)
        mask, worse = self.masks[key], self.to_worst[key]
        if name == "levels":
            kept = self.panels[key.corpus].split.kept
            mask, worse = mask[kept][:, None], worse[kept][:, None]
        other = np.where(worse, self.worst.loss(key, name), self.best.loss(key, name))
        return np.where(mask, other, self.base.loss(key, name))

    def tempered_levels(self, key: Key) -> Array:
        return self.base.tempered_levels(key)


def extremes(base: Evidence, keys: Sequence[Key]) -> tuple[Evidence, Evidence]:
    """The evidence if every answer of these columns were the best, and the worst."""
    sides = [dict(base.predicted), dict(base.predicted)]
    for key in keys:
        for side, answers in zip(sides, best_and_worst(base.panels[key.corpus]), strict=True):
            side[key] = answers
    return Evidence(base.panels, sides[0]), Evidence(base.panels, sides[1])


__all__ = [
    "CONTROL",
    "LOSSES",
    "POOL",
    "REFERENCE",
    "Changed",
    "Evidence",
    "Key",
    "Panel",
    "Untestable",
    "extremes",
    "mean_of",
    "means_of",
]
