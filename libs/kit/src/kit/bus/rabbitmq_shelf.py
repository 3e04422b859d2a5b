"""Looking through a queue without emptying it: what is parked, and what subscriptions there are.

AMQP can only take messages, so everything is taken, kept unacknowledged, and goes back in its old order when
the channel closes. A crash on the way is such a closing.
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
"""Messages held at once; AMQP's prefetch has 16 bits."""

LOOK_TIMEOUT_S = 30.0
"""Longest wait for a shelf's next message, and for another's look to end."""

_POLL_S = 0.02
_FENCE = "lookout.fence"


class Shelf:
    """One look through a queue: iterate, and `take` what shall not go back."""

    def __init__(self, channel: Channel, fence: str) -> None:
        self.held = 0
        self._channel = channel
        self._fence = fence
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[DeliveredMessage]:
        """All messages that stood there when the look began, oldest first; at most `WINDOW` of them."""
        for _ in range(WINDOW):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                message = await self._arrived.get()
            fence = headers_of(message).get(_FENCE)
            if fence is None:
                yield message
                continue
            await self.take(message)
            if fence == self._fence:
                return

    async def on_message(self, message: DeliveredMessage) -> None:
        """The broker hands out one more."""
        self.held += 1
        self._arrived.put_nowait(message)

    async def take(self, message: DeliveredMessage) -> None:
        """Remove a message for good."""
        assert message.delivery_tag is not None
        self.held -= 1
        await answered(self._channel.basic_ack(message.delivery_tag))


@asynccontextmanager
async def looking_through(
    connection: AbstractConnection, publisher: Publisher, queue: str
) -> AsyncIterator[Shelf]:
    """Hold all of a queue for the length of the block, alone.

    A fence is published behind what stands there: that it arrives is the one sure sign of having seen all.

    Raises:
        kit.errors.NotFound: there is no such queue.
        kit.errors.Unavailable: the broker is away, or somebody else looks for too long.
    """
    try:
        async with publisher.looking, _alone(connection, queue):
            async with channel_on(connection) as channel:
                shelf = Shelf(channel, await _publish_fence(publisher, queue))
                await answered(channel.basic_qos(prefetch_count=WINDOW))
                await answered(channel.basic_consume(queue, shelf.on_message))
                yield shelf
            await _until_returned(connection, queue, shelf.held)
    except FAULTS as error:
        raise Unavailable(f"cannot look through {queue}: {error!r}", code="bus_away") from error


async def _publish_fence(publisher: Publisher, queue: str) -> str:
    fence = str(uuid7())
    properties = Basic.Properties(delivery_mode=PERSISTENT, message_id=fence, headers={_FENCE: fence})
    try:
        await publisher.publish(Outgoing("", queue, properties, b""))
    except Unroutable:
        raise NotFound(f"the bus knows no queue {queue}", code="queue_unknown") from None
    return fence


@asynccontextmanager
async def _alone(connection: AbstractConnection, queue: str) -> AsyncIterator[None]:
    """Nobody else looks through that queue meanwhile: two at once would each see a part.

    An exclusive queue is the lock. It belongs to the connection, and goes with it.
    """
    lock = f"{queue}.look"
    deadline = time.monotonic() + LOOK_TIMEOUT_S
    while True:
        try:
            async with channel_on(connection) as channel:
                # Said to be classic: a vhost may make quorum queues by default, which cannot be exclusive.
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


async def _until_returned(connection: AbstractConnection, queue: str, held: int) -> None:
    """Wait until what was held can be seen again: the broker gives it back after the channel has closed."""
    deadline = time.monotonic() + LOOK_TIMEOUT_S
    async with channel_on(connection) as channel:
        while time.monotonic() < deadline:
            declared = await answered(channel.queue_declare(queue, passive=True))
            if (declared.message_count or 0) >= held:
                return
            await asyncio.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class Entry:
    """A subscription as the catalogue knows it. `shards` is 0 for one that is not ordered."""

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
    async with looking_through(connection, publisher, queue) as shelf:
        async for message in shelf:
            entry = _entry_of(message)
            if entry is not None:
                entries[entry.queue] = entry
    return entries


async def enter_in_catalogue(
    connection: AbstractConnection, publisher: Publisher, queue: str, wanted: Entry
) -> tuple[Entry, Entry | None]:
    """Enter a subscription, which keeps its first number of shards. Gives it as it is and as it was."""
    before: Entry | None = None
    standing: list[DeliveredMessage] = []
    async with looking_through(connection, publisher, queue) as shelf:
        async for message in shelf:
            entry = _entry_of(message)
            if entry is not None and entry.queue == wanted.queue:
                before = entry
                standing.append(message)
        entered = wanted
        if before is not None and before.is_ordered == wanted.is_ordered:
            entered = replace(wanted, shards=before.shards)
        if entered != before:
            await publisher.publish(_message_of(entered, queue))
            for old in standing:
                await shelf.take(old)
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
