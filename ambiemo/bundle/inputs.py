"""The files of a bundle that say what a run was given: models, corpora, prompts, what was missing, the machine."""

from dataclasses import asdict

from ambiemo import __version__, models
from ambiemo.bundle.contents import FORMAT
from ambiemo.bundle.environment import machine
from ambiemo.bundle.shipped import readme, verifier
from ambiemo.jsonlines import document
from ambiemo.plan.expand import Expanded
from ambiemo.results.claims.reading import fingerprint, packaged


def input_files(expanded: Expanded, limit: int | None) -> dict[str, bytes]:
    """Files by path below `data/`. All but `env/machine.json` are a function of plan, inputs and answers."""
    files = {
        "inputs/models.json": document({name: _model(expanded, name) for name in expanded.specs}),
        "inputs/corpora.json": document(
            {
                name: {"counts": corpus.counts, "options": corpus.options, "sources": [list(s) for s in corpus.sources]}
                for name, corpus in expanded.corpora.items()
            }
        ),
        "config/run.json": document(
            {
                "format": FORMAT,
                "ambiemo": __version__,
                "limit": limit,
                "missing": [asdict(item) for item in expanded.missing],
                "partial": limit is not None or bool(expanded.missing),
                "claims_sha256": fingerprint(),
            }
        ),
        "config/claims.yaml": packaged(),
        "env/machine.json": document(machine()),
        "README.md": readme(expanded.plan.name).encode("utf-8"),
        "verify.py": verifier(),
    }
    asked = {entry.row().prompt for entry in expanded.plan.strategies} | {"verifier"}
    for name, spec in expanded.specs.items():
        for prompt in sorted(asked):
            files[f"config/prompts/{name}/{prompt}.txt"] = (models.prompt(spec, prompt) + "\n").encode("utf-8")
    return files


def _model(expanded: Expanded, name: str) -> dict:
    spec = expanded.specs[name]
    said = spec.model_dump(mode="json", exclude={"base_url"})
    said["capabilities"] = sorted(said["capabilities"])
    return said | {"revision": spec.revision, "engine": expanded.engine(name)}
