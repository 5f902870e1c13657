"""How fast a remote model may be asked: concurrency that yields to 429 and 503, and rates.

It lives inside one event loop and is not thread-safe.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Pace:
    """Bounded concurrency that adapts: halved when the server says it is too much, one more after
    every full round of successes.

    `most` is the upper bound. requests_per_minute and tokens_per_minute space the requests evenly
    (no bursts, not after a pause either); None = no limit.
    """

    def __init__(
        self,
        most: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self.limit = float(most)
        self.running = 0
        self._clock = clock
        self._seconds_a_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._seconds_a_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = 0.0
        self._paused_until = 0.0
        self._slowed_at = float("-inf")
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, tokens: float) -> AsyncIterator[None]:
        """Wait for a free place and for the rates to allow a request of `tokens`, then hold the
        place.
        """
        while True:
            async with self._changed:
                while self.running >= max(1, int(self.limit)):
                    await self._changed.wait()
                self.running += 1
            try:
                if await self._started(
                    max(self._seconds_a_request, tokens * self._seconds_a_token)
                ):
                    yield
                    return
            finally:
                async with self._changed:
                    self.running -= 1
                    self._changed.notify_all()

    async def _started(self, seconds: float) -> bool:
        """Wait for a start `seconds` before the next one's. False: a pause came meanwhile, so
        the caller must ask for a new place and a new start.
        """
        start = max(self._clock(), self._next, self._paused_until)
        self._next = start + seconds
        while (wait := start - self._clock()) > 0:
            await asyncio.sleep(wait)
        return self._clock() >= self._paused_until

    def slow_down(self, retry_after_s: float | None) -> None:
        """The server is overloaded: halve the concurrency (once a second at most) and let nobody
        ask before `retry_after_s`.
        """
        now = self._clock()
        if now - self._slowed_at >= 1:
            self.limit = max(1.0, self.limit / 2)
            self._slowed_at = now
        if retry_after_s:
            self._paused_until = max(self._paused_until, now + retry_after_s)
            self._next = self._paused_until  # whoever waits for an earlier start takes a new one

    def speed_up(self) -> None:
        """An answer came: allow 1/limit more, so a whole round of answers allows one more at a
        time.
        """
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
