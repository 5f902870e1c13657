"""`compare`: agreement has to be shown, not merely left unrefuted."""

import gzip
import json
import math
import random
from collections.abc import Callable

import bundle_real as real
import pytest
from click.testing import CliRunner

from ambiemo.bundle import bag
from ambiemo.bundle.compare import Comparison, _verdict, as_object, compare, summary
from ambiemo.cli import main

PREDICTIONS = "predictions/tiny/tiny.jsonl.gz"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return real.files()


def changed(files: dict[str, bytes], change: Callable[[dict], object]) -> dict[str, bytes]:
    """The bundle with every prediction of the model changed."""
    rows = [json.loads(line) for line in gzip.decompress(files[PREDICTIONS]).splitlines()]
    for row in rows:
        change(row)
    return {**files, PREDICTIONS: gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())}


def moved(by: float, seed: str = "") -> Callable[[dict], object]:
    """Mix `by` of a seeded one-hot into a prediction."""

    def change(row: dict) -> None:
        if row["distribution"]:
            hit = random.Random(f"{seed} {row['utterance_id']} {row['strategy']}").randrange(len(row["distribution"]))
            row["distribution"] = [(1 - by) * p + by * (k == hit) for k, p in enumerate(row["distribution"])]

    return change


def verdicts(comparison: Comparison) -> set[str]:
    return {cell.verdict for cell in comparison.cells if cell.model != "baselines"}


def test_a_bundle_agrees_with_itself(files: dict[str, bytes]) -> None:
    comparison = compare(files, files)
    assert comparison.agree
    assert {cell.verdict for cell in comparison.cells} == {"identical"}
    assert summary(comparison.cells, comparison.agree).startswith("agree: ")


def test_a_hair_s_breadth_is_equivalent_and_not_identical(files: dict[str, bytes]) -> None:
    comparison = compare(files, changed(files, moved(1e-5)))
    assert comparison.agree
    assert "equivalent" in verdicts(comparison)


def test_much_worse_predictions_do_not_agree(files: dict[str, bytes]) -> None:
    comparison = compare(files, changed(files, moved(0.9)))
    assert not comparison.agree
    assert "different" in verdicts(comparison)
    worse = [cell for cell in comparison.cells if cell.verdict == "different"]
    assert all(cell.difference == pytest.approx(cell.second - cell.first, abs=1e-12) for cell in worse)


def test_swapping_the_bundles_turns_every_difference_round(files: dict[str, bytes]) -> None:
    other = changed(files, moved(0.4))
    there, back = compare(files, other), compare(other, files)
    for one, turned in zip(there.cells, back.cells, strict=True):
        assert one.verdict == turned.verdict
        assert one.difference == pytest.approx(-turned.difference, nan_ok=True)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.005, 0.005, "equivalent"),
        (0.001, 0.009, "equivalent"),
        (-0.05, 0.05, "undecided"),
        (0.005, 0.05, "different"),
        (-0.05, -0.005, "different"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_no_significant_difference_alone_is_not_agreement(low: float, high: float, verdict: str) -> None:
    assert _verdict(low, high, 0.01) == verdict


def test_a_cell_that_one_bundle_lacks_is_missing(files: dict[str, bytes]) -> None:
    comparison = compare(files, {path: data for path, data in files.items() if path != PREDICTIONS})
    assert not comparison.agree
    assert verdicts(comparison) == {"missing"}


def test_a_prediction_that_failed_in_one_bundle_is_unpaired(files: dict[str, bytes]) -> None:
    lost = changed(files, lambda row: row.update(distribution=None) if row["utterance_id"] == "u000" else None)
    cells = [cell for cell in compare(files, lost).cells if cell.model == "tiny"]
    assert any(cell.unpaired for cell in cells)
    assert all(cell.verdict != "identical" for cell in cells if cell.unpaired)


def test_other_votes_keep_bundles_from_being_compared(files: dict[str, bytes]) -> None:
    path = "inputs/utterances.jsonl"
    rows = [json.loads(line) for line in files[path].splitlines()]
    rows[0]["votes"] = [vote + 1 for vote in rows[0]["votes"]]
    other = {**files, path: "".join(json.dumps(row) + "\n" for row in rows).encode()}
    comparison = compare(files, other)
    assert comparison.obstacles == (f"tiny: other votes for 1 utterances, such as {rows[0]['id']}",)
    assert not comparison.agree


def test_the_command_exits_0_for_agreement_1_without_and_2_for_bad_input(files: dict[str, bytes], tmp_path) -> None:
    bag.write(tmp_path / "one", files, {})
    bag.write(tmp_path / "two", changed(files, moved(0.9)), {})

    def ambiemo(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["compare", *arguments])
        return done.exit_code, done.output

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert ambiemo(one, one)[0] == 0
    code, printed = ambiemo(one, two)
    assert code == 1
    assert printed.splitlines()[-1].startswith("not shown to agree: ")
    code, printed = ambiemo(one, two, "--json")
    assert (code, json.loads(printed)["agree"]) == (1, False)
    assert ambiemo(one, str(tmp_path / "none"))[0] == 2
    assert ambiemo(one, two, "--margin", "0")[0] == 2


def test_json_has_null_for_what_cannot_be_estimated(files: dict[str, bytes]) -> None:
    said = as_object(compare(files, files), 0.01)
    json.dumps(said, allow_nan=False)
    assert set(said) == {"agree", "metric", "margin", "level", "obstacles", "cells"}
