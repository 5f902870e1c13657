"""Restarts without progress are counted, and end with the reason."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ambiemo.draws import Decoding, Draw
from ambiemo.models import MODELS
from ambiemo.pipeline.cluster import ray_started
from ambiemo.pipeline.draw import DrawActor, draw_groups, groups
from ambiemo.pipeline.restarts import SILENT, TRIES, Counters, Reporter, Restarts
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan.schema import ModelEntry


def test_a_group_at_which_the_actor_always_ends_is_given_up_and_the_rest_goes_on() -> None:
    counter = Restarts(actors=2)
    assert [counter.began("bad") for _ in range(TRIES)] == [("", "")] * TRIES
    give_up, stop = counter.began("bad")
    assert give_up == f"the actor ended 3 times at this, the last time: {SILENT}"
    assert stop == ""
    counter.finished("bad", is_progress=False)
    assert counter.began("good") == ("", "")
    counter.finished("good", is_progress=True)
    assert counter.in_a_row == 0


def test_restarts_without_an_answer_between_end_with_the_last_reason() -> None:
    counter, told = Restarts(actors=1), []
    for group in range(4):
        for _ in range(TRIES + 1):
            told.append(counter.began(str(group)))
            counter.ending("MemoryError: no room")
        counter.finished(str(group), is_progress=False)
    stops = [stop for _, stop in told if stop]
    assert (
        stops[0]
        == "its actors ended 4 times in a row without an answer, the last one: MemoryError: no room"
    )
    assert [bool(stop) for _, stop in told].index(True) == 2 * TRIES - 1, "soon"


def test_a_lost_node_is_one_end_for_each_of_its_actors_and_no_reason_to_stop() -> None:
    counter = Restarts(actors=8)
    for _ in range(2):
        for group in range(8):
            assert counter.began(str(group)) == ("", "")


def test_without_a_counter_nothing_is_counted() -> None:
    reporter = Reporter()
    assert reporter.began("x") == ("", "")
    reporter.ending("y")
    reporter.finished("x")


def test_two_models_are_counted_apart() -> None:
    counters = Counters()
    for _ in range(TRIES):
        assert counters.began("one", 1, "group") == ("", "")
    assert counters.began("other", 1, "group") == ("", "")
    counters.ending("one", "MemoryError: no room")
    assert counters.began("one", 1, "group")[0].endswith("the last time: MemoryError: no room")
    counters.finished("one", "group", is_progress=False)
    assert counters.began("other", 1, "group") == ("", ""), "its second try"
    counters.finished("never began", "group", is_progress=True)


@pytest.mark.slow
def test_a_clip_that_ends_the_actor_while_it_is_prepared_fails_alone(tmp_path: Path) -> None:
    """It is prepared while another group is answered, which must not be given up in its place."""
    pytest.importorskip("ray", reason="the ray extra is not installed")

    class Fragile(DrawActor):
        def _prepared(self, drawn: list[Draw]) -> Any:
            if drawn[0].audio_sha256 == "2":
                os._exit(1)
            return super()._prepared(drawn)

    one = Draw("tiny", "r", "null", "c", "u", "a", "x", "direct", "Hm.", Decoding("greedy"), 1)
    draws = [replace(one, audio_sha256=str(number)) for number in range(6)]
    entry = ModelEntry(id="tiny", engine="null", options={"delay_s": 1, "deaf": True})
    work = groups([(lambda draw: draw, draws)], 1, lambda key: False)
    with ray_started(None), AnswerStore(tmp_path / "store") as store:
        done = list(draw_groups(MODELS["tiny"], "null", entry, work, store, Fragile))
        answered = [store.has("tiny", draw.key) for draw in draws]
    assert answered == [number != 2 for number in range(6)]
    assert sum(group.draws for group in done) == 6
    (reason,) = {reason for group in done for reason in group.reasons}
    assert reason.startswith("engine: the actor ended 3 times at this")
