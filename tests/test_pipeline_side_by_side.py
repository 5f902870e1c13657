"""Models side by side: pools that cannot all fit do not hang, nobody waits for a stranger, and the
bytes are those of one after the other.
"""

import json
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("ray", reason="the ray extra is not installed")

from ambiemo.bundle.verify import verify
from ambiemo.errors import BadInput, Broken
from ambiemo.pipeline import drawing
from ambiemo.pipeline.account import Account
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.drawing import draw_missing, drawn
from ambiemo.pipeline.progress import Board
from ambiemo.pipeline.run import run
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan import sharing
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import check, read

pytestmark = pytest.mark.slow

GPUS = 2


def local(name: str, delay_s: float) -> dict:
    options = {"delay_s": delay_s, "deaf": True}
    return {
        "id": name,
        "engine": "null",
        "gpus": 1,
        "cpus": 0.25,
        "actors": "auto",
        "options": options,
    }


def remote(name: str, delay_s: float, **options: object) -> dict:
    return {
        "id": name,
        "engine": "null",
        "cpus": 0.25,
        "options": {"delay_s": delay_s, "deaf": True, **options},
    }


PLAN = {
    "name": "beside",
    "models": [
        local("qwen2-audio-7b", 0.05),
        local("ultravox-v0.3", 0.05),
        local("ultravox-v0.4", 0.05),
        remote("gemini-2.5-pro", 0.3),
        remote("tiny", 0.01),
    ],
    "corpora": [{"id": "tiny", "limit": 12}],
    "strategies": ["greedy", "alm_v"],
    "verifier": "tiny",
    "group_size": 2,
    "bootstrap": {"resamples": 100},
}


@pytest.fixture(scope="module")
def fake_gpus():
    """Ray on this machine, told of two GPUs that are not there."""
    import ray

    with ray_started(None):
        ray.shutdown()
        told = {
            "include_dashboard": False,
            "log_to_driver": False,
            "object_store_memory": 200 * 2**20,
        }
        ray.init(address="local", num_cpus=4, num_gpus=GPUS, **told)
        yield


def write_plan(folder: Path, **changes: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}), encoding="utf-8")
    return path


def derived(bundle: Path) -> dict[str, bytes]:
    data = bundle / "data"
    files = {
        path.relative_to(data).as_posix(): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file()
    }
    apart = ("env/", "log/", "provenance/", "ro-crate-metadata")
    return {name: content for name, content in files.items() if not name.startswith(apart)}


def one_after_the_other(plan: Path, store: Path) -> None:
    """Today's order: each model's answers, then the scores."""
    from ambiemo.pipeline.score import judgements

    expanded = expand(read(plan))
    with AnswerStore(store) as answers:
        for model in sorted({one.model for one in sharing.questions_of(expanded)}):
            own = [one for one in sharing.questions_of(expanded) if one.model == model]
            asked = [
                (sharing.asking(expanded, one), list(expanded.corpora[one.corpus].utterances))
                for one in own
            ]
            draw_missing(expanded, model, "answers", asked, answers, Account())
        for judge, about in judgements(expanded, answers).items():
            draw_missing(
                expanded,
                judge,
                "scores",
                [(lambda draw: draw, one) for one in about],
                answers,
                Account(),
            )


def test_models_side_by_side_do_not_hang_and_give_the_bytes_of_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_gpus
) -> None:
    times: dict[tuple[str, str, int], list[float]] = {}
    inner = drawing.draw_missing

    def timed(expanded, model, what, *rest):
        key = (model, what, sum(one[1] == what and one[0] == model for one in times))
        times[key] = [time.monotonic()]
        inner(expanded, model, what, *rest)
        times[key].append(time.monotonic())

    monkeypatch.setattr(drawing, "draw_missing", timed)
    bundle = run(write_plan(tmp_path), out=tmp_path / "side")
    assert verify(bundle) == []
    locals_, slow = PLAN["models"][:3], times["gemini-2.5-pro", "answers", 0]
    assert all(times[one["id"], "answers", 0][0] < slow[1] for one in locals_), (
        "a remote model holds nobody up"
    )
    first_scores = times["tiny", "scores", 0]
    assert first_scores[0] < max(
        span[1] for (_, what, _), span in times.items() if what == "answers"
    ), "the verifier does not wait for every model"
    monkeypatch.undo()
    one_after_the_other(tmp_path / "plan.yaml", tmp_path / "old")
    again = run(tmp_path / "plan.yaml", out=tmp_path / "again", store=tmp_path / "old")
    assert json.loads((again / "data/log/run.log").read_text())["calls"] == 0
    assert derived(again) == derived(bundle)
    status = json.loads((tmp_path / ".store/.status.json").read_text())
    assert {one["state"] for one in status["jobs"]} == {"done"}
    assert status["stage"] == "done"


def test_a_model_that_stops_gives_its_gpus_back_at_once(tmp_path: Path, fake_gpus) -> None:
    models = [local("qwen2-audio-7b", 0.05), local("ultravox-v0.3", 0.02)]
    models[0]["options"] |= {"fault": "stops", "fault_after": 2}
    models[0]["actors"] = models[1]["actors"] = GPUS
    plan = write_plan(tmp_path, models=models, strategies=["greedy"], verifier="self")
    with pytest.raises(Broken, match="a rehearsed stop"):
        run(plan, out=tmp_path / "out")
    assert verify(tmp_path / "out") == []


def test_a_store_that_refuses_ends_every_model_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_gpus
) -> None:
    def refuse(self, model: str, line: bytes) -> None:
        raise Broken("the disk is full")

    monkeypatch.setattr(AnswerStore, "append", refuse)
    began = time.monotonic()
    with pytest.raises(Broken, match="the disk is full"):
        run(write_plan(tmp_path), out=tmp_path / "out")
    assert time.monotonic() - began < 120
    assert not (tmp_path / "out").exists()


def test_a_pool_that_cannot_fit_is_refused_before_the_first_draw(tmp_path: Path, fake_gpus) -> None:
    expanded = expand(
        check({**PLAN, "models": [local("tiny", 0) | {"actors": 3}], "verifier": "self"}, "plan")
    )
    with (
        AnswerStore(tmp_path) as store,
        pytest.raises(BadInput, match="3 actors with 1 GPU each need 3, Ray has 2"),
    ):
        drawn(expanded, store, Account(), Board())


def test_threads_that_append_at_once_lose_no_line(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from ambiemo.draws import Answer, Candidate, Decoding
    from ambiemo.durable import sha256_text
    from ambiemo.pipeline.store import as_line

    def line(number: int) -> bytes:
        answer = Answer(
            sha256_text(str(number)), (Candidate("x", 1, None, "stop"),), Decoding("greedy")
        )
        return as_line(str(number), [answer])

    with AnswerStore(tmp_path) as store:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.append(f"m{number % 2}", line(number)), range(200)))
        assert sum(len(store.index(model).answered) for model in ("m0", "m1")) == 200
        assert all(store.has(f"m{number % 2}", sha256_text(str(number))) for number in range(200))
