"""Handlers that take several deliveries at once. On both back ends."""

import asyncio

from kit.bus import Rejected, Transient
from testkit.bus import THING, BusBackend, make_event, number_of
from testkit.waiting import eventually


class Batches:
    """Remembers batches and singles; `fail_on` numbers fail, in a batch and alone."""

    def __init__(self, fail_on=(), error=None):
        self.fail_on = set(fail_on)
        self.error = error or Rejected("bad")
        self.batches = []
        self.singles = []
        self.done = []

    async def __call__(self, delivery):
        number = number_of(delivery.event)
        self.singles.append((number, delivery.attempt))
        if number in self.fail_on:
            raise self.error
        self.done.append(delivery)

    async def handle_batch(self, deliveries):
        self.batches.append([number_of(d.event) for d in deliveries])
        await asyncio.sleep(0.02)  # long enough for more to come meanwhile
        if any(number_of(d.event) in self.fail_on for d in deliveries):
            raise self.error
        self.done += deliveries

    def of(self, key):
        return [number_of(d.event) for d in self.done if d.event.partition_key == key]


async def test_waiting_messages_are_handled_as_one_batch_in_order(backend: BusBackend, any_subscription):
    bus, handler = await backend.open(batch_size=16, shards=2), Batches()
    await bus.declare(any_subscription)
    await bus.publish_many([make_event(i, key=f"k{i % 4}") for i in range(200)])
    await bus.consume(any_subscription, handler)
    await eventually(lambda: len(handler.done) == 200)
    assert max(map(len, handler.batches)) <= 16
    assert max(map(len, handler.batches)) > 4
    for k in range(4):
        assert handler.of(f"k{k}") == list(range(k, 200, 4))
    await eventually(lambda: _is_empty(bus, any_subscription.queue))
    text = backend.metrics[-1].render().decode()
    assert f'deliveries_total{{outcome="handled",queue="{any_subscription.queue}"}} 200.0' in text


async def _is_empty(bus, queue):
    return await bus.depth(queue) == 0


async def test_a_failed_batch_is_handled_one_by_one_and_only_the_failing_message_becomes_a_dead_letter(
    backend: BusBackend, any_subscription
):
    bus, handler = await backend.open(batch_size=16, shards=1), Batches(fail_on={7, 23})
    await bus.declare(any_subscription)
    await bus.publish_many([make_event(i, key=f"k{i % 4}") for i in range(60)])
    await bus.consume(any_subscription, handler)
    await eventually(lambda: len(handler.done) == 58)
    assert sorted(number_of(d.event) for d in handler.done) == sorted(set(range(60)) - {7, 23})

    async def both_failed():
        return {number_of(p.event) for p in await bus.dead_letters(any_subscription.queue)} == {7, 23}

    await eventually(both_failed)
    if any_subscription.is_ordered:
        for k in range(4):
            assert handler.of(f"k{k}") == [i for i in range(k, 60, 4) if i not in {7, 23}]


async def test_a_key_that_retries_keeps_its_order_while_batches_of_others_go_on(backend: BusBackend):
    bus, handler = await backend.open(batch_size=8, shards=1), Batches(fail_on={4}, error=Transient("soon"))
    await bus.declare(THING)
    await bus.consume(THING, handler)
    await bus.publish_many([make_event(i, key=f"k{i % 4}") for i in range(40)])
    await eventually(lambda: len([n for n, _ in handler.singles if n == 4]) >= 2)
    await eventually(lambda: len(handler.done) >= 30)
    assert handler.of("k0") == [0]
    handler.fail_on.clear()
    await eventually(lambda: len(handler.done) == 40)
    assert handler.of("k0") == list(range(0, 40, 4))
    attempts = [attempt for number, attempt in handler.singles if number == 4]
    assert attempts == list(range(1, len(attempts) + 1))
