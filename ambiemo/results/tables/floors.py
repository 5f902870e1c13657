"""`floors.csv`: how good a number can look, and numbers that do not depend on how many raters there
were. One row per corpus, model, strategy and quantity, with the clip.

Rows of model `baselines` without a strategy are the corpus' own: what a second panel of so many
raters would score, what one rater would, and the best accuracy that ties allow. The strategy
`prior_without_speaker` is the mean of the other speakers (also where the plan does not name it as a
baseline), and `true_distribution` is what made the votes of the embedded corpus: a perfect model.
`metrics.floors` has the formulas.

Numbers are over the utterances that have a prediction.
"""

from collections.abc import Iterator

import numpy as np

from ambiemo.corpora.known_truth import known_truth
from ambiemo.jsonlines import Row
from ambiemo.metrics import floors
from ambiemo.metrics.arithmetic import Array
from ambiemo.metrics.classification import confusion_statistics
from ambiemo.metrics.distribution import brier, js_divergence_bits
from ambiemo.metrics.jackknife import Estimate
from ambiemo.results.evidence import Evidence
from ambiemo.results.tables.estimates import Bools, long, unknown

LEFT_OUT_PRIOR = "prior_without_speaker"
TRUE = "true_distribution"
ONE_SPEAKER = "one speaker: there is no other to make a prior of"
NOTHING_TO_EXPLAIN = "the prior that leaves the speaker out has no error to explain"
NO_PREDICTION = "no utterance has a prediction"

Quantity = tuple[str, Estimate]


def floor_rows(evidence: Evidence) -> list[Row]:
    """One row per strategy and quantity; those of the unit `baselines` begin with the corpus'
    own."""
    floor = _Floor(evidence)
    rows = list(_corpus_rows(evidence, floor)) if not evidence.candidates else []
    for column in evidence.by_strategy.values():
        known = column.has_prediction
        predicted = np.where(known[:, None], column.predicted, np.nan)
        rows += floor.rows(column.strategy, predicted)
    return rows


def _corpus_rows(evidence: Evidence, floor: "_Floor") -> Iterator[Row]:
    votes, clusters = evidence.truths.votes, evidence.clusters
    if evidence.no_panels:
        nothing = unknown(evidence.no_panels)
        yield floor.row("", "second_panel_js_bits", nothing)
        yield floor.row("", "leave_one_rater_out_accuracy", nothing)
    else:
        for size, values in floors.second_panel_curve(votes).items():
            yield floor.row("", "second_panel_js_bits", clusters.mean(values), size)
        one = clusters.mean(floors.leave_one_rater_out_accuracy(votes))
        yield floor.row("", "leave_one_rater_out_accuracy", one)
    best = clusters.mean(floors.best_accuracy(evidence.truths.truth))
    yield floor.row("", "best_accuracy", best)
    for name, predicted in ((LEFT_OUT_PRIOR, floor.prior), (TRUE, floor.true)):
        if predicted is not None and name not in evidence.by_strategy:
            raw = clusters.mean(js_divergence_bits(evidence.truths.truth, predicted))
            yield floor.row(name, "js_divergence_bits", raw)
            yield from floor.rows(name, predicted)


class _Floor:
    """What the rows of one corpus have in common."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        truths, corpus = evidence.truths, evidence.unit[1]
        several = len(evidence.clusters.names) > 1
        self.prior = (
            floors.prior_leave_cluster_out(truths.truth, truths.speakers) if several else None
        )
        labels = evidence.study.labels[corpus]
        self.true = known_truth(corpus, labels, truths.ids, truths.clips)
        self._of_prior: Array | None = None
        if self.prior is not None and not evidence.no_panels:
            self._of_prior = floors.brier_unbiased(truths.votes, self.prior)

    def row(self, strategy: str, quantity: str, estimate: Estimate, raters: int | str = "") -> Row:
        """One row; raters: the size of the second panel."""
        head = {"strategy": strategy, "quantity": quantity, "raters": raters}
        return {**self.evidence.name, **head, **long(estimate)}

    def rows(self, strategy: str, predicted: Array) -> list[Row]:
        """The rows of a strategy. predicted (n, K), NaN rows where there is no prediction."""
        return [
            self.row(strategy, name, estimate) for name, estimate in self._quantities(predicted)
        ]

    def _quantities(self, predicted: Array) -> Iterator[Quantity]:
        truths, clusters = self.evidence.truths, self.evidence.clusters
        known = np.asarray(~np.isnan(predicted).any(axis=1))
        votes, truth, given = truths.votes[known], truths.truth[known], predicted[known]

        def mean(values: Array) -> Estimate:
            estimate = clusters.mean(_spread(values, known))
            return estimate if known.any() else estimate._replace(reason=NO_PREDICTION)

        no_panels = self.evidence.no_panels
        if no_panels or not known.any():
            nothing = unknown(no_panels or NO_PREDICTION)
            yield "brier_unbiased", nothing
            yield "js_divergence_bits_vote_jackknife", nothing
            yield "skill", nothing
        else:
            ours = floors.brier_unbiased(votes, given)
            yield "brier_unbiased", mean(ours)
            yield (
                "js_divergence_bits_vote_jackknife",
                mean(floors.js_divergence_bits_vote_jackknife(votes, given)),
            )
            yield "skill", self._skill(_spread(ours, known))
        if known.any():
            yield "accuracy_untied", mean(floors.accuracy_untied(truth, given))
            yield "accuracy_any_tied", mean(floors.accuracy_any_tied(truth, given))
            parts = np.zeros((len(known), truth.shape[1] ** 2))
            parts[known] = confusion_statistics(truth, given)
            f1 = clusters.of(parts, known, floors.macro_f1_truth_labels)
            yield "macro_f1_truth_labels", f1
        else:
            for name in ("accuracy_untied", "accuracy_any_tied", "macro_f1_truth_labels"):
                yield name, unknown(NO_PREDICTION)
        if self.true is not None:
            true = self.true[known]
            yield "brier_to_true", mean(brier(true, given) if known.any() else np.zeros(0))
            yield (
                "js_divergence_bits_to_true",
                mean(js_divergence_bits(true, given) if known.any() else np.zeros(0)),
            )

    def _skill(self, ours: Array) -> Estimate:
        if self._of_prior is None:
            return unknown(ONE_SPEAKER, int((~np.isnan(ours)).sum()))
        both = np.stack([ours, self._of_prior], axis=1)
        known = np.asarray(~np.isnan(both).any(axis=1))
        estimate = self.evidence.clusters.of(
            np.where(known[:, None], both, 0.0), known, floors.skill
        )
        if estimate.reason == "the value is not estimable":
            return estimate._replace(reason=NOTHING_TO_EXPLAIN)
        return estimate


def _spread(values: Array, known: Bools) -> Array:
    """Values of the known utterances as one number per utterance (n,), NaN for the others."""
    spread = np.full(len(known), np.nan)
    spread[known] = values
    return spread
