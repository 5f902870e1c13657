"""The look at the nodes before a run: what a plan needs, what a node has, and who is judged faulty."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ambiemo.corpora.audio import BadAudio
from ambiemo.draws import Decoding, Draw
from ambiemo.durable import sha256
from ambiemo.pipeline import probe
from ambiemo.pipeline.cluster import placed
from ambiemo.pipeline.draw import load_audio
from ambiemo.pipeline.probe import Facts, ModelNeeds, Needs, faults, look, needs_of, remarks
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import ModelEntry, check

OURS = {"ambiemo": "1 (code a)", "ray": "2.60.0", "python": "3.11.7"}
LOCAL = ModelNeeds("audio-flamingo-3", False, "vllm", repository="nvidia/a", gpus=1, gpu_gib=17.0)
REMOTE = ModelNeeds("gpt-4o", True, "openai", variables=("OPENAI_API_KEY",))
NEEDS = Needs(OURS, (LOCAL, REMOTE), {"crema_d": ("/data/a.wav", "0" * 64)}, "/store/.probe")
DRIVER = Facts(
    node="head",
    is_driver=True,
    versions=OURS,
    set=("OPENAI_API_KEY",),
    modules=("vllm", "openai"),
    clips={"crema_d": "there"},
    tmp=(50.0, 0.5),
    shm=(8.0, 1.0),
)
WORKER = replace(
    DRIVER, node="w1", is_driver=False, cpus=8.0, gpus=1.0, devices=(80.0,), weights=(LOCAL.model,)
)


def told(*nodes: Facts, needs: Needs = NEEDS) -> list[str]:
    return [str(one) for one in faults(needs, nodes)]


def test_a_head_without_processors_and_a_worker_with_a_gpu_are_in_order() -> None:
    assert told(DRIVER, WORKER) == []
    assert remarks(NEEDS, [DRIVER, WORKER]) == []


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (
            replace(WORKER, versions={**OURS, "ray": "2.59.0"}),
            "node w1: ray 2.59.0, the driver has 2.60.0; install the same",
        ),
        (
            replace(WORKER, versions={**OURS, "ambiemo": "1 (code b)"}),
            "node w1: ambiemo 1 (code b), the driver has 1 (code a); ",
        ),
        (replace(WORKER, modules=("openai",)), "node w1: no Python module 'vllm', which runs"),
        (replace(DRIVER, set=()), "node head: environment variable OPENAI_API_KEY is not set"),
        (
            replace(WORKER, weights=(), offline=True),
            "node w1: no weights of audio-flamingo-3 in its cache, and HF_HUB_OFFLINE is set",
        ),
        (
            replace(WORKER, clips={"crema_d": "/data/a.wav has SHA-256 1…, not 0…"}),
            "node w1: another file of corpus crema_d: /data/a.wav has SHA-256",
        ),
        (
            replace(DRIVER, clips={"crema_d": "missing"}),
            "node head: Ray's processes read no clip of crema_d (/data/a.wav)",
        ),
        (
            replace(DRIVER, store="does not see the driver's files there"),
            "node head: Ray's processes and the answer store /store: does not see the driver's",
        ),
        (
            replace(WORKER, devices=()),
            "node w1: Ray counts 1 GPUs, the NVIDIA driver shows 0",
        ),
        (
            replace(WORKER, gpus=2.0, devices=(80.0, 12.0)),
            "node w1: a GPU has 12.0 GiB free, audio-flamingo-3 needs 17.0 GiB",
        ),
        (replace(WORKER, tmp=(0.4, 0.5)), "node w1: the disk of Ray's temporary files has 0.4 GiB"),
        (replace(WORKER, tmp=(40.0, 0.04)), "node w1: the disk of Ray's temporary files has 40.0"),
        (replace(WORKER, shm=(0.06, 1.0)), "node w1: /dev/shm has 0.06 GiB free"),
        (Facts("w1", False, error="does not answer within 600 s"), "node w1: does not answer"),
    ],
)
def test_each_fault_is_one_line_that_names_its_node(node: Facts, line: str) -> None:
    others = [one for one in (DRIVER, WORKER) if one.node != node.node]
    (found,) = told(node, *others)
    assert found.startswith(line)
    assert "\n" not in found
    assert found.count("; ") >= 1, "it says what to do"


def test_what_a_node_does_not_run_it_need_not_have() -> None:
    """No key on a worker (a model behind a server runs next to the driver), no GPU engine on a node
    without GPUs, no clips on a head without processors."""
    bare = replace(WORKER, set=(), modules=(), weights=(), gpus=0.0, devices=(), shm=(0.0, 0.0))
    assert told(DRIVER, WORKER, bare) == []
    assert told(replace(DRIVER, clips={"crema_d": "there"}, modules=("openai",)), WORKER) == []


def test_gated_weights_need_a_token_unless_the_node_has_them() -> None:
    gated = replace(NEEDS, models=(replace(LOCAL, is_gated=True),))
    assert told(DRIVER, WORKER, needs=gated) == []
    (line,) = told(DRIVER, replace(WORKER, weights=()), needs=gated)
    assert line.startswith("node w1: environment variable HF_TOKEN is not set")


def test_a_node_without_clips_or_weights_is_named_and_stops_nobody() -> None:
    bare = replace(WORKER, clips={"crema_d": "missing"}, weights=())
    assert told(DRIVER, bare) == []
    assert remarks(NEEDS, [DRIVER, bare]) == [
        "node w1: has no clips of crema_d; the driver's node sends them",
        "node w1: has no weights of audio-flamingo-3; each of its actors downloads them first",
    ]


PLAN = {
    "name": "probe",
    "models": [
        {"id": "tiny"},
        {"id": "gpt-4o", "options": {"max_dollars": 1}},
        {"id": "audio-flamingo-3", "gpus": 2, "options": {"tensor_parallel_size": 2}},
        {"id": "qwen2-audio-7b", "engine": "null"},
    ],
    "corpora": [{"id": "tiny", "limit": 2}],
    "strategies": ["greedy"],
}


def test_a_plan_says_what_it_needs_by_name_and_never_by_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-that-stays")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    needs = needs_of(
        expand(check(PLAN, "plan")), ["tiny", "gpt-4o", "audio-flamingo-3", "qwen2-audio-7b"]
    )
    tiny, remote, large = needs.models
    assert (tiny.on_driver, tiny.module, tiny.gpu_gib) == (False, "transformers", 0.0)
    assert (remote.on_driver, remote.variables) == (True, ("OPENAI_API_KEY",))
    assert large.repository
    assert 0 < large.gpu_gib < 17, "half of the weights on each of two GPUs"
    told = look(asdict(needs))
    assert "OPENAI_API_KEY" in told["set"]
    assert "a-secret" not in json.dumps([told, asdict(needs)])
    facts = Facts("here", True, cpus=2.0, **told)
    assert facts.clips == {"tiny": "there"}
    assert "audio-flamingo-3" not in facts.weights
    assert "tiny" in facts.weights
    assert facts.versions == needs.versions


def test_a_node_is_looked_at_by_the_file_s_hash(tmp_path: Path) -> None:
    clip, store = tmp_path / "a.wav", tmp_path / "store"
    clip.write_bytes(b"sound")
    wanted = asdict(Needs(OURS, (), {"c": (str(clip), sha256(b"sound"))}, str(store / ".probe")))
    told = look(wanted)
    assert told["clips"] == {"c": "there"}
    assert told["store"] == "does not see the driver's files there"
    store.mkdir()
    (store / ".probe").write_bytes(b"")
    clip.write_bytes(b"another sound")
    told = look(wanted)
    assert told["store"] == ""
    assert "has SHA-256" in told["clips"]["c"]
    clip.unlink()
    assert look(wanted)["clips"] == {"c": "missing"}


def test_looking_raises_nothing() -> None:
    assert "KeyError" in look({})["error"]


def test_one_changed_byte_of_code_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text('__version__ = "7.1"\n')
    first = probe.versions(tmp_path)["ambiemo"]
    assert first.startswith("7.1 (code ")
    (tmp_path / "b.py").write_text("x = 1\n")
    assert probe.versions(tmp_path)["ambiemo"] != first


def test_a_clip_that_nobody_sends_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    draw = Draw(
        "m", "r", "null", "c", "u", "0" * 64, str(tmp_path / "a.wav"), "direct", "p",
        Decoding("greedy"), 1,
    )  # fmt: skip
    with pytest.raises(BadAudio, match="cannot be opened: No such file"):
        load_audio(draw, None)


def test_an_actor_for_a_local_model_takes_what_the_plan_says() -> None:
    entry = ModelEntry(id="tiny", cpus=2, gpus=1)
    assert placed(entry, "vllm") == {"num_cpus": 2, "num_gpus": 1}
