"""The files of a bundle that say what a run was given: models, corpora, prompts, what was missing,
the machine.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ambiemo import __version__, models
from ambiemo.bundle.contents import FORMAT
from ambiemo.bundle.environment import machine
from ambiemo.bundle.shipped import readme, verifier
from ambiemo.errors import shown
from ambiemo.jsonlines import document
from ambiemo.plan.expand import Expanded, Missing
from ambiemo.plan.schema import Plan, StrategyEntry
from ambiemo.results.claims.reading import fingerprint, packaged


def input_files(expanded: Expanded, limit: int | None) -> dict[str, bytes]:
    """Files by path below `data/`. All but `env/machine.json` are a function of plan, inputs and
    answers.
    """
    files = {
        "inputs/models.json": document(model_rows(expanded.plan)),
        "inputs/corpora.json": document(
            {
                name: {
                    "counts": corpus.counts,
                    "options": corpus.options,
                    "sources": [list(s) for s in corpus.sources],
                }
                for name, corpus in expanded.corpora.items()
            }
        ),
        "config/run.json": document(
            {
                "format": FORMAT,
                "ambiemo": __version__,
                "limit": limit,
                "missing": [_missing(expanded, item) for item in expanded.missing],
                "partial": limit is not None or bool(expanded.missing),
                "claims_sha256": fingerprint(),
            }
        ),
        "config/claims.yaml": packaged(),
        "env/machine.json": document(machine()),
        "README.md": readme(expanded.plan.name).encode("utf-8"),
        "verify.py": verifier(),
    }
    asked = prompts_of(expanded.plan.strategies)
    for name, spec in expanded.specs.items():
        for prompt in sorted(asked):
            files[f"config/prompts/{name}/{prompt}.txt"] = (
                models.prompt(spec, prompt) + "\n"
            ).encode("utf-8")
    return files


def prompts_of(entries: Iterable[StrategyEntry]) -> set[str]:
    """The prompts that strategies ask by, and those that their candidates are judged by."""
    rows = [entry.row() for entry in entries]
    return {row.prompt for row in rows} | {row.judge for row in rows if row.judge} | {"verifier"}


def _missing(expanded: Expanded, item: Missing) -> dict[str, str]:
    """What was missing, without the path of a folder that the plan names outright, as it describes
    one machine.
    """
    fields = asdict(item)
    for entry in expanded.plan.corpora:
        if entry.root and not entry.root.startswith("${"):
            for path in {
                entry.root,
                os.path.expanduser(entry.root),
                os.path.realpath(os.path.expanduser(entry.root)),
            } - {"/"}:
                fields["what"] = fields["what"].replace(
                    path.rstrip("/"), f"<the folder of {entry.id}>"
                )
    fields["what"] = shown(fields["what"], 2000)
    return fields


def model_rows(plan: Plan) -> dict[str, Any]:
    """What inputs/models.json says of each model that a plan asks, by id: its specification,
    without its server's address or the folder of the user's own weights.
    """
    rows = {}
    for entry in plan.asked_models:
        spec = entry.portable().spec()
        row = spec.model_dump(mode="json", exclude={"base_url"})
        row["capabilities"] = sorted(row["capabilities"])
        rows[entry.id] = row | {
            "revision": spec.revision,
            "engine": entry.engine or spec.engines[0],
        }
    return rows
