"""`ambiemo score`: two CSV files in, every metric out; whatever cannot be used is one line and exit
2.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from metrics_cases import always, cases, random_case

from ambiemo.cli import main
from ambiemo.errors import BadInput
from ambiemo.metrics import evaluate
from ambiemo.results.score import as_json, notes, score

DOCS = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
LABELS = ("anger", "disgust", "fear", "happy", "neutral", "sad")
VOTES = "utterance_id,happy,sad\na,3,1\nb,0,5\n"
PREDICTIONS = "utterance_id,happy,sad\na,0.6,0.4\nb,0.1,0.9\n"


def table(values, ids=None, labels=LABELS):
    """CSV text of (n, K) numbers."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["utterance_id", *labels])
    for name, row in zip(
        ids or [f"u{i}" for i in range(len(values))], values.tolist(), strict=True
    ):
        writer.writerow([name, *map(repr, row)])
    return out.getvalue()


@pytest.fixture
def files(tmp_path):
    """Writes the two files (text or bytes) and returns their paths."""

    def write(votes=VOTES, predictions=PREDICTIONS):
        paths = tmp_path / "votes.csv", tmp_path / "predictions.csv"
        for path, text in zip(paths, (votes, predictions), strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return paths

    return write


def run(*arguments):
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


def test_the_json_is_one_strict_object_of_the_contracts_names(files):
    result = run(*files(), "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout, parse_constant=pytest.fail)
    assert found["n"] == 2
    assert list(found["metrics"]) == [
        "js_divergence_bits",
        "js_distance_nats",
        "bhattacharyya",
        "r2_pearson",
        "r2_determination",
        "ece_5",
        "ece_10",
        "accuracy",
        "macro_f1",
        "weighted_f1",
        "uar",
        "brier",
        "kl_nats",
    ]
    assert found["metrics"]["brier"] == pytest.approx((2 * 0.15**2 + 2 * 0.1**2) / 2)
    assert found["metrics"]["accuracy"] == 1
    assert found["not_estimable"] == {}


@pytest.mark.parametrize("seed", range(3))
def test_votes_as_counts_and_as_shares_score_alike_and_as_the_metrics_do(files, seed):
    truth, predicted = random_case(seed)
    counts = np.round(truth * 9)
    shares = json.loads(run(*files(table(truth), table(predicted)), "--json").stdout)
    counted = json.loads(run(*files(table(counts), table(predicted)), "--json").stdout)
    assert shares == counted
    for name, value in evaluate(truth, predicted).items():
        expected = value if np.isfinite(value) else None
        assert counted["metrics"][name] == pytest.approx(expected, abs=1e-9), name


@always(case=cases(most=8))
def test_no_order_of_rows_or_columns_changes_a_byte(tmp_path_factory, case):
    folder = tmp_path_factory.mktemp("orders")
    truth, predicted = case
    n, labels = truth.shape
    ids, names = [f"u{i}" for i in range(n)], [f"label {i}" for i in range(labels)]
    outputs = set()
    for turn in range(3):
        rows, columns = np.roll(range(n), turn), np.roll(range(labels), turn)
        for file, values, order in (("v.csv", truth, columns), ("p.csv", predicted, columns[::-1])):
            text = table(values[rows][:, order], [ids[i] for i in rows], [names[i] for i in order])
            (folder / file).write_text(text, encoding="utf-8")
        scored = score(folder / "v.csv", folder / "p.csv")
        outputs.add(as_json(scored) + repr({k: v.hex() for k, v in scored.metrics.items()}))
    assert len(outputs) == 1


def test_an_infinite_kl_is_null_with_its_reason_and_the_id(files):
    found = json.loads(
        run(*files(predictions="utterance_id,happy,sad\na,1,0\nb,0.1,0.9\n"), "--json").stdout
    )
    assert found["metrics"]["kl_nats"] is None
    assert found["not_estimable"] == {
        "kl_nats": "infinite: 1 of 2 utterances gave probability 0 to a label that got votes, first 'a'"
    }


def test_what_cannot_be_estimated_is_null_with_a_reason_never_0(files):
    uniform = "utterance_id,happy,sad\na,0.5,0.5\n"
    found = json.loads(run(*files("utterance_id,happy,sad\na,3,1\n", uniform), "--json").stdout)
    assert {name for name, value in found["metrics"].items() if value is None} == {
        "r2_pearson",
        "r2_determination",
    }
    assert set(found["not_estimable"]) == {"r2_pearson", "r2_determination"}


def test_what_single_metrics_left_out_is_counted_and_told(files):
    votes = "utterance_id,a,b,c\nx,1,1,1\ny,1,2,0\nz,1,0,2\n"
    predictions = "utterance_id,a,b,c\nx,0.2,0.3,0.5\ny,0.2,0.3,0.5\nz,0.2,0.3,0.5\n"
    scored = score(*files(votes, predictions))
    assert scored.left_out == {"r2_pearson_utterances": 1, "r2_determination_labels": 1}
    assert [note.split(":")[0] for note in notes(scored)] == ["r2_pearson", "r2_determination"]


def test_two_decimal_rounding_is_renormalised_and_counted(files):
    labels = ",".join(LABELS)
    votes = f"utterance_id,{labels}\na,1,2,3,0,0,3\n"
    scored = score(*files(votes, f"utterance_id,{labels}\na,0.17,0.17,0.17,0.17,0.17,0.17\n"))
    assert scored.renormalised == 1
    assert scored.metrics["accuracy"] == pytest.approx(1 / 6)


def test_the_table_for_people_has_a_line_per_metric_and_its_notes(files):
    result = run(*files(predictions="utterance_id,happy,sad\na,1,0\nb,0.1,0.9\n"))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["2", "utterances,", "2", "labels:", "happy,", "sad"]
    assert any(line.split()[:3] == ["accuracy", "1.000000", "higher"] for line in lines)
    assert any(line.split()[:3] == ["kl_nats", "infinite", "lower"] for line in lines)
    assert lines[-1].startswith("kl_nats: infinite: 1 of 2 utterances")


@pytest.mark.parametrize(
    "votes",
    [
        VOTES.encode("utf-8-sig"),
        VOTES.replace("\n", "\r\n"),
        VOTES.rstrip("\n"),
        VOTES + "\n,,\n\n",
        VOTES.replace(",", " , "),
        'utterance_id,"happy","sad"\n"a",3.0,1e0\n"b",0,+5\n',
        "sad,utterance_id,happy\n5,b,0\n1,a,3\n",
    ],
    ids=[
        "byte-order mark",
        "CRLF",
        "no last newline",
        "blank rows",
        "spaces",
        "quotes",
        "another order",
    ],
)
def test_what_spreadsheets_do_to_a_file_changes_nothing(files, votes):
    assert as_json(score(*files(votes))) == as_json(score(*files()))


def test_the_example_of_the_docs_prints_what_the_docs_say(files):
    blocks = re.findall(r"```(\w+)\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    votes, predictions = [text for kind, text in blocks if kind == "csv"]
    (shown,) = [text for kind, text in blocks if kind == "text"]
    printed = [line.rstrip() for line in run(*files(votes, predictions)).stdout.splitlines()]
    assert printed == shown.splitlines()


def test_odd_names_are_printed_as_they_are(files):
    result = run(
        *files(
            VOTES.replace("happy", "[red]é:smile:"), PREDICTIONS.replace("happy", "[red]é:smile:")
        )
    )
    assert "[red]é:smile:" in result.stdout


BAD_VOTES = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n,,\n", "the file is empty"),
    "header only": ("utterance_id,happy,sad\n", "a header and no rows"),
    "no id": ("id,happy,sad\na,3,1\n", "line 1: no column 'utterance_id'"),
    "semicolons": (VOTES.replace(",", ";"), "separate columns by commas"),
    "one label": ("utterance_id,happy\na,3\n", "1 label; expected at least 2"),
    "label twice": ("utterance_id,sad,sad\na,3,1\n", "column 'sad' is there twice"),
    "index column": (",utterance_id,happy,sad\n0,a,3,1\n", "column 1 has no name"),
    "control character": ('utterance_id,"ha\nppy",sad\na,3,1\n', "control character"),
    "short row": (VOTES + "c,1\n", "line 4: 2 columns; the header has 3"),
    "long row": (VOTES + "c,1,2,3\n", "line 4: 4 columns; the header has 3"),
    "empty id": (VOTES + ",1,2\n", "line 4: utterance_id is empty"),
    "id twice": (VOTES + "a,1,2\n", "line 4: 'a' is on line 2 already"),
    "negative": (VOTES + "c,-1,2\n", "line 4: 'happy': found -1, expected a number >= 0"),
    "NaN": (VOTES + "c,nan,2\n", "line 4: 'happy': found 'nan'"),
    "infinite": (VOTES + "c,1e999,2\n", "line 4: 'happy': found '1e999'"),
    "text": (VOTES + "c,many,2\n", "line 4: 'happy': found 'many'"),
    "empty cell": (VOTES + "c,,2\n", "line 4: 'happy': found ''"),
    "underscore": (VOTES + "c,1_0,2\n", "line 4: 'happy': found '1_0'"),
    "decimal comma": (VOTES + 'c,"0,5",2\n', "line 4: 'happy': found '0,5'"),
    "no votes": (VOTES.replace("0,5", "0,0"), "line 3: 'b' sums to 0"),
    "too many votes": (VOTES.replace("0,5", "1e308,1e308"), "line 3: 'b' sums to inf"),
    "quote left open": (VOTES + 'c,"1,2\n', "unexpected end of data"),
    "UTF-16": (VOTES.encode("utf-16"), "byte 0 is not UTF-8"),
    "binary": (VOTES.encode() + b"\0", "NUL byte"),
    "latin-1": ("utterance_id,häppy,sad\na,1,2\n".encode("latin-1"), "is not UTF-8"),
}

BAD_PREDICTIONS = {
    "missing id": (
        "utterance_id,happy,sad\na,0.6,0.4\n",
        "predictions.csv: no prediction for 'b', ",
    ),
    "extra id": (PREDICTIONS + "c,1,0\n", "votes.csv: no votes for 'c', "),
    "missing label": (
        "utterance_id,happy,joy\na,0.6,0.4\nb,0.1,0.9\n",
        "lacks 'sad' and has 'joy' that",
    ),
    "extra label": ("utterance_id,happy,sad,joy\na,1,0,0\nb,1,0,0\n", "has 'joy' that"),
    "unnormalised": (PREDICTIONS.replace("0.6", "0.7"), "line 2: 'a' sums to 1.1, expected 1"),
    "just too far": (PREDICTIONS.replace("0.6", "0.611"), "line 2: 'a' sums to 1.011, expected 1"),
    "percentages": ("utterance_id,happy,sad\na,60,40\nb,10,90\n", "divide percentages by 100"),
    "all zero": ("utterance_id,happy,sad\na,0,0\nb,0.1,0.9\n", "line 2: 'a' sums to 0"),
}


def refused(result, message):
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.startswith("ambiemo: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("votes", "message"), BAD_VOTES.values(), ids=BAD_VOTES)
def test_bad_votes_are_one_line_that_names_file_and_line(files, votes, message):
    result = run(*files(votes=votes))
    refused(result, message)
    assert "votes.csv: " in result.stderr


@pytest.mark.parametrize(("predictions", "message"), BAD_PREDICTIONS.values(), ids=BAD_PREDICTIONS)
def test_bad_predictions_are_one_line_that_names_file_and_line(files, predictions, message):
    refused(run(*files(predictions=predictions)), message)


def test_a_file_that_is_not_there_or_is_a_folder_is_one_line(files, tmp_path):
    votes, _ = files()
    refused(
        run(votes, tmp_path / "nothing.csv"), "nothing.csv: cannot read: No such file or directory"
    )
    refused(run(votes, tmp_path), "cannot read: Is a directory")


def test_a_newline_in_an_id_does_not_break_the_one_line(files):
    refused(run(*files(votes=VOTES + '"c\nd",1,0\n')), r"no prediction for 'c\nd'")


def test_the_errors_are_bad_input_for_callers_of_the_function(files):
    with pytest.raises(BadInput, match="no prediction for 'b'"):
        score(*files(predictions="utterance_id,happy,sad\na,0.6,0.4\n"))


def test_score_imports_nothing_heavy_and_prints_the_same_bytes_under_any_setting(files):
    heavy = ("torch", "ray", "pandas", "scipy", "sklearn", "pyarrow", "matplotlib", "transformers")
    program = (
        "import sys; from ambiemo.cli import main; main(sys.argv[1:], standalone_mode=False);"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    truth, predicted = random_case(30, n=300)
    paths = files(table(truth), table(predicted))
    outputs = set()
    for settings in (
        {"OMP_NUM_THREADS": "1", "TZ": "UTC"},
        {"OPENBLAS_NUM_THREADS": "4", "LC_ALL": "C", "TZ": "Asia/Tokyo"},
    ):
        command = [sys.executable, "-c", program, "score", *map(str, paths), "--json"]
        outputs.add(
            subprocess.run(
                command, env=os.environ | settings, capture_output=True, text=True, check=True
            ).stdout
        )
    (output,) = outputs
    assert output.strip().endswith("[]")


# Several files, clusters, ambiguity


def simulated(seed, n=60, raters=6, labels=LABELS):
    """Votes and two predictions as CSV text, and speakers of 10 clips each."""
    random = np.random.default_rng(seed)
    true = random.dirichlet(np.ones(len(labels)), size=n)
    votes = random.multinomial(raters, true)
    one, two = (w / w.sum(axis=1, keepdims=True) for w in true + random.random((2, n, len(labels))))
    speakers = "utterance_id,cluster\n" + "".join(f"u{i},s{i % 6}\n" for i in range(n))
    return votes, one, two, speakers


@pytest.fixture
def several(tmp_path):
    """Writes votes, two predictions and clusters; returns (votes, first, second, clusters)."""

    def write(seed=1, **changed):
        votes, one, two, speakers = simulated(seed)
        texts = {
            "votes": table(votes),
            "first": table(one),
            "second": table(two),
            "clusters": speakers,
        } | changed
        paths = {name: tmp_path / f"{name}.csv" for name in texts}
        for name, text in texts.items():
            paths[name].write_text(text, encoding="utf-8")
        return tuple(paths.values())

    return write


def test_clusters_give_each_metric_the_jackknifes_interval(several):
    from ambiemo.metrics import metric
    from ambiemo.metrics.jackknife import estimate

    votes, first, _, clusters = several()
    found = json.loads(
        run(votes, first, "--clusters", clusters, "--json").stdout, parse_constant=pytest.fail
    )
    counts, one, _, _ = simulated(1)
    expected = estimate(metric("brier"), counts / 6, one, [f"s{i % 6}" for i in range(60)])
    assert found["metrics"]["brier"] == {
        "value": pytest.approx(expected.value, abs=1e-9),
        "low": pytest.approx(expected.low, abs=1e-9),
        "high": pytest.approx(expected.high, abs=1e-9),
    }
    assert found["clusters"] == {"count": 6, "effective": 6}
    assert list(found["metrics"]) == list(json.loads(run(votes, first, "--json").stdout)["metrics"])
    assert any("bootstrap" in note for note in found["notes"])


def test_a_second_file_is_compared_with_the_first(several, tmp_path):
    votes, first, second, clusters = several()
    third = tmp_path / "third.csv"
    third.write_bytes(first.read_bytes())
    found = json.loads(run(votes, first, second, third, "--clusters", clusters, "--json").stdout)
    rows = {(row["file"], row["metric"]): row for row in found["paired"]}
    assert len(rows) == 26
    one = rows[str(second), "brier"]
    assert list(one) == [
        "file",
        "metric",
        "difference",
        "low",
        "high",
        "p",
        "p_holm",
        "clusters",
        "n",
    ]
    values = {table["file"]: table["metrics"]["brier"]["value"] for table in found["files"]}
    assert one["difference"] == pytest.approx(values[str(second)] - values[str(first)], abs=1e-9)
    assert one["p_holm"] == pytest.approx(min(1, 2 * one["p"]))
    assert 2**-5 <= one["p"] <= 1
    same = rows[str(third), "js_divergence_bits"]
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)


def test_without_clusters_a_note_says_what_is_assumed(several):
    votes, first, second, _ = several()
    found = json.loads(run(votes, first, second, "--json").stdout)
    assert isinstance(found["metrics"]["brier"], float)
    assert found["paired"][0]["clusters"] == 60
    assert "independent" in found["notes"][0]


def test_by_ambiguity_prints_four_contrasts_and_a_verdict_per_file(several):
    votes, first, second, clusters = several()
    found = json.loads(
        run(votes, first, second, "--clusters", clusters, "--by-ambiguity", "--json").stdout
    )
    assert [(row["reference"], row["contrast"]) for row in found["ambiguity"]] == [
        ("first", "share_removed"),
        ("first", "gain"),
        ("first_tempered", "share_removed"),
        ("first_tempered", "gain"),
    ]
    keys = ["file", "reference", "contrast", "estimate", "low", "high", "p", "verdict"]
    assert all(list(row) == keys for row in found["ambiguity"])
    assert {row["verdict"] for row in found["ambiguity"]} <= {
        "HOLDS",
        "NOT REPRODUCED",
        "NOT SHOWN",
        "NOT TESTED",
    }
    assert found["ambiguity_reasons"][str(second)]


def test_one_speaker_is_null_with_a_reason_never_a_number(several):
    everyone = "utterance_id,cluster\n" + "".join(f"u{i},only\n" for i in range(60))
    votes, first, second, clusters = several(clusters=everyone)
    found = json.loads(
        run(votes, first, second, "--clusters", clusters, "--by-ambiguity", "--json").stdout
    )
    assert found["metrics"]["brier"]["low"] is None
    assert "one cluster" in found["no_interval"]["brier"]
    assert found["paired"][0]["p"] is None
    assert "one cluster" in found["not_paired"][0]["reason"]
    assert {row["verdict"] for row in found["ambiguity"]} == {"NOT TESTED"}
    assert all(row["estimate"] is None for row in found["ambiguity"])


def test_the_board_for_people_names_files_verdicts_and_reasons(several):
    votes, first, second, clusters = several()
    result = run(votes, first, second, "--clusters", clusters, "--by-ambiguity")
    assert result.exit_code == 0
    assert "6 clusters, 6.0 effective" in result.stdout
    assert "p_holm" in result.stdout
    assert "…" not in result.stdout.replace(str(first), "").replace(str(second), "")
    assert "ece_5, ece_10: bounds by percentile bootstrap" in result.stdout


def test_whole_votes_give_corrected_numbers_and_floors_and_shares_say_why_not(several):
    from ambiemo.metrics.floors import brier_unbiased, second_panel_js_bits

    votes, first, _, clusters = several()
    found = json.loads(run(votes, first, "--clusters", clusters, "--json").stdout)
    counts, one, _, _ = simulated(1)
    assert found["unbiased"]["brier_unbiased"]["value"] == pytest.approx(
        brier_unbiased(counts, one).mean(), abs=1e-9
    )
    assert set(found["unbiased"]) == {
        "brier_unbiased",
        "js_divergence_bits_vote_jackknife",
        "skill",
    }
    assert found["floors"]["second_panel_js_bits_3"] == pytest.approx(
        second_panel_js_bits(counts, 3).mean(), abs=1e-9
    )
    votes.write_text(table(counts / 6), encoding="utf-8")
    shares = json.loads(run(votes, first, "--clusters", clusters, "--json").stdout)
    assert "unbiased" not in shares
    assert "floors" not in shares
    assert any("votes are shares" in note for note in shares["notes"])


def test_one_vote_each_has_no_correction_and_says_so(several):
    votes, first, second, clusters = several(votes=table(np.eye(6)[np.arange(60) % 6]))
    for options in ((), ("--clusters", clusters)):
        found = json.loads(run(votes, first, second, *options, "--json").stdout)
        assert "60 of 60 utterances have one vote" in " ".join(found["notes"])
        value = found["unbiased"]["brier_unbiased"]
        assert (value["value"] if options else value) is None
        assert (
            "not estimable"
            in found["no_interval" if options else "not_estimable"]["brier_unbiased"]
        )
        assert found["floors"]["leave_one_rater_out_accuracy"] is None


def test_no_order_of_rows_changes_a_byte_of_a_board(several):
    votes, first, second, clusters = several()
    arguments = (votes, first, second, "--clusters", clusters, "--by-ambiguity", "--json")
    before = run(*arguments).stdout
    for path in (votes, first, clusters):
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([header, *rows[::-1]]) + "\n", encoding="utf-8")
    assert run(*arguments).stdout == before


CLUSTERS = "utterance_id,cluster\n" + "".join(f"u{i},s{i % 6}\n" for i in range(60))
BAD_CLUSTERS = {
    "empty": ("", "the file is empty"),
    "other columns": (CLUSTERS.replace("cluster", "speaker"), "expected 'utterance_id,cluster'"),
    "three columns": ("utterance_id,cluster,x\nu0,a,b\n", "expected 'utterance_id,cluster'"),
    "missing": (CLUSTERS.replace("u7,s1\n", ""), "no cluster for 'u7'"),
    "twice": (CLUSTERS + "u0,s1\n", "'u0' is on line 2 already"),
    "no name": (CLUSTERS.replace("u7,s1", "u7,"), "line 9: cluster is empty"),
    "no id": (CLUSTERS.replace("u7,s1", ",s1"), "line 9: utterance_id is empty"),
    "long row": (CLUSTERS.replace("u7,s1", "u7,s1,x"), "line 9: 3 columns"),
}


@pytest.mark.parametrize(("clusters", "message"), BAD_CLUSTERS.values(), ids=BAD_CLUSTERS)
def test_bad_clusters_are_one_line_that_names_file_and_line(several, clusters, message):
    votes, first, _, path = several(clusters=clusters)
    result = run(votes, first, "--clusters", path)
    refused(result, message)
    assert "clusters.csv: " in result.stderr


def test_clusters_of_other_utterances_do_not_disturb(several):
    votes, first, _, clusters = several()
    before = run(votes, first, "--clusters", clusters, "--json").stdout
    clusters.write_text(CLUSTERS + "someone else,s9\n", encoding="utf-8")
    assert run(votes, first, "--clusters", clusters, "--json").stdout == before


def test_shares_cannot_be_split_and_one_file_has_no_reference(several):
    votes, first, second, clusters = several(votes=table(simulated(1)[0] / 6))
    options = ("--clusters", clusters, "--by-ambiguity")
    refused(
        run(votes, first, second, *options), "expected whole numbers of raters for --by-ambiguity"
    )
    refused(run(votes, first, *options), "--by-ambiguity: found 1 file of predictions")


def test_a_file_given_twice_or_a_later_bad_file_is_one_line(several):
    votes, first, second, _ = several()
    refused(run(votes, first, second, first), "first.csv: given twice")
    second.write_text(second.read_text(encoding="utf-8").replace("u7,", "v7,"), encoding="utf-8")
    refused(run(votes, first, second), "second.csv: no prediction for 'u7'")


def test_no_predictions_at_all_is_a_usage_error(several):
    votes, *_ = several()
    assert run(votes).exit_code == 2


def test_a_board_imports_nothing_heavy(several):
    votes, first, second, clusters = several()
    heavy = ("torch", "ray", "pandas", "scipy", "sklearn", "pyarrow", "matplotlib", "transformers")
    program = (
        "import sys; from ambiemo.cli import main; main(sys.argv[1:], standalone_mode=False);"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    arguments = [
        str(x) for x in (votes, first, second, "--clusters", clusters, "--by-ambiguity", "--json")
    ]
    command = [sys.executable, "-c", program, "score", *arguments]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True)
        .stdout.strip()
        .endswith("[]")
    )
