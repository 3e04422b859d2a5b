"""Lets a message that may crash the process, a suspected poison message, be handled while no other message is.

A message that was unacknowledged when the process crashed may be the cause. Handled beside others, a crash would count
for them too, and they would become dead letters with it.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary


class ExclusiveSlot:
    """At most one consumer of a process has it. That one may take a suspect, and the others take nothing meanwhile."""

    def __init__(self) -> None:
        self._holder: object | None = None
        self._active = 0
        self._changed = asyncio.Event()

    def is_open_to(self, consumer: object) -> bool:
        """Whether a consumer may take messages: no other one has the slot."""
        return self._holder is None or self._holder is consumer

    def is_held_by(self, consumer: object) -> bool:
        """Whether the consumer has the slot, and may take a suspect."""
        return self._holder is consumer

    async def wait_until_open(self, consumer: object, is_stopping: Callable[[], bool]) -> None:
        """Until no other consumer has the slot, or this one stops."""
        while not self.is_open_to(consumer) and not is_stopping():
            await self._changed.wait()

    async def acquire(self, consumer: object, is_stopping: Callable[[], bool]) -> bool:
        """Take the slot and wait until no message is active; False, without the slot, when the consumer stops."""
        await self.wait_until_open(consumer, is_stopping)
        if is_stopping():
            return False
        self._holder = consumer
        while self._active and not is_stopping():
            await self._changed.wait()
        if is_stopping():
            self.release(consumer)
            return False
        return True

    def release(self, consumer: object) -> None:
        """Give the slot back; nothing happens when the consumer does not have it."""
        if self._holder is consumer:
            self._holder = None
            self.notify()

    def add(self, count: int = 1) -> None:
        """So many more messages, or fetches of messages, are active; fewer when it is negative."""
        self._active += count
        if count < 0:
            self.notify()

    def notify(self) -> None:
        """Wake those that wait, as one of them may be stopping."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, ExclusiveSlot] = WeakKeyDictionary()


def exclusive_slot() -> ExclusiveSlot:
    """The slot of this process: that of the running event loop, which all services of one process share."""
    return _slots.setdefault(asyncio.get_running_loop(), ExclusiveSlot())
