"""Claims in a bundle: copied to the byte, fixed by hash, decided again by verify, compared by
compare.
"""

import csv
import io
import json

import bundle_real
import pytest

from ambiemo.bundle import bag
from ambiemo.bundle.claims_compared import claims_compared, claims_parts
from ambiemo.bundle.recomputing import recompute, tables_again
from ambiemo.durable import sha256
from ambiemo.errors import Broken
from ambiemo.jsonlines import document
from ambiemo.results.claims.reading import packaged


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_the_claims_are_copied_to_the_byte_and_their_hash_is_fixed() -> None:
    files = bundle_real.files()
    assert files["config/claims.yaml"] == packaged()
    assert json.loads(files["config/run.json"])["claims_sha256"] == sha256(packaged())


def test_verify_decides_them_again() -> None:
    files = bundle_real.whole()
    made = recompute(files)
    assert made["tables/claims.csv"] == files["tables/claims.csv"]
    assert made["config/claims.yaml"] == packaged()
    found = rows(files["tables/claims.csv"])
    assert {row["verdict"] for row in found if row["about"] == "paper"} == {"NOT TESTED"}
    assert {"E1a", "E1b", "E1c.bon", "E2b", "E4b"} <= {row["id"] for row in found}
    assert b"## Claims" in made["tables/results.md"]


def test_claims_that_were_changed_after_the_run_break_the_bundle() -> None:
    files = bundle_real.whole()
    eased = files["config/claims.yaml"].replace(b"tolerance: 0.005", b"tolerance: 0.5")
    with pytest.raises(
        Broken, match=r"data/config/claims\.yaml: found SHA-256 .* changed after the run"
    ):
        recompute({**files, "config/claims.yaml": eased})
    run = json.loads(files["config/run.json"]) | {"claims_sha256": sha256(eased)}
    forged = {**files, "config/claims.yaml": eased, "config/run.json": document(run)}
    assert recompute(forged)["config/claims.yaml"] != eased  # so verify finds it


def test_a_limited_run_decides_nothing() -> None:
    files = bundle_real.whole()
    run = json.loads(files["config/run.json"]) | {"limit": 10, "partial": True}
    found = rows(tables_again({**files, "config/run.json": document(run)})["tables/claims.csv"])
    assert {row["verdict"] for row in found} == {"NOT TESTED"}
    assert any("limited to 10 utterances" in row["reason"] for row in found)


def test_an_older_bundle_has_tables_but_no_claims_to_compare() -> None:
    files = {name: data for name, data in bundle_real.whole().items() if "claims" not in name}
    assert "tables/claims.csv" in tables_again(files)
    with pytest.raises(Broken, match=r"the second bundle has no claims"):
        claims_compared(bundle_real.whole(), files)


def test_two_bundles_side_by_side() -> None:
    files = bundle_real.whole()
    found = claims_compared(files, files)
    assert found.agree
    assert "0 differ" in found.summary
    table = files["tables/claims.csv"]
    other = {**files, "tables/claims.csv": table.replace(b",NOT TESTED,", b",HOLDS,", 1)}
    turned = claims_compared(files, other)
    assert not turned.agree
    assert [(line[0], line[-1]) for line in turned.lines[1:]] == [("C1a", "differs")]
    rules = claims_compared(files, {**files, "config/claims.yaml": b"other"})
    assert not rules.agree
    assert "different claims" in rules.summary


def test_claims_are_printed_and_an_older_bundle_is_one_line(tmp_path) -> None:
    files = bundle_real.whole()
    for name, kept in (
        ("new", files),
        ("old", {k: v for k, v in files.items() if "claims" not in k}),
    ):
        bag.write(tmp_path / name, kept, {"External-Identifier": name})
    *_, summary = claims_parts(tmp_path / "new", tmp_path / "new")
    assert "0 differ, 42 tested by neither" in summary
    (line,) = claims_parts(tmp_path / "new", tmp_path / "old")
    assert "claims are not compared: data/tables/claims.csv: the second bundle" in line
