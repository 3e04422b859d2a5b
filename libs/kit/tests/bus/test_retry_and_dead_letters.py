"""How failures are retried, become dead letters, and are replayed. On both back ends."""

import asyncio
import time
from dataclasses import replace

import pytest

from kit import errors
from kit.bus import Rejected, RetryPolicy, Transient, dead_letter_queue
from testkit.bus import THING, UNORDERED, BusBackend, RecordingHandler, make_event, number_of
from testkit.waiting import eventually


class Flaky(RecordingHandler):
    """Fails the events of some numbers, a number of times each, with some error."""

    def __init__(self, numbers: set[int], times: int, error: Exception) -> None:
        super().__init__()
        self.left = dict.fromkeys(numbers, times)
        self.error = error
        self.attempts: list[tuple[int, int]] = []

    async def __call__(self, delivery):
        number = number_of(delivery.event)
        self.attempts.append((number, delivery.attempt))
        if self.left.get(number, 0) > 0:
            self.left[number] -= 1
            raise self.error
        await super().__call__(delivery)


async def test_a_transient_failure_is_repeated_with_its_attempts_counted(
    backend: BusBackend, any_subscription
):
    bus, handler = await backend.open(), Flaky({1}, 2, Transient("not yet"))
    await bus.declare(any_subscription)
    await bus.consume(any_subscription, handler)
    started = time.monotonic()
    await bus.publish(make_event(1))
    await eventually(lambda: handler.deliveries)
    assert handler.attempts == [(1, 1), (1, 2), (1, 3)]
    delays_s = sum(
        backend.settings().ordered_retry_delays_s[:2]
        if any_subscription.is_ordered
        else backend.settings().retry_delays_s
    )
    assert time.monotonic() - started >= delays_s * 0.8
    assert await bus.dead_letters(any_subscription.queue) == []


async def test_at_its_limit_a_message_becomes_a_dead_letter_with_reason_and_traceback_and_the_key_goes_on(
    backend: BusBackend, any_subscription
):
    bus, handler = await backend.open(), Flaky({1}, 99, Transient("the portal says no"))
    subscription = replace(any_subscription, retry=RetryPolicy((0.05, 0.05)))
    await bus.declare(subscription)
    await bus.consume(subscription, handler)
    poison = make_event(1)
    await bus.publish_many([make_event(0), poison, make_event(2)])
    await eventually(lambda: _has_dead_letters(bus, subscription.queue, 1))
    [dead_letter] = await bus.dead_letters(subscription.queue)
    assert dead_letter.event == poison
    assert (dead_letter.dead_letter_id, dead_letter.queue) == (str(poison.message_id), subscription.queue)
    assert "gave up after 3 attempts" in dead_letter.reason
    assert "the portal says no" in dead_letter.reason
    assert "Traceback" in dead_letter.traceback
    assert "the portal says no" in dead_letter.traceback
    assert dead_letter.attempts == 3
    assert abs(time.time() - dead_letter.dead_lettered_at.timestamp()) < 60
    await eventually(lambda: sorted(handler.numbers) == [0, 2])
    if subscription.is_ordered:
        assert [number for number, _ in handler.attempts] == [0, 1, 1, 1, 2]
    assert await bus.depth(subscription.queue) == 0
    assert await bus.depth(dead_letter_queue(subscription.queue)) == 1


async def _has_dead_letters(bus, queue, count):
    return len(await bus.dead_letters(queue)) == count


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Rejected("no such camera"), "rejected: Rejected: no such camera"),
        (errors.Invalid("too deep"), "rejected: Invalid: too deep"),
        (KeyError("plate"), "bug: KeyError: 'plate'"),
    ],
)
async def test_rejections_and_bugs_become_dead_letters_at_once(
    backend: BusBackend, any_subscription, error, reason
):
    bus, handler = await backend.open(), Flaky({1}, 99, error)
    await bus.declare(any_subscription)
    await bus.consume(any_subscription, handler)
    await bus.publish_many([make_event(1), make_event(2)])
    await eventually(lambda: _has_dead_letters(bus, any_subscription.queue, 1))
    [dead_letter] = await bus.dead_letters(any_subscription.queue)
    assert dead_letter.reason == reason
    assert dead_letter.attempts == 1
    await eventually(lambda: handler.numbers == [2])
    text = backend.metrics[-1].render().decode()
    outcome = reason.split(":", 1)[0]
    assert f'bus_deliveries_total{{outcome="{outcome}",queue="{any_subscription.queue}"}} 1.0' in text


async def test_an_outage_is_retried_more_often_than_a_transient_failure(
    backend: BusBackend, any_subscription
):
    bus, handler = await backend.open(), Flaky({1}, 8, errors.Unavailable("the database is unavailable"))
    subscription = replace(any_subscription, retry=RetryPolicy((0.02, 0.05), outage_retry_limit_s=30))
    await bus.declare(subscription)
    await bus.consume(subscription, handler)
    await bus.publish(make_event(1))
    await eventually(lambda: handler.numbers == [1])
    assert [attempt for _, attempt in handler.attempts] == list(range(1, 10))


async def test_when_an_outage_ends_every_key_is_handled_at_once(backend: BusBackend):
    bus = await backend.open(outage_probe_interval_s=0.05)
    seen, is_up, failed = RecordingHandler(), asyncio.Event(), set()

    async def handler(delivery):
        if not is_up.is_set():
            failed.add(delivery.event.partition_key)
            raise errors.Unavailable("the store is unavailable")
        await seen(delivery)

    await bus.declare(THING)
    await bus.consume(replace(THING, retry=RetryPolicy((3600.0,), outage_retry_limit_s=7200)), handler)
    keys = [f"camera:{number}" for number in range(8)]
    assert await bus.publish_many([make_event(i, key=key) for i in range(2) for key in keys]) == [None] * 16
    await eventually(lambda: failed == set(keys))
    is_up.set()
    await eventually(lambda: len(seen.deliveries) == 16)
    assert all(seen.numbers_of(key) == [0, 1] for key in keys)


async def test_a_failure_after_an_outage_is_retried_as_often_as_any(backend: BusBackend):
    bus = await backend.open()
    failures = [*[errors.Unavailable("the store is unavailable")] * 5, *[Transient("two collided")] * 2]
    seen = RecordingHandler()

    async def handler(delivery):
        if failures:
            raise failures.pop(0)
        await seen(delivery)

    await bus.declare(THING)
    await bus.consume(replace(THING, retry=RetryPolicy((0.02, 0.05), outage_retry_limit_s=60)), handler)
    await bus.publish(make_event(1))
    await eventually(lambda: seen.numbers == [1])
    assert seen.deliveries[0].attempt == 8


async def test_a_handler_is_retried_while_the_event_it_publishes_has_no_subscriber(
    backend: BusBackend, any_subscription
):
    bus, received = await backend.open(), RecordingHandler()
    later = replace(any_subscription, event="later_thing", binding="later.#", service="later")
    attempts: list[int] = []

    async def publish_another(delivery):
        attempts.append(delivery.attempt)
        await bus.publish(make_event(2, routing_key="later.thing.v1.NAD", must_route=True))

    await bus.declare(any_subscription)
    await bus.consume(any_subscription, publish_another)
    await bus.publish(make_event(1))
    await eventually(lambda: len(attempts) > 1)
    await bus.consume(later, received)
    await eventually(lambda: received.numbers == [2])
    assert await bus.dead_letters(any_subscription.queue) == []


async def test_an_outage_beyond_its_limit_ends_in_a_dead_letter(backend: BusBackend, any_subscription):
    bus, handler = await backend.open(), Flaky({1}, 9999, errors.Unavailable("the database is unavailable"))
    subscription = replace(any_subscription, retry=RetryPolicy((0.05,), outage_retry_limit_s=0.3))
    await bus.declare(subscription)
    await bus.consume(subscription, handler)
    await bus.publish(make_event(1))
    await eventually(lambda: _has_dead_letters(bus, subscription.queue, 1))
    [dead_letter] = await bus.dead_letters(subscription.queue)
    assert "still unavailable" in dead_letter.reason


async def test_other_keys_flow_in_order_while_one_retries(backend: BusBackend):
    bus = await backend.open(shards=1)
    may_pass = asyncio.Event()
    seen = RecordingHandler()

    async def handler(delivery):
        if delivery.event.partition_key == "sick" and not may_pass.is_set():
            raise errors.Unavailable("its portal is unavailable")
        await seen(delivery)

    await bus.declare(THING)
    await bus.consume(replace(THING, retry=RetryPolicy((0.1,), outage_retry_limit_s=60)), handler)
    events = [make_event(i, key=key) for i in range(30) for key in ("sick", "a", "b")]
    assert await bus.publish_many(events) == [None] * 90
    await eventually(lambda: len(seen.deliveries) == 60)
    assert seen.numbers_of("a") == seen.numbers_of("b") == list(range(30))
    assert seen.numbers_of("sick") == []
    may_pass.set()
    await eventually(lambda: len(seen.deliveries) == 90)
    assert seen.numbers_of("sick") == list(range(30))


async def test_a_backlog_of_a_retrying_key_within_the_window_does_not_delay_other_keys(backend: BusBackend):
    bus = await backend.open(shards=1, prefetch=100, concurrency=2)
    seen = RecordingHandler()

    async def handler(delivery):
        if delivery.event.partition_key == "sick":
            raise errors.Unavailable("its portal is unavailable")
        await seen(delivery)

    await bus.declare(THING)
    await bus.publish_many([make_event(i, key="sick") for i in range(90)])
    await bus.publish_many([make_event(i, key="well") for i in range(200)])
    await bus.consume(replace(THING, retry=RetryPolicy((0.2,), outage_retry_limit_s=60)), handler)
    await eventually(lambda: len(seen.deliveries) == 200)
    assert seen.numbers == list(range(200))


async def test_replay_delivers_dead_letters_to_their_handler_again_in_order(
    backend: BusBackend, any_subscription
):
    bus, handler = await backend.open(), Flaky(set(range(5)), 1, Rejected("bad day"))
    bystander = RecordingHandler()
    other = replace(THING, service="bystander")
    for subscription, consumer in ((any_subscription, handler), (other, bystander)):
        await bus.declare(subscription)
        await bus.consume(subscription, consumer)
    events = [make_event(i) for i in range(5)]
    for event in events:
        await bus.publish(event)
    queue = any_subscription.queue
    await eventually(lambda: _has_dead_letters(bus, queue, 5))
    some = [str(events[3].message_id), str(events[1].message_id)]
    assert await bus.replay(queue, some) == 2
    await eventually(lambda: sorted(handler.numbers) == [1, 3])
    assert await bus.replay(queue, some) == 0
    assert await bus.replay(queue) == 3
    await eventually(lambda: sorted(handler.numbers) == [0, 1, 2, 3, 4])
    if any_subscription.is_ordered:
        assert handler.numbers == [1, 3, 0, 2, 4]
    assert await bus.dead_letters(queue) == []
    assert handler.deliveries[0].attempt == 1
    assert [d.event for d in sorted(handler.deliveries, key=lambda d: number_of(d.event))] == events
    await eventually(lambda: len(bystander.numbers) >= 5)
    assert bystander.numbers == [0, 1, 2, 3, 4], "a replay concerns one subscription only"


async def test_discard_removes_for_good(backend: BusBackend):
    bus, handler = await backend.open(), Flaky(set(range(4)), 99, Rejected("bad"))
    await bus.declare(THING)
    await bus.consume(THING, handler)
    events = [make_event(i) for i in range(4)]
    await bus.publish_many(events)
    await eventually(lambda: _has_dead_letters(bus, THING.queue, 4))
    assert await bus.discard(THING.queue, [str(events[2].message_id), "not-an-id"]) == 1
    assert [number_of(p.event) for p in await bus.dead_letters(THING.queue)] == [0, 1, 3]
    assert await bus.discard(THING.queue) == 3
    assert await bus.dead_letters(THING.queue) == []
    assert await bus.discard(THING.queue) == 0


async def test_listing_repeatedly_neither_loses_nor_reorders_messages(backend: BusBackend):
    bus, handler = await backend.open(), Flaky(set(range(40)), 99, Rejected("bad"))
    await bus.declare(THING)
    await bus.consume(THING, handler)
    await bus.publish_many([make_event(i) for i in range(40)])
    await eventually(lambda: _has_dead_letters(bus, THING.queue, 40))
    assert [number_of(p.event) for p in await bus.dead_letters(THING.queue, limit=7)] == list(range(7))
    for _ in range(25):  # more than the delivery limit that RabbitMQ 4 gives every quorum queue
        assert [number_of(p.event) for p in await bus.dead_letters(THING.queue)] == list(range(40))
    listings = await asyncio.gather(*(bus.dead_letters(THING.queue) for _ in range(5)))
    assert all([number_of(p.event) for p in listing] == list(range(40)) for listing in listings)
    assert await bus.depth(dead_letter_queue(THING.queue)) == 40


async def test_a_replayed_message_that_fails_again_becomes_a_dead_letter_again(backend: BusBackend):
    bus, handler = await backend.open(), Flaky({1}, 99, Rejected("still bad"))
    await bus.declare(UNORDERED)
    await bus.consume(UNORDERED, handler)
    await bus.publish(make_event(1))
    for _ in range(3):
        await eventually(lambda: _has_dead_letters(bus, UNORDERED.queue, 1))
        assert await bus.replay(UNORDERED.queue) == 1
    await eventually(lambda: len(handler.attempts) == 4)
    await eventually(lambda: _has_dead_letters(bus, UNORDERED.queue, 1))
