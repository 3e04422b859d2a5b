"""Locks whose order of acquisition is reserved in advance.

The pushes of one camera are stored in the order of their arrival, although a later one may have its picture written
sooner.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager


class OrderedLocks:
    """A lock for each key. Whoever reserves first acquires first, whenever the others are ready."""

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        """The number of keys that are reserved or held."""
        return len(self._last)

    def reserve(self, key: Hashable) -> "Reservation":
        """A place at the end of the key's queue. Acquire it or release it: the places behind it wait for that."""
        previous = self._last.get(key)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last[key] = mine

        def end() -> None:
            if not mine.done():
                mine.set_result(None)
            if self._last.get(key) is mine:
                del self._last[key]

        return Reservation(previous, end)


class Reservation:
    """One place in a queue."""

    def __init__(self, previous: "asyncio.Future[None] | None", end: Callable[[], None]) -> None:
        self._previous = previous
        self._end = end

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Wait for the places before this one, then hold the lock until the block ends."""
        if self._previous is not None and not self._previous.done():
            # Shielded: cancelling this waiter must not cancel the one before it.
            await asyncio.shield(self._previous)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Give up the place; does nothing after `acquire`.

        The places behind this one still wait for those before it.
        """
        if self._previous is None or self._previous.done():
            self._end()
        else:
            self._previous.add_done_callback(lambda _: self._end())
