"""The second verifier, data/verify.py.

It shares no code with the package, agrees with it on every number, finds forgeries that remade every
checksum, and no hostile file hurts it.
"""

import ast
import csv
import gzip
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import bundle_real as real
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from scipy.stats import t as student_t

from ambiemo import labels, metrics
from ambiemo.bundle import bag
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.shipped import readme
from ambiemo.bundle.shipped import verify as shipped
from ambiemo.bundle.verify import verify
from ambiemo.corpora import CORPORA
from ambiemo.corpora.utterances import load_corpus, sampled
from ambiemo.draws import Decoding, Draw
from ambiemo.durable import sha256
from ambiemo.metrics import floors, signflip
from ambiemo.models import MODELS
from ambiemo.models.parsing import parse_distribution, parse_score
from ambiemo.plan.schema import ModelEntry, Plan
from ambiemo.plan.sharing import clip_owners
from ambiemo.results.claims.reading import fingerprint as claims_sha256
from ambiemo.strategies import AGGREGATORS, SCORERS, STRATEGIES, misfit
from ambiemo.strategies.baselines import BASELINES
from ambiemo.strategies.collecting import Collected
from ambiemo.strategies.predict import Settings, predict

RESULTS, PAIRED, PREDICTIONS = (
    "tables/results.csv",
    "tables/paired.csv",
    "predictions/tiny/tiny.jsonl.gz",
)
GREEDY, BEAM, SCORES = (
    f"{kind}/tiny/tiny/{name}.jsonl.gz"
    for kind, name in (
        ("answers", "direct.greedy"),
        ("answers", "direct.beam-3"),
        ("scores", "direct.beam-3"),
    )
)
GAINS, FLOORS = "tables/gains.csv", "tables/floors.csv"
VERIFIER = "tables/verifier.csv"
UTTERANCES, CELLS, RUN = "inputs/utterances.jsonl", "config/cells.jsonl", "config/run.json"
SCRIPT = Path(shipped.__file__)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle with exactly the cells of its plan; nobody changes it."""
    folder = tmp_path_factory.mktemp("real") / "real"
    laid_out = real.expanded

    def only_the_plan(plan: Plan, count: int) -> real.Expanded:
        stands = laid_out(plan, count)
        return replace(stands, cells=tuple(cell for cell in stands.cells if not cell.skipped))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "expanded", only_the_plan)
        real.files.cache_clear()
        real.study.cache_clear()
        bag.write(folder, real.whole(), {})
        real.files.cache_clear()
        real.study.cache_clear()
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """Its data/ folder, to change."""
    return Path(shutil.copytree(whole / "data", tmp_path / "data"))


def run(data: Path, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """Exit code and output of the verifier."""
    code = shipped.main([str(data)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def called(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 9))
    named = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert named <= set(sys.stdlib_module_names)


def test_it_agrees_with_the_package_on_a_bundle_with_everything_in_it(whole: Path) -> None:
    done = called("-I", "-S", whole / "data" / "verify.py")  # -I -S: no package is within reach
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.splitlines()[-1].startswith("holds (10 utterances, ")
    assert done.stdout.splitlines()[-1].endswith("failed predictions, no limit, missing: nothing)")


def test_the_package_agrees_with_itself_on_that_bundle(whole: Path) -> None:
    assert verify(whole) == []


def test_two_corpora_with_other_labels_hold(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bag.write(tmp_path / "two", real.whole(corpora=("tiny", "crema-d")), {})
    data = tmp_path / "two" / "data"
    strip_foreign_cells(data)
    code, printed = run(data, capsys)
    assert code == 0, printed


def strip_foreign_cells(data: Path) -> None:
    """Remove the skipped cell that the plan does not ask for: this verifier allows none."""
    rewrite(data / CELLS, lambda rows: [row for row in rows if not row["skipped"]])
    rewrite_csv(data / "tables/cells.csv", lambda rows: [row for row in rows if not row["skipped"]])
    describe_again(data)


def describe_again(data: Path) -> None:
    """Make statement and crate of the files as they are now, as a forger would."""
    files = {
        str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()
    }
    for path in ("provenance/statement.json", "ro-crate-metadata.json"):
        del files[path]
    for path, content in provenance(files).items():
        (data / path).write_bytes(content)


def test_it_says_how_many_predictions_it_took_as_given(
    whole: Path, capsys: pytest.CaptureFixture
) -> None:
    _, printed = run(whole / "data", capsys)
    made, given = (int(word) for word in printed.splitlines()[0].split() if word.isdigit())
    rows = [row for path in whole.glob("data/predictions/*/*") for row in read(path)]
    assert made + given == len(rows)
    assert made > given > 0


# --- forgeries -----------------------------------------------------------------------------------


def read(path: Path) -> list[dict]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.splitlines()]


def rewrite(path: Path, change: Callable[[list[dict]], object]) -> None:
    """Change the rows of a JSON-lines file, in place or by returning others."""
    rows = read(path)
    made = change(rows)
    rows = made if isinstance(made, list) else rows
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def rewrite_csv(path: Path, change: Callable[[list[dict]], object]) -> None:
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    head = list(rows[0])
    made = change(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(made if isinstance(made, list) else rows)
    path.write_text(text.getvalue(), "utf-8")


def rewrite_json(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


POINT_VALUES = (
    *(metric.name for metric in metrics.METRICS),
    "js_divergence_bits_failed_as_uniform",
)


def test_a_forged_cell_is_named_by_line_and_column(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    columns = [
        *POINT_VALUES,
        "n",
        "failed",
        "candidates",
        "unparsed",
        "speakers",
    ]  # each in one row

    def forge(rows: list[dict]) -> None:
        for row, column in zip(rows, columns, strict=False):
            value = row[column]
            forged = 0.5 if value in ("", "inf") else float(value) + 0.000002
            row[column] = str(int(value) + 1) if value.isdigit() else f"{forged:.6f}"

    def forge_paired(rows: list[dict]) -> None:
        for row, column in zip(rows, ("n", "speakers", "failed_a"), strict=False):
            row[column] = "99"

    rewrite_csv(copy / RESULTS, forge)
    rewrite_csv(copy / PAIRED, forge_paired)
    code, printed = run(copy, capsys)
    assert code == 1
    assert (
        f"broken: {len(columns) + 3 + 2} differences" in printed
    )  # statement and crate differ, too
    for line, column in enumerate(columns[:20], start=2):
        assert f"{RESULTS}, line {line}, column {column}: found " in printed


def plain(rows: list[dict]) -> dict:
    """A prediction that the verifier makes again."""
    return next(
        row
        for row in rows
        if row["distribution"] and row["strategy"] == "greedy" and row["control"] == "none"
    )


def candidate(rows: list[dict]) -> dict:
    return next(row for row in rows if row.get("verdict") == "exact")


def swap(rows: list[dict], keys: tuple[str, ...]) -> None:
    """Exchange these values of two answers that differ."""
    one = candidate(rows)
    other = next(
        row for row in rows if row.get("verdict") == "exact" and row["text"] != one["text"]
    )
    for key in keys:
        one[key], other[key] = other[key], one[key]


def mended(rows: list[dict], mixed: bool) -> dict:
    """A prediction, of a mixture or not, that rests on an answer which this verifier does not read."""
    name = "w_bon" if mixed else "bon"
    return next(
        row
        for row in rows
        if row["strategy"] == name
        and row["control"] == "none"
        and row["utterance_id"] == "u004"
        and row["distribution"]
    )


def seventeen(row: dict) -> None:
    row["distribution"] = [1.0, *[0.0] * (len(row["distribution"]) - 1)]


def of(rows: list[dict], strategy: str) -> dict:
    return next(row for row in rows if row["strategy"] == strategy)


def in_family(rows: list[dict]) -> dict:
    return next(row for row in rows if row["p_holm"])


FORGERIES = [
    (RESULTS, lambda rows: rows.pop(3), "found no row for"),
    (RESULTS, lambda rows: rows.append(rows[3]), "twice"),
    (RESULTS, lambda rows: rows[0].update(strategy="unheard_of"), "found a row for"),
    (RESULTS, lambda rows: rows[0].update(js_divergence_bits_low="9.000000"), "expected 0."),
    (PAIRED, lambda rows: rows.pop(3), "found no row for"),
    (PAIRED, lambda rows: rows[0].update(a="unheard_of"), "found a row for"),
    (PAIRED, lambda rows: rows[0].update(low="-0.000001"), "column low"),
    (PAIRED, lambda rows: rows[0].update(p="0.000100"), "column p"),
    (PAIRED, lambda rows: in_family(rows).update(p_holm="0.010000"), "column p_holm"),
    (PAIRED, lambda rows: in_family(rows).update(family="exploratory"), "column family"),
    (
        PAIRED,
        lambda rows: in_family(rows).update(detectable_family="0.001000"),
        "column detectable_family",
    ),
    (PAIRED, lambda rows: rows[0].update(detectable="0.000001"), "column detectable"),
    (PAIRED, lambda rows: rows[0].update(method="bootstrap"), "column method"),
    (PAIRED, lambda rows: rows[0].update(p_method="bootstrap"), "column p_method"),
    (PAIRED, lambda rows: rows[0].update(g_eff="9.000000"), "column g_eff"),
    (PAIRED, lambda rows: rows[0].update(reason="it was late"), "column reason"),
    (
        RESULTS,
        lambda rows: rows[0].update(js_divergence_bits_low="0.000001"),
        "column js_divergence_bits_low",
    ),
    (RESULTS, lambda rows: rows[0].update(macro_f1_high="0.990000"), "column macro_f1_high"),
    (RESULTS, lambda rows: rows[0].update(by_bootstrap="accuracy"), "column by_bootstrap"),
    (RESULTS, lambda rows: rows[0].update(reason=""), "column reason"),
    (RESULTS, lambda rows: rows[0].update(g_eff="9.000000"), "column g_eff"),
    (GAINS, lambda rows: rows.pop(), "found no row for"),
    (GAINS, lambda rows: of(rows, "label_logprobs").update(oracle="0.000001"), "column oracle"),
    (
        GAINS,
        lambda rows: of(rows, "label_logprobs").update(realised_low="0.400000"),
        "column realised_low",
    ),
    (
        GAINS,
        lambda rows: of(rows, "label_logprobs").update(effective_candidates="6.000000"),
        "column effective",
    ),
    (GAINS, lambda rows: of(rows, "label_logprobs").update(ties="0.000000"), "column ties"),
    (GAINS, lambda rows: rows[0].update(choice="-0.900000"), "the sum of its parts"),
    (GAINS, lambda rows: rows[0].update(total="-0.900000"), "column total"),
    (GAINS, lambda rows: rows[0].update(left_out="0"), "column left_out"),
    (FLOORS, lambda rows: rows.pop(), "found no row for"),
    (FLOORS, lambda rows: of(rows, "cot").update(value="-0.000001"), "column value"),
    (FLOORS, lambda rows: of(rows, "cot").update(high="0.990000"), "column high"),
    (FLOORS, lambda rows: of(rows, "cot").update(n="96"), "column n"),
    (FLOORS, lambda rows: rows[0].update(value="0.100000"), "column value"),
    (FLOORS, lambda rows: rows[-1].update(strategy="oracle"), "found a row for"),
    ("tables/heard.csv", lambda rows: rows[0].update(p_holm="0.001000"), "column p_holm"),
    ("tables/heard.csv", lambda rows: rows[0].update(high="0.001000"), "column high"),
    ("tables/heard.csv", lambda rows: rows[0].update(reason=""), "column reason"),
    (RUN, lambda run: run.update(claims_sha256="0" * 64), "key claims_sha256"),
    (PAIRED, lambda rows: rows[0].update(difference="0.900000"), "column difference"),
    ("tables/heard.csv", lambda rows: rows[0].update(heard="perhaps"), "column heard"),
    ("tables/heard.csv", lambda rows: rows.pop(), "found no row for"),
    ("tables/draws.csv", lambda rows: rows[0].update(tokens="1"), "column tokens"),
    ("tables/draws.csv", lambda rows: rows.pop(), "found no row for"),
    ("tables/levels.csv", lambda rows: rows[0].update(n="1"), "column n"),
    (
        "tables/levels.csv",
        lambda rows: rows[0].update(entropy_bits="0.500000"),
        "column entropy_bits",
    ),
    ("tables/cells.csv", lambda rows: rows[0].update(prompt="cot"), "tables/cells.csv: row 2"),
    ("tables/cells.csv", lambda rows: rows.append(rows[0]), "the plan asks for no such cell"),
    ("log/failures.csv", lambda rows: rows.pop(), "log/failures.csv"),
    ("log/failures.csv", lambda rows: rows.append(rows[-1]), "expected no such failure"),
    (
        "log/failures.csv",
        lambda rows: rows[0].update(failure="a nicer one"),
        "log/failures.csv: line 2",
    ),
    (PREDICTIONS, lambda rows: rows.pop(3), "row 4: found"),
    (PREDICTIONS, lambda rows: rows.append(rows[3]), "a prediction that nothing asks for"),
    (PREDICTIONS, lambda rows: rows.reverse(), "row 1: found"),
    (PREDICTIONS, lambda rows: plain(rows).update(candidates=9), "candidates: found 9"),
    (PREDICTIONS, lambda rows: plain(rows).update(distribution=None), "key failure"),
    (
        PREDICTIONS,
        lambda rows: plain(rows).update(distribution=[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        "share of",
    ),
    (PREDICTIONS, lambda rows: plain(rows).update(clip_of="u003"), "row"),
    ("predictions/baselines/tiny.jsonl.gz", lambda rows: seventeen(rows[1]), "share of"),
    (GREEDY, lambda rows: rows.clear(), "found no row 1"),
    (GREEDY, lambda rows: rows.pop(), "found no row"),
    (GREEDY, lambda rows: rows.append(rows[-1]), "a row that no question asks for"),
    (
        GREEDY,
        lambda rows: candidate(rows).update(verdict="unparsed"),
        "key verdict: found unparsed",
    ),
    (GREEDY, lambda rows: candidate(rows).update(log_likelihood=1000.0), "key log_likelihood"),
    (GREEDY, lambda rows: candidate(rows).update(seed=1), "key seed"),
    (GREEDY, lambda rows: candidate(rows).update(draw="0" * 64), "key draw"),
    (GREEDY, lambda rows: candidate(rows).update(tokens=-1), "row"),
    (GREEDY, lambda rows: candidate(rows).update(tokens=True), "row"),
    (GREEDY, lambda rows: candidate(rows).update(failure="CUDA out of memory"), "row"),
    (GREEDY, lambda rows: swap(rows, ("utterance_id", "draw", "audio_sha256", "seed")), "found"),
    (BEAM, lambda rows: candidate(rows).update(index=7), "row"),
    (BEAM, lambda rows: candidate(rows).update(truncated=True), "row"),
    (SCORES, lambda rows: rows.pop(), "scores/"),
    (SCORES, lambda rows: candidate(rows).update(score=9.5), "key score"),
    (
        SCORES,
        lambda rows: candidate(rows).update(text='{"score": 11}'),
        "found exact, expected unparsed",
    ),
    (CELLS, lambda rows: rows.pop(), "config/cells.jsonl"),
    (CELLS, lambda rows: rows[0].update(skipped="too slow"), "key skipped"),
    (
        CELLS,
        lambda rows: rows.append({**rows[0], "control": "silence", "skipped": "why not"}),
        "no such cell",
    ),
    ("config/questions.jsonl", lambda rows: rows.pop(), "config/questions.jsonl: found no row"),
    ("config/questions.jsonl", lambda rows: rows[0].update(judged=9), "key judged"),
    (UTTERANCES, lambda rows: rows[0]["votes"].reverse(), "found"),
    (UTTERANCES, lambda rows: rows[0].update(votes=[0] * 6), "key votes"),
    (
        UTTERANCES,
        lambda rows: rows[0].update(votes=[10**400, 0, 0, 0, 0, 0]),
        "integer of 401 digits",
    ),
    (UTTERANCES, lambda rows: rows[4].update(id=rows[3]["id"]), "key id"),
    (UTTERANCES, lambda rows: rows[5].update(audio_sha256=rows[6]["audio_sha256"]), "found"),
    (UTTERANCES, lambda rows: rows[5].update(truth_source="acted"), "found"),
    (PREDICTIONS, lambda rows: mended(rows, True).update(spread_bits=0.5), "entropies"),
    (PREDICTIONS, lambda rows: mended(rows, False).update(spread_bits=0.5), "entropies"),
    (RUN, lambda run: run.update(limit=10), "key partial"),
    (RUN, lambda run: run.update(note="all is well"), "keys"),
    (
        RUN,
        lambda run: run.update(missing=[{"kind": "model", "id": "tiny", "what": "", "do": ""}]),
        "found",
    ),
    ("inputs/judges.json", lambda judges: judges.update(tiny="gpt-4o"), "inputs/judges.json"),
    (
        "inputs/models.json",
        lambda models: models["tiny"].update(revision="another"),
        "its revision",
    ),
    ("inputs/models.json", lambda models: models["tiny"].update(id="gpt-4o"), "key id"),
    (
        "inputs/models.json",
        lambda models: models["tiny"]["capabilities"].remove("beam"),
        "key skipped",
    ),
    ("inputs/vote_units.json", lambda units: units.update(tiny=0), "vote_units"),
    (
        "inputs/corpora.json",
        lambda told: told["tiny"]["counts"].update(no_vote_in_label_set=-3),
        "0 or more",
    ),
    (
        "inputs/corpora.json",
        lambda told: told["tiny"]["counts"].update(utterances=50),
        "utterances",
    ),
    (
        "inputs/corpora.json",
        lambda told: told["tiny"]["counts"].update(utterances=10, votes=3),
        "key votes",
    ),
    ("provenance/statement.json", lambda told: told.update(subject=[]), "statement.json"),
    ("ro-crate-metadata.json", lambda told: told.update({"@graph": []}), "ro-crate-metadata.json"),
]


@pytest.mark.parametrize(("path", "change", "says"), FORGERIES, ids=range(len(FORGERIES)))
def test_a_forgery_is_found(
    copy: Path, capsys: pytest.CaptureFixture, path: str, change, says: str
) -> None:
    how = {".csv": rewrite_csv, ".json": rewrite_json}.get(Path(path).suffix, rewrite)
    how(copy / path, change)
    if path not in ("provenance/statement.json", "ro-crate-metadata.json"):
        describe_again(copy)
    code, printed = run(copy, capsys)
    assert code == 1, printed
    assert says in printed
    assert printed.splitlines()[-1].startswith("broken: ")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("dirichlet:", "dirichlet:\n  concentration: 10.0\n  epsilon: 0.01\ndirichlet:", "twice"),
        ("seed: 7", "seed: 7 # of 1,000", "expected a plain value"),
        ("seed: 7", "seed: &a 7", "expected a plain value"),
        ("seed: 7", "# the seed\nseed: 7", "a key and its value"),
        ("seed: 7", "seed: 8", "key draw"),
        ("  tau: 1.0\ndirichlet", "  tau: 2.0\ndirichlet", "share of"),
        ("max_tokens:\n  direct: 128", "max_tokens:\n  direct: 127", "key decoding"),
        ("  decoding: greedy", "  decoding: beam", "is its row, unchanged"),
        ("  aggregator: only", "  aggregator: best", "is its row, unchanged"),
        ("title: ", 'title: "a\\n| b |" #', "quoted text"),
        ("- name: silence", "- name: loud_noise", "controls"),
        ("verifier:\n  id: self", "verifier:\n  id: gpt-4o", "judges.json"),
        ("- uniform", "- best_of_all", "baselines: found best_of_all"),
    ],
)
def test_a_forged_plan_is_found(
    copy: Path, capsys: pytest.CaptureFixture, before: str, after: str, says: str
) -> None:
    text = (copy / "config/plan.yaml").read_text("utf-8")
    assert before in text
    (copy / "config/plan.yaml").write_text(text.replace(before, after, 1), "utf-8")
    code, printed = run(copy, capsys)
    assert code == 1, printed
    assert says in printed


def test_a_changed_prompt_is_found(copy: Path, capsys: pytest.CaptureFixture) -> None:
    with (copy / "config/prompts/tiny/verifier.txt").open("a") as file:
        file.write("Be kind.\n")
    code, printed = run(copy, capsys)
    assert code == 1
    assert "key draw" in printed
    assert "scores/tiny" in printed


def test_an_answer_stored_under_another_spelling_is_found(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    data = gzip.decompress((copy / GREEDY).read_bytes())
    (copy / GREEDY).write_bytes(
        gzip.compress(data.replace(b'"tokens": ', b'"tokens":  ', 1), mtime=0)
    )
    assert run(copy, capsys)[0] == 1


def test_a_shuffled_prediction_that_is_not_its_clip_s_is_found(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    def forge(rows: list[dict]) -> None:
        shuffled = [
            row for row in rows if row["control"] == "shuffled_audio" and row["distribution"]
        ]
        seventeen(shuffled[0])

    rewrite(copy / PREDICTIONS, forge)
    code, printed = run(copy, capsys)
    assert code == 1
    assert "found another prediction than" in printed


def test_a_dot_behind_every_answer_does_not_pass(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Everything is made again from answers that this verifier does not read."""
    with pytest.MonkeyPatch.context() as patch:
        text = real.answer_text
        patch.setattr(real, "answer_text", lambda *about: text(*about) + ".")
        real.files.cache_clear()
        bag.write(tmp_path / "dotted", real.whole(mended=False), {})
        real.files.cache_clear()
    strip_foreign_cells(tmp_path / "dotted" / "data")
    code, printed = run(tmp_path / "dotted", capsys)
    assert code == 1
    assert "taken as given, expected at most half" in printed


@pytest.mark.parametrize(
    "name", ["notes.txt", "csv.py", "tables/winners.md", "answers/tiny/tiny/more.jsonl.gz"]
)
def test_a_file_that_no_bundle_has_is_found(
    copy: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    (copy / name).write_bytes(b"")
    code, printed = run(copy, capsys)
    assert code == 1
    assert name in printed


@pytest.fixture(scope="module")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in which no answer needs repair: every number of it is made again."""
    folder = tmp_path_factory.mktemp("plain") / "plain"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            real, "score_text", lambda chance: f'{{"score": {chance.choice([0, 7, 7, 10])}}}'
        )
        real.files.cache_clear()
        bag.write(folder, real.whole(count=16, mended=False), {})
        real.files.cache_clear()
    strip_foreign_cells(folder / "data")
    return folder


def test_where_no_answer_needs_repair_every_number_is_made_again(
    plain_bundle: Path, capsys: pytest.CaptureFixture
) -> None:
    code, printed = run(plain_bundle, capsys)
    assert code == 0, printed
    assert " 0 taken as given" in printed
    assert "gains.csv" not in printed
    assert "verifier.csv" not in printed


@pytest.mark.parametrize(
    ("path", "column", "value"),
    [
        (GAINS, "averaging", "-0.500000"),
        (GAINS, "oracle_low", "0.000001"),
        (GAINS, "regret_high", "0.900000"),
        (GAINS, "effective_candidates", "1.500000"),
        (VERIFIER, "value", "0.990000"),
        (VERIFIER, "low", "0.500000"),
        (VERIFIER, "n", "96"),
    ],
)
def test_there_a_forged_part_is_found(
    plain_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    path: str,
    column: str,
    value: str,
) -> None:
    data = Path(shutil.copytree(plain_bundle / "data", tmp_path / "data"))
    rewrite_csv(data / path, lambda rows: rows[0].update({column: value}))
    describe_again(data)
    code, printed = run(data, capsys)
    assert code == 1
    assert f"{path}, line 2, column {column}: found {value}" in printed


def test_a_file_next_to_data_is_found(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bundle = Path(shutil.copytree(whole, tmp_path / "bundle"))
    (bundle / "RESULTS.md").write_text("We won.\n")
    code, printed = run(bundle, capsys)
    assert code == 1
    assert "../RESULTS.md: found next to data/" in printed


# --- hostile input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        RESULTS,
        PREDICTIONS,
        GREEDY,
        "config/plan.yaml",
        CELLS,
        "inputs/labels.json",
        RUN,
        "log/failures.csv",
    ],
)
def test_a_missing_file_exits_2_with_one_line(
    copy: Path, capsys: pytest.CaptureFixture, path: str
) -> None:
    (copy / path).unlink()
    code, printed = run(copy, capsys)
    assert (code, printed.count("\n")) == (2, 1)
    assert path in printed


@pytest.mark.parametrize("found", [1, 3, None, True, "2", [2]])
def test_another_format_exits_2_with_one_line(
    copy: Path, capsys: pytest.CaptureFixture, found: object
) -> None:
    rewrite_json(
        copy / RUN, lambda run: run.pop("format") if found is None else run.update(format=found)
    )
    code, printed = run(copy, capsys)
    assert (code, printed.count("\n")) == (2, 1)
    assert "config/run.json: found bundle format" in printed


def bomb(path: Path) -> None:
    packer = gzip.GzipFile(filename="", mtime=0, mode="wb", fileobj=path.open("wb"))
    for _ in range(256):
        packer.write(b"\n" * 2**20)
    packer.close()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 * 2**30)


def packed(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(gzip.compress(data, mtime=0))


HOSTILE = {
    "a pipe for the plan": ("config/plan.yaml", pipe),
    "a pipe for answers": (GREEDY, pipe),
    "a link to an endless device": (GREEDY, link),
    "a link for a table": (RESULTS, link),
    "a gzip bomb of line feeds": (GREEDY, bomb),
    "a gzip bomb of predictions": (PREDICTIONS, bomb),
    "one endless line": (GREEDY, packed(b"{" * 40 * 2**20)),
    "a sparse file of 8 GB": ("inputs/labels.json", sparse),
    "sparse utterances": (UTTERANCES, sparse),
    "a sparse table": (PAIRED, sparse),
    "deep JSON": (
        "inputs/models.json",
        lambda path: path.write_text("[" * 200_000 + "]" * 200_000),
    ),
    "a deep row": (UTTERANCES, lambda path: path.write_text("[" * 200_000 + "]" * 200_000 + "\n")),
    "a deep answer": (GREEDY, packed(b'{"a":' * 200_000 + b"\n")),
    "a million keys": (
        "config/plan.yaml",
        lambda path: path.write_text("".join(f"k{n}: 1\n" for n in range(10**6))),
    ),
    "laughs": (
        "config/plan.yaml",
        lambda path: path.write_text("a: &a [x]\nb: [*a, *a, *a, *a]\n"),
    ),
    "a deep plan": (
        "config/plan.yaml",
        lambda path: path.write_text("".join(" " * n + "a:\n" for n in range(1500))),
    ),
    "a plan of one line": (
        "config/plan.yaml",
        lambda path: path.write_text("a: '" + "'" * 4_000_000 + "\n"),
    ),
    "an endless number": (
        RUN,
        lambda path: path.write_text('{"format": 2, "limit": ' + "9" * 4_000_000 + "}"),
    ),
    "a wide cell": ("tables/cells.csv", lambda path: path.write_text("x" * 200_000 + "\n")),
    "a million rows of a table": (PAIRED, lambda path: path.write_text("tiny,tiny\n" * 10**6)),
    "not UTF-8": (UTTERANCES, lambda path: path.write_bytes(b"\xff\n")),
    "an empty gzip file": (GREEDY, lambda path: path.write_bytes(b"")),
    "half a gzip file": (GREEDY, lambda path: path.write_bytes(path.read_bytes()[:-20])),
    "a second gzip member": (
        GREEDY,
        lambda path: path.write_bytes(path.read_bytes() + gzip.compress(b"x\n", mtime=0)),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_little_and_gives_one_line(copy: Path, name: str) -> None:
    path, spoil = HOSTILE[name]
    spoil(copy / path)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({500 * 2**20},) * 2); import runpy, sys; "
    limit += f"sys.argv = ['verify.py', {str(copy)!r}]; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    start = time.monotonic()
    done = called("-I", "-c", limit)
    assert time.monotonic() - start < 30  # some 2 s on an idle machine
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "MemoryError" not in done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert len([line for line in lines if path in line]) == 1, lines


@pytest.mark.parametrize(
    "text", ["{}" + " " * 100_000 + "x", "{" * 100_000, "}" * 100_000, '{"' * 50_000 + "}"]
)
def test_no_answer_takes_long_to_read(text: str) -> None:
    start = time.monotonic()
    assert shipped.Reading(labels.SIX).distribution(text, "unparsed", False, "here") is None
    assert shipped.score_of(text, "unparsed", "here") is None
    assert time.monotonic() - start < 1


def test_a_link_for_a_folder_is_refused(copy: Path, capsys: pytest.CaptureFixture) -> None:
    (copy / "config").rename(copy.parent / "config")
    (copy / "config").symlink_to(copy.parent / "config")
    code, printed = run(copy, capsys)
    assert (code, printed.count("\n")) == (2, 1)
    assert "config: a link, device or pipe" in printed
    (copy.parent / "linked").symlink_to(copy)
    assert run(copy.parent / "linked", capsys)[0] == 2


def test_folders_too_deep_are_refused(copy: Path, capsys: pytest.CaptureFixture) -> None:
    (copy / "tables" / "/".join(["x"] * 200)).mkdir(parents=True)
    code, printed = run(copy, capsys)
    assert (code, printed.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "name", ["csv.py", "json/__init__.py", "hashlib.so", "__future__.py", "zlib.cpython-39.pyc"]
)
def test_it_refuses_to_run_beside_a_module_that_shadows_python_s(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("import sys; print('holds (all of it)'); sys.exit(0)")
    done = called(copy / "verify.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "call `python3 -I data/verify.py`" in done.stderr
    assert called("-I", copy / "verify.py").returncode == 1  # a file that no bundle has


def test_without_shadows_it_runs_without_the_option_too(copy: Path) -> None:
    assert called(copy / "verify.py").returncode == 0


def test_control_characters_are_shown_and_not_obeyed(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    def forge(rows: list[dict]) -> None:
        for row in rows:
            row["utterance_id"] = "\x1b[2J\x9b31m" + row["utterance_id"]

    rewrite(copy / GREEDY, forge)
    (copy / "tables" / "\x1b[31m.csv").write_text("")
    code, printed = run(copy, capsys)
    assert code == 1
    assert "\\x1b" in printed
    assert not [c for c in printed if not c.isprintable() and c != "\n"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200),
    where=st.integers(0, 2**31),
    part=st.floats(0, 1),
    all_of_it=st.booleans(),
)
def test_no_bytes_in_any_file_make_it_fall_over(
    copy: Path, capsys: pytest.CaptureFixture, data: bytes, where: int, part: float, all_of_it: bool
) -> None:
    suffixes = (".gz", ".csv", ".json", ".jsonl", ".yaml", ".txt")
    paths = [path for path in sorted(copy.rglob("*")) if path.suffix in suffixes]
    path = paths[where % len(paths)]
    before = path.read_bytes()
    body = gzip.decompress(before) if path.suffix == ".gz" else before
    at = int(part * len(body))
    made = data if all_of_it else body[:at] + data + body[at + len(data) :]
    path.write_bytes(
        gzip.compress(made, mtime=0) if path.suffix == ".gz" and not all_of_it else made
    )
    code, printed = run(copy, capsys)
    path.write_bytes(before)
    assert code in (0, 1, 2)
    assert printed.count("\n") < 40
    assert not [c for c in printed if not c.isprintable() and c != "\n"]


# --- its parts against the package's -------------------------------------------------------------


def test_its_table_of_strategies_is_the_package_s() -> None:
    theirs = {
        row.name: (
            row.prompt,
            row.decoding.kind,
            row.count or None,
            row.parts["scorer"] or "none",
            row.aggregator.name,
        )
        for row in STRATEGIES.values()
    }
    assert theirs == shipped.STRATEGIES


digests = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(
    digests,
    st.integers(-(2**70), 2**70),
    st.sampled_from(["clip", "silence"]),
    st.text(max_size=20),
)
def test_its_keys_and_seeds_are_the_package_s(
    clip: str, seed: int, audio: str, prompt: str
) -> None:
    decoding = Decoding("sample", 8, 0.7, 0.9, 96)
    draw = Draw(
        "m",
        "r",
        "vllm",
        "c",
        "u",
        clip,
        "",
        "direct",
        prompt.encode("utf-8", "replace").decode(),
        decoding,
        seed,
        audio,
    )
    spec = {"revision": "r", "engine": "vllm"}
    study = SimpleNamespace(
        plan={"seed": seed, "max_tokens": {"verifier": 16}},
        models={"m": spec},
        corpora={"c": SimpleNamespace(labels=["a", "b"])},
        asked=lambda *_: draw.prompt,
    )
    question = SimpleNamespace(
        model="m",
        corpus="c",
        prompt="direct",
        audio=audio,
        kind="sample",
        decoding=vars(decoding),
        judged=0,
    )
    key, head = shipped.Asking(study, question).head("u", clip)
    assert key == draw.key
    assert f'"seed": {draw.seed}, ' in head


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.sampled_from(["a", "a", "b", "c"]),
        min_size=2,
        max_size=14,
    ),
    st.integers(0, 2**40),
)
def test_its_cycle_of_clips_is_the_package_s(told: dict[str, str], seed: int) -> None:
    ids, speakers = sorted(told), [told[one] for one in sorted(told)]
    theirs = clip_owners(ids, speakers, "shuffled_audio", seed, "tiny")
    assert shipped.clips_of_others(ids, speakers, seed, "tiny") == theirs


def test_a_tiny_share_that_was_dropped_is_found() -> None:
    rows, findings = shipped.PredictionRows.__new__(shipped.PredictionRows), shipped.Findings()
    rows.path, rows.number, rows.findings = "here", 1, findings
    made = shipped.Constant([1.0, 3e-10])
    for told in (3e-10, 3.00000001e-10, 0.0, 3.1e-10):
        rows.compare(([1.0, told], (0, 0, 0), "", (None,) * 3), made, ["happy", "sad"])
    assert findings.first == [
        f"here: row 1: share of sad: found {told}, expected 3e-10" for told in (0.0, 3.1e-10)
    ]


answered = st.lists(st.sampled_from([0, 1, 1, 2, 5]), min_size=3, max_size=3).filter(any)
likely = st.none() | st.sampled_from([-1.0, -2.5, -2.5, 0.0, -700.0])
scored = st.none() | st.sampled_from([0.0, 3.0, 3.0, 10.0])
candidates = st.lists(
    st.tuples(st.none() | answered, likely, st.integers(0, 20), scored), min_size=1, max_size=6
)
numbers = st.tuples(st.floats(0.1, 50), st.floats(0.1, 100), st.floats(0.001, 1))


@pytest.mark.parametrize("scorer", ["none", *SCORERS])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
@given(told=candidates, chosen=numbers)
def test_every_scorer_and_aggregator_predicts_what_the_package_does(
    scorer: str, aggregator: str, told: list, chosen: tuple
) -> None:
    count = 1 if aggregator == "only" else len(told)
    told = told[:count]
    row = replace(STRATEGIES["bon"], name="x")
    object.__setattr__(row, "scorer", SCORERS.get(scorer))
    object.__setattr__(row, "aggregator", AGGREGATORS[aggregator])
    object.__setattr__(row, "decoding", replace(row.decoding, count=count))
    entry = {
        "name": "x",
        "base": "bon",
        "decoding": "beam",
        "count": count,
        "scorer": scorer,
        "aggregator": aggregator,
        **dict.fromkeys(("tau", "concentration", "epsilon")),
    }
    plan = {
        "weights": {"tau": chosen[0]},
        "dirichlet": {"concentration": chosen[1], "epsilon": chosen[2]},
    }
    if misfit(row):
        with pytest.raises(shipped.Broken):
            shipped.Strategy(entry, plan)
        return
    read = [
        (None if one is None else tuple(x / sum(one) for x in one), *rest) for one, *rest in told
    ]
    collected = Collected(count, 3)
    collected.answered(*([one[place] for one in read] for place in range(4)))
    theirs = predict(row, collected.columns(), Settings(*chosen))
    ours = shipped.Prediction(shipped.Strategy(entry, plan), [(*one, False) for one in read], "")
    assert ours.failure == theirs.failures[0]
    assert ours.counts == (theirs.candidates[0], theirs.unparsed[0], theirs.unscored[0])
    if ours.shares is None:
        assert np.isnan(theirs.distributions[0]).all()
    else:
        assert ours.shares == pytest.approx(theirs.distributions[0], rel=1e-8)
    bits = [math.nan] * 3 if ours.bits is None else ours.bits
    assert bits == pytest.approx(theirs.bits[0].tolist(), abs=1e-10, nan_ok=True)


VOTES = st.lists(
    st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any), min_size=1, max_size=12
)
shares = st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0, 0.3]), min_size=4, max_size=4).filter(
    any
)
votes = st.lists(st.sampled_from([0, 1, 1, 2, 3]), min_size=4, max_size=4).filter(any)
pairs = st.lists(st.tuples(votes, shares), min_size=1, max_size=12)


@given(VOTES)
def test_its_baselines_are_the_package_s(votes: list[list[int]]) -> None:
    truth = labels.truth(np.array(votes))
    mean = [
        math.fsum(column) / len(votes) for column in zip(*map(shipped.truth_of, votes), strict=True)
    ]
    assert mean == pytest.approx(BASELINES["prior"](truth, ())[0].tolist(), abs=1e-12)
    assert shipped.top_of(mean) == pytest.approx(
        BASELINES["prior_one_hot"](truth, ())[0].tolist(), abs=1e-12
    )


@given(pairs)
def test_its_thirteen_metrics_are_the_package_s(drawn: list) -> None:
    predicted = [[x / sum(p) for x in p] for _, p in drawn]
    ours = metrics.evaluate(labels.truth(np.array([t for t, _ in drawn])), np.array(predicted))
    sums = shipped.Sums(4)
    for (truth, _), prediction in zip(drawn, predicted, strict=True):
        sums.one(shipped.Truth(truth, 1), prediction)
    theirs = sums.metrics()
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        assert theirs[name] == pytest.approx(value, rel=1e-8, abs=1e-7, nan_ok=True), name


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=20),
    st.data(),
)
def test_its_ambiguity_levels_are_the_package_s(
    votes: list[list[int]], data: st.DataObject
) -> None:
    acted = data.draw(st.lists(st.booleans(), min_size=len(votes), max_size=len(votes)))
    for rule, how in labels.AMBIGUITY_RULES.items():
        expected = labels.ambiguity_levels(votes, rule, acted=acted)
        found = shipped.levels_of(list(zip(votes, acted, strict=True)), rule, how.thresholds)
        assert found == expected.tolist(), rule


@given(
    st.lists(
        st.sampled_from([0.0, 0.5, -0.5, 1.0, -1 / 3, 0.127, -0.8, 0.33]), min_size=2, max_size=40
    )
)
def test_its_sign_flips_are_the_package_s(sums: list[float]) -> None:
    assert shipped.sign_flip(sums) == pytest.approx(signflip.sign_flip(sums), abs=1e-12)


@pytest.mark.parametrize("speakers", [17, 91, 300])
def test_its_sign_flips_of_many_speakers_are_the_package_s(speakers: int) -> None:
    chance = np.random.default_rng(speakers)
    for middle in (0.0, 0.1, 0.3):
        sums = chance.normal(middle, 1, speakers).tolist()
        assert shipped.sign_flip(sums) == pytest.approx(signflip.sign_flip(sums), abs=1e-12)


@given(
    st.lists(
        st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any), min_size=1, max_size=4
    )
)
def test_its_splits_are_all_of_them(votes: list[list[int]]) -> None:
    corpus = SimpleNamespace(
        name="x", labels="abc", truths=[shipped.Truth(one, 1) for one in votes]
    )
    splits, shares = shipped.Splits(corpus), [0.5, 0.5, 0.0]
    assert splits.clips == sum(sum(one) >= 4 for one in votes)
    for counts, parts in splits.parts.items():
        ballots = [label for label, vote in enumerate(counts) for _ in range(vote)]
        errors = []
        for chosen in combinations(range(len(ballots)), len(ballots) // 2):
            rest = [ballot for place, ballot in enumerate(ballots) if place not in chosen]
            scorers = shipped.Truth([rest.count(label) for label in range(3)], 1)
            errors.append(shipped.brier_unbiased(scorers, shares))
        assert sum(part for part, _, _ in parts) == pytest.approx(1)
        assert sum(splits.error(counts, shares)) == pytest.approx(sum(errors) / len(errors))


raters = st.lists(st.integers(0, 4), min_size=4, max_size=4).filter(lambda votes: sum(votes) > 1)


@given(raters, shares)
def test_what_it_knows_of_raters_is_what_the_package_knows(
    votes: list[int], drawn: list[float]
) -> None:
    given_to = np.array([[x / sum(drawn) for x in drawn]])
    truth, told = shipped.Truth(votes, 1), np.array([votes])
    js = shipped.js_bits(truth, given_to[0].tolist())
    found = {
        "brier_unbiased": shipped.brier_unbiased(truth, given_to[0].tolist()),
        "js_divergence_bits_vote_jackknife": shipped.js_vote_jackknife(
            truth, given_to[0].tolist(), js
        ),
    }
    for name, value in found.items():
        assert value == pytest.approx(
            np.ravel(getattr(floors, name)(told, given_to))[0], abs=1e-9
        ), name
    for size in range(1, sum(votes) // 2 + 1):
        apart = shipped.panel_bits(tuple(votes), 2 * size) - shipped.panel_bits(tuple(votes), size)
        assert apart == pytest.approx(
            np.ravel(floors.second_panel_js_bits(told, size))[0], abs=1e-9
        )
    accuracy = np.ravel(floors.leave_one_rater_out_accuracy(told))[0]
    assert shipped.one_rater_right(truth) == pytest.approx(accuracy, abs=1e-9)


@given(st.floats(0.01, 80), st.floats(0.5, 300))
def test_its_student_is_scipy_s(t: float, freedom: float) -> None:
    assert shipped.student(t, freedom) == pytest.approx(2 * student_t.sf(t, freedom), rel=1e-9)
    assert shipped.student_edge(0.05, freedom) == pytest.approx(
        student_t.ppf(0.975, freedom), rel=1e-8
    )


@given(st.floats(1e-3, 1e4))
def test_its_digamma_is_scipy_s(x: float) -> None:
    assert shipped.digamma(x) == pytest.approx(digamma(x), rel=1e-11, abs=1e-11)


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120
)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]*", fullmatch=True)


@settings(max_examples=2 * settings.default.max_examples)
@given(
    title=texts.filter(lambda text: text.isprintable() and text == " ".join(text.split())),
    name=names,
    tau=st.floats(1e-9, 1e9),
    options=st.dictionaries(names, st.integers(0, 10**9) | st.none()),
)
def test_it_reads_a_plan_as_yaml_does(title: str, name: str, tau: float, options: dict) -> None:
    plan = Plan.model_validate(
        {
            "name": name,
            "title": title,
            "models": [{"id": "tiny", "options": options}, "other"],
            "corpora": ["tiny"],
            "strategies": ["greedy", {"name": "cot", "count": 3}],
            "controls": ["silence"],
            "weights": {"tau": tau},
        }
    )
    text = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    expected = yaml.safe_load(text)
    try:
        found = shipped.plan_of(text)
    except shipped.Broken:  # a title that YAML escapes, or an option whose name looks like a number
        assert re.search(r'^title: "|^    [0-9.\'"?]', text, re.MULTILINE)
        return
    for part in (expected, found):  # the title and a model's options decide no number
        part.pop("title")
        part["models"] = [model["id"] for model in part["models"]]
    assert found == expected


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parent.parent / "reproduce").glob("*.yaml")),
    ids=lambda p: p.stem,
)
def test_it_reads_the_plans_of_the_package_as_yaml_does(path: Path) -> None:
    from ambiemo.bundle.contents import plan_file
    from ambiemo.plan.schema import check

    content = yaml.safe_load(path.read_text("utf-8"))
    if "models" not in content:
        pytest.skip("no plan")
    text = plan_file(check(content, "plan")).decode("utf-8")
    assert shipped.plan_of(text) == yaml.safe_load(text)


@pytest.mark.parametrize("key", ["1", "1.0", "0x1f", "1_000", "2026-11-28", ".inf", "true", "No"])
def test_a_key_that_yaml_reads_as_no_text_is_refused(key: str) -> None:
    text = f"name: x\n{key}: 1\n"
    assert not all(isinstance(name, str) for name in yaml.safe_load(text))
    with pytest.raises(shipped.Broken, match="a key that is text, or quotes around it"):
        shipped.plan_of(text)


@given(st.from_regex(r"[A-Za-z0-9_.$][A-Za-z0-9_.$-]{0,9}", fullmatch=True))
def test_a_plain_key_is_read_as_yaml_reads_it_or_refused(key: str) -> None:
    text = f"name: x\n{key}: 1\n"
    expected = yaml.safe_load(text)
    try:
        assert shipped.plan_of(text) == expected
    except shipped.Broken:
        assert not all(isinstance(name, str) for name in expected)


@pytest.mark.parametrize("key", ["gpt-4o", "2.5-pro", "'1'", "_a", "$a", "nowhere", "n", "1a"])
def test_a_key_that_yaml_reads_as_text_is_read(key: str) -> None:
    text = f"name: x\n{key}: 1\n"
    assert shipped.plan_of(text) == yaml.safe_load(text)


FORMS = ["{}", "so:\n{}", "```json\n{}\n```", "{} ok", "{{}} {}", "{}\n\n", '{{"happy": 1}}\n{}']


@given(
    st.lists(st.sampled_from([0, 0.1, 0.3, 0.5, 1, 30, -1, 1e-9]), min_size=1, max_size=4),
    st.permutations(["anger", "happy", "sad", "Happiness", "boredom"]),
    st.sampled_from(FORMS),
)
def test_it_never_reads_a_distribution_that_the_package_does_not(
    values: list, keys: list, form: str
) -> None:
    text = form.format(json.dumps(dict(zip(keys, values, strict=False))))
    of = ("anger", "happy", "sad")
    theirs = parse_distribution(text, of)
    found = shipped.Reading(of).distribution(text, theirs.verdict, False, "here")
    if found is not shipped.CANNOT_TELL:
        assert found == theirs.distribution


@given(st.sampled_from([0, 7, 10, 11, -1, 2.5, 1e-5]), st.sampled_from([*FORMS[:4], "{}\n\n"]))
def test_it_never_reads_a_score_that_the_package_does_not(score: float, form: str) -> None:
    text = form.format(json.dumps({"score": score}))
    theirs = parse_score(text)
    found = shipped.score_of(text, theirs.verdict, "here")
    if found is not shipped.CANNOT_TELL:
        assert found == theirs.score


def test_the_commands_of_the_readme_in_a_bundle_hold_for_it(whole: Path) -> None:
    text = (whole / "data/README.md").read_text("utf-8")
    assert text.startswith("# How to check the bundle `real`")
    (commands, *_) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert "python3 -I data/verify.py" in commands
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = ["bash", "-euo", "pipefail", "-c", commands]
    done = subprocess.run(
        script, cwd=whole, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [
        line.split()[0].rstrip(":") for line in done.stdout.splitlines() if line.startswith("holds")
    ] == [
        "holds",
        "holds",
    ]


def test_the_readme_of_a_bundle_names_every_folder_of_it(whole: Path) -> None:
    text = (whole / "data/README.md").read_text("utf-8")
    for folder in sorted(path.name for path in (whole / "data").iterdir() if path.is_dir()):
        assert f"`{folder}/" in text, folder


@pytest.mark.parametrize("level", [0.5, 0.99])
def test_the_plan_s_level_is_that_of_every_interval_for_both(
    tmp_path: Path, capsys: pytest.CaptureFixture, level: float
) -> None:
    plan = real.plan(
        strategies=["greedy", "bon", "alm_v"],
        controls=[],
        bootstrap={"resamples": 100, "level": level},
    )
    bag.write(tmp_path / "bundle", real.whole_of(plan, 8), {})
    assert verify(tmp_path / "bundle") == []
    code, printed = run(tmp_path / "bundle" / "data", capsys)
    assert code == 0, printed


@pytest.mark.parametrize("name", ["qwen2-audio-7b", "ultravox-v0.3"])
def test_a_revision_that_the_plan_gives_makes_no_other_model(name: str) -> None:
    """Of a model that the package pins, and of one that it does not."""
    entry = ModelEntry(id=name, engine="null", revision=f"{3:040x}")
    spec = entry.spec()
    model = spec.model_dump(mode="json", exclude={"base_url"}) | {"revision": spec.revision}
    model |= {"capabilities": sorted(model["capabilities"]), "engine": "null"}
    notes: list[str] = []
    shipped.check_model(entry.model_dump(mode="json"), model, notes.append)
    assert notes == []
    shipped.check_model(
        entry.model_dump(mode="json"), model | {"pinned": f"{4:040x}"}, notes.append
    )
    shipped.check_model(entry.model_dump(mode="json"), model | {"title": "x"}, notes.append)
    assert [note.split(": ")[2] for note in notes] == ["key pinned", "what the model is"]


def test_a_score_s_key_may_be_written_in_capitals() -> None:
    text = '{"Score": 7}'
    assert shipped.score_of(text, parse_score(text).verdict, "row 1") == parse_score(text).score


def test_it_knows_what_the_package_ships() -> None:
    """The section "known" of the file. Where this fails, the lines that belong there are printed."""
    specs = {name: ModelEntry(id=name).spec() for name in MODELS}
    rows = {
        name: {**spec.model_dump(mode="json", exclude={"base_url"}), "revision": spec.revision}
        for name, spec in specs.items()
    }
    parts = {}
    for name, row in rows.items():
        row["capabilities"] = sorted(row["capabilities"])
        kinds = (set(row) - {*shipped.REVISION, *shipped.PRICE}, shipped.REVISION, shipped.PRICE)
        told = [shipped.compact({key: row[key] for key in keys}) for keys in kinds]
        parts[name] = tuple(sha256(text.encode())[: shipped.DIGITS] for text in told)
    lines = "\n".join(f'    "{name}": {told},' for name, told in parts.items()).replace("'", '"')
    assert parts == shipped.MODELS, f"in data/verify.py:\nMODELS = {{\n{lines}\n}}"
    assert claims_sha256() == shipped.CLAIMS_SHA256
    first, _, rest = readme("NAME").partition("\n")
    assert first == shipped.README_TITLE % "NAME"
    assert sha256(rest.encode()) == shipped.README_SHA256, sha256(rest.encode())
    embedded = load_corpus("tiny")
    told = [
        shipped.canonical(
            {
                "corpus": "tiny",
                **{key: getattr(one, key) for key in ("id", "speaker", "cluster", "audio_sha256")},
                "duration_s": one.duration_s,
                "votes": list(one.votes),
                "truth_source": one.truth_source,
            }
        )
        for one in embedded.utterances
    ]
    assert "".join(shipped.sha256(row)[: shipped.DIGITS] for row in told) == shipped.EMBEDDED_ROWS
    assert [list(one) for one in embedded.sources] == shipped.EMBEDDED_SOURCE
    assert sorted(embedded.counts) == shipped.EMBEDDED_COUNTS
    settings = {part: Plan.model_fields[part].default.model_dump() for part in shipped.DEFAULTS}
    assert settings == shipped.DEFAULTS
    acted = [name for name, one in CORPORA.items() if not one.votes]
    assert sorted(shipped.ACTED) == sorted(acted)
    assert sorted((*shipped.ACTED, *shipped.RATED)) == sorted(CORPORA)


@pytest.mark.parametrize("limit", [1, 40, 96, 200])
def test_a_limit_keeps_the_same_utterances_for_both(limit: int) -> None:
    ids = [one.id for one in load_corpus("tiny").utterances]
    assert shipped.kept_of(ids, limit) == [ids[place] for place in sampled(ids, limit)]
