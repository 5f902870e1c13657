"""Where a bundle's tables come from, in two forms that other tools read: an RO-Crate and an in-toto
statement.

Both are functions of the bundle's other files. RO-Crate 1.1 with Process Run Crate 0.5:
rocrate-validator 0.13.0 knows no newer profile, and that one builds on 1.1. in-toto Statement v1
with SLSA provenance v1: the subjects are the tables, the dependencies are the source tree, the
models and the corpora, each by its own kind of hash.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from ambiemo import __version__
from ambiemo.bundle.bag import bagging_date
from ambiemo.bundle.folder import Files, as_files

HOME = "https://arxiv.org/abs/2602.03873"
LICENCE = "https://spdx.org/licenses/Apache-2.0"
CRATE = "https://w3id.org/ro/crate/1.1"
PROCESS = "https://w3id.org/ro/wfrun/process/0.5"
SHA256_TERM = "https://w3id.org/ro/terms/workflow-run#sha256"
"""All that a crate needs of the terms of workflow runs, so that their own context (RO-Crate's and
eight terms) need not be fetched in addition to RO-Crate's.
"""
SOFTWARE = f"urn:ambiemo:{__version__}"
INSTRUMENT = f"{HOME}#ambiemo-{__version__}"
"""The package in the RO-Crate: a SoftwareApplication should have an absolute URI."""
RUN_TYPE = "urn:ambiemo:run:v1"
MEDIA_TYPES = {
    "csv": "text/csv",
    "gz": "application/gzip",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md": "text/markdown",
    "py": "text/x-python",
    "txt": "text/plain",
    "yaml": "application/yaml",
}
RESULTS = ("predictions/", "tables/")
"""What the run made; everything under config/ and inputs/ is what it was given."""
GIVEN = ("config/", "inputs/")


def provenance(
    files: Mapping[str, bytes], environment: Mapping[str, str] = os.environ
) -> dict[str, bytes]:
    """The two files, by path below `data/`, to add to `files` (all others of the bundle, by the
    same kind of path).
    """
    known = as_files(files)
    statement_file = {"provenance/statement.json": statement(known)}
    whole = Files({**known.places, **statement_file})
    return {**statement_file, "ro-crate-metadata.json": crate(whole, environment)}


def statement(files: Mapping[str, bytes]) -> bytes:
    """in-toto Statement v1 with SLSA provenance v1 as predicate, unsigned; subjects are all files
    under `tables/`.
    """
    return document(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                resource(path, files) for path in sorted(files) if path.startswith("tables/")
            ],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": RUN_TYPE,
                    "externalParameters": {
                        "plan": resource("config/plan.yaml", files),
                        "run": parsed(files, "config/run.json"),
                    },
                    "internalParameters": {"environment": resource("env/machine.json", files)},
                    "resolvedDependencies": [*source_tree(files), *models(files), *corpora(files)],
                },
                "runDetails": {
                    "builder": {"id": SOFTWARE, "version": {"ambiemo": __version__}},
                    "byproducts": [
                        resource(path, files)
                        for path in sorted(files)
                        if path.startswith(("answers/", "scores/", "predictions/", "log/"))
                    ],
                },
            },
        }
    )


def resource(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """A file of the bundle as an in-toto resource descriptor."""
    return {"name": path, "digest": {"sha256": as_files(files).sha256(path)}}


def parsed(files: Mapping[str, bytes], path: str) -> Any:
    """A JSON file of the bundle, {} where it is not there."""
    return json.loads(files.get(path, b"{}"))


def source_tree(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The package's source: by git tree where it ran from a checkout, else by the hash over its
    Python files.
    """
    source = parsed(files, "env/machine.json").get("source", {})
    if source.get("tree"):
        clean = {"annotations": {"clean": source["clean"]}}
        return [
            {
                "uri": source["tree"],
                "digest": {"gitTree": source["tree"].rsplit(":", 1)[1]},
                **clean,
            }
        ]
    if source.get("python_files_sha256"):
        return [
            {
                "name": f"ambiemo {source['version']}",
                "digest": {"sha256": source["python_files_sha256"]},
            }
        ]
    return []


def models(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The models by their pinned revisions: a git commit of their weights where it is one, else an
    annotation.
    """
    dependencies = []
    for name, model in sorted(parsed(files, "inputs/models.json").items()):
        revision = model.get("revision") or ""
        dependency: dict[str, Any] = {
            "name": f"model {name}",
            "annotations": {"weights": model.get("weights"), "revision": revision},
        }
        if len(revision) in (40, 64) and set(revision) <= set("0123456789abcdef"):
            dependency["digest"] = {"gitCommit" if len(revision) == 40 else "sha256": revision}
        dependencies.append(dependency)
    return dependencies


def corpora(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The files that each corpus' utterances and votes were read from."""
    return [
        {"name": f"corpus {name}: {path}", "digest": {"sha256": digest}}
        for name, corpus in sorted(parsed(files, "inputs/corpora.json").items())
        for path, digest in sorted(corpus.get("sources", []))
    ]


def crate(files: Mapping[str, bytes], environment: Mapping[str, str] = os.environ) -> bytes:
    """ro-crate-metadata.json over all other files of the bundle.

    Its date is that of SOURCE_DATE_EPOCH. RO-Crate asks for one; if that is not set, there is none
    rather than an invented one.
    """
    import yaml

    known = as_files(files)
    plan = yaml.safe_load(files["config/plan.yaml"])
    date = bagging_date(environment).get("Bagging-Date")
    given = [path for path in sorted(files) if path.startswith(GIVEN)]
    results = [path for path in sorted(files) if path.startswith(RESULTS)]
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"ambiemo bundle {plan['name']}",
        "description": plan.get("title")
        or f"Answers, predictions and tables of the plan {plan['name']}",
        "license": {"@id": LICENCE},
        "conformsTo": {"@id": PROCESS},
        "hasPart": [{"@id": path} for path in sorted(files)],
        "mentions": {"@id": "#run"},
        "author": {"@id": "#contributors"},
        "publisher": {"@id": "#contributors"},
        **({"datePublished": date} if date else {}),
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"ambiemo run of the plan {plan['name']}",
        "description": "Drew answers from the models, made predictions and tables of them. env/machine.json says on what.",
        "instrument": {"@id": INSTRUMENT},
        "object": [{"@id": path} for path in given],
        "result": [{"@id": path} for path in results],
        "agent": {"@id": "#contributors"},
        "actionStatus": "http://schema.org/CompletedActionStatus",
        **({"endTime": date} if date else {}),
    }
    return document(
        {
            "@context": [f"{CRATE}/context", {"sha256": SHA256_TERM}],
            "@graph": [
                {
                    "@id": "ro-crate-metadata.json",
                    "@type": "CreativeWork",
                    "conformsTo": {"@id": CRATE},
                    "about": {"@id": "./"},
                },
                root,
                run,
                {
                    "@id": INSTRUMENT,
                    "@type": "SoftwareApplication",
                    "name": "ambiemo",
                    "description": "Reproduction package of arXiv 2602.03873",
                    "softwareVersion": __version__,
                    "url": HOME,
                },
                {"@id": "#contributors", "@type": "Organization", "name": "ambiemo contributors", "url": HOME},
                {"@id": LICENCE, "@type": "CreativeWork", "name": "Apache License 2.0", "identifier": "Apache-2.0",
                 "description": "of what the package wrote; answers and votes: see README.md"},
                {"@id": PROCESS, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
                *(file_entity(path, known) for path in sorted(files)),
            ],
        }
    )  # fmt: skip


def file_entity(path: str, files: Files) -> dict[str, Any]:
    """A file of the bundle as an RO-Crate data entity."""
    kind = MEDIA_TYPES.get(path.rsplit(".", 1)[-1], "text/plain")
    return {
        "@id": path,
        "@type": "File",
        "name": path,
        "encodingFormat": kind,
        "contentSize": str(files.size(path)),
        "sha256": files.sha256(path),
    }


def document(value: Any) -> bytes:
    """Indented JSON in the order given."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
