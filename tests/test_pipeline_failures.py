"""A model that stops, cannot be loaded, or brings nothing: the others go on, and every place says
why.
"""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT

from ambiemo.bundle.verify import verify
from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.engines import ModelStopped
from ambiemo.engines.null import NullEngine
from ambiemo.errors import Broken
from ambiemo.models import MODELS
from ambiemo.pipeline import draw as draw_stage
from ambiemo.pipeline.draw import DrawActor, _pack
from ambiemo.pipeline.drawing import barren
from ambiemo.plan.expand import FAILED, Missing, expand, left_out
from ambiemo.plan.schema import check

pytestmark = pytest.mark.slow

THREE = ("tiny", "qwen2-audio-7b", "ultravox-v0.3")
PLAN = {
    "name": "three",
    "corpora": [{"id": "tiny", "limit": 4}],
    "strategies": ["greedy", "majority_vote", "alm_v"],
    "group_size": 2,
    "bootstrap": {"resamples": 100},
}


def plan_of(models: dict[str, dict], **changes: object) -> dict:
    entries = [
        {"id": name, "engine": "null", "options": options} for name, options in models.items()
    ]
    return {**PLAN, "models": entries, **changes}


def write_plan(folder: Path, models: dict[str, dict], **changes: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan_of(models, **changes)), encoding="utf-8")
    return path


def cells(bundle: Path) -> list[dict[str, str]]:
    with open(bundle / "data/tables/cells.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def missing(bundle: Path) -> list[dict[str, str]]:
    return json.loads((bundle / "data/config/run.json").read_text("utf-8"))["missing"]


@pytest.fixture(scope="module")
def run():
    pytest.importorskip("ray", reason="the ray extra is not installed")
    from ambiemo.pipeline.cluster import ray_started
    from ambiemo.pipeline.run import run

    with ray_started(None):
        yield run


def shipped_verify(bundle: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-I", "data/verify.py"],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"no_such_option": 1}, "cannot be loaded: TypeError: .*no_such_option"),
        ({"fault": "stops", "fault_after": 4}, "a rehearsed stop"),
    ],
)
def test_one_model_of_three_that_is_broken_is_a_column_that_says_so(
    options: dict, reason: str, tmp_path: Path, run
) -> None:
    with pytest.raises(Broken, match=f"model qwen2-audio-7b: {reason}") as error:
        run(
            write_plan(tmp_path, {"tiny": {}, "qwen2-audio-7b": options, "ultravox-v0.3": {}}),
            out=tmp_path / "out",
        )
    assert len(str(error.value).splitlines()) == 1
    bundle = tmp_path / "out"
    skipped = {(row["model"], row["skipped"]) for row in cells(bundle)}
    ((why,),) = [
        {text for name, text in skipped if name == one} for one in THREE if one == "qwen2-audio-7b"
    ]
    assert why.startswith("model qwen2-audio-7b failed in this run: ")
    assert {text for name, text in skipped if name != "qwen2-audio-7b"} == {""}
    with open(bundle / "data/tables/results.csv", encoding="utf-8") as file:
        assert {row["model"] for row in csv.DictReader(file)} >= {"tiny", "ultravox-v0.3"}
    ((kind, name, do),) = [(one["kind"], one["id"], one["do"]) for one in missing(bundle)]
    assert (kind, name) == ("model", "qwen2-audio-7b")
    assert "same command again" in do
    assert verify(bundle) == []
    checked = shipped_verify(bundle)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_verifier_that_fails_takes_only_the_cells_that_need_it(tmp_path: Path, run) -> None:
    judge = {"id": "ultravox-v0.3", "engine": "null", "options": {"no_such_option": 1}}
    models = {"tiny": {}, "qwen2-audio-7b": {}}
    with pytest.raises(Broken, match=r"model ultravox-v0\.3: cannot be loaded"):
        run(write_plan(tmp_path, models, verifier=judge), out=tmp_path / "out")
    for row in cells(tmp_path / "out"):
        assert row["skipped"].startswith("verifier ultravox-v0.3 failed in this run: ") == (
            row["strategy"] == "alm_v"
        )
    assert [(one["kind"], one["id"]) for one in missing(tmp_path / "out")] == [
        ("verifier", "ultravox-v0.3")
    ]
    assert verify(tmp_path / "out") == []
    assert shipped_verify(tmp_path / "out").returncode == 0


def test_what_was_drawn_before_a_model_stopped_is_not_drawn_again(tmp_path: Path, run) -> None:
    with pytest.raises(Broken, match="a rehearsed stop"):
        run(
            write_plan(tmp_path, {"tiny": {"fault": "stops", "fault_after": 4}}),
            out=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists(), "no column is left"
    bundle = run(write_plan(tmp_path, {"tiny": {}}), out=tmp_path / "out")
    log = json.loads((bundle / "data/log/run.log").read_text("utf-8"))
    assert log["reused"] == 4
    assert log["calls"] + log["reused"] == 4 * (1 + 1 + 1 + 3)
    assert verify(bundle) == []


def test_a_column_of_failures_ends_with_exit_1_and_the_commonest_reasons(tmp_path: Path) -> None:
    plan = write_plan(
        tmp_path, {"tiny": {}, "qwen2-audio-7b": {"fault": "fails"}}, strategies=["greedy"]
    )
    asked = ["run", "--no-report", str(plan), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "ambiemo", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        "ambiemo: model qwen2-audio-7b: 4 of 4 draws of its answers failed, most often: 4 × a rehearsed failure"
    ]
    assert {row["skipped"] for row in cells(tmp_path / "out")} == {""}, (
        "its column stays, with its failures"
    )
    assert verify(tmp_path / "out") == []


def test_fewer_failures_than_nearly_all_end_well() -> None:
    assert barren("answers", 100, Counter({"a": 89})) == ""
    assert barren("answers", 0, Counter()) == ""
    told = barren("answers", 100, Counter({"a": 50, "b": 30, "c": 15, "d": 3}))
    assert told == "98 of 100 draws of its answers failed, most often: 50 × a; 30 × b; 15 × c"


def test_cells_of_a_failed_model_and_of_its_judged_ones_are_skipped_for_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ambiemo.plan.expand.lacks", lambda *asked: [])
        whole = expand(check(plan_of({name: {} for name in THREE}, verifier="tiny"), "plan"))
    left = left_out(whole, [Missing("model", "tiny", f"{FAILED}no memory", "wait")])
    for cell in left.cells:
        expected = "model tiny failed in this run: no memory" if cell.model == "tiny" else ""
        if cell.strategy.verified and cell.model != "tiny":
            expected = "verifier tiny failed in this run: no memory"
        assert cell.skipped == expected
    assert not any(cell.skipped for cell in whole.cells)


ONE = Draw(
    "tiny",
    "r",
    "null",
    "c",
    "u",
    "a",
    "x",
    "direct",
    "these emotions: a, b.",
    Decoding("greedy"),
    1,
)


def asked(actor: DrawActor, group: list[Draw]) -> dict[str, list]:
    return actor({"payload": np.array([_pack(group)], dtype=object)})


def test_an_actor_whose_model_stopped_keeps_the_answers_that_came_and_asks_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    class Stops(NullEngine):
        def draw(self, requests, decoding):
            if self.stopped:
                raise ModelStopped(f"model tiny: stopped: {self.stopped}")
            calls.append(len(requests))
            self.stopped = "the key is refused"
            return super().draw(requests, decoding)

    monkeypatch.setattr(draw_stage, "engine_class", lambda name: Stops)
    actor = DrawActor(MODELS["tiny"], "null", {"deaf": True})
    first, second = asked(actor, [ONE]), asked(actor, [ONE])
    assert (first["failed"], first["stopped"]) == ([0], ["the key is refused"])
    assert first["line"][0]
    assert (second["line"], second["stopped"]) == ([b""], ["the key is refused"])
    assert calls == [1]


def test_an_engine_that_applies_another_decoding_stops_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Other(NullEngine):
        def draw(self, requests, decoding) -> list[Answer]:
            return super().draw(requests, Decoding("greedy", max_tokens=7))

    monkeypatch.setattr(draw_stage, "engine_class", lambda name: Other)
    told = asked(DrawActor(MODELS["tiny"], "null", {"deaf": True}), [ONE])
    assert told["line"] == [b""]
    assert "was asked for" in told["stopped"][0]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("breaks", "MemoryError: a rehearsed lack of memory"), ("killed", "killed without a word")],
)
def test_an_actor_that_always_ends_is_not_started_for_ever(
    fault: str, reason: str, tmp_path: Path, run
) -> None:
    plan = write_plan(
        tmp_path, {"tiny": {"fault": fault}, "qwen2-audio-7b": {}}, strategies=["greedy"]
    )
    with pytest.raises(
        Broken,
        match=rf"model tiny: its actors ended \d+ times in a row without an answer, the last one: {reason}",
    ):
        run(plan, out=tmp_path / "out")
    assert {row["model"] for row in cells(tmp_path / "out") if not row["skipped"]} == {
        "qwen2-audio-7b"
    }
    assert verify(tmp_path / "out") == []
