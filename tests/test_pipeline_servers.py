"""A server that becomes another one half-way: its model, its rate, its answers, its key, its
account, or our ceiling of dollars. Through real Ray and real HTTP on loopback.

After each: nothing that came is lost, nothing is paid twice, and the tables are those of a run to
which nothing happened.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ray_nodes import PATIENCE_S
from servers.upstream import Refusal, Upstream

pytest.importorskip("ray", reason="the ray extra is not installed")
pytest.importorskip("openai", reason="the openai extra is not installed")

from ambiemo.bundle.verify import verify
from ambiemo.errors import Broken
from ambiemo.models import model
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.run import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_S)]

CLIPS, SAMPLES = 6, 8
PAID = CLIPS * (1 + SAMPLES)
"""Requests of the whole plan: a greedy answer and the samples of each clip."""
HALF = PAID // 2
PLAN = {
    "name": "servers",
    "corpora": [{"id": "tiny", "limit": CLIPS}],
    "strategies": ["greedy", "majority_vote"],
    "group_size": 2,
    "bootstrap": {"resamples": 100},
}


class Changing(Upstream):
    """A server that is itself for so many answers, and then asks `change` for each further one,
    until `is_well`."""

    def __init__(self, change: Callable[["Changing", dict], dict], after: int = HALF) -> None:
        super().__init__(model=model("gpt-4o").location())
        self.change, self.after = change, after
        self.is_well = False
        self.asked = self.changed = 0

    def answer(self, body: dict) -> dict:
        with self._lock:
            self.asked += 1
            changes = not self.is_well and self.asked > self.after
            self.changed += changes
        return self.change(self, body) if changes else super().answer(body)

    def as_before(self, body: dict) -> dict:
        return super().answer(body)


@pytest.fixture(scope="module")
def ray_once():
    with pytest.MonkeyPatch.context() as patch:
        # actors have the environment that Ray was started with
        patch.setenv("OPENAI_API_KEY", "nobody's key")
        with ray_started(None):
            yield


def plan_for(folder: Path, server: Upstream, **options: object) -> Path:
    path = folder / "plan.yaml"
    told = {"base_url": server.url, "backoff_s": 0.05, "max_dollars": 50, "concurrency": 4}
    entry = {"id": "gpt-4o", "engine": "openai", "options": {**told, **options}}
    path.write_text(yaml.safe_dump({**PLAN, "models": [entry]}), encoding="utf-8")
    return path


def account(bundle: Path) -> dict:
    return json.loads((bundle / "data/log/run.log").read_text("utf-8"))


def numbers(bundle: Path) -> dict[str, bytes]:
    """Tables and predictions."""
    data = bundle / "data"
    return {
        path.relative_to(data).as_posix(): path.read_bytes()
        for folder in ("tables", "predictions")
        for path in sorted((data / folder).rglob("*"))
        if path.is_file()
    }


def stored(folder: Path) -> list[dict]:
    """Every answer of the store."""
    lines = (folder / ".store/gpt-4o.jsonl").read_text("utf-8").splitlines()
    return [answer for line in lines for answer in json.loads(line.partition("\t")[2])]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, ray_once) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("calm")
    server = Changing(Changing.as_before)
    bundle = run(plan_for(folder, server), out=folder / "out")
    assert len(server.made) == PAID
    server.close()
    return numbers(bundle)


def another_model(server: Changing, body: dict) -> dict:
    return server.as_before(body) | {"model": "gpt-5-audio"}


def key_refused(server: Changing, body: dict) -> dict:
    raise Refusal(401, {"error": {"message": "no such key", "code": "invalid_api_key"}})


def account_empty(server: Changing, body: dict) -> dict:
    raise Refusal(429, {"error": {"message": "pay first", "code": "insufficient_quota"}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_model, "answered by another model: asked for .*, got gpt-5-audio"),
        (key_refused, "the server refuses the key"),
        (account_empty, "the account has no quota left"),
    ],
)
def test_a_server_that_stops_being_itself_stops_the_model_and_nothing_is_paid_twice(
    change: Callable, words: str, tmp_path: Path, undisturbed: dict[str, bytes], ray_once
) -> None:
    server = Changing(change)
    plan = plan_for(tmp_path, server)
    with pytest.raises(Broken, match=f"model gpt-4o: .*{words}") as error:
        run(plan, out=tmp_path / "out")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists(), "no column is left"
    assert server.changed <= 4, "no more than what was under way"
    server.is_well = True
    bundle = run(plan, out=tmp_path / "out")
    assert verify(bundle) == []
    assert numbers(bundle) == undisturbed
    twice = {one: times for one, times in Counter(server.made).items() if times > 1}
    assert sum(twice.values()) - len(twice) <= (server.changed if change is another_model else 0), (
        "only what another model had answered is asked again"
    )
    server.close()


def test_a_server_that_slows_down_half_way_is_waited_for(
    tmp_path: Path, undisturbed: dict[str, bytes], ray_once
) -> None:
    def too_fast(server: Changing, body: dict) -> dict:
        if server.changed > 10:
            return server.as_before(body)
        raise Refusal(429, {"error": {"message": "slower, please"}})

    server = Changing(too_fast)
    began = time.monotonic()
    bundle = run(plan_for(tmp_path, server), out=tmp_path / "out")
    assert server.refused == 10
    assert max(Counter(server.made).values()) == 1
    assert len(server.made) == PAID
    assert numbers(bundle) == undisturbed
    assert account(bundle)["failed"] == 0
    assert time.monotonic() - began < PATIENCE_S
    server.close()


def test_a_server_whose_answers_change_half_way_is_told_by_its_fingerprint(
    tmp_path: Path, ray_once
) -> None:
    """The same model by name: nobody can refuse it. What came before is kept, and the answer store
    says which answers came from which."""

    def otherwise(server: Changing, body: dict) -> dict:
        told = server.as_before(body) | {"system_fingerprint": "fp_other"}
        text = '{"neutral": 0.25, "happy": 0.25, "angry": 0.25, "sad": 0.25}'
        told["choices"][0]["message"]["content"] = text
        return told

    server = Changing(otherwise)
    plan = plan_for(tmp_path, server)
    bundle = run(plan, out=tmp_path / "out")
    assert len(server.made) == PAID
    kept = stored(tmp_path)
    fingerprints = [one for row in kept for one in row["extra"]["system_fingerprint"]]
    assert set(fingerprints) == {"fp_small", "fp_other"}
    first = numbers(bundle)
    again = run(plan, out=tmp_path / "out")
    assert (account(again)["calls"], len(server.made)) == (0, PAID)
    assert numbers(again) == first
    assert verify(again) == []
    server.close()


def test_a_ceiling_that_is_reached_half_way_ends_with_its_line_and_keeps_what_was_paid(
    tmp_path: Path, undisturbed: dict[str, bytes], ray_once
) -> None:
    server = Changing(Changing.as_before)
    whole = plan_for(tmp_path, server)
    # the ledger sets the highest price of a request aside, so that fewer than half are sent
    with pytest.raises(
        Broken, match=r"model gpt-4o: \d+ of 12 draws of its answers were not asked"
    ):
        run(plan_for(tmp_path, server, max_dollars=0.02), out=tmp_path / "out")
    paid = len(server.made)
    assert 0 < paid < PAID
    assert verify(tmp_path / "out") == [], "the bundle has the failures, and holds"
    plan_for(tmp_path, server)
    bundle = run(whole, out=tmp_path / "out")
    assert len(server.made) == PAID
    assert max(Counter(server.made).values()) == 1
    assert numbers(bundle) == undisturbed
    server.close()
