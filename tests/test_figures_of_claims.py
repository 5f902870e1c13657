"""The figures that docs and tables give of how often the procedure errs are those of the JSON files
of the benchmarks."""

import json
import re
from pathlib import Path

import pytest

from ambiemo.results.claims_rendering import FEW, SKEW_NOTE, claims_section

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "reproduce" / "bench" / "results"
WORLDS = json.loads((RESULTS / "claims_worlds.json").read_text("utf-8"))
LIMIT = 0.058
"""What a true rate of 5 % shows at most as, at 2,000 worlds."""


@pytest.mark.parametrize("kind", WORLDS)
def test_a_line_of_the_docs_is_the_file_s(kind: str) -> None:
    found = WORLDS[kind]
    line = next(
        line
        for line in (ROOT / "docs" / "claims.md").read_text("utf-8").splitlines()
        if line.startswith(f"| {kind} |")
    )
    *_, worlds, held, families = [cell.strip() for cell in line.strip("|").split("|")]
    assert int(worlds) == found["worlds"]
    assert held == f"{found['any']} ({found['any'] / found['worlds']:.3f})"
    told = dict(re.fullmatch(r"(.+) ([0-9]+)", one).groups() for one in families.split(", ")) if families != "none" else {}  # fmt: skip
    assert {name: int(times) for name, times in told.items()} == found["families"]


def test_all_five_nulls_were_run() -> None:
    assert {"N1", "N2", "N3", "N4", "N5"} <= set(WORLDS)


@pytest.mark.parametrize("kind", WORLDS)
def test_no_family_errs_in_more_worlds_than_it_may(kind: str) -> None:
    found = WORLDS[kind]
    for family, times in found["families"].items():
        assert times / found["worlds"] <= LIMIT, (kind, family)


def test_what_skewness_does_is_the_file_s_and_stands_above_the_claims() -> None:
    n5 = json.loads((RESULTS / "false_positives.json").read_text("utf-8"))["N5"]
    worst = n5["12 clusters, unequal, strongly skewed"]
    told = [f"{100 * worst[way]['rate'] + 1e-9:.1f} %" for way in ("sign_flip", "jackknife_t")]
    docs = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for text in (SKEW_NOTE, docs):
        assert all(one in text for one in told)


def test_the_note_stands_only_where_speakers_are_few() -> None:
    row = {
        "id": "E1a", "about": "paper", "sentence": "s", "verdict": "HOLDS", "reason": "r",
        "estimate": 0.1, "low": 0.0, "high": 0.2, "p_holm": 0.01, "flips": 1.0,
        "flips_kind": "exact",
    }  # fmt: skip
    assert SKEW_NOTE in claims_section([row | {"g_eff": FEW - 1.0}])
    assert SKEW_NOTE not in claims_section([row | {"g_eff": float(FEW)}])
