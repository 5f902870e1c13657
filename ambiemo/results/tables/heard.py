"""`heard.csv`: was the clip heard? One row per control, compared with its strategy; a bundle has the
table only where the plan has controls.
"""

import math
from collections.abc import Sequence

import numpy as np

from ambiemo.jsonlines import Row
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.results.predictions import Column
from ambiemo.results.tables.csv_form import mean_of
from ambiemo.results.tables.families import CALLED, holm_of, too_few
from ambiemo.results.truths import ALL, Truths

SAME = 1e-9
"""Shares that are closer are the same answer."""


def heard_rows(truths: Truths, columns: Sequence[Column], differences: Sequence[Row]) -> list[Row]:
    """Was the clip heard? One row per control: how much worse the answers are without the clip.

    `difference` is JS under the control minus JS with the clip, on the utterances that have both,
    with interval and p as in `paired.csv`. `p_holm` is over all controls of the model on the
    corpus.
    `unchanged` is the share of answers that the control did not change.
    `heard` is "yes" where the difference is above 0, p_holm is below .05, and the interval, where
    there is one, lies above 0; "no" where no answer changed (nor failed on one side only, which is
    a change too); else "not shown". `reason` says why there is no interval, or that no p could have
    been small enough.
    """
    by_name = {column.name: column for column in columns}
    rows: list[Row] = []
    cells = [
        row
        for row in differences
        if row["b_control"] != NO_CONTROL
        and (row["level"], row["metric"]) == (ALL, "js_divergence_bits")
    ]
    adjusted = holm_of([row["p"] for row in cells], len(cells))
    for cell, p_holm in zip(cells, adjusted, strict=True):
        own = by_name[(cell["corpus"], cell["model"], cell["a"], NO_CONTROL)]
        without = by_name[(cell["corpus"], cell["model"], cell["b"], cell["b_control"])]
        both, one_failed = (
            own.has_prediction & without.has_prediction,
            own.has_prediction ^ without.has_prediction,
        )
        truth = truths.truth[both]
        apart = np.abs(own.predicted[both] - without.predicted[both]).max(axis=1, initial=0.0)
        unchanged = mean_of((apart <= SAME).astype(float))
        clip, control = (
            mean_of(js_divergence_bits(truth, one.predicted[both])) for one in (own, without)
        )
        heard = "not shown"
        if -cell["difference"] > 0 and p_holm < CALLED and not -cell["high"] <= 0:
            heard = "yes"
        elif unchanged == 1 and not one_failed.any():
            heard = "no"
        rows.append(
            {
                "corpus": own.corpus,
                "model": own.model,
                "strategy": own.strategy,
                "control": without.control,
                "n": int(both.sum()),
                "failed_clip": int((~own.has_prediction).sum()),
                "failed_control": int((~without.has_prediction).sum()),
                "speakers": cell["speakers"],
                "g_eff": cell["g_eff"],
                "js_bits_with_clip": clip,
                "js_bits_under_control": control,
                "difference": -cell["difference"],
                "low": -cell["high"],
                "high": -cell["low"],
                "method": cell["method"],
                "p": cell["p"],
                "p_method": cell["p_method"],
                "p_holm": p_holm,
                "detectable": cell["detectable"],
                "unchanged": unchanged,
                "heard": heard,
                "reason": (cell["reason"] if math.isnan(cell["low"]) else "")
                or too_few(cell["speakers"], len(cells), "controls"),
            }
        )
    return rows
