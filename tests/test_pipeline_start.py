"""What ends a run before its first draw: one line, exit 2, and nothing is touched."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT

from ambiemo.cli import main
from ambiemo.errors import BadInput
from ambiemo.pipeline.run import replaceable

REFERENCE = ROOT / "artifacts" / "reference" / "quick"
PLAN = {
    "name": "start",
    "models": [{"id": "tiny", "engine": "null"}],
    "corpora": [{"id": "tiny", "limit": 2}],
    "strategies": ["greedy"],
}


def ambiemo(folder: Path, *options: str, **changes: object) -> tuple[int, list[str], str]:
    """Exit code, lines of stderr, and stdout of `ambiemo run` of a small plan, its bundle in
    `folder`.
    """
    plan = folder / "plan.yaml"
    plan.write_text(yaml.safe_dump({**PLAN, **changes}), encoding="utf-8")
    done = CliRunner().invoke(
        main, ["run", "--no-report", str(plan), "--out", str(folder / "out"), *options]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr.splitlines(), done.stdout


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A bundle of plan `quick` where the new one would go."""
    shutil.copytree(REFERENCE, tmp_path / "out")
    return tmp_path / "out"


def test_the_bundle_of_another_plan_is_not_replaced(older: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in older.rglob("*") if path.is_file()}
    code, (line,), _ = ambiemo(tmp_path)
    assert code == 2
    assert line == (
        f"ambiemo: {older}: found the bundle of plan 'quick', expected none or one of 'start'; "
        "name another folder with --out"
    )
    assert {path: path.read_bytes() for path in older.rglob("*") if path.is_file()} == before


def test_the_bundle_of_a_newer_version_is_not_replaced(older: Path) -> None:
    replaceable(older, "quick")
    settings = older / "data/config/run.json"
    content = json.loads(settings.read_text("utf-8"))
    settings.write_text(json.dumps({**content, "format": content["format"] + 1}), "utf-8")
    with pytest.raises(BadInput, match="a newer version wrote it"):
        replaceable(older, "quick")
    settings.write_text("not JSON", "utf-8")
    replaceable(older, "quick")


def test_a_folder_of_other_files_is_found_out_before_the_first_draw(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match="found a folder with other files"):
        replaceable(tmp_path, "quick")
    replaceable(tmp_path / "new", "quick")


def test_a_store_of_a_newer_version_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / ".store").mkdir()
    (tmp_path / ".store/.format").write_text("99\n")
    code, (line,), _ = ambiemo(tmp_path)
    assert code == 2
    assert "found an answer store of format 99" in line


def test_an_address_where_nobody_listens_is_one_line_and_soon(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address, words in (
        (f"127.0.0.1:{port}", "no Ray cluster answers there"),
        ("nonsense", "no Ray cluster answers there (Invalid address format: nonsense)"),
        ("ray://127.0.0.1:10001", "found the address of a Ray client"),
    ):
        code, (line,), _ = ambiemo(tmp_path, "--address", address)
        assert code == 2
        assert line.startswith(f"ambiemo: --address {address}: {words}"), line


def test_a_key_that_is_not_set_is_one_thing_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    models = [{"id": "gpt-4o", "options": {"max_dollars": 1}}]
    code, (line,), told = ambiemo(tmp_path, models=models)
    assert code == 2
    assert "no key: environment variable OPENAI_API_KEY is not set" in told
    assert "listed above" in line
