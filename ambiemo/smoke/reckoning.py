"""What the whole plan would take, from what the few clips took. Pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ambiemo.smoke.checks import Finding

GIB = 2**30
LEAST_DISK_GIB = 1.0
KEPT_TWICE = 2.0
"""The store keeps an answer as text, the bundle packed next to it."""
BYTES_OF_A_NUMBER = 8
COPIES = 4
"""Arrays of predictions that are held at once while the tables are joined (estimate, grade I)."""


@dataclass(frozen=True)
class Measured:
    """What one question took on the few clips: draws, seconds, answer tokens, bytes in the store."""

    draws: int
    seconds: float
    tokens: int
    size: int


@dataclass(frozen=True)
class Whole:
    """What one model's share of the plan takes: seconds on its actors, dollars (None: unknown),
    bytes.
    """

    seconds: float
    dollars: float | None
    size: float


def whole(
    measured: Mapping[str, Measured],
    draws: Mapping[str, int],
    faster: float = 1.0,
    at_once: float = 1.0,
    dollars_per_draw: float | None = 0.0,
) -> Whole:
    """measured, draws: by question. faster: how much a group of real size speeds a draw up.
    at_once: actors, or requests of a server. A question that was not measured counts as the mean of
    the others.
    """
    every = sum(draws.values())
    tried = sum(one.draws for one in measured.values())
    if not tried:
        return Whole(0.0, dollars_per_draw, 0.0)
    mean_s = sum(one.seconds for one in measured.values()) / tried
    mean_size = sum(one.size for one in measured.values()) / tried
    seconds = size = 0.0
    for name, number in draws.items():
        one = measured.get(name)
        seconds += number * (one.seconds / one.draws if one and one.draws else mean_s)
        size += number * (one.size / one.draws if one and one.draws else mean_size)
    spent = None if dollars_per_draw is None else every * dollars_per_draw
    return Whole(seconds / max(faster, 1.0) / at_once, spent, size)


def room(what: str, needed_gib: float, free_gib: float | None) -> Finding:
    """Whether there is room: failed with both numbers, or ok; skipped where nobody tells."""
    if free_gib is None:
        return Finding("skipped", f"{what}: this machine does not tell how much is free")
    text = f"{what}: {needed_gib:.2g} GiB needed, {free_gib:.3g} GiB free"
    return Finding("ok" if needed_gib <= free_gib else "failed", text)


def memory_gib(now: int, utterances: int, columns: int, labels: int) -> float:
    """What driver and joining of the tables hold at most: as much as the driver now, and predictions."""
    return (now + COPIES * utterances * columns * labels * BYTES_OF_A_NUMBER) / GIB


def span(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def ceiling(dollars: float | None, most: float | None) -> Finding | None:
    """Failed where the plan's own ceiling would end a model before it is through."""
    if dollars is None or most is None or dollars <= most:
        return None
    return Finding(
        "failed",
        f"its ceiling of ${most:g} would end it after {most / dollars:.0%} of the draws: they cost about ${dollars:,.2f}",
    )


def total(parts: Sequence[Whole]) -> Whole:
    """All models side by side: the slowest one's time, everybody's dollars and bytes."""
    dollars = [one.dollars for one in parts]
    return Whole(
        max((one.seconds for one in parts), default=0.0),
        None if None in dollars else sum(one for one in dollars if one is not None),
        sum(one.size for one in parts),
    )
