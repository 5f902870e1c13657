"""Commands that use a bundle without judging it: a malformed one is one line and an exit code,
never a traceback.
"""

import gzip
from pathlib import Path

import bundle_real as real
import pytest
from click.testing import CliRunner

from ambiemo.bundle import bag
from ambiemo.cli import main

ANSWERS = "answers/tiny/tiny/direct.greedy.jsonl.gz"


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("tables/results.csv", b"\xff\xfe", ("trace", "results", "2", "accuracy")),
        ("tables/results.csv", b"a,b\n1,2\n", ("trace", "results", "2", "a")),
        ("inputs/labels.json", b"5", ("tables",)),
        ("inputs/labels.json", b"{", ("trace", "results", "2", "accuracy")),
        (
            ANSWERS,
            gzip.compress(b"[1]\n", mtime=0),
            ("trace", "results", "tiny/tiny/greedy/none/all", "accuracy"),
        ),
        (ANSWERS, gzip.compress(b"[1]\n", mtime=0), ("tables",)),
        (ANSWERS, b"no gzip", ("tables",)),
        ("predictions/tiny/tiny.jsonl.gz", gzip.compress(b"[1]\n", mtime=0), ("compare",)),
    ],
)
def test_a_malformed_bundle_is_one_line(
    path: str, content: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    bag.write(tmp_path / "b", real.files() | {path: content}, {})
    folders = [str(tmp_path / "b")] * (2 if words[0] == "compare" else 1)
    done = CliRunner().invoke(main, [words[0], *folders, *words[1:]])
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert len(done.stderr.strip().splitlines()) == 1
