"""The order in which the reports of one camera arrived, kept while their pictures are being written."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class OrderedLocks:
    """A queue for each key: who asks first goes first, also when the work before the turn takes longer."""

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Future[None]] = {}

    def take(self, key: Hashable) -> "Turn":
        """A place at the end of the key's queue. It must be used (`async with turn.come()`) or given up."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn = Turn(self, key, self._last.get(key), mine)
        self._last[key] = mine
        return turn

    def _end(self, key: Hashable, mine: "asyncio.Future[None]") -> None:
        if not mine.done():
            mine.set_result(None)
        if self._last.get(key) is mine:
            del self._last[key]


class Turn:
    """One place in a queue."""

    def __init__(
        self,
        turns: OrderedLocks,
        key: Hashable,
        before: "asyncio.Future[None] | None",
        mine: "asyncio.Future[None]",
    ) -> None:
        self._turns = turns
        self._key = key
        self._before = before
        self._mine = mine

    @asynccontextmanager
    async def come(self) -> AsyncIterator[None]:
        """Wait for those before, then it is our turn until the block ends."""
        if self._before is not None and not self._before.done():
            # Shielded: we may be cancelled, the one before must not be.
            await asyncio.shield(self._before)
        try:
            yield
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Let the next one go; harmless after the turn.

        Those behind still wait for those before us: their order does not depend on us.
        """
        before = self._before
        if before is None or before.done():
            self._turns._end(self._key, self._mine)
        else:
            before.add_done_callback(lambda _: self._turns._end(self._key, self._mine))
