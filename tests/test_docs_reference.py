"""What docs/reference/ says is what the code and a whole bundle say."""

import csv
import gzip
import io
import json
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "reproduce"))

import reference

from ambiemo.bundle import layout
from ambiemo.bundle.columns import DOCUMENTS, FILES
from ambiemo.cli import main
from ambiemo.plan.schema import Plan
from ambiemo.results.columns import TABLES, Column, names

DATA = ROOT / "artifacts/reference/quick/data"
CSV = sorted(DATA.glob("tables/*.csv"))


def test_the_pages_are_what_the_code_says() -> None:
    assert reference.stale() == []


def test_a_page_that_was_changed_by_hand_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, made in reference.REFERENCE.items():
        (tmp_path / name).write_text(made(), encoding="utf-8")
    (tmp_path / "plan.md").write_text("a claim of our own\n", encoding="utf-8")
    monkeypatch.setattr(reference, "PAGES", tmp_path)
    assert [line.partition(":")[0] for line in reference.stale()] == ["docs/reference/plan.md"]


@pytest.mark.parametrize("path", CSV, ids=lambda path: path.name)
def test_a_table_has_the_columns_that_are_described(path: Path) -> None:
    header = next(csv.reader(io.StringIO(path.read_text("utf-8"))))
    assert header == names(TABLES[path.stem].columns)


def test_every_described_table_is_in_the_bundle() -> None:
    assert set(TABLES) == {path.stem for path in CSV}


def fits(cell: str, column: Column) -> bool:
    if column.kind == "count":
        return cell == "" or cell.isdigit()
    if column.kind == "number":
        return cell in ("", "inf", "-inf") or bool(re.fullmatch(r"-?\d+(\.\d{6})?", cell))
    return True


@pytest.mark.parametrize("path", CSV, ids=lambda path: path.name)
def test_a_column_is_of_the_kind_that_is_described(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in TABLES[path.stem].columns:
        wrong = [row[column.name] for row in rows if not fits(row[column.name], column)]
        assert not wrong, f"{path.name}: {column.name} is no {column.kind}: {wrong[:3]}"


def lines(pattern: str) -> list[dict]:
    """The rows of every file of a kind in the reference bundle."""
    found = []
    for path in DATA.glob(re.sub(r"[A-Z]+", "*", pattern)):
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        found += [json.loads(line) for line in text.splitlines()]
    return found


@pytest.mark.parametrize("pattern", FILES)
def test_a_row_has_the_keys_that_are_described(pattern: str) -> None:
    described = FILES[pattern]
    rows = lines(pattern)
    assert rows
    for row in rows:
        assert [name for name in row if name not in names(described.some)] == names(
            described.columns
        )


PYTHON = {
    "text": str,
    "count": int,
    "number": (int, float),
    "list": list,
    "object": dict,
    "flag": bool,
}


@pytest.mark.parametrize("pattern", FILES)
def test_a_key_is_of_the_kind_that_is_described(pattern: str) -> None:
    for row in lines(pattern):
        for column in FILES[pattern].columns:
            value = row[column.name]
            is_flag = isinstance(value, bool)
            assert value is None or (
                isinstance(value, PYTHON[column.kind]) and is_flag == (column.kind == "flag")
            ), f"{column.name}: {value!r}"


def test_every_file_of_a_bundle_is_described() -> None:
    described = {re.sub(r"[A-Z*]{2,}|\*", "x", path) for path in (*FILES, *DOCUMENTS)}
    for path in layout.MUST:
        assert path == "README.md" or path in described, path
    for path in sorted(one for one in DATA.rglob("*") if one.is_file()):
        name = path.relative_to(DATA).as_posix()
        known = [
            one
            for one in (*FILES, *DOCUMENTS)
            if re.fullmatch(
                re.sub(r"MODEL|CORPUS|QUESTION|PROMPT|\\\*", "[^/]+", re.escape(one)), name
            )
        ]
        assert known, name


def test_every_key_of_a_plan_has_a_meaning() -> None:
    schema = Plan.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        for name, key in part["properties"].items():
            assert key.get("description"), f"{part['title']}.{name}"


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text("utf-8")
    for name, command in main.commands.items():
        assert command.hidden or f"### ambiemo {name}" in page
