"""Counts on RabbitMQ how often a process crashed while it handled one message alone.

The broker's own count is no proof against a message: it grows for each that was unacknowledged at the time. And a file
of the process would not be found by another replica, which may get the message next. So each attempt leaves a small
message in a queue named for the message, and the queue is deleted when the attempt ends in any way but a crash.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractConnection

from kit.bus.handling import reason_of
from kit.bus.rabbitmq_link import FAULTS, answered, channel_on
from kit.bus.topology import Argument
from kit.logging import Logger

_REMEMBERED = 10_000
_EXPIRES_MS = 3_600_000
"""Longer than the pause before Kubernetes starts a crashing container again, which is five minutes at most."""
_ARGUMENTS: Mapping[str, Argument] = {"x-queue-type": "classic", "x-expires": _EXPIRES_MS}


class CrashCounter:
    """For the suspects of one subscription. Attempts must not overlap in one process: a crash would count for each."""

    def __init__(self, queue: str, logger: Logger) -> None:
        self._queue = queue
        self._logger = logger
        self._not_crashes: OrderedDict[str, int] = OrderedDict()

    @asynccontextmanager
    async def attempt(self, connection: AbstractConnection, message_id: str) -> AsyncIterator[int]:
        """Handle a message alone in the block; gives how many attempts at it ended in a crash before.

        When the broker refuses to count, that is logged, and the message is handled all the same.
        """
        counted = await self._begin(connection, message_id)
        try:
            yield max(0, counted - self._not_crashes.get(message_id, 0))
        finally:
            await self._end(connection, message_id)

    async def _begin(self, connection: AbstractConnection, message_id: str) -> int:
        name = crashes_queue(self._queue, message_id)
        try:
            async with channel_on(connection, is_confirming=True) as channel:
                declared = await answered(
                    channel.queue_declare(name, durable=True, arguments=dict(_ARGUMENTS))
                )
                # Not persistent, since that takes longer: a restart of the broker may forget a crash.
                await answered(channel.basic_publish(b"", routing_key=name, mandatory=True))
        except FAULTS as error:
            self._log_fault("cannot count an attempt at a message that may crash the process", error)
            return 0
        return declared.message_count or 0

    async def _end(self, connection: AbstractConnection, message_id: str) -> None:
        try:
            async with channel_on(connection) as channel:
                await answered(channel.queue_delete(crashes_queue(self._queue, message_id)))
        except FAULTS as error:
            # It stays counted on the broker, but the process did not crash.
            self._not_crashes[message_id] = self._not_crashes.get(message_id, 0) + 1
            if len(self._not_crashes) > _REMEMBERED:
                self._not_crashes.popitem(last=False)
            self._log_fault("cannot delete the count of attempts at a message", error)
        else:
            self._not_crashes.pop(message_id, None)

    def _log_fault(self, what: str, error: BaseException) -> None:
        self._logger.warning(what, queue=self._queue, error=reason_of(error))


def crashes_queue(queue: str, message_id: str) -> str:
    """Where the attempts at a message of `queue` are counted. Its user may declare what begins as the queue does."""
    return f"{queue}.crashes.{message_id}"
