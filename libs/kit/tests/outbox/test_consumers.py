"""Consumers with effects in a database, on SQLite with the embedded bus and on PostgreSQL with RabbitMQ."""

from contextlib import suppress

from sqlalchemy import Column, Integer, Table, insert, select

from kit.bus import Consumer, Event, Rejected
from kit.db import after_commit
from kit.ids import uuid7
from kit.inbox import TransactionalConsumer
from testkit.bus import make_event
from testkit.messages import ThingHappened
from testkit.waiting import eventually


def event(number: int, **overrides) -> Event:
    return make_event(key="camera:1", body=ThingHappened(number=number).SerializeToString(), **overrides)


class Effects:
    """A handler that inserts each number into a table, and remembers what it was called with and what committed."""

    def __init__(self, service):
        self.service = service
        self.table = Table("effects", service.outbox.table.metadata, Column("number", Integer))
        self.called = []
        self.committed = []
        self.reject = set()

    async def create(self):
        async with self.service.db.engine.begin() as connection:
            await connection.run_sync(self.table.create)

    async def __call__(self, session, message, metadata):
        self.called.append((message.number, metadata.message_id))
        after_commit(session, lambda: self.committed.append(message.number))
        await session.execute(insert(self.table).values(number=message.number))
        if message.number in self.reject:
            raise Rejected("not this one")

    async def stored(self):
        async with self.service.db.reading() as session:
            return sorted((await session.execute(select(self.table.c.number))).scalars())

    async def handled(self):
        async with self.service.db.reading() as session:
            return set((await session.execute(select(self.service.inbox.table.c.message_id))).scalars())

    async def consume(self, bus, **options):
        consumer = TransactionalConsumer(
            ThingHappened, self, db=self.service.db, inbox=self.service.inbox, **options
        )
        await bus.declare(consumer.subscription("reader"))
        return consumer


async def attach(bus, consumer):
    await bus.consume(consumer.subscription("reader"), consumer.handler("reader"))


async def test_an_effect_happens_once_however_often_its_event_is_delivered(service):
    bus, effects = await service.backend.open(), Effects(service)
    await effects.create()
    consumer = await effects.consume(bus)
    first, second = event(1), event(2)
    await bus.publish_many([first, first, second])
    await attach(bus, consumer)
    await eventually(lambda: effects.committed == [1, 2])
    await bus.publish_many([first, second, event(3)])
    await eventually(lambda: effects.committed == [1, 2, 3])
    assert await effects.stored() == [1, 2, 3]
    repeats = 'inbox_repeats_total{consumer="reader.thing_happened.v1"} 3.0'
    assert repeats in service.metrics.render().decode()


async def test_a_rejected_message_does_not_affect_others_of_its_batch(service):
    bus, effects = await service.backend.open(), Effects(service)
    await effects.create()
    consumer = await effects.consume(bus)
    effects.reject = {4}
    await bus.publish_many([event(number) for number in range(8)])
    await attach(bus, consumer)
    await eventually(lambda: sorted(effects.committed) == [0, 1, 2, 3, 5, 6, 7])
    assert await effects.stored() == [0, 1, 2, 3, 5, 6, 7]

    async def dead_letters():
        return await bus.dead_letters("reader.thing_happened.v1")

    [dead_letter] = await eventually(dead_letters)
    assert "not this one" in dead_letter.reason


async def test_an_irrelevant_message_is_acknowledged_without_an_inbox_row(service):
    bus, effects = await service.backend.open(), Effects(service)
    await effects.create()
    consumer = await effects.consume(bus, is_relevant=lambda message: message.number % 2 == 0)
    events = [event(number) for number in range(6)]
    await bus.publish_many(events)
    await attach(bus, consumer)
    await eventually(lambda: effects.committed == [0, 2, 4])

    async def is_empty():
        return await bus.depth("reader.thing_happened.v1") == 0

    await eventually(is_empty)
    assert await effects.handled() == {each.message_id for each in events[::2]}


async def test_a_body_that_cannot_be_parsed_becomes_a_dead_letter(service):
    bus, seen = await service.backend.open(), []

    async def handle(message, metadata):
        seen.append((message.number, metadata.message_id, metadata.partition_key, metadata.attempt))

    consumer = Consumer(ThingHappened, handle)
    await bus.declare(consumer.subscription("reader"))
    good = event(7)
    await bus.publish_many([make_event(key="camera:1", body=b"\xff\xff"), good])
    await attach(bus, consumer)
    await eventually(lambda: seen == [(7, good.message_id, "camera:1", 1)])

    async def dead_letters():
        return await bus.dead_letters("reader.thing_happened.v1")

    [dead_letter] = await eventually(dead_letters)
    assert "not a valid lookout.things.v1.ThingHappened" in dead_letter.reason


async def test_what_follows_a_commit_does_not_follow_a_rollback(service):
    calls = []

    async def work(*, is_failing):
        async with service.db.transaction() as session:
            await service.inbox.claim(session, "reader", uuid7())
            after_commit(session, lambda: calls.append("committed"))
            assert calls == []
            if is_failing:
                raise KeyError("rolled back")

    with suppress(KeyError):
        await work(is_failing=True)
    assert calls == []
    await work(is_failing=False)
    assert calls == ["committed"]


async def test_an_event_of_a_rolled_back_transaction_does_not_wake_the_relay(service):
    try:
        async with service.db.transaction() as session:
            await service.outbox.add(session, make_event(1))
            raise KeyError("rolled back")
    except KeyError:
        pass
    assert not service.outbox.has_new_events.is_set()
    await service.add(make_event(2))
    assert service.outbox.has_new_events.is_set()
