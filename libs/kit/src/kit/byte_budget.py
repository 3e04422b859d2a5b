"""A limit on the bytes of bodies or decoded pictures that are in memory at the same time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from kit.errors import Unavailable

_RETRY_AFTER_S = 2


class ByteBudget:
    """First come, first served; what is larger than the whole budget is admitted alone.

    `timeout_s`: longest wait, None for any. `detail`: of the error after it, for example "too many pushes …".
    """

    def __init__(self, max_bytes: int, *, timeout_s: float | None, detail: str) -> None:
        self._detail = detail
        self._max_bytes = max_bytes
        self._free_bytes = max_bytes
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free_bytes(self) -> int:
        """Bytes that are not reserved."""
        return self._free_bytes

    @asynccontextmanager
    async def reserve(self, size_bytes: int) -> AsyncIterator[None]:
        """Reserve that many bytes until the block ends.

        Raises:
            Unavailable: they did not become free in time; the caller may repeat.
        """
        size_bytes = min(size_bytes, self._max_bytes)
        await self._acquire(size_bytes)
        try:
            yield
        finally:
            self._release(size_bytes)

    async def _acquire(self, size_bytes: int) -> None:
        if not self._waiting and size_bytes <= self._free_bytes:
            self._free_bytes -= size_bytes
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, granted))
        try:
            async with asyncio.timeout(self._timeout_s):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self._release(size_bytes)  # granted before this waiter was cancelled
            else:
                with suppress(ValueError):  # `_grant_waiting` has removed it already
                    self._waiting.remove((size_bytes, granted))
                self._grant_waiting()
            if isinstance(error, TimeoutError):
                raise Unavailable(self._detail, code="too_busy", retry_after_s=_RETRY_AFTER_S) from error
            raise

    def _release(self, size_bytes: int) -> None:
        self._free_bytes += size_bytes
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        while self._waiting:
            size_bytes, granted = self._waiting[0]
            # Done here means that its waiter was cancelled in this pass of the event loop and has not run yet.
            if not granted.done():
                if size_bytes > self._free_bytes:
                    return
                self._free_bytes -= size_bytes
                granted.set_result(None)
            self._waiting.popleft()
