"""What a reader must know of a bundle in addition to its verdict: how many utterances, what failed,
what was left out, what was believed.
"""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ambiemo.bundle.contents import parsed
from ambiemo.bundle.folder import payload
from ambiemo.bundle.public import unknown
from ambiemo.errors import shown
from ambiemo.jsonlines import strict
from ambiemo.limits import parse_yaml
from ambiemo.plan.schema import Plan, check

SETTINGS = ("sampling", "max_tokens", "weights", "dirichlet", "ambiguity", "bootstrap")
"""Parts of a plan that move numbers and have a default."""


@dataclass(frozen=True)
class Facts:
    """Of a bundle that holds: counts, the limit (None: none), what was missing, settings that are
    not the defaults, what was believed.

    believed: by corpus, what no check here can know.
    """

    utterances: int
    failed_predictions: int
    limit: int | None
    missing: tuple[str, ...]
    settings: tuple[str, ...]
    believed: dict[str, str]

    def line(self) -> str:
        """The end of the verdict's line."""
        missing = ", ".join(self.missing) or "nothing"
        limit = "none" if self.limit is None else f"{self.limit} utterances of each corpus"
        return f"{self.utterances:,} utterances, {self.failed_predictions:,} failed predictions, limit: {limit}, missing: {missing}"

    def notes(self) -> list[str]:
        """Lines before the verdict."""
        lines = [f"not at its default: {', '.join(self.settings)}"] if self.settings else []
        return lines + [f"believed of {name}: {what}" for name, what in self.believed.items()]

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def facts(folder: Path) -> Facts:
    """The facts of a bundle that was verified: its files are taken as they are."""
    files = payload(folder)
    run, described = (
        parsed(path, files, strict) for path in ("config/run.json", "inputs/corpora.json")
    )
    plan = check(parsed("config/plan.yaml", files, parse_yaml), "data/config/plan.yaml")
    rows = csv.DictReader(io.StringIO(files["tables/results.csv"].decode("utf-8"), newline=""))
    limits = [n for n in (run["limit"], *(entry.limit for entry in plan.corpora)) if n is not None]
    return Facts(
        utterances=files["inputs/utterances.jsonl"].count(b"\n"),
        failed_predictions=sum(int(row["failed"]) for row in rows if row["level"] == "all"),
        limit=min(limits, default=None),
        missing=tuple(f"{one['kind']} {shown(one['id'], 60)}" for one in run["missing"]),
        settings=tuple(_settings(plan)),
        believed={
            entry.id: what
            for entry in plan.corpora
            if entry.id in described and (what := unknown(entry, described[entry.id]))
        },
    )


def _settings(plan: Plan) -> list[str]:
    settings = []
    for part in SETTINGS:
        value, default = (
            getattr(plan, part).model_dump(),
            type(plan).model_fields[part].default.model_dump(),
        )
        settings += [
            f"{part}.{key} {shown(json.dumps(value[key]), 80)}"
            for key in value
            if value[key] != default[key]
        ]
    for entry in plan.strategies:
        base, own = entry.row(), (entry.tau, entry.concentration, entry.epsilon)
        if entry.base != entry.name and any(value is not None for value in own):
            settings.append(
                f"{entry.name} (of {entry.base}) {', '.join(f'{k} {v:g}' for k, v in base.own.items() if v is not None)}"
            )
    return settings
