"""Canaries in the environment, in the home folder, in addresses and keys: none reaches a bundle, a
store, a log or a terminal.
"""

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import bundle_real as real
import hostile
import pytest

from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.provenance import provenance
from ambiemo.engines.openai import forms_of
from ambiemo.errors import BadInput
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import check, read

CANARY = "CANARY0f3a"
PLAN = """
name: leaks
models: [tiny]
corpora:
  - tiny
  - {id: crema-d, root: "${CREMA_FOR_TEST}/inner"}
  - {id: emodb, root: "~/private/emodb"}
strategies: [greedy]
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan whose corpora lie in folders with telling names, and are not there."""
    home = tmp_path / f"home-{CANARY}"
    (home / "private").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CREMA_FOR_TEST", str(tmp_path / f"secret-{CANARY}"))
    monkeypatch.setenv("OPENAI_API_KEY", f"sk-{CANARY}-key")
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path / "plan.yaml"


def test_what_is_missing_is_told_without_what_the_environment_holds(planted: Path) -> None:
    expanded = expand(read(planted))
    assert {item.id for item in expanded.missing if item.kind == "corpus"} == {"crema-d", "emodb"}
    files = input_files(expanded, None)
    told = json.loads(files["config/run.json"])["missing"]
    assert "${CREMA_FOR_TEST}/inner" in told[0]["what"]
    made = files | provenance({**real.files(), **files})
    for path, data in made.items():
        assert CANARY.encode() not in data, path


def test_a_folder_that_the_plan_names_outright_is_not_in_the_bundle(tmp_path: Path) -> None:
    folder = tmp_path / CANARY
    plan = check(
        {
            "name": "x",
            "models": ["tiny"],
            "corpora": ["tiny", {"id": "emodb", "root": str(folder)}],
            "strategies": ["greedy"],
        },
        "plan",
    )
    for path, data in input_files(expand(plan), None).items():
        assert CANARY.encode() not in data, path


def test_the_terminal_shows_no_canary(planted: Path) -> None:
    environment = {name: os.environ[name] for name in ("HOME", "CREMA_FOR_TEST", "OPENAI_API_KEY")}
    for arguments in (
        ("plan", planted.name),
        ("plan", planted.name, "--json"),
        ("run", planted.name),
    ):
        here = os.getcwd()
        os.chdir(planted.parent)
        try:
            ended = hostile.run(*arguments, **environment)
        finally:
            os.chdir(here)
        assert ended.code == 2, ended
        assert CANARY not in ended.out + ended.err


@pytest.mark.parametrize("address", [f"http://me:{CANARY}@host/v1", f"https://{CANARY}@host"])
def test_an_address_with_user_info_is_refused_and_not_repeated(address: str) -> None:
    entry = {"id": "gpt-4o", "options": {"base_url": address}}
    with pytest.raises(BadInput, match="user or password") as refused:
        check(
            {"name": "x", "models": [entry], "corpora": ["tiny"], "strategies": ["greedy"]}, "plan"
        )
    assert CANARY not in str(refused.value)


def test_an_address_in_a_wrong_place_of_a_plan_is_not_repeated() -> None:
    entry = {
        "id": "gpt-4o",
        "adress": f"http://me:{CANARY}@host/v1",
        "options": f"http://me:{CANARY}@host/v1",
    }
    with pytest.raises(BadInput) as refused:
        check(
            {"name": "x", "models": [entry], "corpora": ["tiny"], "strategies": ["greedy"]}, "plan"
        )
    assert CANARY not in str(refused.value)


def test_derived_forms_of_a_key_are_known() -> None:
    key = "sk-a/b+c=d-0123456789abcdef"
    for text in (
        key,
        quote(key, safe=""),
        key.encode().hex(),
        base64.b64encode(key.encode()).decode(),
        base64.b64encode(f"Bearer {key}".encode()).decode(),
        base64.urlsafe_b64encode(f"u:{key}!".encode()).decode(),
    ):
        assert any(form in text for form in forms_of(key)), text
