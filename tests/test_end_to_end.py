"""The whole job through real Ray and real files: resumable, deterministic, and honest about what
did not work.
"""

import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from conftest import ROOT
from servers.faulty_proxy import FaultyProxy
from servers.upstream import Upstream

from ambiemo.bundle.folder import payload
from ambiemo.bundle.page_check import check_page
from ambiemo.bundle.recomputing import recompute, tables_again
from ambiemo.bundle.verify import examine, verify
from ambiemo.draws import Decoding, Draw
from ambiemo.errors import BadInput, Broken
from ambiemo.models import MODELS, model
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.draw import DrawActor, draw_groups, groups
from ambiemo.pipeline.run import run
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan.schema import ModelEntry
from ambiemo.strategies import STRATEGIES as ROWS
from ambiemo.strategies.baselines import BASELINES

pytest.importorskip("ray", reason="the ray extra is not installed")

STRATEGIES = list(ROWS)
PLAN = {
    "name": "small",
    "models": [{"id": "tiny", "engine": "null"}],
    "corpora": [{"id": "tiny", "limit": 24}],
    "strategies": STRATEGIES,
    "controls": ["shuffled_audio", "silence"],
    "group_size": 4,
    "bootstrap": {"resamples": 200},
}


@pytest.fixture(scope="module")
def ray_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "OPENAI_API_KEY", "nobody's key"
        )  # actors have the environment that Ray was started with
        patch.delenv("OMP_NUM_THREADS", raising=False)  # Ray would leave it as it is
        with ray_started(None):
            yield


def write_plan(folder: Path, **changes: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}), encoding="utf-8")
    return path


def account(bundle: Path) -> dict:
    return json.loads((bundle / "data/log/run.log").read_text("utf-8"))


def derived(bundle: Path) -> dict[str, bytes]:
    """Everything in a bundle that must be a function of inputs and answers: not what tells of the
    run (the crate lists the log's hash too).
    """
    files = {
        p.relative_to(bundle / "data").as_posix(): p.read_bytes()
        for p in (bundle / "data").rglob("*")
        if p.is_file()
    }
    return {
        name: data
        for name, data in files.items()
        if not name.startswith(("env/", "log/", "provenance/", "ro-crate-metadata"))
    }


def table(bundle: Path, name: str) -> list[dict[str, str]]:
    with open(bundle / "data/tables" / name, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, ray_once) -> Path:
    folder = tmp_path_factory.mktemp("job")
    return run(write_plan(folder), out=folder / "small")


def test_the_run_makes_exactly_the_draws_that_the_plan_promises(bundle: Path) -> None:
    # greedy, cot, beam(5), beam(3), two sample(8), forced labels, greedy on silence; three beams
    # judged
    assert account(bundle)["calls"] == 24 * (8 + 3)
    assert account(bundle)["failed"] == 0


def test_a_second_run_makes_no_model_call_and_the_same_bundle(bundle: Path, tmp_path: Path) -> None:
    before = derived(bundle)
    again = run(write_plan(tmp_path), out=tmp_path / "small", store=bundle.parent / ".store")
    assert account(again)["calls"] == 0
    assert derived(again) == before


def test_the_bundle_verifies_and_its_tables_follow_from_its_answers(bundle: Path) -> None:
    assert verify(bundle) == []
    for path, content in recompute(payload(bundle)).items():
        assert (
            content is None
            if path.endswith(".gz")
            else content == (bundle / "data" / path).read_bytes()
        )
    assert tables_again(payload(bundle)).items() <= dict(payload(bundle)).items()


def test_every_strategy_control_and_baseline_has_a_row_for_every_level(bundle: Path) -> None:
    rows = table(bundle, "results.csv")
    assert {row["strategy"] for row in rows} == {*STRATEGIES, *BASELINES}
    assert {row["control"] for row in rows} == {"none", "shuffled_audio", "silence"}
    for name in ("all", "low", "medium", "high"):
        assert sum(row["level"] == name for row in rows) == len(STRATEGIES) + len(BASELINES) + 2
    whole = next(
        row
        for row in rows
        if (row["strategy"], row["control"], row["level"]) == ("greedy", "none", "all")
    )
    assert whole["n"] == "24"
    parts = [
        row
        for row in rows
        if row["strategy"] == "greedy" and row["control"] == "none" and row["level"] != "all"
    ]
    assert sum(int(row["n"]) for row in parts) == 24


def test_two_stores_two_group_orders_same_bytes(bundle: Path, tmp_path: Path) -> None:
    other = run(write_plan(tmp_path), out=tmp_path / "small")
    assert account(other)["calls"] == account(bundle)["calls"]
    assert derived(other) == derived(bundle)


def test_a_disk_that_refuses_the_tables_is_one_line_and_loses_no_answer(
    bundle: Path, tmp_path: Path
) -> None:
    plan = write_plan(tmp_path)
    store = shutil.copytree(bundle.parent / ".store", tmp_path / ".store")
    (store / ".staging").write_text("a file where the folder must be")
    before = (store / "tiny.jsonl").read_bytes()
    with pytest.raises(
        Broken,
        match=r"cannot write: .*; make room or name another folder, then run the same command again",
    ):
        run(plan, out=tmp_path / "small")
    assert not (tmp_path / "small").exists()
    assert (store / "tiny.jsonl").read_bytes() == before
    (store / ".staging").unlink()
    again = run(plan, out=tmp_path / "small")
    assert account(again)["calls"] == 0
    assert derived(again) == derived(bundle)


def mixed_corpus(folder: Path) -> Path:
    """A CREMA-D folder of nine clips, some of which nobody can hear."""
    root = folder / "crema_d"
    (root / "AudioWAV").mkdir(parents=True)
    (root / "processedResults").mkdir()
    tone = 0.2 * np.sin(np.arange(16_000) * 0.1)
    names = [f"10{i:02}_IEO_ANG_HI" for i in range(1, 10)]
    lines = ['"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"']
    for number, name in enumerate(names, 1):
        soundfile.write(
            root / "AudioWAV" / f"{name}.wav", np.roll(tone, number) * (1 - number / 20), 16_000
        )
        most = max(number, 10 - number)
        winner = ":".join(
            label for label, votes in (("A", number), ("N", 10 - number)) if votes == most
        )
        lines.append(
            f'"{100000 + number}",{number},0,0,0,{10 - number},1,"{name}",11,{most / 11},"{winner}"'
        )
    (root / "processedResults/tabulatedVotes.csv").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )
    (root / "AudioWAV" / f"{names[0]}.wav").write_bytes(b"")
    (root / "AudioWAV" / f"{names[1]}.wav").write_bytes(b"no audio at all")
    soundfile.write(root / "AudioWAV" / f"{names[2]}.wav", tone[:1600], 16_000)
    soundfile.write(root / "AudioWAV" / f"{names[3]}.wav", np.tile(tone, 90), 16_000)
    soundfile.write(
        root / "AudioWAV" / f"{names[4]}.wav", np.stack([np.tile(tone, 3)] * 2, 1), 44_100
    )
    soundfile.write(root / "AudioWAV" / f"{names[5]}.wav", tone, 16_000, subtype="PCM_U8")
    return root


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, ray_once) -> Path:
    """A run of the nine clips, next to its plan. Another corpus of the plan is not there."""
    folder = tmp_path_factory.mktemp("mixed")
    there = {"id": "crema-d", "root": str(mixed_corpus(folder))}
    absent = {"id": "emodb", "root": str(folder / "absent")}
    plan = write_plan(folder, corpora=[there, absent], controls=[])
    return run(plan, out=folder / "out", allow_missing=True)


def test_bad_clips_are_counted_rows_and_the_rest_is_run(mixed: Path) -> None:
    bundle = mixed
    greedy = next(
        row
        for row in table(bundle, "results.csv")
        if row["strategy"] == "greedy" and row["level"] == "all"
    )
    assert (greedy["n"], greedy["failed"]) == ("6", "3")
    assert greedy["js_divergence_bits"] != greedy["js_divergence_bits_failed_as_uniform"]
    reasons = {
        row["utterance_id"]: row["failure"]
        for row in csv.DictReader(
            (bundle / "data/log/failures.csv").read_text("utf-8").splitlines()
        )
    }
    assert set(reasons) == {"1001_IEO_ANG_HI", "1002_IEO_ANG_HI", "1003_IEO_ANG_HI"}
    assert all(reason.startswith("audio: ") for reason in reasons.values())
    draws = next(
        row
        for row in table(bundle, "draws.csv")
        if row["prompt"] == "direct" and row["decoding"] == "greedy"
    )
    assert (draws["draws"], draws["failed"], draws["clips_truncated"]) == ("9", "3", "1")
    assert verify(bundle) == []
    again = run(mixed.parent / "plan.yaml", out=mixed, allow_missing=True)
    assert account(again)["calls"] == 0, (
        "a clip that nobody can hear costs no model call, however often"
    )


def test_a_model_that_never_answers_has_rows_without_numbers_and_the_bundle_holds(
    tmp_path: Path, ray_once
) -> None:
    root = mixed_corpus(tmp_path)
    for clip in root.glob("AudioWAV/*.wav"):
        clip.write_bytes(b"no sound")
    corpora = [{"id": "crema-d", "root": str(root)}]
    bundle = run(
        write_plan(tmp_path, corpora=corpora, strategies=["greedy", "alm_v", "w_bon"]),
        out=tmp_path / "deaf",
    )
    rows = [row for row in table(bundle, "results.csv") if row["model"] == "tiny"]
    assert {(row["n"], row["js_divergence_bits"]) for row in rows} == {("0", "")}
    assert {row["failed"] for row in rows if row["level"] == "all"} == {"9"}
    assert verify(bundle) == []


def test_a_broken_engine_is_a_counted_failure_and_is_asked_again(tmp_path: Path, ray_once) -> None:
    corpora = [{"id": "tiny", "limit": 4}]
    broken = [{"id": "tiny", "engine": "null", "options": {"delay_s": "no number"}}]
    with pytest.raises(
        Broken,
        match="model tiny: 4 of 4 draws of its answers failed, most often: 4 × engine: TypeError",
    ):
        run(
            write_plan(
                tmp_path, models=broken, corpora=corpora, strategies=["greedy"], controls=[]
            ),
            out=tmp_path / "out",
        )
    bundle = tmp_path / "out"
    row = next(row for row in table(bundle, "results.csv") if row["model"] == "tiny")
    assert (row["n"], row["failed"], row["js_divergence_bits"]) == ("0", "4", "")
    mended = [{"id": "tiny", "engine": "null"}]
    bundle = run(
        write_plan(tmp_path, models=mended, corpora=corpora, strategies=["greedy"], controls=[]),
        out=tmp_path / "out",
    )
    assert account(bundle)["calls"] == 4


def test_a_model_that_cannot_be_made_is_one_line(tmp_path: Path, ray_once) -> None:
    wrong = [{"id": "tiny", "engine": "null", "options": {"no_such_option": 1}}]
    with pytest.raises(Broken, match="model tiny: ") as error:
        run(
            write_plan(tmp_path, models=wrong, strategies=["greedy"], controls=[]),
            out=tmp_path / "out",
        )
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_found_out_before_the_first_draw(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(Broken, match="cannot write here"):
        run(write_plan(tmp_path), out=tmp_path / "file" / "small")


def test_what_is_missing_stops_the_run_unless_it_may_be_left_out(
    tmp_path: Path, mixed: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(BadInput, match="missing"):
        run(mixed.parent / "plan.yaml", out=tmp_path / "out")
    assert "corpus emodb" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    left_out = [row for row in table(mixed, "cells.csv") if row["skipped"]]
    assert {(row["corpus"], row["skipped"]) for row in left_out} == {
        ("emodb", "corpus emodb missing here")
    }
    assert len(left_out) == len(STRATEGIES)
    assert json.loads((mixed / "data/config/run.json").read_text("utf-8"))["partial"] is True


@pytest.mark.slow
def test_a_run_killed_half_way_ends_with_the_same_tables(bundle: Path, tmp_path: Path) -> None:
    slow = write_plan(
        tmp_path, models=[{"id": "tiny", "engine": "null", "options": {"delay_s": 0.05}}]
    )
    command = [sys.executable, "-m", "ambiemo", "run", str(slow), "--out", str(tmp_path / "small")]
    store = tmp_path / ".store" / "tiny.jsonl"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as job:
        deadline = time.monotonic() + 200
        while not store.exists() or store.read_bytes().count(b"\n") < 20:
            assert job.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < deadline, "nothing was drawn"
            time.sleep(0.05)
        os.kill(job.pid, signal.SIGKILL)
    kept = store.read_bytes().count(b"\n")
    assert kept < 60
    assert not (tmp_path / "small").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert ".cc:" not in done.stderr, "Ray's core talks to the user"
    assert 0 < account(tmp_path / "small")["calls"] < 24 * 11
    tables = {
        name: data
        for name, data in derived(tmp_path / "small").items()
        if name.startswith(("tables/", "predictions/"))
    }
    assert tables == {
        name: data
        for name, data in derived(bundle).items()
        if name.startswith(("tables/", "predictions/"))
    }
    page = tmp_path / "small.html"
    assert done.stdout.splitlines()[-1] == f"open {page}"
    outcomes = examine(tmp_path / "small")
    assert check_page(tmp_path / "small", page, outcomes).findings == ()
    shutil.rmtree(tmp_path / "small")


@pytest.mark.parametrize(
    ("strategies", "decodings"),
    [
        (["greedy", "majority_vote"], {"greedy", "sample(8)"}),
        pytest.param(
            STRATEGIES,
            {"greedy", "beam(3)", "beam(5)", "sample(8)", "forced(6)"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["two strategies", "every strategy"],
)
def test_the_tiny_alm_runs_the_same_job(
    strategies: list[str], decodings: set[str], tmp_path: Path, ray_once
) -> None:
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    plan = write_plan(
        tmp_path,
        models=["tiny"],
        corpora=[{"id": "tiny", "limit": 2}],
        strategies=strategies,
        max_tokens={"direct": 96, "cot": 160, "verifier": 16},
    )
    bundle = run(plan, out=tmp_path / "out")
    assert account(bundle)["calls"] == 2 * (11 if strategies is STRATEGIES else 3)
    assert verify(bundle) == []
    drawn = table(bundle, "draws.csv")
    assert {row["decoding"] for row in drawn} == decodings
    assert all(row["failed"] == "0" for row in drawn)


def test_an_alm_on_cpu_computes_with_as_many_threads_as_its_actor_has_cores(ray_once) -> None:
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    import ray

    class Asked(DrawActor):
        def threads(self) -> int:
            import torch

            return self.thread.submit(torch.get_num_threads).result()

    # every engine is asked in that thread, and transformers' asks for no other number
    actor = ray.remote(num_cpus=1)(Asked).remote(MODELS["tiny"], "null", {})
    assert ray.get(actor.threads.remote()) == 1  # torch by itself takes every core


def test_ray_hands_an_actor_its_next_group_while_the_model_answers(
    tmp_path: Path, ray_once
) -> None:
    log = tmp_path / "log"
    log.touch()

    class Logging(DrawActor):
        def note(self, what: str) -> None:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{what}\n")

        def _prepared(self, drawn: list[Draw]) -> Any:
            self.note(f"prepare {drawn[0].audio_sha256}")
            return super()._prepared(drawn)

        def _ask(self, requests: Any, decoding: Decoding) -> Any:
            self.note(f"ask {requests[0].audio_sha256}")
            answers = super()._ask(requests, decoding)
            self.note(f"answered {requests[0].audio_sha256}")
            return answers

    entry = ModelEntry(id="tiny", engine="null", options={"delay_s": 0.5, "deaf": True})
    one = Draw("tiny", "r", "null", "c", "u", "a", "x", "direct", "Listen.", Decoding("greedy"), 1)
    draws = [replace(one, audio_sha256=str(number)) for number in range(4)]
    work = groups([(lambda draw: draw, draws)], 1, lambda key: False)
    with AnswerStore(tmp_path / "store") as store:
        done = list(draw_groups(MODELS["tiny"], "null", entry, work, store, Logging))
    assert [one.failed for one in done] == [0] * 4
    pairs = [tuple(line.split()) for line in log.read_text("utf-8").splitlines()]
    asked_for = [number for what, number in pairs if what == "ask"]
    assert sorted(asked_for) == ["0", "1", "2", "3"]
    at = {pair: place for place, pair in enumerate(pairs)}
    for now, after in pairwise(asked_for):
        assert at["prepare", after] < at["answered", now] < at["ask", after]


@pytest.mark.slow
def test_a_pool_of_two_actors_gives_the_answers_of_one(tmp_path: Path, ray_once) -> None:
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    made = []
    for actors in (1, 2):
        folder = tmp_path / f"{actors}"
        folder.mkdir()
        plan = write_plan(
            folder,
            models=[{"id": "tiny", "actors": actors}],
            corpora=[{"id": "tiny", "limit": 4}],
            strategies=["greedy", "majority_vote"],
            controls=[],
            group_size=2,
        )
        files = derived(run(plan, out=folder / "small"))
        made.append({name: data for name, data in files.items() if not name.startswith("config/")})
    assert made[0] == made[1]


def test_a_remote_model_s_samples_are_paid_once_however_many_runs_it_takes(
    tmp_path: Path, ray_once
) -> None:
    pytest.importorskip("openai", reason="the openai extra is not installed")
    upstream = Upstream(model=model("gpt-4o").location())
    broken = True
    proxy = FaultyProxy(
        upstream.url, lambda identity, _: "500" if broken and identity.endswith("#1") else ""
    )
    plan = write_plan(
        tmp_path,
        models=[
            {
                "id": "gpt-4o",
                "engine": "openai",
                "options": {"base_url": proxy.url, "attempts": 1, "max_dollars": 5},
            }
        ],
        corpora=[{"id": "tiny", "limit": 4}],
        strategies=["greedy", "majority_vote"],
        controls=[],
    )
    first = run(plan, out=tmp_path / "first")
    assert account(first)["failed"] == 4
    assert len(upstream.made) == 4 + 4 * 7
    broken = False
    second = run(plan, out=tmp_path / "second")
    assert account(second)["failed"] == 0
    assert len(set(upstream.made)) == len(upstream.made) == 4 + 4 * 8
    assert verify(second) == []
    rows = gzip.decompress(
        (second / "data/answers/gpt-4o/tiny/direct.greedy.jsonl.gz").read_bytes()
    ).splitlines()
    assert all(json.loads(row)["served_model"] == [upstream.model] for row in rows)
    checked = subprocess.run(
        [sys.executable, "-I", "data/verify.py"], cwd=second, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert proxy.url.encode() not in b"".join(derived(second).values()), (
        "a bundle names no server of one machine"
    )
    proxy.close()
    upstream.close()


def test_real_speech_with_real_votes_makes_a_bundle(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_once
) -> None:
    monkeypatch.setenv("AMBIEMO_DATA", str(shared_data))
    content = yaml.safe_load((ROOT / "reproduce/real.yaml").read_text("utf-8"))
    content["models"] = [{"id": "tiny", "engine": "null"}]
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    bundle = run(tmp_path / "real.yaml", out=tmp_path / "real")
    counts = json.loads((bundle / "data/inputs/corpora.json").read_text("utf-8"))["crema-d"][
        "counts"
    ]
    assert table(bundle, "levels.csv")[0]["n"] == "10"
    assert counts
    assert verify(bundle) == []
    assert b"/" + str(shared_data).encode().lstrip(b"/") not in b"".join(derived(bundle).values())
