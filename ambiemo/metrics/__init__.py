"""Metrics: pure functions on arrays, and the one table that names them.

Every metric is a function of per-utterance statistics that add up: `value(sum of statistics(truth,
predicted))`. So a clustered bootstrap sums within clusters once and weighs those sums
(`inference`), and a table by ambiguity level needs no other code. docs/metrics.md tells what each
is, where it comes from and what it cannot tell. numpy only: no pandas, scipy, Ray or torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy.typing as npt

from ambiemo.errors import BadInput, nearest
from ambiemo.metrics.arithmetic import Array, totals
from ambiemo.metrics.calibration import ece, ece_statistics
from ambiemo.metrics.classification import (
    accuracy,
    confusion_statistics,
    macro_f1,
    uar,
    weighted_f1,
)
from ambiemo.metrics.distribution import (
    averaged,
    bhattacharyya,
    brier,
    determination_statistics,
    js_distance_nats,
    js_divergence_bits,
    kl_nats,
    mean,
    r2_determination,
    r2_pearson,
)

__all__ = ["METRICS", "Metric", "evaluate", "metric"]


@dataclass(frozen=True)
class Metric:
    """One metric: statistics (n, K), (n, K) -> (n, S) that add over utterances, and value (..., S)
    -> (...) of their sums.

    A value is NaN where it cannot be estimated (never 0) and infinite where it diverges. `source`
    names where it comes from with its grade (P read in a primary text or code, S second-hand, I our
    inference); `meaning` is one line for a table.
    """

    name: str
    statistics: Callable[[npt.ArrayLike, npt.ArrayLike], Array]
    value: Callable[[Array], Array]
    better: Literal["lower", "higher"]
    unit: str
    source: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "js_divergence_bits", averaged(js_divergence_bits), mean, "lower", "bits",
        "Lin 1991; variant of the code of 2601.14620 (P); which one 2602.03873 uses is not known",
        "Jensen-Shannon divergence, bits",
    ),
    Metric(
        "js_distance_nats", averaged(js_distance_nats), mean, "lower", "sqrt(nats)",
        "Endres and Schindelin 2003; variant of the code of 2409.18339 (P); which one 2602.03873 uses is not known",
        "Jensen-Shannon distance, nats",
    ),
    Metric(
        "bhattacharyya", averaged(bhattacharyya), mean, "higher", "",
        "Bhattacharyya 1943; 2602.03873 (S); code of 2409.18339 (P)",
        "Bhattacharyya coefficient",
    ),
    Metric(
        "r2_pearson", averaged(r2_pearson), mean, "higher", "",
        "code of 2409.18339 (P); constant rows left out (I)",
        "squared Pearson over classes",
    ),
    Metric(
        "r2_determination", determination_statistics, r2_determination, "higher", "",
        "code of 2601.14620 (P); emotions without variance left out (I)",
        "R2 per emotion over utterances",
    ),
    Metric(
        "ece_5", ece_statistics(5), ece, "lower", "",
        "Guo et al. 2017; 5 bins in the code of 2409.18339 (P); shared ties (I)",
        "calibration error, 5 bins",
    ),
    Metric(
        "ece_10", ece_statistics(10), ece, "lower", "",
        "Guo et al. 2017; 10 bins in the code of 2601.14620 (P); shared ties (I)",
        "calibration error, 10 bins",
    ),
    Metric(
        "accuracy", averaged(accuracy), mean, "higher", "",
        "2602.03873 against the majority vote (S); shared ties (I)",
        "top label equals the raters'",
    ),
    Metric(
        "macro_f1", confusion_statistics, macro_f1, "higher", "",
        "scikit-learn's f1_score(average='macro'); 2602.03873 has an F1 (S), which is not known; shared ties (I)",
        "F1, mean over labels",
    ),
    Metric(
        "weighted_f1", confusion_statistics, weighted_f1, "higher", "",
        "scikit-learn's f1_score(average='weighted'); 2602.03873 has an F1 (S), which is not known; shared ties (I)",
        "F1, weighted by raters' labels",
    ),
    Metric(
        "uar", confusion_statistics, uar, "higher", "",
        "usual in speech emotion; scikit-learn's balanced_accuracy_score; shared ties (I)",
        "recall, mean over raters' labels",
    ),
    Metric(
        "brier", averaged(brier), mean, "lower", "",
        "Brier 1950; 2603.08230 reports a Brier score (P), in this form by our reading (I)",
        "squared differences to truth",
    ),
    Metric(
        "kl_nats", averaged(kl_nats), mean, "lower", "nats",
        "Kullback and Leibler 1951; reported by us (I)",
        "KL(truth || prediction), nats",
    ),
)  # fmt: skip


def metric(name: str) -> Metric:
    """The metric of that name. Raises BadInput for an unknown one."""
    for row in METRICS:
        if row.name == name:
            return row
    raise BadInput(f"metric '{name}': unknown; {nearest(name, (row.name for row in METRICS))}")


def evaluate(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> dict[str, float]:
    """Every metric's value by name, in the order of METRICS; NaN where not estimable. truth and
    predicted (n, K), rows sum to 1.
    """
    return {row.name: float(row.value(totals(row.statistics(truth, predicted)))) for row in METRICS}
