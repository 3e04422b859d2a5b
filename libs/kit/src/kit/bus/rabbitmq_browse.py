"""Browsing a queue without emptying it: dead letters, and the catalogue of subscriptions.

AMQP can only consume messages, so all are consumed without acknowledgement and returned in their order when
the channel closes, which a crash does as well.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelLockedResource
from pamqp.commands import Basic

from kit.bus.failure import Unroutable
from kit.bus.handling import jittered
from kit.bus.rabbitmq_link import FAULTS, Publisher, answered, channel_on
from kit.bus.rabbitmq_wire import PERSISTENT, Outgoing, headers_of
from kit.errors import NotFound, Unavailable
from kit.ids import uuid7

WINDOW = 60_000
"""Unacknowledged messages at most; AMQP's prefetch has 16 bits."""

BROWSE_TIMEOUT_S = 30.0
"""Longest wait for the next message of a queue, and for the end of another process' browse."""

_POLL_S = 0.02
_END_MARKER = "lookout.fence"


class BrowsedQueue:
    """One browse of a queue: iterate, and `take` what is to be removed."""

    def __init__(self, channel: Channel, end_marker: str) -> None:
        self.unacknowledged = 0
        self._channel = channel
        self._end_marker = end_marker
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[DeliveredMessage]:
        """All messages that were there at the start, oldest first; at most `WINDOW` of them."""
        for _ in range(WINDOW):
            async with asyncio.timeout(BROWSE_TIMEOUT_S):
                message = await self._arrived.get()
            end_marker = headers_of(message).get(_END_MARKER)
            if end_marker is None:
                yield message
                continue
            await self.take(message)
            if end_marker == self._end_marker:
                return

    async def on_message(self, message: DeliveredMessage) -> None:
        """The broker hands out one more."""
        self.unacknowledged += 1
        self._arrived.put_nowait(message)

    async def take(self, message: DeliveredMessage) -> None:
        """Acknowledge a message, which removes it from the queue."""
        assert message.delivery_tag is not None
        self.unacknowledged -= 1
        await answered(self._channel.basic_ack(message.delivery_tag))


@asynccontextmanager
async def browse(
    connection: AbstractConnection, publisher: Publisher, queue: str
) -> AsyncIterator[BrowsedQueue]:
    """Hold all messages of a queue for the length of the block; one process at a time.

    An end marker is published behind them: only its arrival proves that all were seen.

    Raises:
        kit.errors.NotFound: there is no such queue.
        kit.errors.Unavailable: the broker is unavailable, or another process browses for too long.
    """
    try:
        async with publisher.browsing, _alone(connection, queue):
            async with channel_on(connection) as channel:
                browsed = BrowsedQueue(channel, await _publish_end_marker(publisher, queue))
                await answered(channel.basic_qos(prefetch_count=WINDOW))
                await answered(channel.basic_consume(queue, browsed.on_message))
                yield browsed
            await _until_returned(connection, queue, browsed.unacknowledged)
    except FAULTS as error:
        raise Unavailable(f"cannot browse {queue}: {error!r}", code="bus_unavailable") from error


async def _publish_end_marker(publisher: Publisher, queue: str) -> str:
    end_marker = str(uuid7())
    properties = Basic.Properties(
        delivery_mode=PERSISTENT, message_id=end_marker, headers={_END_MARKER: end_marker}
    )
    try:
        await publisher.publish(Outgoing("", queue, properties, b""))
    except Unroutable:
        raise NotFound(f"there is no queue {queue} on the bus", code="queue_unknown") from None
    return end_marker


@asynccontextmanager
async def _alone(connection: AbstractConnection, queue: str) -> AsyncIterator[None]:
    """Lock the queue against other browsers: two at once would each see a part.

    An exclusive queue is the lock. It belongs to the connection, and is deleted with it.
    """
    lock = f"{queue}.look"  # as in earlier versions, which must not browse at the same time
    deadline = time.monotonic() + BROWSE_TIMEOUT_S
    while True:
        try:
            async with channel_on(connection) as channel:
                # The type is given because a vhost's default may be quorum, and quorum queues cannot be exclusive.
                kind: dict[str, Any] = {"x-queue-type": "classic"}
                await answered(channel.queue_declare(lock, exclusive=True, auto_delete=True, arguments=kind))
            break
        except ChannelLockedResource:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(jittered(_POLL_S))
    try:
        yield
    finally:
        with suppress(*FAULTS):
            async with channel_on(connection) as channel:
                await answered(channel.queue_delete(lock))


async def _until_returned(connection: AbstractConnection, queue: str, unacknowledged: int) -> None:
    """Wait until the messages are in the queue again: the broker returns them after the channel has closed."""
    deadline = time.monotonic() + BROWSE_TIMEOUT_S
    async with channel_on(connection) as channel:
        while time.monotonic() < deadline:
            declared = await answered(channel.queue_declare(queue, passive=True))
            if (declared.message_count or 0) >= unacknowledged:
                return
            await asyncio.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class Entry:
    """A subscription as it is in the catalogue. `shards` is 0 for one that is not ordered."""

    queue: str
    binding: str
    shards: int

    @property
    def is_ordered(self) -> bool:
        """Whether it is spread over shard queues."""
        return self.shards > 0


async def read_catalogue(
    connection: AbstractConnection, publisher: Publisher, queue: str
) -> dict[str, Entry]:
    """Every subscription ever declared, by queue name."""
    entries: dict[str, Entry] = {}
    async with browse(connection, publisher, queue) as browsed:
        async for message in browsed:
            entry = _entry_of(message)
            if entry is not None:
                entries[entry.queue] = entry
    return entries


async def enter_in_catalogue(
    connection: AbstractConnection, publisher: Publisher, queue: str, wanted: Entry
) -> tuple[Entry, Entry | None]:
    """Enter a subscription, which keeps its first number of shards. Gives it as it is and as it was."""
    before: Entry | None = None
    earlier: list[DeliveredMessage] = []
    async with browse(connection, publisher, queue) as browsed:
        async for message in browsed:
            entry = _entry_of(message)
            if entry is not None and entry.queue == wanted.queue:
                before = entry
                earlier.append(message)
        entered = wanted
        if before is not None and before.is_ordered == wanted.is_ordered:
            entered = replace(wanted, shards=before.shards)
        if entered != before:
            await publisher.publish(_message_of(entered, queue))
            for old in earlier:
                await browsed.take(old)
    return entered, before


def _message_of(entry: Entry, queue: str) -> Outgoing:
    properties = Basic.Properties(
        content_type="application/json", delivery_mode=PERSISTENT, message_id=str(uuid7()), headers={}
    )
    return Outgoing("", queue, properties, json.dumps(asdict(entry)).encode())


def _entry_of(message: DeliveredMessage) -> Entry | None:
    try:
        document: dict[str, Any] = json.loads(message.body)
        return Entry(str(document["queue"]), str(document["binding"]), int(document["shards"]))
    except (ValueError, KeyError, TypeError):
        return None  # not ours; the catalogue of a later version may hold more
