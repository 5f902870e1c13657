"""The tutorials run: every file that a page shows is written, every command is run, and what it
prints is what the page shows ("..." stands for anything, blanks do not count).
"""

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import ROOT
from servers.listener import Listener

PAGES = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def steps(page: str) -> Iterator[tuple[str, str, str]]:
    """What a page asks for, in order: ("file", its name, its text) or ("run", command, output)."""
    for block in BLOCK.finditer(page):
        if block[1] in ("csv", "yaml"):
            name = re.findall(r"`([\w.]+\.(?:csv|yaml))`", page[: block.start()])[-1]
            yield "file", name, block[2]
        elif block[1] == "console":
            for part in re.split(r"^\$ ", block[2], flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield "run", command, output


def follow(page: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Do what a page says in an empty folder. Returns where it prints something else."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    wrong = []
    for kind, name, text in steps(page):
        if kind == "file":
            (folder / name).write_text(text, encoding="utf-8")
            continue
        done = subprocess.run(
            ["bash", "-c", name],
            cwd=folder,
            env={**os.environ, **environment, "PATH": path, "COLUMNS": "160"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        if not doctest.OutputChecker().check_output(text, done.stdout, FLAGS):
            wrong.append(f"$ {name}\n{done.stdout}\nexpected:\n{text}")
    return wrong


def test_predictions_are_scored_as_the_page_says(tmp_path: Path) -> None:
    page = (PAGES / "score-your-predictions.md").read_text("utf-8")
    assert sum(kind == "run" for kind, _, _ in steps(page)) >= 5
    assert follow(page, tmp_path, {}) == []


def test_a_page_that_promises_another_number_is_found(tmp_path: Path) -> None:
    page = (PAGES / "score-your-predictions.md").read_text("utf-8")
    wrong_page = (
        page[: page.index("```", page.index("0.782659"))] + "```\n"
    )  # the rest is as it was
    wrong_page = wrong_page.replace("0.782659", "0.882659")
    (wrong,) = follow(wrong_page, tmp_path, {})
    assert wrong.startswith("$ ambiemo score votes.csv single.csv\n")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_server_of_your_own_becomes_a_bundle_as_the_page_says(tmp_path: Path) -> None:
    page = (PAGES / "your-own-model.md").read_text("utf-8")
    server = Listener()
    try:
        assert "http://localhost:8000/v1" in page
        page = page.replace("http://localhost:8000/v1", server.url)
        assert follow(page, tmp_path, {}) == []
    finally:
        server.close()
    results = (tmp_path / "artifacts/mine/data/tables/results.csv").read_text("utf-8")
    assert "tiny,mine,majority_vote,none,all,12,0," in results
    assert (tmp_path / "artifacts/mine.html").is_file()
    assert server.url not in "".join(
        path.read_text("utf-8")
        for path in (tmp_path / "artifacts/mine/data").rglob("*.json*")
        if path.suffix != ".gz"
    )
