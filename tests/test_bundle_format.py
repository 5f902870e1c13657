"""A bundle says in which layout it is written; another one is told as such, not as a forgery."""

import json
from pathlib import Path

import bundle_real as real
import pytest
from click.testing import CliRunner

from ambiemo.bundle import bag
from ambiemo.bundle.contents import FORMAT
from ambiemo.bundle.provenance import provenance
from ambiemo.cli import main
from ambiemo.jsonlines import document


def with_format(folder: Path, number: object) -> Path:
    files = dict(real.files())
    run = json.loads(files["config/run.json"])
    assert run.pop("format") == FORMAT
    files["config/run.json"] = document(run | ({} if number is None else {"format": number}))
    bag.write(folder, files | provenance(files), {})
    return folder


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "found bundle format 1, expected 2: it was written by an older version"),
        (3, "format 3"),
    ],
)
@pytest.mark.parametrize(
    "command", [["verify"], ["tables"], ["trace", "results", "2", "accuracy"], ["compare"]]
)
def test_a_bundle_of_another_format_is_told_as_such(
    tmp_path: Path, number: object, said: str, command: list[str]
) -> None:
    bundle = str(with_format(tmp_path / "b", number))
    words = [command[0], bundle, *command[1:], *([bundle] if command == ["compare"] else [])]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert said in done.output
    assert "check it with that version, or with the bundle's own data/verify.py" in done.output
