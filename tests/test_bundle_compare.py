"""`compare`: agreement has to be shown, not merely left unrefuted."""

import gzip
import json
import math
import random
from collections.abc import Callable

import bundle_real as real
import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from ambiemo.bundle import bag
from ambiemo.bundle.compare import (
    Comparison,
    _read,
    _verdict,
    as_object,
    compare,
    needed,
    summary,
)
from ambiemo.cli import main
from ambiemo.jsonlines import lines, packed
from ambiemo.metrics import metric
from ambiemo.metrics.inference import holm
from ambiemo.metrics.jackknife import paired

PREDICTIONS = "predictions/tiny/tiny.jsonl.gz"


@pytest.fixture(scope="module")
def failing() -> dict[str, bytes]:
    """A bundle in which some predictions failed."""
    return real.files()


@pytest.fixture(scope="module")
def files(failing: dict[str, bytes]) -> dict[str, bytes]:
    """The same with no failure in it."""
    return changed(
        failing, lambda row: row.update(distribution=row["distribution"] or [0.5, 0.5, 0, 0, 0, 0])
    )


@pytest.fixture(scope="module")
def many(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same with every utterance by another speaker, so that something can be called."""
    rows = [json.loads(line) for line in files["inputs/utterances.jsonl"].splitlines()]
    for row in rows:
        row["speaker"] = row["id"]
    return {**files, "inputs/utterances.jsonl": lines(rows)}


def changed(files: dict[str, bytes], change: Callable[[dict], object]) -> dict[str, bytes]:
    """The bundle with every prediction of the model changed."""
    rows = [json.loads(line) for line in gzip.decompress(files[PREDICTIONS]).splitlines()]
    for row in rows:
        change(row)
    return {**files, PREDICTIONS: packed(lines(rows))}


def moved(by: float, seed: str = "") -> Callable[[dict], object]:
    """Mix `by` of a seeded one-hot into a prediction."""

    def change(row: dict) -> None:
        if row["distribution"]:
            hit = random.Random(f"{seed} {row['utterance_id']} {row['strategy']}").randrange(
                len(row["distribution"])
            )
            row["distribution"] = [
                (1 - by) * p + by * (k == hit) for k, p in enumerate(row["distribution"])
            ]

    return change


def worst(row: dict) -> None:
    """Put all on the label with the fewest votes in every corpus of `bundle_real`."""
    if row["distribution"]:
        row["distribution"] = [0.0] * (len(row["distribution"]) - 1) + [1.0]


def failed(*ids: str) -> Callable[[dict], object]:
    """Let the predictions of these utterances fail."""
    return lambda row: row.update(distribution=None) if row["utterance_id"] in ids else None


def limited(files: dict[str, bytes], count: int) -> dict[str, bytes]:
    """The bundle as `run --limit` leaves it: the other utterances are nowhere in it."""

    def kept(path: str, key: str) -> bytes:
        data = gzip.decompress(files[path]) if path.endswith(".gz") else files[path]
        text = "".join(
            f"{line}\n"
            for line in data.decode().splitlines()
            if json.loads(line)[key] < f"u{count:03}"
        )
        return gzip.compress(text.encode(), mtime=0) if path.endswith(".gz") else text.encode()

    cut = {path: kept(path, "utterance_id") for path in files if path.startswith("predictions/")}
    return {**files, **cut, "inputs/utterances.jsonl": kept("inputs/utterances.jsonl", "id")}


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


def test_much_worse_predictions_do_not_agree(many: dict[str, bytes]) -> None:
    comparison = compare(many, changed(many, worst))
    assert not comparison.agree
    assert "different" in verdicts(comparison)
    worse = [cell for cell in comparison.cells if cell.verdict == "different"]
    assert all(
        cell.difference == pytest.approx(cell.second - cell.first, abs=1e-12) for cell in worse
    )


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
        (0.005, 0.05, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_no_significant_difference_alone_is_not_agreement(
    low: float, high: float, verdict: str
) -> None:
    assert _verdict(low, high, 0.01) == verdict


def test_different_is_said_only_after_the_correction_over_the_cells(
    many: dict[str, bytes],
) -> None:
    compared = compare(many, changed(many, moved(0.3)))
    asked = [cell for cell in compared.cells if cell.model != "baselines"]
    assert [cell.p_holm for cell in asked] == holm([cell.p for cell in asked]).tolist()
    for cell in asked:
        called = "different" if cell.p_holm < 0.05 else "undecided"
        assert cell.verdict in (called, "equivalent", "identical")
    assert any(cell.p < 0.05 <= cell.p_holm for cell in asked)
    assert all(math.isnan(cell.p_holm) for cell in compared.cells if cell.model == "baselines")


def test_the_interval_is_the_jackknife_s_and_n_needed_would_decide(many: dict[str, bytes]) -> None:
    other = changed(many, moved(0.05))
    truths, ours, _ = _read(many)
    _, theirs, _ = _read(other)
    name = ("tiny", "tiny", "greedy", "none")
    cell = next(
        one
        for one in compare(many, other).cells
        if (one.corpus, one.model, one.strategy, one.control) == name
    )
    js, truth = metric("js_divergence_bits"), truths["tiny"]
    found = paired(
        js, truth.truth, theirs[name].predicted, ours[name].predicted, truth.speakers, 0.9
    )
    np.testing.assert_allclose(
        (cell.difference, cell.low, cell.high), (found.value, found.low, found.high), atol=1e-12
    )
    reach = sum(stats.t.ppf([0.95, 0.9], found.effective - 1))
    assert cell.n_needed == math.ceil(found.n * (reach * found.se / 0.01) ** 2)
    assert needed(found.se / 10, found.n, found.effective, 0.01) < cell.n_needed
    assert math.isnan(needed(math.nan, 5, 2.0, 0.01))


def test_two_comparisons_of_one_pair_are_the_same_to_the_bit(many: dict[str, bytes]) -> None:
    other = changed(many, moved(0.3))
    assert repr(compare(many, other)) == repr(compare(many, other))


def test_a_cell_that_one_bundle_lacks_is_missing(files: dict[str, bytes]) -> None:
    comparison = compare(files, {path: data for path, data in files.items() if path != PREDICTIONS})
    assert not comparison.agree
    assert verdicts(comparison) == {"missing"}


def test_a_bundle_that_failed_where_the_other_did_not_never_agrees_by_what_is_left(
    files: dict[str, bytes],
) -> None:
    lost = changed(files, failed("u005", "u006", "u007", "u008", "u009"))
    for comparison in (compare(files, lost), compare(lost, files)):
        cells = [cell for cell in comparison.cells if cell.model == "tiny"]
        assert {cell.verdict for cell in cells} == {"undecided"}
        assert not comparison.agree
        assert {(cell.n, cell.same, cell.failed, cell.unpaired) for cell in cells} == {(5, 5, 5, 0)}


def test_one_failure_keeps_only_the_cell_it_touches_undecided(failing: dict[str, bytes]) -> None:
    comparison = compare(failing, failing)
    assert not comparison.agree
    assert {cell.verdict for cell in comparison.cells if cell.failed} == {"undecided"}
    assert {cell.verdict for cell in comparison.cells if not cell.failed} == {"identical"}


def test_where_every_prediction_failed_in_both_nothing_is_identical(
    files: dict[str, bytes],
) -> None:
    nothing = changed(files, failed(*(f"u{number:03}" for number in range(10))))
    comparison = compare(nothing, nothing)
    assert verdicts(comparison) == {"undecided"}
    assert not comparison.agree
    assert {(cell.n, cell.failed) for cell in comparison.cells if cell.model == "tiny"} == {(0, 10)}


def test_utterances_that_one_bundle_lacks_are_counted_and_the_others_compared(
    files: dict[str, bytes],
) -> None:
    some = limited(files, 6)
    for comparison in (compare(files, some), compare(some, files)):
        assert {(cell.n, cell.failed, cell.unpaired) for cell in comparison.cells} == {(6, 0, 4)}
        assert {cell.verdict for cell in comparison.cells} == {"equivalent"}
        assert comparison.agree


def test_a_failure_on_an_utterance_that_the_other_bundle_lacks_touches_no_claim(
    files: dict[str, bytes],
) -> None:
    assert compare(changed(files, failed("u009")), limited(files, 6)).agree


def test_other_votes_keep_bundles_from_being_compared(files: dict[str, bytes]) -> None:
    path = "inputs/utterances.jsonl"
    rows = [json.loads(line) for line in files[path].splitlines()]
    rows[0]["votes"] = [vote + 1 for vote in rows[0]["votes"]]
    other = {**files, path: "".join(json.dumps(row) + "\n" for row in rows).encode()}
    comparison = compare(files, other)
    assert comparison.obstacles == (f"tiny: other votes for 1 utterances, such as {rows[0]['id']}",)
    assert not comparison.agree


def test_the_command_exits_0_for_agreement_1_without_and_2_for_bad_input(
    files: dict[str, bytes], tmp_path
) -> None:
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
    bag.write(tmp_path / "lost", changed(files, failed("u009")), {})
    code, printed = ambiemo(one, str(tmp_path / "lost"))
    assert code == 1
    assert "failed" in printed
    assert "unpaired" in printed
    assert ambiemo(one, str(tmp_path / "none"))[0] == 2
    assert ambiemo(one, two, "--margin", "0")[0] == 2


def test_json_has_null_for_what_cannot_be_estimated(files: dict[str, bytes]) -> None:
    said = as_object(compare(files, files), 0.01)
    json.dumps(said, allow_nan=False)
    assert set(said) == {
        "agree", "metric", "margin", "level", "power", "obstacles", "cells",
    }  # fmt: skip


def test_bundles_without_a_cell_agree_about_nothing(files: dict[str, bytes]) -> None:
    empty = {path: data for path, data in files.items() if not path.startswith("predictions/")}
    assert compare(empty, empty).cells == ()
    assert not compare(empty, empty).agree


def test_as_many_labels_of_other_names_cannot_be_paired(files: dict[str, bytes]) -> None:
    others = json.loads(files["inputs/labels.json"])
    others["tiny"] = [*others["tiny"][:-1], "calm"]
    compared = compare(files, {**files, "inputs/labels.json": json.dumps(others).encode()})
    assert not compared.agree
    assert "calm" in compared.obstacles[0]


@pytest.mark.parametrize("margin", ["0", "-1", "inf", "nan", "2"])
def test_a_margin_that_means_nothing_is_refused(margin: str) -> None:
    assert CliRunner().invoke(main, ["compare", "a", "b", "--margin", margin]).exit_code == 2
