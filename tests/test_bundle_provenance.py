"""The RO-Crate and the in-toto statement are functions of the bundle's files, and speak of exactly
those.
"""

import json

import bundle_real as real
import pytest

from ambiemo.bundle import bag
from ambiemo.bundle.provenance import crate, provenance, statement
from ambiemo.bundle.verify import verify
from ambiemo.durable import sha256

EPOCH = {"SOURCE_DATE_EPOCH": "1770000000"}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return real.files()


def graph(files: dict[str, bytes], environment: dict[str, str]) -> dict[str, dict]:
    return {one["@id"]: one for one in json.loads(crate(files, environment))["@graph"]}


def test_every_table_is_a_subject_with_its_own_hash(files: dict[str, bytes]) -> None:
    said = json.loads(statement(files))
    assert {one["name"]: one["digest"]["sha256"] for one in said["subject"]} == {
        path: sha256(data) for path, data in files.items() if path.startswith("tables/")
    }
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )


def test_the_source_tree_the_models_and_the_corpora_are_dependencies(
    files: dict[str, bytes],
) -> None:
    machine = {"source": {"version": "1", "tree": f"swh:1:dir:{'a' * 40}", "clean": True}}
    models = {
        "hub": {"weights": "some/model", "revision": "b" * 40},
        "api": {"weights": "gpt", "revision": "2024-11-20"},
        "tiny": {"weights": "package", "revision": "c" * 64},
    }
    corpora = {"crema-d": {"sources": [["votes.csv", "d" * 64]]}}
    changed = {
        "env/machine.json": machine,
        "inputs/models.json": models,
        "inputs/corpora.json": corpora,
    }
    said = statement(
        {**files, **{path: json.dumps(value).encode() for path, value in changed.items()}}
    )
    found = json.loads(said)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [one.get("digest") for one in found] == [
        {"gitTree": "a" * 40},
        None,  # an API's snapshot name is no hash, and is not passed off as one
        {"gitCommit": "b" * 40},
        {"sha256": "c" * 64},
        {"sha256": "d" * 64},
    ]


def test_the_crate_describes_every_file_by_size_and_hash(files: dict[str, bytes]) -> None:
    entities = graph(files, EPOCH)
    assert {one["@id"] for one in entities["./"]["hasPart"]} == set(files)
    for path, data in files.items():
        assert (entities[path]["contentSize"], entities[path]["sha256"]) == (
            str(len(data)),
            sha256(data),
        )


def test_every_reference_inside_the_crate_leads_somewhere(files: dict[str, bytes]) -> None:
    entities = graph(files, EPOCH)

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["@id"]} if set(value) == {"@id"} else set()
            return own.union(*(references(one) for one in value.values()))
        return (
            set().union(*(references(one) for one in value)) if isinstance(value, list) else set()
        )

    assert references(list(entities.values())) - set(entities) == {"https://w3id.org/ro/crate/1.1"}


def test_what_was_given_and_what_was_made_do_not_overlap(files: dict[str, bytes]) -> None:
    run = graph(files, EPOCH)["#run"]
    given, made = ({one["@id"] for one in run[side]} for side in ("object", "result"))
    assert "config/plan.yaml" in given
    assert "tables/results.csv" in made
    assert not given & made


def test_the_date_is_that_of_the_source_and_never_invented(files: dict[str, bytes]) -> None:
    assert graph(files, EPOCH)["./"]["datePublished"] == "2026-02-02"
    assert "datePublished" not in graph(files, {})["./"]


def test_the_same_files_in_another_order_give_the_same_bytes(files: dict[str, bytes]) -> None:
    assert provenance(files, EPOCH) == provenance(dict(reversed(files.items())), EPOCH)


def test_a_bundle_with_provenance_holds_and_a_stale_one_is_named(
    files: dict[str, bytes], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "SOURCE_DATE_EPOCH", EPOCH["SOURCE_DATE_EPOCH"]
    )  # bag-info.txt and crate have one date
    whole = {**files, **provenance(files, EPOCH)}
    bag.write(tmp_path / "whole", whole, {})
    assert verify(tmp_path / "whole") == []
    bag.write(
        tmp_path / "stale", {**whole, "log/failures.csv": b"another", "README.md": b"another"}, {}
    )
    found = {
        finding.file for finding in verify(tmp_path / "stale") if finding.check == "provenance"
    }
    assert found == {
        "data/provenance/statement.json, log/failures.csv",
        "data/ro-crate-metadata.json, log/failures.csv",
        "data/ro-crate-metadata.json, README.md",
    }
