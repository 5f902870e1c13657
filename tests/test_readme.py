"""README.md and docs/ keep their promises: their numbers are those of the committed bundle and of
the benchmarks' files.
"""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from ambiemo.bundle.folder import payload
from ambiemo.bundle.recomputing import tables_again
from ambiemo.durable import sha256_file
from ambiemo.results.rendering import from_csv, scaling

sys.path.insert(0, str(ROOT / "reproduce"))

import readme

README = (ROOT / "README.md").read_text("utf-8")
QUICK = (ROOT / "docs/quick.md").read_text("utf-8")
PERFORMANCE = (ROOT / "docs/performance.md").read_text("utf-8")
REFERENCE = ROOT / "artifacts" / "reference" / "quick"
LONGEST = 900
"""Words of README.md, with its tables and commands."""


def rows_of(name: str) -> list[dict]:
    return from_csv((REFERENCE / f"data/tables/{name}.csv").read_bytes())


def lines_of(name: str) -> list[dict[str, str]]:
    with (REFERENCE / f"data/tables/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= LONGEST


def test_the_table_is_the_committed_bundle_s() -> None:
    assert readme.table(REFERENCE) in README


def test_a_table_of_other_numbers_is_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / "README.md"
    changed.write_text(README.replace("0.254 [", "0.154 ["), encoding="utf-8")
    monkeypatch.setattr(readme, "README", changed)
    assert readme.stale() == ["README.md: not what bundle and code say; run `make reference`"]


def test_the_caveat_stands_above_the_table() -> None:
    before = README.partition(readme.table(REFERENCE))[0]
    assert "They say nothing about the paper's models" in " ".join(before.split())


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md"])
def test_the_hash_is_that_of_the_second_verifier(file: str) -> None:
    (digest,) = re.findall(r"([0-9a-f]{64})  data/verify\.py", (ROOT / file).read_text("utf-8"))
    assert digest == sha256_file(ROOT / "ambiemo/bundle/shipped/verify.py")


def test_a_stranger_s_commands_pass_on_the_committed_bundle() -> None:
    block = README.partition("## Check a bundle without our code")[2]
    block = re.findall(r"```sh\n(.*?)```", block, re.DOTALL)[0]
    commands = block.replace("cd artifacts/quick", f"cd {REFERENCE}")
    script = commands.replace("python3", sys.executable)
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data/verify.py: OK" in done.stdout
    assert re.search(r"^holds", done.stdout, re.MULTILINE)


def test_what_verify_prints_is_what_the_readme_shows() -> None:
    block = README.partition("$ make verify")[2].partition("```")[0]
    shown = block.splitlines()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "ambiemo", "verify", str(REFERENCE)],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    printed = done.stdout.splitlines()
    assert [line for line in shown if line not in printed] == []


def test_what_score_prints_is_what_the_readme_shows() -> None:
    block = README.partition("$ ambiemo score")[2].partition("```")[0]
    example = (ROOT / "docs/metrics.md").read_text("utf-8")
    told = {" ".join(line.split()) for line in example.splitlines()}
    assert [one for one in block.splitlines()[1:] if " ".join(one.split()) not in told] == []


def test_the_table_of_more_candidates_is_the_committed_bundle_s() -> None:
    for line in scaling(rows_of("results"), rows_of("cells")):
        assert f"| {' | '.join(line)} |" in QUICK


def test_how_much_it_hears_is_what_the_committed_bundle_says() -> None:
    for row in lines_of("heard"):
        value, low, high = (float(row[name]) for name in ("difference", "low", "high"))
        assert f"{value:.2f} [{low:.2f}, {high:.2f}] bits worse" in QUICK


def test_no_strategy_is_called_better_than_greedy_in_the_committed_bundle() -> None:
    tested = [row for row in lines_of("paired") if row["p_holm"]]
    assert tested
    assert [row["a"] for row in tested if float(row["p_holm"]) < 0.05] == []
    assert "no strategy is shown to beat its single answer" in " ".join(README.split())


def test_the_committed_bundle_holds() -> None:
    from ambiemo.bundle.verify import verify

    assert verify(REFERENCE) == []
    assert (
        tables_again(payload(REFERENCE))["tables/results.csv"]
        == (REFERENCE / "data/tables/results.csv").read_bytes()
    )


def test_the_sharing_it_tells_is_the_plan_s() -> None:
    from ambiemo.plan.expand import expand
    from ambiemo.plan.schema import read
    from ambiemo.plan.sharing import count_draws

    counts = count_draws(expand(read(ROOT / "reproduce/quick.yaml")))
    told = f"{counts.alone} draws if each strategy made its own, {counts.shared} after sharing"
    assert told in " ".join(QUICK.split())
    told = f"{counts.shared} draws serve all strategies ({counts.alone} if each made its own)"
    assert told in README


def measured(name: str) -> dict:
    return json.loads((ROOT / "reproduce/bench/results" / f"{name}.json").read_text("utf-8"))


def speeds() -> list[str]:
    """The last column of the table of speeds, made from the benchmarks' own files."""
    sharing, utterances, parity = (
        measured("sharing"),
        measured("utterances"),
        measured("parity")["questions"],
    )
    transformers, vllm = (
        measured(f"overhead-{engine}")["over_plain"] for engine in ("transformers", "vllm")
    )
    return [
        f"{transformers['pool']:.2f}",
        f"{transformers['one actor']:.2f}",
        f"{vllm['one actor']:.2f}",
        f"{sharing['eight_samples_over_one']:.2f}",
        f"{sharing['quick_grid']['own_draws_over_shared']:.2f}",
        f"{utterances['sizes'][-1]['utterances_per_second']:,}",
        f"{utterances['resident_largest_over_smallest']:.2f}",
        f"{measured('side_by_side')['side by side']['over_lower_bound']:.2f}",
        f"{measured('conclusions')['with_over_without']:.2f}",
        ", ".join(f"{parity[name]['same_texts_in_order']:.0%}" for name in ("greedy", "beam(5)")),
    ]


def test_the_speeds_are_those_of_the_benchmarks_files() -> None:
    table = PERFORMANCE.partition("\n## ")[0]
    rows = re.findall(r"^\| .* \| ([^|]*) \|$", table, re.MULTILINE)
    assert rows[2:] == speeds()
