"""Lets a message that may end the process be handled while no other message is.

A message that was in hand when the process ended may be the cause. With others beside it, their deliveries would be
counted with it, and they would be given up with it.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary


class SuspectSlot:
    """At most one of the consumers in a process handles a suspect, and then nothing else is handled."""

    def __init__(self) -> None:
        self._holder: object | None = None
        self._in_hand = 0
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
        """Take the slot and wait until no message is in hand; False, without the slot, when the consumer stops."""
        await self.wait_until_open(consumer, is_stopping)
        if is_stopping():
            return False
        self._holder = consumer
        while self._in_hand and not is_stopping():
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
        """So many more messages (or one fetch of messages) are in hand; fewer when it is negative."""
        self._in_hand += count
        if count < 0:
            self.notify()

    def notify(self) -> None:
        """Wake those that wait, as one of them may be stopping."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, SuspectSlot] = WeakKeyDictionary()


def suspect_slot() -> SuspectSlot:
    """The slot of this process: that of the running event loop, which all services of one process share."""
    return _slots.setdefault(asyncio.get_running_loop(), SuspectSlot())
