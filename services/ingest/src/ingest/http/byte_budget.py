"""How many bytes of reports may be in memory at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from kit.errors import Unavailable

_RETRY_AFTER_S = 2


class ByteBudget:
    """First come, first served; a report larger than the whole budget goes alone."""

    def __init__(self, max_bytes: int, *, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._free_bytes = max_bytes
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold that many until the block ends.

        Raises:
            Unavailable: others held them for too long; the camera may come again.
        """
        size_bytes = min(size_bytes, self._max_bytes)
        await self._take(size_bytes)
        try:
            yield
        finally:
            self._give(size_bytes)

    async def _take(self, size_bytes: int) -> None:
        if not self._waiting and size_bytes <= self._free_bytes:
            self._free_bytes -= size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            async with asyncio.timeout(self._timeout_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give(size_bytes)  # it was ours already when we were called off
            else:
                with suppress(ValueError):  # whoever gave bytes back before we got here has dropped it
                    self._waiting.remove((size_bytes, turn))
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    "too many reports at once", code="too_busy", retry_after_s=_RETRY_AFTER_S
                ) from error
            raise

    def _give(self, size_bytes: int) -> None:
        self._free_bytes += size_bytes
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            # A turn is done here when its waiter was called off in this pass of the loop and has yet to run.
            if not turn.done():
                if size_bytes > self._free_bytes:
                    return
                self._free_bytes -= size_bytes
                turn.set_result(None)
            self._waiting.popleft()
