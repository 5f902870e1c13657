"""The aggregate stage: Ray Data maps the strategies over cells of sampled answers. The mapped function is pure and lives in `results`."""

import pickle
from collections.abc import Iterable
from typing import Any

from ambiemo.results.evidence import Row
from ambiemo.results.predictions import Work, predict_cell


def aggregate(cells: Iterable[Work]) -> list[Row]:
    """Predictions of every cell, in no particular order."""
    import ray

    rows = [{"cell": pickle.dumps(cell)} for cell in cells]
    if not rows:
        return []
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(_predict, batch_size=1, num_cpus=1)
    return [row for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow") for row in _unpack(batch)]


def _predict(batch: Any) -> Any:  # {column: array} in and out; Ray's own type for it is a union that no function has
    return {"rows": [pickle.dumps(predict_cell(pickle.loads(cell))) for cell in batch["cell"]]}


def _unpack(batch: Any) -> Iterable[Row]:
    for rows in batch.column("rows").to_pylist():
        yield from pickle.loads(rows)
