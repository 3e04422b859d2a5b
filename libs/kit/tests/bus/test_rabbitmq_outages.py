"""The broker unavailable, killed and restarted. RabbitMQ only."""

import asyncio
import time
from collections import Counter
from functools import partial

import aio_pika
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from kit import errors
from kit.columns import new_metadata
from kit.db import Database, after_commit
from kit.inbox import Inbox, inbox_table
from kit.metrics import Metrics
from kit.settings import DatabaseSettings
from testkit.bus import THING, BusBackend, RecordingHandler, make_event, number_of
from testkit.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture
async def private_backend(private_rabbitmq_server):
    backend = BusBackend("rabbitmq", private_rabbitmq_server.fresh_vhost())
    yield backend
    await backend.close_all()


async def test_a_bus_connects_when_the_broker_starts_later(
    private_rabbitmq_server, private_backend: BusBackend
):
    private_rabbitmq_server.stop()
    bus, seen = await private_backend.open(publish_timeout_s=0.5), RecordingHandler()
    await bus.consume(THING, seen)
    result = await bus.ready()
    assert not result.ok
    assert "rabbitmq" in result.detail
    started = time.monotonic()
    with pytest.raises(errors.Unavailable):
        await bus.publish(make_event())
    with pytest.raises(errors.Unavailable):
        await bus.depth(THING.queue)
    assert time.monotonic() - started < 3

    await asyncio.to_thread(private_rabbitmq_server.start)
    await eventually(lambda: _is_ready(bus), timeout_s=30)
    await bus.publish(make_event(1))
    await eventually(lambda: seen.numbers == [1])


async def _is_ready(bus):
    return (await bus.ready()).ok


async def test_a_broker_killed_under_load_loses_nothing_and_with_an_inbox_nothing_is_applied_twice(
    private_rabbitmq_server, private_backend: BusBackend, tmp_path
):
    metadata: MetaData = new_metadata()
    effects = Table("effects", metadata, Column("id", Integer, primary_key=True), Column("number", Integer))
    inbox = Inbox(inbox_table(metadata), Metrics("test"))
    db = Database(DatabaseSettings(url=f"sqlite:///{tmp_path / 'effects.db'}"), "test")
    await db.start()
    async with db.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    order: dict[str, list[int]] = {}

    async def handler(delivery):
        async with db.transaction() as session:
            if await inbox.claim(session, THING.queue, delivery.event.message_id):
                number, numbers = (
                    number_of(delivery.event),
                    order.setdefault(delivery.event.partition_key, []),
                )
                await session.execute(insert(effects).values(number=number))
                # Not before the commit: a transaction that is rolled back is run again.
                after_commit(session, partial(numbers.append, number))

    bus = await private_backend.open(prefetch=20, publish_timeout_s=2.0)
    await bus.declare(THING)
    await bus.consume(THING, handler)
    total, keys = 3000, 7
    waiting = [make_event(i, key=f"k{i % keys}") for i in range(total)]

    async def publish_all():
        """As the relay does: what was not confirmed is published again, in order."""
        left = waiting
        while left:
            batch = left[:50]
            results = await bus.publish_many(batch)
            left = [e for e, r in zip(batch, results, strict=True) if r is not None] + left[50:]
            await asyncio.sleep(0.02)  # paced load, so that the restarts fall into it

    publishing = asyncio.create_task(publish_all())
    for share in (0.2, 0.5, 0.75):
        await eventually(lambda share=share: sum(map(len, order.values())) > total * share, timeout_s=60)
        await asyncio.to_thread(private_rabbitmq_server.restart)
    await publishing
    await eventually(lambda: sum(map(len, order.values())) >= total, timeout_s=60)
    async with db.reading() as session:
        applied = Counter((await session.execute(select(effects.c.number))).scalars())
    assert set(applied) == set(range(total))
    assert max(applied.values()) == 1
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert await bus.dead_letters(THING.queue) == []
    await eventually(lambda: _is_ready(bus))
    await private_backend.close_all()
    await db.stop()


async def test_queues_declared_just_before_a_kill_keep_their_events_and_every_key_its_shard(
    private_rabbitmq_server, private_backend: BusBackend
):
    bus = await private_backend.open(shards=8)
    await bus.declare(THING)
    keys = [f"camera:{i}" for i in range(40)]

    async def spread(message_count):
        spread = {}
        # A queue that recovers from its log counts up to what it held.
        await eventually(lambda: _holds(private_backend.url, message_count), timeout_s=30)
        before = await _shard_depths(private_backend.url, 8)
        for key in keys:
            await bus.publish(make_event(key=key))
            after = await _shard_depths(private_backend.url, 8)
            [spread[key]] = [i for i in range(8) if after[i] != before[i]]
            before = after
        return spread

    first = await spread(0)
    assert len(set(first.values())) > 4
    await asyncio.to_thread(private_rabbitmq_server.restart)
    await eventually(lambda: _is_ready(bus), timeout_s=30)
    assert await spread(len(keys)) == first
    seen = RecordingHandler()
    await bus.consume(THING, seen)
    await eventually(lambda: len(seen.deliveries) == 2 * len(keys))


async def _holds(url, count):
    return sum(await _shard_depths(url, 8)) == count


async def _shard_depths(url, shards):
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        queues = [await channel.declare_queue(f"{THING.queue}.{i:02}", passive=True) for i in range(shards)]
        return [queue.declaration_result.message_count for queue in queues]
