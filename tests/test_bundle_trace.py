"""`trace` finds every utterance, candidate and hash behind a number, and they give that number."""

import csv
import gzip
import json
import math

import bundle_real as real
import pytest
from click.testing import CliRunner

from ambiemo.bundle import bag
from ambiemo.bundle.trace import AVERAGED, KEYS, TABLE, as_lines, trace
from ambiemo.cli import main
from ambiemo.errors import BadInput


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return real.files()


def lines_of(files: dict[str, bytes], path: str) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress(files[path]).splitlines()]


def rows(files: dict[str, bytes]) -> list[dict]:
    return list(csv.DictReader(files[TABLE].decode().splitlines()))


def test_the_mean_over_the_traced_utterances_is_the_number(files: dict[str, bytes]) -> None:
    for line in (2, 6, 13, 20, len(rows(files))):
        row = rows(files)[line - 2]
        for column in ("js_divergence_bits", "brier", "accuracy"):
            values = [
                step.value
                for step in trace(files, "results", str(line), column).steps
                if step.value is not None
            ]
            assert len(values) == int(row["n"])
            if values:
                assert math.fsum(values) / len(values) == pytest.approx(
                    float(row[column]), abs=1e-6
                )


def test_every_candidate_of_the_table_is_traced_to_its_line(files: dict[str, bytes]) -> None:
    for row in rows(files):
        found = trace(files, "results.csv", "/".join(row[key] for key in KEYS), "n")
        sources = [source for step in found.steps for source in step.answers]
        assert len(sources) == int(row["candidates"])
        assert sum(source.verdict == "unparsed" for source in sources) == int(row["unparsed"])
        answers = lines_of(files, found.file.removeprefix("data/")) if sources else []
        for source in sources:
            told = answers[source.line - 1]
            assert (told["draw"], told["index"], told["text"]) == (
                source.draw,
                source.index,
                source.text,
            )


def test_shuffled_audio_is_traced_to_another_one_s_clip(files: dict[str, bytes]) -> None:
    own = {
        step.utterance_id: step.audio_sha256
        for step in trace(files, "results", "tiny/tiny/greedy/none/all", "n").steps
    }
    steps = trace(files, "results", "tiny/tiny/greedy/shuffled_audio/all", "n").steps
    assert sorted(step.audio_sha256 for step in steps) == sorted(own.values())
    assert (
        sum(step.audio_sha256 != own[step.utterance_id] for step in steps) >= len(steps) - 2
    )  # two share a clip


def test_a_verifier_s_score_is_traced_to_its_own_draw(files: dict[str, bytes]) -> None:
    by_key = {
        row["draw"]: row for row in lines_of(files, "scores/tiny/tiny/direct.beam-3.jsonl.gz")
    }
    found = trace(files, "results", "tiny/tiny/alm_v/none/all", "n")
    told = [source for step in found.steps for source in step.answers if source.score_draw]
    assert told
    assert all(by_key[source.score_draw]["index"] == source.index for source in told)
    assert all(by_key[source.score_draw].get("score") == source.score for source in told)


def test_a_baseline_is_traced_to_a_file_that_is_there(files: dict[str, bytes]) -> None:
    for where in ("tiny/baselines/prior/none/all", "tiny/tiny/greedy/none/all"):
        assert trace(files, "results", where, "n").file.removeprefix("data/") in files
    lines = list(as_lines(trace(files, "results", "tiny/baselines/prior/none/all", "n")))
    assert lines[1].endswith(
        "predictions, made from the votes, in data/predictions/baselines/tiny.jsonl.gz"
    )


def test_the_utterances_that_make_a_divergence_infinite_are_shown(
    files: dict[str, bytes], tmp_path
) -> None:
    found = trace(files, "results", "tiny/baselines/prior_one_hot/none/all", "kl_nats")
    assert found.row["kl_nats"] == "inf"
    infinite = [step.utterance_id for step in found.steps if step.value == math.inf]
    assert infinite
    assert [line for line in as_lines(found) if line.endswith("kl_nats inf")] != []
    bag.write(tmp_path / "one", files, {})
    asked = [
        "trace",
        str(tmp_path / "one"),
        "results",
        "tiny/baselines/prior_one_hot/none/all",
        "kl_nats",
        "--json",
    ]
    steps = json.loads(CliRunner().invoke(main, asked).output, parse_constant=pytest.fail)["steps"]
    assert [step["utterance_id"] for step in steps if step["value"] == "inf"] == infinite


def test_failed_predictions_count_as_uniform_where_the_column_says_so(
    files: dict[str, bytes],
) -> None:
    column = "js_divergence_bits_failed_as_uniform"
    failed = [row for row in rows(files) if int(row["failed"]) and row["level"] == "all"]
    assert failed
    for row in failed:
        steps = trace(files, "results", "/".join(row[key] for key in KEYS), column).steps
        assert len(steps) == int(row["n"]) + int(row["failed"])
        assert math.fsum(step.value for step in steps) / len(steps) == pytest.approx(
            float(row[column]), abs=1e-6
        )


def test_a_metric_of_many_utterances_has_no_value_of_one(files: dict[str, bytes]) -> None:
    assert {step.value for step in trace(files, "results", "2", "macro_f1").steps} == {None}
    assert {"macro_f1", "ece_5", "r2_determination"}.isdisjoint(AVERAGED)


@pytest.mark.parametrize(
    ("table", "row", "column", "says"),
    [
        ("paired", "2", "difference", "only 'results'"),
        ("results", "1", "n", "rows are lines 2 to"),
        ("results", "9999", "n", "rows are lines 2 to"),
        ("results", "tiny/nobody", "n", "such as tiny/"),
        ("results", "2", "fame", "column 'fame': not there"),
    ],
)
def test_what_is_not_there_is_one_line_that_says_what_is(
    files: dict[str, bytes], table: str, row: str, column: str, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        trace(files, table, row, column)


def test_the_command_prints_the_number_first_and_json_when_asked(
    files: dict[str, bytes], tmp_path
) -> None:
    bag.write(tmp_path / "one", files, {})
    asked = ["trace", str(tmp_path / "one"), "results", "2", "js_divergence_bits"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0
    assert done.output.startswith(f"js_divergence_bits = {rows(files)[0]['js_divergence_bits']} ")
    said = json.loads(CliRunner().invoke(main, [*asked, "--json"]).output)
    assert said["row"] == rows(files)[0]
    assert CliRunner().invoke(main, [*asked[:-1], "fame"]).exit_code == 2
