"""A model of the user's own: named in a plan, drawn, bundled and verified, and never taken for one
of the paper's.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from servers.listener import Listener

from ambiemo.bundle.contents import plan_file
from ambiemo.bundle.inputs import model_rows
from ambiemo.bundle.verify import verify
from ambiemo.errors import BadInput, Broken
from ambiemo.models import MODELS
from ambiemo.models.spec import folder_sha256
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import Plan, check

CHECKPOINT = ROOT / "ambiemo/tiny/checkpoint"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CANARY = "CANARY77b1"


def plan(*models: dict, **changes: object) -> Plan:
    content = {"name": "own", "corpora": [{"id": "tiny", "limit": 3}], "strategies": ["greedy"]}
    return check({**content, "models": list(models), **changes}, "plan")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": "gpt-4o", "served_model": "x"}, "under the id of a model of the table"),
        ({"id": "gpt-4o-2026-01-01", "served_model": "x"}, "such as my-gpt-4o"),
        ({"id": "qwen2.audio.7b", "weights": "./x"}, r"of the table \(qwen2-audio-7b\)"),
        ({"id": "tiny", "weights": "./x"}, "under the id of a model of the table"),
        ({"id": "tiny", "base_url": "http://127.0.0.1:1/v1"}, "under the id of a model"),
        ({"id": "baselines", "served_model": "x"}, "reserved word"),
        ({"id": "self", "served_model": "x"}, "reserved word"),
        ({"id": "Mine", "served_model": "x"}, "not a plain name"),
        ({"id": "mine"}, "needs `weights` or `served_model`"),
        ({"id": "mine", "base_url": "http://127.0.0.1:1/v1"}, "found neither weights"),
        ({"id": "mine", "weights": "./x", "served_model": "y"}, "found both weights"),
        ({"id": "mine", "weights": "./x", "base_url": "http://h/v1"}, "found base_url and weights"),
        ({"id": "mine", "weights": "x"}, "expected a folder"),
        ({"id": "mine", "weights": "package:tiny/checkpoint"}, "expected a folder"),
        ({"id": "mine", "weights": "a/b"}, "expected the commit of the repository"),
        ({"id": "mine", "weights": "a/b", "revision": "main"}, "expected a commit"),
        ({"id": "mine", "weights": "./x", "revision": COMMIT}, "the hash of its files"),
        ({"id": "mine", "weights": "./x", "engine": "openai"}, "does not run mine"),
        ({"id": "mine", "served_model": "x", "base_url": "http://u:p@h"}, "user or password"),
        ({"id": "mine", "served_model": "x", "capabilities": ["fly"]}, "capabilities"),
    ],
)
def test_an_entry_that_is_not_whole_or_could_be_mistaken_is_refused(entry: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        plan(entry)


def test_a_checkpoint_and_a_server_become_rows_of_their_own() -> None:
    here = plan(
        {"id": "mine", "weights": "owner/name", "revision": COMMIT, "family": "qwen2_audio"},
        {"id": "ours", "served_model": "our-alm", "base_url": "http://127.0.0.1:8000/v1"},
    )
    mine, ours = (entry.spec() for entry in here.models)
    assert (mine.engines, mine.revision, mine.family) == (
        ("transformers", "vllm"),
        COMMIT,
        "qwen2_audio",
    )
    assert (ours.engines, ours.location(), ours.base_url_env) == (
        ("openai",),
        "our-alm",
        "OURS_BASE_URL",
    )
    assert not {mine.id, ours.id} & set(MODELS)
    assert "not one of the paper's" in mine.title


def test_the_folder_is_known_by_its_files_and_not_by_its_place(tmp_path: Path) -> None:
    folder = tmp_path / CANARY
    shutil.copytree(CHECKPOINT, folder)
    there = expand(plan({"id": "mine", "weights": str(folder), "dtype": "float32"})).plan
    assert there.models[0].revision == folder_sha256(folder)
    told = plan_file(there)
    assert CANARY.encode() not in told
    elsewhere = check(yaml.safe_load(told), "plan")
    assert plan_file(elsewhere) == told
    assert model_rows(elsewhere) == model_rows(there)
    assert CANARY not in json.dumps(model_rows(there))


def test_a_stranger_s_plan_reads_no_folder_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> str:
        raise AssertionError("a folder was read")

    monkeypatch.setattr("ambiemo.models.spec.folder_sha256", opened)
    hostile = plan({"id": "mine", "weights": "file:/", "revision": "a" * 64})
    plan_file(hostile)
    assert model_rows(hostile)["mine"]["revision"] == "a" * 64


def test_other_weights_than_the_pinned_ones_are_missing(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "c")
    entry = {"id": "mine", "weights": str(tmp_path / "c"), "revision": "a" * 64}
    (item,) = expand(plan(entry)).missing
    assert item.what.startswith("other weights: the files' hash is ")


def test_a_folder_that_is_not_there_is_missing_and_its_place_is_not_told(tmp_path: Path) -> None:
    (item,) = expand(plan({"id": "mine", "weights": str(tmp_path / CANARY)})).missing
    assert item.what == "no weights: <the weights of mine> is not there"


def test_a_plan_without_such_a_model_is_spelled_as_before() -> None:
    told = yaml.safe_load(plan_file(plan({"id": "tiny"})))
    assert list(told["models"][0]) == [
        "id", "engine", "actors", "cpus", "gpus", "options", "revision", "price",
    ]  # fmt: skip


@pytest.fixture
def server() -> Iterator[Listener]:
    made = Listener(model=f"our-{CANARY.lower()}")
    yield made
    made.close()


def held(bundle: Path) -> None:
    """Both verifiers hold the bundle to be whole."""
    assert verify(bundle) == []
    checked = subprocess.run(
        [sys.executable, "-I", "data/verify.py"], cwd=bundle, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_go_through_a_run_into_a_bundle_that_holds_elsewhere(
    tmp_path: Path, server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    pytest.importorskip("openai", reason="the openai extra is not installed")
    from ambiemo.pipeline.run import run

    monkeypatch.setenv("KEY_OF_OURS", f"sk-{CANARY}")
    folder = tmp_path / CANARY
    shutil.copytree(CHECKPOINT, folder)
    content = {
        "name": "own",
        "models": [
            {
                "id": "mine",
                "weights": str(folder),
                "family": "qwen2_audio",
                "dtype": "float32",
                "cpus": 0.5,
            },
            {
                "id": "ours",
                "engine": "openai",
                "base_url": server.url,
                "served_model": server.model,
                "key_env": "KEY_OF_OURS",
                "cpus": 0.5,
            },
        ],
        "corpora": [{"id": "tiny", "limit": 4}],
        "strategies": ["greedy", "bon", "majority_vote", "alm_v"],
        "controls": ["silence"],
        "verifier": "ours",
        "bootstrap": {"resamples": 100},
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    bundle = run(tmp_path / "plan.yaml", out=tmp_path / "made")
    assert server.keys
    assert set(server.keys) == {f"Bearer sk-{CANARY}"}
    shutil.rmtree(folder)  # a stranger has neither the weights nor the server
    server.close()
    held(bundle)
    for path in (bundle / "data").rglob("*.*"):
        if path.is_file():
            data = path.read_bytes()
            assert str(tmp_path).encode() not in data, path
            assert server.url.encode() not in data, path
            assert f"sk-{CANARY}".encode() not in data, path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_checkpoint_that_does_not_load_is_a_column_that_names_no_folder(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    from ambiemo.pipeline.run import run

    folder = tmp_path / CANARY
    shutil.copytree(CHECKPOINT, folder)
    (folder / "config.json").write_text("{}")
    content = {
        "name": "own",
        "models": [{"id": "mine", "weights": str(folder)}, {"id": "tiny", "engine": "null"}],
        "corpora": [{"id": "tiny", "limit": 2}],
        "strategies": ["greedy"],
        "bootstrap": {"resamples": 100},
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(Broken, match="<the weights of mine>"):
        run(tmp_path / "plan.yaml", out=tmp_path / "made")
    held(tmp_path / "made")
    for path in (tmp_path / "made/data").rglob("*.*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
