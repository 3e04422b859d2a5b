"""The contract of both back ends. `backend` runs each test on the embedded one and on a real RabbitMQ."""

import asyncio
from dataclasses import replace

import pytest

from kit import errors
from kit.bus import HeldBack, RetryPolicy, Subscription, Unroutable
from kit.tracing import current_correlation_id, current_trace
from testkit.bus import THING, UNORDERED, BusBackend, RecordingHandler, make_event, number_of
from testkit.waiting import eventually


async def test_an_event_arrives_as_it_was_sent(backend: BusBackend, any_subscription):
    bus, seen = await backend.open(), RecordingHandler()
    await bus.declare(any_subscription)
    await bus.consume(any_subscription, seen)
    sent = make_event(7)
    await bus.publish(sent)
    await eventually(lambda: seen.deliveries)
    [delivery] = seen.deliveries
    assert delivery.event == sent
    assert (delivery.queue, delivery.attempt, delivery.redelivered) == (any_subscription.queue, 1, False)


async def test_the_handler_runs_in_the_trace_of_the_event(backend: BusBackend):
    bus = await backend.open()
    seen = []

    async def handler(delivery):
        trace = current_trace()
        seen.append((trace.trace_id, current_correlation_id()))

    await bus.declare(THING)
    await bus.consume(THING, handler)
    await bus.publish(make_event())
    await eventually(lambda: seen)
    assert seen == [("ab" * 16, "c-1")]


async def test_events_wait_for_a_consumer_that_starts_later(backend: BusBackend, any_subscription):
    bus = await backend.open()
    await bus.declare(any_subscription)
    await bus.publish_many([make_event(i) for i in range(20)])
    assert await bus.depth(any_subscription.queue) == 20
    await bus.stop()

    later, seen = await backend.open(), RecordingHandler()
    await later.consume(any_subscription, seen)
    await eventually(lambda: len(seen.deliveries) == 20)
    assert sorted(seen.numbers) == list(range(20))
    await eventually(lambda: _is(later.depth(any_subscription.queue), 0))


async def _is(call, wanted):
    return await call == wanted


async def test_every_subscription_gets_its_own_copy(backend: BusBackend):
    bus, first, second = await backend.open(), RecordingHandler(), RecordingHandler()
    other = replace(THING, service="other", binding="things.#")
    for subscription, handler in ((THING, first), (other, second)):
        await bus.declare(subscription)
        await bus.consume(subscription, handler)
    await bus.publish_many([make_event(i) for i in range(10)])
    await eventually(lambda: len(first.deliveries) == len(second.deliveries) == 10)


@pytest.mark.parametrize(
    ("binding", "key", "is_wanted"),
    [
        ("a.b.v1.#", "a.b.v1", True),
        ("a.b.v1.#", "a.b.v1.x.y", True),
        ("a.*.v1", "a.b.v1", True),
        ("a.*.v1", "a.b.c.v1", False),
        ("a.#.v1", "a.v1", True),
        ("a.#.z.#", "a.b.z.c.z", True),
        ("a.b", "a.b.c", False),
        ("#", "a", True),
        ("*.#", "a.b", True),
    ],
)
async def test_bindings_match_as_in_amqp(backend: BusBackend, binding, key, is_wanted):
    bus = await backend.open()
    await bus.declare(Subscription("reader", "some", binding))
    [result] = await bus.publish_many([make_event(routing_key=key)])
    assert (result is None) == is_wanted


async def test_a_changed_binding_replaces_the_old_one(backend: BusBackend):
    bus = await backend.open()
    await bus.declare(replace(THING, binding="old.#"))
    await bus.declare(replace(THING, binding="new.#"))
    await bus.publish(make_event(routing_key="new.x"))
    with pytest.raises(Unroutable):
        await bus.publish(make_event(routing_key="old.x"))


async def test_an_event_without_a_queue_is_an_error_only_if_it_must_be_routed(backend: BusBackend):
    bus = await backend.open()
    with pytest.raises(Unroutable):
        await bus.publish(make_event())
    await bus.publish(make_event(must_route=False))
    await bus.declare(THING)
    results = await bus.publish_many([make_event(), make_event(routing_key="nobody.wants.this", key="k2")])
    assert results[0] is None
    assert isinstance(results[1], Unroutable)


async def test_after_a_failed_publish_the_later_events_of_its_key_are_held_back(backend: BusBackend):
    bus, seen = await backend.open(), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    results = await bus.publish_many(
        [
            make_event(1, key="a"),
            make_event(2, key="a", routing_key="nobody"),
            make_event(3, key="a"),
            make_event(4, key="b"),
        ]
    )
    assert [type(result) for result in results] == [type(None), Unroutable, HeldBack, type(None)]
    await eventually(lambda: sorted(seen.numbers) == [1, 4])


async def test_one_key_is_handled_in_order_and_keys_concurrently(backend: BusBackend):
    bus = await backend.open()
    keys = [f"camera:{i}" for i in range(12)]
    running: set[str] = set()
    most = 0
    order: dict[str, list[int]] = {key: [] for key in keys}

    async def handler(delivery):
        nonlocal most
        key = delivery.event.partition_key
        assert key not in running, "one key must not be handled twice at once"
        running.add(key)
        most = max(most, len(running))
        await asyncio.sleep(0.002)  # work that other keys overlap with
        running.discard(key)
        order[key].append(number_of(delivery.event))

    await bus.declare(THING)
    await bus.publish_many([make_event(i, key=key) for i in range(15) for key in keys])
    await bus.consume(THING, handler)
    await eventually(lambda: all(len(numbers) == 15 for numbers in order.values()), timeout_s=20)
    assert all(numbers == list(range(15)) for numbers in order.values())
    assert most > 3
    assert (await bus.dead_letters(THING.queue)) == []


async def test_concurrency_is_bounded(backend: BusBackend, any_subscription):
    bus = await backend.open(concurrency=3)
    running = most = done = 0

    async def handler(delivery):
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)  # work that others overlap with
        running -= 1
        done += 1

    await bus.declare(any_subscription)
    await bus.publish_many([make_event(i, key=f"k{i}") for i in range(30)])
    await bus.consume(any_subscription, handler)
    await eventually(lambda: done == 30)
    assert most == 3


async def test_ready_reports_the_state_of_the_bus(backend: BusBackend):
    bus = backend.make()
    if backend.kind == "rabbitmq":
        assert not (await bus.ready()).ok
    await bus.start()
    await bus.consume(THING, RecordingHandler())
    await eventually(lambda: _is_ready(bus))
    await bus.stop()
    assert not (await bus.ready()).ok


async def _is_ready(bus):
    return (await bus.ready()).ok


async def test_unknown_queues_are_an_error(backend: BusBackend):
    bus = await backend.open()
    for call in (bus.depth("no.such.v1"), bus.dead_letters("no.such.v1"), bus.replay("no.such.v1")):
        with pytest.raises(errors.NotFound):
            await call


async def test_queues_are_listed_with_their_depths(backend: BusBackend):
    bus = await backend.open()
    await bus.declare(THING)
    await bus.declare(UNORDERED)
    await bus.publish_many([make_event(i, key=f"k{i}") for i in range(5)])
    infos = {info.queue: info for info in await bus.queues()}
    assert list(infos) == sorted([THING.queue, UNORDERED.queue])
    assert (infos[THING.queue].depth, infos[THING.queue].dead_letters, infos[THING.queue].is_ordered) == (
        5,
        0,
        True,
    )
    assert (infos[UNORDERED.queue].depth, infos[UNORDERED.queue].binding) == (5, UNORDERED.binding)
    assert not infos[UNORDERED.queue].is_ordered


async def test_stop_lets_the_handler_finish_and_keeps_the_rest(backend: BusBackend, any_subscription):
    bus = await backend.open()
    begun, may_end = asyncio.Event(), asyncio.Event()
    done = []

    async def slow(delivery):
        begun.set()
        await may_end.wait()
        done.append(number_of(delivery.event))

    await bus.declare(any_subscription)
    await bus.publish_many([make_event(i) for i in range(3)])
    subscription = replace(any_subscription, retry=RetryPolicy((0.05,)))
    await bus.consume(subscription, slow)
    await begun.wait()
    stopping = asyncio.create_task(bus.stop())
    await asyncio.sleep(0)
    may_end.set()
    await stopping
    later, seen = await backend.open(), RecordingHandler()
    await later.consume(any_subscription, seen)
    await eventually(lambda: sorted(done + seen.numbers) == [0, 1, 2])
    assert done


async def test_a_second_consumer_of_an_ordered_queue_takes_over_in_order(backend: BusBackend):
    first, second = await backend.open(), await backend.open()
    one, two = RecordingHandler(), RecordingHandler()
    await first.declare(THING)
    await first.consume(THING, one)
    await eventually(lambda: _is_ready(first))
    await second.consume(THING, two)
    await first.publish_many([make_event(i) for i in range(10)])
    await eventually(lambda: len(one.deliveries) == 10)
    await first.stop()
    await second.publish_many([make_event(i) for i in range(10, 20)])
    await eventually(lambda: len(two.deliveries) == 10)
    assert one.numbers + two.numbers == list(range(20))


async def test_publishing_many_from_many_tasks_loses_none(backend: BusBackend):
    bus, seen = await backend.open(), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    batches = [[make_event(b * 100 + i, key=f"k{b}") for i in range(50)] for b in range(8)]
    results = await asyncio.gather(*(bus.publish_many(batch) for batch in batches))
    assert all(result is None for batch in results for result in batch)
    await eventually(lambda: len(seen.deliveries) == 400, timeout_s=20)
    assert all(seen.numbers_of(f"k{b}") == [number_of(e) for e in batches[b]] for b in range(8))
