"""Counts how often a model's actors end without an answer: Ray starts them again for ever, and says
nothing.
"""

from typing import Any

TRIES = 3
"""A group at which an actor ended so many times is given up: its draws fail, the next run asks
again. Likewise a load.
"""
SILENT = "killed without a word; the machine may have run out of memory"


class Restarts:
    """One for a draw job of a model; the model's actors tell it what they begin and what they
    finish.
    """

    def __init__(self, actors: int) -> None:
        self.limit = TRIES * actors
        self.tries: dict[str, int] = {}
        self.in_a_row = 0
        self.reason = SILENT

    def began(self, what: str) -> tuple[str, str]:
        """Somebody begins a group or a load. Returns why not to ("" to go on) and why the model
        must stop ("" if not).
        """
        tries = self.tries[what] = self.tries.get(what, 0) + 1
        if tries > 1:
            self.in_a_row += 1
        stop = f"its actors ended {self.in_a_row} times in a row without an answer, the last one: {self.reason}"
        give_up = f"the actor ended {tries - 1} times at this, the last time: {self.reason}"
        return (give_up if tries > TRIES else "", stop if self.in_a_row > self.limit else "")

    def finished(self, what: str, is_progress: bool) -> None:
        """It is done; `is_progress`: with answers."""
        self.tries.pop(what, None)
        if is_progress:
            self.in_a_row, self.reason = 0, SILENT

    def ending(self, reason: str) -> None:
        """An actor ends, and knows why."""
        self.reason = reason


class Counters:
    """The counters of a whole run, in one actor next to the driver. `whose`: one draw job of one
    model.
    """

    def __init__(self) -> None:
        self.of: dict[str, Restarts] = {}

    def began(self, whose: str, actors: int, what: str) -> tuple[str, str]:
        """As `Restarts.began`; `actors` is the size of the pool."""
        return self.of.setdefault(whose, Restarts(actors)).began(what)

    def finished(self, whose: str, what: str, is_progress: bool) -> None:
        """As `Restarts.finished`."""
        if whose in self.of:
            self.of[whose].finished(what, is_progress)

    def ending(self, whose: str, reason: str) -> None:
        """As `Restarts.ending`."""
        if whose in self.of:
            self.of[whose].ending(reason)


def counters() -> Any:
    """The actor that counts for the running driver, made when it is first asked for. It lives as
    long as somebody holds what this returns.
    """
    import ray

    from ambiemo.pipeline.cluster import beside_the_driver

    options = {"name": "ambiemo-restarts", "get_if_exists": True, **beside_the_driver()}
    return ray.remote(Counters).options(**options).remote()


class Reporter:
    """What an actor says to the counter of its job. Without a counter, or when it cannot be
    reached, nothing is counted.
    """

    def __init__(self, counter: Any = None, whose: str = "", actors: int = 1) -> None:
        self.counter, self.whose, self.actors = counter, whose, actors

    def began(self, what: str) -> tuple[str, str]:
        """As `Restarts.began`."""
        return self._call("began", self.actors, what) or ("", "")

    def finished(self, what: str, is_progress: bool = True) -> None:
        """As `Restarts.finished`; does not wait."""
        if self.counter is not None:
            self.counter.finished.remote(self.whose, what, is_progress)

    def ending(self, reason: str) -> None:
        """As `Restarts.ending`; waits until it is noted."""
        self._call("ending", reason)

    def _call(self, name: str, *given: Any) -> Any:
        if self.counter is None:
            return None
        import ray

        try:
            return ray.get(getattr(self.counter, name).remote(self.whose, *given), timeout=60)
        except ray.exceptions.RayError:
            return None
