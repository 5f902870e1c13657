"""For how much a remote model may be asked: the dollars spent, and a ceiling that is never crossed.

It lives inside one event loop and is not thread-safe. What was spent in earlier runs comes from the
journal.
"""

import asyncio


class Ledger:
    """Dollars spent, and dollars set aside for requests under way. `ceiling` None = count only.

    A request's highest price is set aside before it is sent, so the ceiling is never crossed by
    what is under way; the real price replaces it when the answer comes. A request whose fate is
    unknown counts as paid in full.
    """

    def __init__(self, ceiling: float | None = None, spent: float = 0.0) -> None:
        self.ceiling = ceiling
        self.spent = spent
        self.reserved = 0.0
        self._changed = asyncio.Condition()

    async def reserve(self, most: float) -> bool:
        """Set `most` dollars aside; waits while requests under way may still turn out cheaper.
        False: it would cross the ceiling.
        """
        async with self._changed:
            while True:
                if self.ceiling is None or self.spent + self.reserved + most <= self.ceiling:
                    self.reserved += most
                    return True
                if self.spent + most > self.ceiling or self.reserved <= 0:
                    return False
                await self._changed.wait()

    async def settle(self, reserved: float, paid: float) -> None:
        """Replace what was set aside by what was paid (0 = the server refused before doing
        anything).
        """
        async with self._changed:
            self.reserved = max(0.0, self.reserved - reserved)
            self.spent += paid
            self._changed.notify_all()
