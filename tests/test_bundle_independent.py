"""The second verifier, data/verify.py: it shares no code with the package, agrees with it on every number, and finds forgeries."""

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
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import bundle_real as real
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from ambiemo import labels, metrics
from ambiemo.bundle import bag, independent
from ambiemo.bundle.verify import verify
from ambiemo.plan.schema import Plan
from ambiemo.strategies import STRATEGIES
from ambiemo.strategies.baselines import BASELINES
from ambiemo.strategies.predict import Heard, Weighting, predict

RESULTS, PAIRED, PREDICTIONS = "tables/results.csv", "tables/paired.csv", "predictions/tiny/tiny.jsonl.gz"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle; nobody changes it."""
    folder = tmp_path_factory.mktemp("real") / "real"
    bag.write(folder, real.whole(), {})
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """Its data/ folder, to change."""
    return Path(shutil.copytree(whole / "data", tmp_path / "data"))


def run(data: Path, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """Exit code and output of the verifier."""
    code = independent.main([str(data)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(independent.__file__).read_text("utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert named <= set(sys.stdlib_module_names)


def test_it_agrees_with_the_package_on_a_bundle_with_everything_in_it(whole: Path) -> None:
    command = [sys.executable, "-I", "-S", str(whole / "data" / "verify.py")]  # -I -S: no package is within reach
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.splitlines()[-1].startswith("holds")


def test_the_package_agrees_with_itself_on_that_bundle(whole: Path) -> None:
    assert verify(whole) == []


def test_it_says_how_many_predictions_it_took_as_given(whole: Path, capsys: pytest.CaptureFixture) -> None:
    _, printed = run(whole / "data", capsys)
    made, given = (int(word) for word in printed.splitlines()[0].split() if word.isdigit())
    rows = [
        json.loads(line)
        for path in whole.glob("data/predictions/*/*")
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    assert made + given == len(rows)
    assert made > given


def rewrite_gz(path: Path, change: Callable[[list[dict]], object]) -> None:
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(rows)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def rewrite_csv(path: Path, change: Callable[[list[dict]], object]) -> None:
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    change(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), "utf-8")


POINT_VALUES = (*(metric.name for metric in metrics.METRICS), "js_divergence_bits_failed_as_uniform")


def test_a_forged_cell_is_named_by_line_and_column(copy: Path, capsys: pytest.CaptureFixture) -> None:
    columns = [*POINT_VALUES, "n", "failed", "candidates", "unparsed", "speakers"]  # one in every row, each in one

    def forge(rows: list[dict]) -> None:
        for row, column in zip(rows, columns, strict=False):
            value = row[column]
            forged = 0.5 if value in ("", "inf") else float(value) + 0.000002
            row[column] = str(int(value) + 1) if value.isdigit() else f"{forged:.6f}"

    def forge_paired(rows: list[dict]) -> None:
        for row, column in zip(rows, ("difference", "n", "speakers"), strict=False):
            row[column] = "99"

    rewrite_csv(copy / RESULTS, forge)
    rewrite_csv(copy / PAIRED, forge_paired)
    code, printed = run(copy, capsys)
    assert code == 1
    assert f"broken: {len(columns) + 3} differences" in printed
    for line, column in enumerate(columns[:20], start=2):
        assert f"{RESULTS}, line {line}, column {column}: found " in printed


def plain(rows: list[dict]) -> dict:
    """A prediction that the verifier makes again."""
    return next(row for row in rows if row["distribution"] and row["strategy"] == "greedy" and row["control"] == "none")


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        (RESULTS, lambda rows: rows.pop(3), "no row for"),
        (RESULTS, lambda rows: rows.append(rows[3]), "a row that no prediction gives, or twice"),
        (PAIRED, lambda rows: rows[0].update(a="unheard_of"), "a comparison that no predictions give"),
        (PREDICTIONS, lambda rows: rows.pop(3), "missing"),
        (PREDICTIONS, lambda rows: rows.append(rows[3]), "nothing asks for, or twice"),
        (PREDICTIONS, lambda rows: plain(rows).update(candidates=9), "candidates: found 9"),
        (PREDICTIONS, lambda rows: plain(rows).update(distribution=None), "distribution: found None"),
        ("answers/tiny/tiny.jsonl.gz", lambda rows: rows.clear(), "found"),
    ],
)
def test_a_forgery_is_found(copy: Path, capsys: pytest.CaptureFixture, path: str, change, says: str) -> None:
    if path.endswith(".csv"):
        rewrite_csv(copy / path, change)
    else:
        rewrite_gz(copy / path, change)
    code, printed = run(copy, capsys)
    assert code == 1, printed
    assert says in printed


def test_changed_votes_are_found(copy: Path, capsys: pytest.CaptureFixture) -> None:
    path = copy / "inputs/utterances.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows[0]["votes"].reverse()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert run(copy, capsys)[0] == 1


def test_a_plain_answer_called_unparsed_is_found(copy: Path, capsys: pytest.CaptureFixture) -> None:
    def forge(rows: list[dict]) -> None:
        next(row for row in rows if row.get("verdict") == "exact")["verdict"] = "unparsed"

    rewrite_gz(copy / "answers/tiny/tiny.jsonl.gz", forge)
    assert "an answer's verdict is 'unparsed'" in run(copy, capsys)[1]


def test_where_predictions_say_whose_clip_was_heard_that_is_checked(copy: Path, capsys: pytest.CaptureFixture) -> None:
    def own_clip(rows: list[dict]) -> None:
        for row in rows:
            if row["control"] == "shuffled_audio":
                row["heard"] = row["utterance_id"]

    rewrite_gz(copy / PREDICTIONS, own_clip)
    code, printed = run(copy, capsys)
    assert code == 1
    assert "hears its own clip" in printed


@pytest.mark.parametrize("path", [RESULTS, PREDICTIONS, "config/plan.yaml", "config/cells.jsonl", "inputs/labels.json"])
def test_a_missing_file_exits_2_with_one_line(copy: Path, capsys: pytest.CaptureFixture, path: str) -> None:
    (copy / path).unlink()
    if path == PREDICTIONS:
        (copy / path).write_bytes(b"no gzip")
    code, printed = run(copy, capsys)
    assert code == 2
    assert printed.count("\n") == 1
    assert path in printed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.binary(max_size=200), where=st.integers(0, 2**31))
def test_no_bytes_in_any_file_make_it_fall_over(
    copy: Path, capsys: pytest.CaptureFixture, data: bytes, where: int
) -> None:
    paths = [
        p for p in sorted(copy.rglob("*")) if p.is_file() and p.suffix in (".gz", ".csv", ".json", ".jsonl", ".yaml")
    ]
    path = paths[where % len(paths)]
    before = path.read_bytes()
    path.write_bytes(data)
    code, printed = run(copy, capsys)
    path.write_bytes(before)
    assert code in (0, 1, 2)
    assert printed.count("\n") < 40


def test_its_table_of_strategies_is_the_package_s() -> None:
    called = {"dirichlet_mixture": "mixture", "vote_share": "votes", "weighted_mean": "mean"}
    theirs = {
        row.name: (row.prompt, row.decoding, row.count, row.scorer, called.get(row.aggregator, row.aggregator))
        for row in STRATEGIES.values()
    }
    assert theirs == independent.STRATEGIES


def test_a_tiny_share_that_was_dropped_is_found() -> None:
    bundle = independent.Bundle.__new__(independent.Bundle)  # read from no folder
    bundle.labels, bundle.wrong = {"tiny": ["happy", "sad"]}, []
    for told in (3e-10, 3.00000001e-10, 0.0, 3.1e-10):
        row = {"corpus": "tiny", "distribution": [1.0, told]}
        independent.compare_prediction(bundle, "here", row, ([1 - 3e-10, 3e-10], None, {}))
    assert bundle.wrong == [f"here, sad: found {told}, expected 3e-10" for told in (0.0, 3.1e-10)]


VOTES = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any), min_size=1, max_size=12)


@given(VOTES, st.randoms(use_true_random=False))
def test_its_baselines_are_the_package_s_in_any_order(votes: list[list[int]], random) -> None:
    bundle = SimpleNamespace(plan={"baselines": list(BASELINES)})
    truth = labels.truth(np.array(votes))
    random.shuffle(votes)
    told = independent.baselines(bundle, "tiny", [{"id": str(n), "votes": row} for n, row in enumerate(votes)])
    for (_, _, name, _, _), make in told:
        assert make({})[0] == pytest.approx(BASELINES[name](truth)[0].tolist(), abs=1e-12), name


answered = st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any)


@given(st.lists(answered, min_size=1, max_size=6), st.floats(0.1, 100), st.floats(0.001, 1))
def test_its_mixtures_are_the_package_s(votes: list[list[int]], concentration: float, epsilon: float) -> None:
    told = [([x / sum(row) for x in row], -float(n), 1, None) for n, row in enumerate(votes)]
    plan = {"weights": {"tau": 1.0}, "dirichlet": {"concentration": concentration, "epsilon": epsilon}}
    found, bits, _ = independent.predict("likelihood", "mixture", told, plan)
    ours = predict(STRATEGIES["w_bon"], [Heard(*one) for one in told], 3, Weighting(1.0, concentration, epsilon))
    assert found == pytest.approx(ours.distribution, rel=1e-12)
    assert list(bits) == ["expected_bits", "spread_bits", "disagreement_bits"]
    for part, value in bits.items():
        assert value == pytest.approx(getattr(ours, part), abs=1e-11), part


shares = st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0, 0.3]), min_size=4, max_size=4).filter(any)
pairs = st.lists(st.tuples(shares, shares), min_size=1, max_size=12)


@given(pairs)
def test_its_thirteen_metrics_are_the_package_s(drawn: list) -> None:
    truths = [[x / sum(t) for x in t] for t, _ in drawn]
    predicted = [[x / sum(p) for x in p] for _, p in drawn]
    ours = metrics.evaluate(np.array(truths), np.array(predicted))
    theirs = independent.metrics(truths, predicted)
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        assert theirs[name] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=20), st.data())
def test_its_ambiguity_levels_are_the_package_s(votes: list[list[int]], data: st.DataObject) -> None:
    acted = data.draw(st.lists(st.booleans(), min_size=len(votes), max_size=len(votes)))
    utterances = [
        {"id": str(number), "votes": row, "truth_source": "acted" if by else "votes"}
        for number, (row, by) in enumerate(zip(votes, acted, strict=True))
    ]
    for rule, how in labels.AMBIGUITY_RULES.items():
        expected = labels.ambiguity_levels(votes, rule, acted=acted)
        found = independent.levels_of(utterances, rule, how.thresholds)
        assert list(found.values()) == expected.tolist(), rule


@given(st.floats(1e-3, 1e4))
def test_its_digamma_is_scipy_s(x: float) -> None:
    assert independent.digamma(x) == pytest.approx(digamma(x), rel=1e-12, abs=1e-12)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=120)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]*", fullmatch=True)


@given(
    title=texts, name=names, tau=st.floats(1e-9, 1e9), options=st.dictionaries(names, st.integers() | names | st.none())
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
    found = independent.plan_of(text)
    for part in (expected, found):  # the title and a model's options decide no number
        part.pop("title")
        part["models"] = [model["id"] for model in part["models"]]
    assert found == expected


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent.parent / "reproduce").glob("*.yaml")), ids=lambda p: p.stem
)
def test_it_reads_the_plans_of_the_package_as_yaml_does(path: Path) -> None:
    content = yaml.safe_load(path.read_text("utf-8"))
    if "models" not in content:
        pytest.skip("no plan")
    text = yaml.safe_dump(Plan.model_validate(content).model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    assert independent.plan_of(text) == yaml.safe_load(text)


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3), st.sampled_from(["{}", "so:\n{}", "```json\n{}\n```", "{} ok"])
)
def test_it_never_reads_a_distribution_that_the_package_does_not(values: list[float], form: str) -> None:
    from ambiemo.models.parsing import parse_distribution

    text = form.format(json.dumps(dict(zip(("anger", "happy", "sad"), values, strict=True))))
    ours = parse_distribution(text, ("anger", "happy", "sad"))
    found = independent.read_distribution(
        {"text": text, "verdict": ours.verdict, "decoding": {"kind": "greedy"}}, ("anger", "happy", "sad")
    )
    if found is not independent.CANNOT_TELL:
        assert found == (ours.distribution if ours.distribution is None else list(ours.distribution))
    assert form == "{} ok" or found is not independent.CANNOT_TELL or math.fsum(values) == 0


def test_the_commands_of_the_readme_in_a_bundle_hold_for_it(whole: Path) -> None:
    text = (whole / "data/README.md").read_text("utf-8")
    assert text.startswith("# How to check the bundle `real`")
    (commands, *_) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = ["bash", "-euo", "pipefail", "-c", commands]
    done = subprocess.run(script, cwd=whole, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("holds")] == ["holds", "holds"]


def test_the_readme_of_a_bundle_names_every_folder_of_it(whole: Path) -> None:
    text = (whole / "data/README.md").read_text("utf-8")
    for folder in sorted(path.name for path in (whole / "data").iterdir() if path.is_dir()):
        assert f"`{folder}/" in text, folder
