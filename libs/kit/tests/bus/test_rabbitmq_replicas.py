"""Several replicas of one consumer. RabbitMQ only: the embedded bus has one process."""

import asyncio

import pytest

from testkit.bus import THING, BusBackend, make_event, number_of
from testkit.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def backend(rabbitmq_server):
    backend = BusBackend("rabbitmq", rabbitmq_server.fresh_vhost())
    yield backend
    await backend.close_all()


async def test_a_replica_that_comes_later_gets_its_share_and_order_holds(backend: BusBackend):
    order: dict[str, list[int]] = {}
    busy: set[str] = set()
    handled_by = {"first": 0, "second": 0}

    def handler_of(name):
        async def handler(delivery):
            key = delivery.event.partition_key
            assert key not in busy, "a key must not be handled by two replicas at once"
            busy.add(key)
            await asyncio.sleep(0.001)  # work that the other replica would overlap with
            busy.discard(key)
            numbers = order.setdefault(key, [])
            if (
                number_of(delivery.event) not in numbers
            ):  # unacknowledged at a change of owner: delivered again
                numbers.append(number_of(delivery.event))
            handled_by[name] += 1

        return handler

    first = await backend.open(queue_depth_interval_s=0.2)
    await first.declare(THING)
    await first.consume(THING, handler_of("first"))
    keys = [f"k{i}" for i in range(16)]

    published = 0

    async def publish_until(is_enough):
        nonlocal published
        while not is_enough():
            batch = [make_event(published, key=key) for key in keys]
            assert await first.publish_many(batch) == [None] * len(keys)
            published += 1

    await publish_until(lambda: handled_by["first"] >= 160)
    second = await backend.open(queue_depth_interval_s=0.2)
    await second.consume(THING, handler_of("second"))
    async with asyncio.timeout(60):
        await publish_until(lambda: handled_by["second"] > 100)
    await eventually(lambda: sum(map(len, order.values())) == published * len(keys), timeout_s=30)
    assert all(numbers == list(range(published)) for numbers in order.values())
    assert await first.dead_letters(THING.queue) == []
