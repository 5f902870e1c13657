"""Verifiers by criteria and by list, whole: the tiny ALM judges its own answers through real Ray,
and both verifiers and the report read what came out.

The tiny ALM was trained on neither prompt, so none of these scores parse. Then every number about
such a verifier has its reason, its strategies fail on every clip, and nothing stops.
"""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ambiemo.bundle.page_check import check_page
from ambiemo.bundle.verify import examine
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.run import run

pytest.importorskip("ray", reason="the ray extra is not installed")
pytest.importorskip("transformers", reason="the transformers extra is not installed")
pytestmark = pytest.mark.slow

CLIPS = 6
PLAN = {
    "name": "judges",
    "models": [{"id": "tiny", "engine": "transformers"}],
    "corpora": [{"id": "tiny", "limit": CLIPS}],
    "strategies": [
        *("greedy", "alm_v"),
        {"name": "alm_v_rubric", "base": "alm_v", "scorer": "rubric"},
        {"name": "w_alm_v_listwise", "base": "w_alm_v", "scorer": "listwise"},
    ],
    "max_tokens": {"verifier": 48},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judges")
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN), "utf-8")
    with ray_started(None):
        return run(folder / "plan.yaml", out=folder / "judges", report=True)


def table(bundle: Path, name: str) -> list[dict[str, str]]:
    with open(bundle / "data/tables" / name, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_both_verifiers_hold_and_the_page_shows_what_the_tables_say(bundle: Path) -> None:
    outcomes = examine(bundle)
    assert [finding for one in outcomes for finding in one.findings] == []
    done = subprocess.run(
        [sys.executable, "-I", bundle / "data/verify.py", bundle],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"limit {CLIPS}" in done.stdout.splitlines()[-1]
    assert check_page(bundle, bundle.parent / "judges.html", outcomes).findings == ()


def test_every_candidate_was_judged_once_by_each_verifier(bundle: Path) -> None:
    draws = {row["prompt"]: row for row in table(bundle, "draws.csv") if row["purpose"] != "answer"}
    assert draws.keys() == {"verifier", "rubric", "listwise"}
    assert {row["draws"] for row in draws.values()} == {str(3 * CLIPS)}
    assert {row["failed"] for row in draws.values()} == {"0"}
    assert draws["verifier"]["exact"] == str(3 * CLIPS)
    for name in ("rubric", "listwise"):
        assert draws[name]["unparsed"] == str(3 * CLIPS)


def test_a_verifier_without_a_score_has_reasons_and_its_strategies_fail(bundle: Path) -> None:
    other = [row for row in table(bundle, "verifier.csv") if "beam-3." in row["question"]]
    assert {row["question"] for row in other} == {"direct.beam-3.rubric", "direct.beam-3.listwise"}
    assert "place_slope" in {row["quantity"] for row in other}
    assert all((row["value"], row["n"]) == ("", "0") and row["reason"] for row in other)
    rows = {
        row["strategy"]: row
        for row in table(bundle, "results.csv")
        if (row["level"], row["control"]) == ("all", "none")
    }
    for name in ("alm_v_rubric", "w_alm_v_listwise"):
        assert (rows[name]["n"], rows[name]["failed"]) == ("0", str(CLIPS))
        assert (rows[name]["unparsed"], rows[name]["unscored"]) == ("0", str(3 * CLIPS))
        assert rows[name]["js_divergence_bits"] == ""
        assert "no utterances" in rows[name]["reason"]
    assert rows["alm_v"]["n"] == str(CLIPS)
    texts = [path.read_text("utf-8") for path in (bundle / "data/tables").glob("*.csv")]
    assert not any(re.search(r"\bnan\b", text, re.IGNORECASE) for text in texts)
