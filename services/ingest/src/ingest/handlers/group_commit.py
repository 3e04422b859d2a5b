"""Several writes in one transaction, when several are wanted at the same time."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from kit.errors import LookoutError, Unavailable

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False, slots=True)
class _Entry(Generic[T, R]):
    item: T
    result: asyncio.Future[R]
    context: contextvars.Context


class GroupCommit(Generic[T, R]):
    """Collects the items that arrive while a write is in progress, and writes them together when it is done.

    A single item is written at once. Under load one transaction, and one flush to the disk, serves many items: the
    cost of a transaction is several times that of a row. `write` returns one result for each item, in order.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, max_items: int) -> None:
        self._write = write
        self._max_items = max_items
        self._waiting: deque[_Entry[T, R]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Nothing runs while nothing is written."""

    async def stop(self) -> None:
        """Wait for the write in progress."""
        if self._task is not None:
            await self._task

    async def submit(self, item: T) -> R:
        """The item's result, once it is written. Cancelling takes an item back while its write has not begun.

        Raises:
            Exception: what `write` raised.
            Unavailable: the task that writes was cancelled.
        """
        entry: _Entry[T, R] = _Entry(
            item, asyncio.get_running_loop().create_future(), contextvars.copy_context()
        )
        self._waiting.append(entry)
        if self._task is None:
            self._task = asyncio.create_task(self._write_waiting())
        try:
            return await entry.result
        except asyncio.CancelledError:
            with suppress(ValueError):  # its write has begun
                self._waiting.remove(entry)
            raise

    async def _write_waiting(self) -> None:
        group: list[_Entry[T, R]] = []
        try:
            while self._waiting:
                count = min(len(self._waiting), self._max_items)
                taken = [self._waiting.popleft() for _ in range(count)]
                # A cancelled caller has not run yet, and so has not taken its item back.
                group = [entry for entry in taken if not entry.result.done()]
                if group:
                    # A shared write belongs to the trace of its first item.
                    await asyncio.create_task(self._write_group(group), context=group[0].context)
        except BaseException:
            # Callers would wait for ever, and they hold the lock of their camera.
            _fail([*group, *self._waiting], Unavailable("the write was cancelled"))
            self._waiting.clear()
            raise
        finally:
            self._task = None

    async def _write_group(self, group: Sequence[_Entry[T, R]]) -> None:
        try:
            results = await self._write([entry.item for entry in group])
        except Exception as error:  # noqa: BLE001 - it is raised again, in each caller
            if len(group) > 1 and not isinstance(error, LookoutError):
                # One item may be at fault. Written by itself it fails alone.
                for entry in group:
                    await asyncio.create_task(self._write_group([entry]), context=entry.context)
                return
            _fail(group, error)
            return
        if len(results) != len(group):
            _fail(group, RuntimeError(f"write returned {len(results)} results for {len(group)} items"))
            return
        for entry, result in zip(group, results, strict=True):
            if not entry.result.done():
                entry.result.set_result(result)


def _fail(entries: Sequence[_Entry[T, R]], error: Exception) -> None:
    for entry in entries:
        if not entry.result.done():
            entry.result.set_exception(error)
