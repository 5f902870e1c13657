"""`gains.csv`: what the gain of each strategy with several candidates consists of.

One row per corpus, model and strategy, with the clip. The unit is bits of the Jensen-Shannon
divergence, over the utterances with a greedy answer, a parsed candidate and the strategy's
prediction; negative is better. `metrics.decomposition` has the formulas.

What `choice` means depends on the strategy: which candidate wins (best), how the scores weigh them
(weighted_mean), that and the smoothing of every candidate by c and epsilon (dirichlet_mixture), or
voting with the largest label instead of averaging distributions (vote_share). It is 0 for
linear_pool by construction.
"""

import numpy as np

from ambiemo.jsonlines import Row
from ambiemo.metrics.decomposition import PARTS, decompose, realised
from ambiemo.results.evidence import Evidence
from ambiemo.results.tables.estimates import first_with_value, sizes, unknown, wide
from ambiemo.strategies.weighing import weights_of

GREEDY = "greedy"
NO_GREEDY = "the plan has no greedy answer of this model"
NO_SCORES = "no scores: every candidate weighs alike"
ALL_ALIKE = "all candidates of every clip are equally good: choosing can win nothing"


def gain_rows(evidence: Evidence) -> list[Row]:
    """One row per strategy with two or more candidates."""
    truth, clusters = evidence.truths.truth, evidence.clusters
    greedy = evidence.by_strategy.get(GREEDY)
    rows: list[Row] = []
    for cell in evidence.cells():
        asked = evidence.of_cell(cell)
        count = asked.there.shape[1]
        if count < 2:
            continue
        column = evidence.by_strategy[cell.strategy.name]
        pool = asked.distributions[evidence.rows]
        weights = weights_of(cell.strategy, asked, evidence.settings)[evidence.rows]
        # Without greedy the strategy stands in for it, so that the other parts exist.
        reference = (greedy or column).predicted
        parts = decompose(truth, reference, pool, weights, column.predicted)
        estimates = clusters.means({name: getattr(parts, name) for name in PARTS})
        estimates |= clusters.means({"mean_single": parts.single, "linear_pool": parts.pool})
        estimates |= clusters.means({"oracle": parts.oracle, "regret": parts.regret})
        known = ~np.isnan(parts.total)
        estimates["realised"] = clusters.of(parts.realised_statistics(), known, realised)
        if estimates["realised"].reason == "the value is not estimable":
            estimates["realised"] = estimates["realised"]._replace(reason=ALL_ALIKE)
        estimates["effective_candidates"] = clusters.mean(parts.effective)
        estimates["ties"] = clusters.mean(parts.tied)
        if cell.strategy.scorer is None:
            estimates["ties"] = unknown(NO_SCORES)
        if greedy is None:
            estimates |= {name: unknown(NO_GREEDY) for name in ("decoding", "total")}
        rows.append(
            {
                **evidence.name,
                "strategy": cell.strategy.name,
                "candidates": count,
                **sizes(first_with_value(estimates.values())),
                "left_out": int((~known).sum()),
                **wide(estimates),
            }
        )
    return rows
