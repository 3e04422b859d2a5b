"""What only the consumer of the embedded bus can get wrong: its file, its task, its unacknowledged messages."""

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kit.bus import Subscription, Transient, event_type
from kit.bus import sqlite_store as store
from kit.bus.sqlite import SqliteBus
from kit.errors import Unavailable
from testkit.bus import THING, UNORDERED, BusBackend, RecordingHandler, make_event, number_of
from testkit.messages import ThingHappened
from testkit.waiting import eventually

FAULTS = [sqlite3.DatabaseError("database disk image is malformed"), Unavailable("no room", code="bus_full")]


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[BusBackend]:
    backend = BusBackend("sqlite", f"sqlite:///{tmp_path / 'bus.db'}")
    yield backend
    await backend.close_all()


async def opened(backend: BusBackend, **settings: Any) -> SqliteBus:
    bus = await backend.open(**settings)
    assert isinstance(bus, SqliteBus)
    return bus


def break_once(monkeypatch, name: str, error: Exception) -> list[str]:
    """The next job of that name fails; the list tells that it has."""
    make, broken = getattr(store, name), []

    def job(*args, **options):
        def fail(_db):
            broken.append(name)
            raise error

        if broken:
            return make(*args, **options)
        return fail

    monkeypatch.setattr(store, name, job)
    return broken


def change(backend: BusBackend, statement: str, *values: object) -> None:
    db = sqlite3.connect(backend.url.removeprefix("sqlite:///"))
    with db:
        db.execute(statement, values)
    db.close()


class Batches(RecordingHandler):
    """Takes several at once."""

    async def handle_batch(self, deliveries):
        for delivery in deliveries:
            await self(delivery)
        await asyncio.sleep(0.0005)  # the work of a batch, so that more arrives meanwhile


@pytest.mark.parametrize("error", FAULTS, ids=["sqlite_error", "unavailable"])
async def test_a_fetch_that_fails_does_not_end_the_consumer(
    backend: BusBackend, monkeypatch, error: Exception
):
    bus, seen = await opened(backend, poll_interval_s=60), RecordingHandler()
    await bus.declare(THING)
    broken = break_once(monkeypatch, "fetch", error)
    await bus.consume(THING, seen)
    await bus.publish_many([make_event(i) for i in range(5)])
    await eventually(lambda: bool(broken))
    await eventually(lambda: seen.numbers == list(range(5)))
    assert (await bus.ready()).ok


async def test_a_lock_file_that_cannot_be_opened_is_tried_again(backend: BusBackend, monkeypatch):
    bus, seen = await opened(backend, poll_interval_s=60), RecordingHandler()
    await bus.declare(THING)
    refused = []

    def refuse_once(path: Path, *args):
        if not refused:
            refused.append(path)
            raise OSError("No space left on device")
        return os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY), *args)

    monkeypatch.setattr(Path, "open", refuse_once)
    await bus.consume(THING, seen)
    await bus.publish(make_event(1))
    await eventually(lambda: seen.numbers == [1])
    assert refused


@pytest.mark.parametrize("handler", [RecordingHandler, Batches])
@pytest.mark.parametrize("error", FAULTS, ids=["sqlite_error", "unavailable"])
async def test_messages_that_could_not_be_acknowledged_are_delivered_again(
    backend: BusBackend, monkeypatch, error: Exception, handler: Callable[[], RecordingHandler]
):
    bus, seen = await opened(backend, poll_interval_s=60), handler()
    await bus.declare(THING)
    await bus.publish_many([make_event(i) for i in range(5)])
    broken = break_once(monkeypatch, "settle", error)
    await bus.consume(THING, seen)
    await eventually(lambda: bool(broken))
    await eventually(lambda: set(seen.numbers) == set(range(5)))
    await eventually(lambda: is_empty(bus))
    assert len(seen.numbers) > 5


@pytest.mark.parametrize("error", FAULTS, ids=["sqlite_error", "unavailable"])
async def test_a_key_continues_after_its_backlog_could_not_be_returned(
    backend: BusBackend, monkeypatch, error: Exception
):
    bus, seen = await opened(backend, poll_interval_s=60), []

    async def fail_first(delivery):
        seen.append(number_of(delivery.event))
        if len(seen) == 1:
            raise Transient("soon")

    await bus.declare(THING)
    await bus.publish_many([make_event(i) for i in range(5)])
    broken = break_once(monkeypatch, "return_to_queue", error)
    await bus.consume(THING, fail_first)
    await eventually(lambda: bool(broken))
    await eventually(lambda: is_empty(bus))
    assert seen == [0, 0, 1, 2, 3, 4]


async def is_empty(bus: SqliteBus) -> bool:
    return await bus.depth(THING.queue) == 0 and not bus._consumers[0].unacknowledged


async def test_a_consumer_that_has_ended_is_not_ready(backend: BusBackend):
    bus = await opened(backend)
    await bus.declare(THING)
    await bus.consume(THING, RecordingHandler())

    async def is_ready() -> bool:
        return (await bus.ready()).ok

    await eventually(is_ready)
    bus._consumers[0]._task.cancel()
    await asyncio.sleep(0)
    result = await bus.ready()
    assert (result.ok, THING.queue in result.detail) == (False, True)


async def test_a_failed_lookup_of_other_consumers_is_repeated(backend: BusBackend, monkeypatch):
    bus, other, seen = await opened(backend, poll_interval_s=0.02), await opened(backend), RecordingHandler()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    look, broken = store.data_version, []

    def fail(_db):
        broken.append(1)
        raise FAULTS[0]

    monkeypatch.setattr(store, "data_version", fail)
    await eventually(lambda: bool(broken))
    monkeypatch.setattr(store, "data_version", look)
    await other.publish(make_event(1))
    await eventually(lambda: seen.numbers == [1])


@pytest.mark.parametrize("subscription", [THING, UNORDERED], ids=["ordered", "unordered"])
async def test_what_was_unacknowledged_at_a_crash_is_handled_alone_without_constant_polling(
    backend: BusBackend, monkeypatch, subscription
):
    """Alone in the process: also the messages of another queue and another bus wait."""
    bus, other = await opened(backend, poll_interval_s=60), await opened(backend, poll_interval_s=60)
    elsewhere = Subscription.to(event_type(ThingHappened), "elsewhere")
    for one in (subscription, elsewhere):
        await bus.declare(one)
    await bus.publish_many([make_event(i, key=f"k{i}") for i in range(6)])
    change(backend, "UPDATE messages SET deliveries = 2 WHERE seq <= 6")
    fetch, fetches, running, together, done = store.fetch, [], set(), [], []

    def counted(*args, **options):
        fetches.append(1)
        return fetch(*args, **options)

    async def handle(delivery):
        one = (delivery.queue, number_of(delivery.event))
        running.add(one)
        together.append(set(running))
        await asyncio.sleep(0.05)  # work that others would overlap with
        running.discard(one)
        done.append(one)

    monkeypatch.setattr(store, "fetch", counted)
    await bus.consume(subscription, handle)
    await other.consume(elsewhere, handle)
    await eventually(lambda: len(done) == 12)
    # The numbers 0, 1 and 2 of both queues were unacknowledged.
    assert len([numbers for numbers in together if any(number < 3 for _, number in numbers)]) == 6
    assert not [
        numbers for numbers in together if len(numbers) > 1 and any(number < 3 for _, number in numbers)
    ]
    assert len(fetches) < 50  # a look in a loop makes thousands


async def test_a_suspect_waits_for_what_is_handled_and_not_for_what_waits_for_a_retry(backend: BusBackend):
    bus, begun, done = await opened(backend, ordered_retry_delays_s=(30.0,)), [], []
    elsewhere = Subscription.to(event_type(ThingHappened), "elsewhere")
    for one in (THING, elsewhere):
        await bus.declare(one)
    release = asyncio.Event()

    async def handle(delivery):
        number = number_of(delivery.event)
        begun.append(number)
        if number == 1:
            raise Transient("in half a minute")
        if number == 2:
            await release.wait()
        done.append(number)

    await bus.consume(THING, handle)
    await bus.publish_many([make_event(1, key="k1"), make_event(2, key="k2")])
    await eventually(lambda: sorted(begun) == [1, 2])
    change(backend, "DELETE FROM messages WHERE queue = ?", elsewhere.queue)
    change(backend, "UPDATE subscriptions SET binding = 'none' WHERE queue = ?", THING.queue)
    await bus.publish(make_event(3, key="k3"))
    change(backend, "UPDATE messages SET deliveries = 1 WHERE queue = ?", elsewhere.queue)
    await bus.consume(elsewhere, handle)
    await eventually(lambda: bus._consumers[1].is_attached)
    assert 3 not in begun
    release.set()
    await eventually(lambda: done == [2, 3])


async def test_a_message_is_given_up_after_the_third_crash(backend: BusBackend):
    bus, told, begun = await opened(backend, max_crashes=3), [], []

    class Handler(RecordingHandler):
        async def __call__(self, delivery):
            begun.append(number_of(delivery.event))

        async def give_up(self, delivery, reason):
            told.append((number_of(delivery.event), reason))
            if len(told) == 1:
                raise Transient("not yet")

    await bus.declare(THING)
    await bus.publish_many([make_event(i) for i in range(3)])
    change(backend, "UPDATE messages SET deliveries = 3 WHERE seq = 1")
    change(backend, "UPDATE messages SET deliveries = 2 WHERE seq = 2")
    await bus.consume(THING, Handler())
    await eventually(lambda: begun == [1, 2])
    reason = "the process crashed 3 times while it handled this message"
    assert told == [(0, reason)] * 2
    [dead_letter] = await bus.dead_letters(THING.queue)
    assert (number_of(dead_letter.event), dead_letter.reason) == (0, reason)
    assert b'{outcome="given_up",queue="reader.thing_happened.v1"} 1.0' in backend.metrics[0].render()


@pytest.mark.parametrize("subscription", [THING, UNORDERED], ids=["ordered", "unordered"])
async def test_what_does_not_end_the_process_counts_as_no_death(
    backend: BusBackend, monkeypatch, subscription
):
    """A failure, a stop in the middle of the handler, and an acknowledgement that the file refused."""
    bus, attempts = await opened(backend, shutdown_grace_s=0.05), []

    async def handle(delivery):
        attempts.append(delivery.attempt)
        if len(attempts) <= 2:
            raise Transient("soon")
        if len(attempts) == 3:
            await asyncio.Event().wait()

    await bus.declare(subscription)
    await bus.publish(make_event(1))
    await bus.consume(subscription, handle)
    await eventually(lambda: len(attempts) == 3)
    assert deliveries(backend) == 1
    await bus.stop()
    assert deliveries(backend) == 0

    second = await opened(backend)
    broken = break_once(monkeypatch, "settle", FAULTS[0])
    seen = RecordingHandler()
    await second.consume(subscription, seen)
    await eventually(lambda: bool(broken) and len(seen.numbers) == 2)
    assert not await second.dead_letters(subscription.queue)


def deliveries(backend: BusBackend) -> int:
    db = sqlite3.connect(backend.url.removeprefix("sqlite:///"))
    count: int = db.execute("SELECT deliveries FROM messages").fetchone()[0]
    db.close()
    return count


async def test_a_batching_handler_gets_each_message_once(backend: BusBackend):
    bus, seen = await opened(backend), Batches()
    await bus.declare(THING)
    await bus.consume(THING, seen)
    for first in range(0, 3000, 20):
        await bus.publish_many([make_event(first + i, key=f"k{i % 7}") for i in range(20)])
    await eventually(lambda: is_empty(bus), timeout_s=30)
    assert [number for number, count in Counter(seen.numbers).items() if count > 1] == []
    assert len(seen.numbers) == 3000


async def test_a_fetch_uses_the_unacknowledged_messages_of_its_request_time(backend: BusBackend):
    bus = await opened(backend)
    await bus.declare(THING)
    await bus.publish_many([make_event(i, key=f"k{i}") for i in range(4)])
    unacknowledged, blocked = {1: "item"}, {"k1"}
    job = store.fetch(
        THING.queue,
        unacknowledged=unacknowledged,
        blocked=blocked,
        limit=10,
        delivery_limit=9,
        is_alone=False,
        not_counted={},
        now=datetime.now(UTC),
    )
    unacknowledged.clear()
    blocked.clear()
    batch = await bus._file.submit(job)
    assert [number_of(item.event) for item in batch.items] == [2, 3]
