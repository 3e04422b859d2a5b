"""Declaring and counting RabbitMQ's queues, and working with dead letters."""

from collections.abc import Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from kit.bus.event import Event
from kit.bus.interface import DeadLetter, QueueInfo, dead_letter_queue
from kit.bus.rabbitmq_browse import Entry, browse, read_catalogue
from kit.bus.rabbitmq_link import FAULTS, Link, Publisher, answered, channel_on
from kit.bus.rabbitmq_wire import Outgoing, dead_letter_of, event_of, outgoing
from kit.bus.topology import Exchange, Queue, Topology, catalogue_queue, shard_queues
from kit.errors import NotFound, Unavailable
from kit.ids import uuid7
from kit.logging import Logger
from kit.settings import BusSettings


@dataclass(frozen=True, slots=True)
class QueueState:
    """Messages ready, and consumers attached; of a single active one's queue only that."""

    ready: int
    consumers: int


async def declare_all(connection: AbstractConnection, topology: Topology, logger: Logger) -> None:
    """Declare what is missing. What exists with other arguments is left unchanged, with a warning.

    A queue's arguments cannot be changed, and refusing to start would be worse than an old delivery limit.
    """
    things: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
    for thing in things:
        try:
            await _declare(connection, thing)
        except ChannelPreconditionFailed as error:
            logger.warning(
                "a queue or exchange exists with other arguments and is left unchanged",
                name=thing.name,
                error=str(error),
            )
    await _make_registrations_durable(connection)
    async with channel_on(connection) as channel:
        for binding in topology.bindings:
            bind = channel.exchange_bind if binding.is_to_exchange else channel.queue_bind
            # Not one by one: there are many. A refused one closes the channel, and the last call then fails.
            await answered(bind(binding.destination, binding.source, binding.key, nowait=True))
        await answered(channel.basic_qos(prefetch_count=1))


async def _make_registrations_durable(connection: AbstractConnection) -> None:
    """See to it that the queues declared before are still there after a `kill -9` of the broker.

    The broker writes down which quorum queues it has with a delay of up to three seconds; one that was declared
    last and killed before that cannot be opened again, whatever was confirmed into it (seen on 3.10.8, and in
    rabbitmq-server issue 15725 for later ones). Declaring another queue writes down those before it, so one is
    declared that nobody misses.
    """
    async with channel_on(connection) as channel:
        name = f"lookout.last.{uuid7()}"
        await answered(channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"}))
        await answered(channel.queue_delete(name))


async def _declare(connection: AbstractConnection, thing: Exchange | Queue) -> None:
    try:
        await _declare_or_look(connection, thing, is_passive=False)
    except ChannelAccessRefused as refusal:
        # Exchange and catalogue are there already where services have users of their own: see rabbitmq_users.
        try:
            await _declare_or_look(connection, thing, is_passive=True)
        except ChannelNotFoundEntity:
            raise refusal from None


async def _declare_or_look(
    connection: AbstractConnection, thing: Exchange | Queue, *, is_passive: bool
) -> None:
    # A channel each: a refusal closes it.
    async with channel_on(connection) as channel:
        if isinstance(thing, Queue):
            arguments: dict[str, Any] = dict(thing.arguments)
            await answered(
                channel.queue_declare(thing.name, passive=is_passive, durable=True, arguments=arguments)
            )
        else:
            await answered(
                channel.exchange_declare(
                    thing.name, passive=is_passive, exchange_type=thing.kind, durable=True
                )
            )


class Admin:
    """The operations of the `kit` command, and the queue depths for the metrics."""

    def __init__(
        self, link: Link, publisher: Callable[[], Awaitable[Publisher]], settings: BusSettings
    ) -> None:
        self._link = link
        self._publisher = publisher
        self._settings = settings

    async def states(self, queues: Iterable[str]) -> dict[str, QueueState]:
        """Messages and consumers of each queue.

        Raises:
            kit.errors.NotFound: there is no such queue.
            kit.errors.Unavailable: the broker is unavailable.
        """
        connection = await self._link.connection()
        states: dict[str, QueueState] = {}
        queue = ""
        try:
            async with channel_on(connection) as channel:
                for queue in queues:
                    declared = await answered(channel.queue_declare(queue, passive=True))
                    states[queue] = QueueState(declared.message_count or 0, declared.consumer_count or 0)
        except ChannelNotFoundEntity:
            raise NotFound(f"there is no queue {queue} on the bus", code="queue_unknown") from None
        except FAULTS as error:
            raise Unavailable(f"cannot count: {error!r}", code="bus_unavailable") from error
        return states

    async def depth(self, queue: str) -> int:
        """See `Bus.depth`."""
        if queue.endswith(dead_letter_queue("")):
            return (await self.states([queue]))[queue].ready
        entry = await self._entry(queue)
        return sum(state.ready for state in (await self.states(_consumed(entry))).values())

    async def queues(self) -> list[QueueInfo]:
        """See `Bus.queues`."""
        infos = []
        for entry in (await self._catalogue()).values():
            states = await self.states([*_consumed(entry), dead_letter_queue(entry.queue)])
            dead_letters = states.pop(dead_letter_queue(entry.queue)).ready
            depth = sum(state.ready for state in states.values())
            infos.append(QueueInfo(entry.queue, entry.binding, entry.is_ordered, depth, dead_letters))
        return sorted(infos, key=lambda info: info.queue)

    async def dead_letters(self, queue: str, limit: int | None) -> list[DeadLetter]:
        """See `Bus.dead_letters`. What a crash wrote twice is returned once."""
        found: dict[str, DeadLetter] = {}
        connection, publisher = await self._link.connection(), await self._publisher()
        async with browse(connection, publisher, dead_letter_queue(queue)) as browsed:
            async for message in browsed:
                # Read to the end all the same: the end marker of this browse is there, and must be removed.
                if limit is None or len(found) < limit:
                    found_one = dead_letter_of(message, queue)
                    found.setdefault(found_one.dead_letter_id, found_one)
        return list(found.values())

    async def replay(self, queue: str, ids: AbstractSet[str] | None) -> int:
        """See `Bus.replay`."""
        entry = await self._entry(queue)
        publisher = await self._publisher()

        async def publish(event: Event) -> None:
            await publisher.publish(_back_to(entry, event))

        return await self._take(queue, ids, publish)

    async def discard(self, queue: str, ids: AbstractSet[str] | None) -> int:
        """See `Bus.discard`."""

        async def forget(_: Event) -> None:
            return None

        return await self._take(queue, ids, forget)

    async def unbind(self, connection: AbstractConnection, entry: Entry) -> None:
        """Remove the binding that a subscription had before."""
        exchange = self._settings.exchange
        async with channel_on(connection) as channel:
            if entry.is_ordered:
                await answered(channel.exchange_unbind(entry.queue, exchange, entry.binding))
            else:
                await answered(channel.queue_unbind(entry.queue, exchange, entry.binding))

    async def _take(
        self, queue: str, ids: AbstractSet[str] | None, first: Callable[[Event], Awaitable[None]]
    ) -> int:
        """Remove dead letters, each after `first` has been called with it; a duplicate is removed with it."""
        done: set[str] = set()
        connection, publisher = await self._link.connection(), await self._publisher()
        async with browse(connection, publisher, dead_letter_queue(queue)) as browsed:
            async for message in browsed:
                event = event_of(message)
                dead_letter_id = str(event.message_id)
                if ids is not None and dead_letter_id not in ids:
                    continue
                if dead_letter_id not in done:
                    await first(event)
                    done.add(dead_letter_id)
                await browsed.take(message)
        return len(done)

    async def _catalogue(self) -> dict[str, Entry]:
        connection, publisher = await self._link.connection(), await self._publisher()
        return await read_catalogue(connection, publisher, catalogue_queue(self._settings).name)

    async def _entry(self, queue: str) -> Entry:
        entry = (await self._catalogue()).get(queue)
        if entry is None:
            raise NotFound(f"there is no queue {queue} on the bus", code="queue_unknown")
        return entry


def _consumed(entry: Entry) -> tuple[str, ...]:
    return shard_queues(entry.queue, entry.shards) if entry.is_ordered else (entry.queue,)


def _back_to(entry: Entry, event: Event) -> Outgoing:
    """To this subscription only, and not to the others that may have handled the event long ago."""
    if entry.is_ordered:
        return replace(outgoing(event, entry.queue), is_mandatory=True)
    return outgoing(event, "", entry.queue)
