"""The relay, on SQLite with the embedded bus and on PostgreSQL with RabbitMQ."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from kit import errors
from testkit.bus import THING, RecordingHandler, make_event
from testkit.waiting import eventually


@asynccontextmanager
async def running(*relays):
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _is_empty(relay):
    return await relay.backlog() == 0


async def test_committed_events_are_published_in_order_and_rolled_back_ones_are_not(service):
    bus, seen = await service.backend.open(), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    relay = service.relay(bus, relay_batch_size=7)
    events = [make_event(i, key=f"k{i % 3}") for i in range(50)]
    await service.add(*events[:30])
    with suppress(KeyError):
        async with service.db.transaction() as session:
            await service.outbox.add(session, make_event(999))
            raise KeyError("changed its mind")
    async with running(relay):
        await service.add(*events[30:])
        await eventually(lambda: len(seen.deliveries) == 50)
        await eventually(lambda: _is_empty(relay))
    assert all(seen.numbers_of(f"k{k}") == list(range(k, 50, 3)) for k in range(3))
    by_number = {int(d.event.body): d.event for d in seen.deliveries}
    assert [by_number[i] for i in range(50)] == events
    assert b"test_outbox_published_total 50.0" in service.metrics.render()
    async with service.db.reading() as session:
        table = service.outbox.table
        rows = (await session.execute(select(table.c.published_at, table.c.last_error))).all()
    assert all(row.published_at is not None and row.last_error is None for row in rows)


async def test_a_commit_wakes_the_relay_at_once(service):
    bus, seen = await service.backend.open(), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    relay = service.relay(bus, relay_poll_interval_s=60.0)
    async with running(relay):
        await service.add(make_event(1))
        await eventually(lambda: seen.numbers == [1])
        await service.add(make_event(2))
        await eventually(lambda: seen.numbers == [1, 2])


async def test_an_event_that_cannot_be_published_delays_only_its_key(service):
    bus, seen = await service.backend.open(), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    relay = service.relay(bus)
    stuck = make_event(1, key="a", routing_key="nobody.wants.it")
    await service.add(make_event(0, key="a"), stuck, make_event(2, key="a"), make_event(3, key="b"))
    async with running(relay):
        await eventually(lambda: sorted(seen.numbers) == [0, 3])
        await service.add(make_event(4, key="b"), make_event(5, key="a"))
        await eventually(lambda: sorted(seen.numbers) == [0, 3, 4])
        await eventually(lambda: _attempts(service, 2))
        assert await relay.backlog() == 3
        await eventually(lambda: b"test_outbox_backlog 3.0" in service.metrics.render())
        assert b'test_outbox_failures_total{reason="unroutable"}' in service.metrics.render()
        late = RecordingHandler()
        await bus.declare(replace(THING, event="late", binding="nobody.#"))
        await bus.consume(replace(THING, event="late", binding="nobody.#"), late)
        await eventually(lambda: late.numbers == [1])
        await eventually(lambda: seen.numbers_of("a") == [0, 2, 5])
        await eventually(lambda: _is_empty(relay))


async def _attempts(service, count):
    table = service.outbox.table
    async with service.db.reading() as session:
        rows = (await session.execute(select(table.c.attempts, table.c.last_error))).all()
    return any(row.attempts >= count and "Unroutable" in row.last_error for row in rows)


@pytest.mark.integration
async def test_two_relays_publish_nothing_twice_and_the_second_takes_over(distributed_service):
    service = distributed_service
    bus, seen = await service.backend.open(), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    first, second = service.relay(bus, relay_batch_size=10), service.relay(bus, relay_batch_size=10)
    async with running(first, second) as tasks:
        await service.add(*(make_event(i, key=f"k{i % 5}") for i in range(300)))
        await eventually(lambda: len(seen.deliveries) >= 300)
        tasks[0].cancel()
        await service.add(*(make_event(i, key=f"k{i % 5}") for i in range(300, 400)))
        await eventually(lambda: len(seen.deliveries) >= 400)
        await eventually(lambda: _is_empty(second))
    assert max(Counter(seen.numbers).values()) == 1


async def test_sweeping_deletes_only_old_published_events(service):
    bus = await service.backend.open()
    relay = service.relay(bus)
    await bus.declare(THING)
    await service.add(*(make_event(i) for i in range(5)))
    async with running(relay):
        await eventually(lambda: _is_empty(relay))
    await service.add(make_event(9))
    assert await relay.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await relay.sweep(datetime.now(UTC) + timedelta(hours=1)) == 5
    assert await relay.backlog() == 1


@pytest.mark.integration
@pytest.mark.chaos
async def test_the_relay_continues_after_outages_of_broker_and_database(
    private_rabbitmq_server, postgres_server, distributed_service
):
    service = distributed_service
    service.backend.url = private_rabbitmq_server.fresh_vhost()
    bus, seen = await service.backend.open(publish_timeout_s=2), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    relay = service.relay(bus)
    async with running(relay) as [task]:
        await service.add(make_event(0))
        await eventually(lambda: seen.numbers == [0])

        await asyncio.to_thread(private_rabbitmq_server.stop)
        await service.add(make_event(1), make_event(2))
        await eventually(lambda: b"test_outbox_failures_total{reason=" in service.metrics.render())
        await asyncio.to_thread(private_rabbitmq_server.start)
        await eventually(lambda: set(seen.numbers) == {0, 1, 2}, timeout_s=30)

        await asyncio.to_thread(postgres_server.stop)
        with pytest.raises(errors.Unavailable):
            await service.add(make_event(3))
        await eventually(lambda: b'reason="database"' in service.metrics.render())
        await asyncio.to_thread(postgres_server.start)
        await service.add(make_event(3))
        await eventually(lambda: set(seen.numbers) == {0, 1, 2, 3}, timeout_s=30)
        assert not task.done()
