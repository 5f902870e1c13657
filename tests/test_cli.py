"""The command line's contract: exit codes, one line for an error, nothing heavy where nothing heavy
is needed.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT

from ambiemo.cli import main


def ambiemo(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "{name: p, models: [{id: tiny, engine: 'null'}], corpora: [tiny], strategies: [greedy, alm_v]}",
        "utf-8",
    )
    return path


def test_the_dry_run_of_a_ready_plan_exits_0_and_says_the_draws(plan: Path) -> None:
    told = ambiemo("plan", str(plan))
    assert told.exit_code == 0, told.output
    assert "480 if every strategy made its own" in told.output
    assert "nothing is missing" in told.output
    counted = json.loads(ambiemo("plan", str(plan), "--json").output)
    assert (counted["draws_alone"], counted["draws_shared"]) == (96 * 5, 96 * 5)


def test_the_dry_run_of_the_paper_lists_all_that_is_missing_and_exits_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AMBIEMO_DATA", "OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    told = ambiemo("plan", str(ROOT / "reproduce/paper.yaml"))
    assert told.exit_code == 2
    for wanted in (
        "iemocap",
        "msp-podcast",
        "crema-d",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "AUDIO_FLAMINGO_2_BASE_URL",
        "gemini-2.0-flash may be gone: shut down",
        "do: ",
    ):
        assert wanted in told.output


def test_the_dry_run_marks_each_corpus_of_a_strategy_and_model_and_gives_its_counts_one_row() -> (
    None
):
    lines = ambiemo("plan", str(ROOT / "reproduce/paper.yaml")).output.splitlines()
    assert "a mark for each corpus: iemocap, msp-podcast, crema-d" in lines
    (votes,) = (line for line in lines if "majority_vote" in line)
    assert "majority_vote, N = 2, 4, 8" in votes
    assert votes.count("○") == 8 * 3
    (beams,) = (line for line in lines if line.strip().startswith("bon, N = 3, 5"))
    assert (beams.count("○"), beams.count("✗")) == (4 * 3, 4 * 3)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "no-such.yaml"), 2),
        (("run", "no-such.yaml"), 2),
        (("verify", "no-such-bundle"), 2),
        (("tables", "no-such-bundle"), 2),
        (("score", "no.csv", "no.csv"), 2),
        (("data", "import", "crema-d", "--root", "no-such-folder", "--out", "x.parquet"), 2),
    ],
)
def test_what_is_not_there_is_one_line_on_stderr_and_exit_2(
    words: tuple[str, ...], code: int
) -> None:
    told = ambiemo(*words)
    assert told.exit_code == code
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr
    assert told.stderr.startswith("ambiemo: ")
    assert "Traceback" not in told.output


@pytest.mark.parametrize("command", ["strategies", "models", "corpora"])
def test_every_listing_prints_a_table_and_exits_0(command: str) -> None:
    told = ambiemo(command)
    assert told.exit_code == 0, told.output
    assert "tiny" in told.output or "w_alm_v" in told.output


@pytest.mark.parametrize(
    "words", [["verify", "--help"], ["score", "--help"], ["plan", "reproduce/quick.yaml"]]
)
def test_what_needs_no_model_imports_neither_torch_nor_ray(words: list[str]) -> None:
    code = (
        "import sys; from ambiemo.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'ray', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert told.stdout.splitlines()[-1] == "heavy: []", told.stdout + told.stderr


def test_a_plan_of_what_needs_no_weights_fetches_nothing() -> None:
    done = ambiemo("models", "--fetch", str(ROOT / "reproduce/quick.yaml"))
    assert (done.exit_code, done.output) == (0, "0 repositories are here\n")
