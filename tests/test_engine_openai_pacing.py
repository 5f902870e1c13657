"""Rates, pauses, adapting concurrency and the dollar ledger, on a clock of the test's own."""

import asyncio
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.engines import pacing
from ambiemo.engines.journal import Journal
from ambiemo.engines.pacing import Pace
from ambiemo.engines.spending import Ledger


class Clock:
    """A clock that sleeping moves, and nothing else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(pacing.asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def starts(pace: Pace, clock: Clock, tokens: list[float]) -> list[float]:
    begun = []
    for each in tokens:
        async with pace.turn(each):
            begun.append(clock())
    return begun


def test_requests_are_spaced_evenly(monkeypatch):
    clock = Clock(monkeypatch)
    begun = asyncio.run(starts(Pace(8, requests_per_minute=30, clock=clock), clock, [1] * 4))
    assert begun == pytest.approx([0, 2, 4, 6])


def test_the_token_rate_makes_a_large_request_cost_time(monkeypatch):
    clock = Clock(monkeypatch)
    begun = asyncio.run(starts(Pace(8, tokens_per_minute=600, clock=clock), clock, [100, 10, 10]))
    assert begun == pytest.approx([0, 10, 11])


def test_nobody_asks_before_retry_after_has_passed(monkeypatch):
    clock = Clock(monkeypatch)
    pace = Pace(8, clock=clock)
    pace.slow_down(30)
    assert asyncio.run(starts(pace, clock, [1])) == pytest.approx([30])


def test_after_a_pause_the_rate_is_even_again(monkeypatch):
    clock = Clock(monkeypatch)
    pace = Pace(8, requests_per_minute=60, clock=clock)
    begun: list[float] = []

    async def one() -> None:
        async with pace.turn(1):
            begun.append(clock())

    async def all_of_them() -> None:
        async with pace.turn(1):
            pace.slow_down(30)
        await asyncio.gather(*(one() for _ in range(4)))

    asyncio.run(all_of_them())
    assert begun == pytest.approx([30, 31, 32, 33])


def test_who_waits_for_a_start_when_a_pause_comes_takes_a_new_one():
    async def run() -> list[float]:
        pace = Pace(8, requests_per_minute=1200)
        begun: list[float] = []

        async def one() -> None:
            async with pace.turn(1):
                begun.append(time.monotonic())

        waiting = [asyncio.create_task(one()) for _ in range(6)]
        await asyncio.sleep(0.12)
        pace.slow_down(0.4)
        await asyncio.gather(*waiting)
        return begun

    begun = asyncio.run(run())
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    assert len(begun) == 6
    assert max(gaps) >= 0.3
    assert min(gaps) >= 0.03


def test_concurrency_halves_once_a_second_and_grows_back(monkeypatch):
    clock = Clock(monkeypatch)
    pace = Pace(8, clock=clock)
    pace.slow_down(None)
    pace.slow_down(None)
    assert pace.limit == 4
    clock.now += 1
    pace.slow_down(None)
    assert pace.limit == 2
    for _ in range(2):
        pace.speed_up()
    assert 2.9 <= pace.limit < 3
    for _ in range(100):
        pace.speed_up()
    assert pace.limit == 8
    for _ in range(100):
        clock.now += 1
        pace.slow_down(None)
    assert pace.limit == 1


@given(
    st.floats(0.01, 5),
    st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 1)), min_size=1, max_size=30),
)
def test_the_ceiling_holds_whatever_the_requests_turn_out_to_cost(ceiling, costs):
    async def spend() -> Ledger:
        ledger = Ledger(ceiling)

        async def one(most: float, share: float) -> None:
            if await ledger.reserve(most):
                assert ledger.spent + ledger.reserved <= ceiling + 1e-9
                await asyncio.sleep(0)
                await ledger.settle(most, most * share)

        await asyncio.gather(*(one(most, share) for most, share in costs))
        return ledger

    ledger = asyncio.run(spend())
    assert ledger.spent <= ceiling + 1e-9
    assert ledger.reserved == pytest.approx(0, abs=1e-9)


def test_a_request_waits_for_others_that_may_turn_out_cheaper():
    async def two() -> list[bool]:
        ledger = Ledger(1.0)
        assert await ledger.reserve(0.9)
        second = asyncio.create_task(ledger.reserve(0.9))
        await asyncio.sleep(0)
        assert not second.done()
        await ledger.settle(0.9, 0.05)
        return [await second]

    assert asyncio.run(two()) == [True]


def test_a_journal_without_a_folder_keeps_nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None)
    journal.ended(journal.asked(0.5), 0.25, "a#0", {"text": "x"})
    assert journal.get("a#0") == {"text": "x"}
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_line_costs_only_itself(tmp_path):
    journal = Journal(tmp_path)
    for n in range(3):
        journal.ended(journal.asked(0.5), 0.125, f"k#{n}", {"n": n})
    journal.close()
    file = next(tmp_path.glob("*.jsonl"))
    lines = [line for line in file.read_bytes().splitlines() if b"answer" in line]
    file.write_bytes(
        lines[0]
        + b"\n\xff\x00garbage\n[1]\n"
        + b"[" * 100_000
        + b'\n{"asked": 9, "most": 1'
        + b"0" * 400
        + b'}\n{"asked": 9, "paid": -1000}\n{"asked": 9, "most": NaN}\n'
        + lines[2]
        + b"\n"
        + lines[1][:10]
    )
    again = Journal(tmp_path)
    assert [again.get(f"k#{n}") for n in range(3)] == [{"n": 0}, None, {"n": 2}]
    assert again.spent == 0.25
