"""`cells.csv`: every cell of the plan, what its strategy is made of, and why it was skipped."""

import math

from ambiemo.jsonlines import Row
from ambiemo.results.study import Study


def cell_rows(study: Study) -> list[Row]:
    """Every cell of the plan with what its strategy is made of, filled or skipped with the
    reason."""
    return [
        {
            "corpus": cell.corpus,
            "model": cell.model,
            "strategy": cell.strategy.name,
            "control": cell.control,
            **cell.strategy.parts,
            "count": cell.strategy.count,
            **{name: math.nan if one is None else one for name, one in cell.strategy.own.items()},
            "skipped": cell.skipped,
        }
        for cell in study.cells
    ]
