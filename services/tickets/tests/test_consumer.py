"""The service on the embedded bus: repeated, late and invalid messages, and the events that it publishes."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kit.bus import Delivery, Subscription
from kit.ids import uuid7
from lookout.parking.v1 import parking_pb2 as parking
from lookout.plates.v1 import plates_pb2 as plates
from testkit.clock import ManualClock
from testkit.postgres import PostgresServer
from testkit.waiting import eventually
from tickets.handlers.housekeeping import Housekeeping
from tickets.metrics import TicketsMetrics

from .conftest import Decider, Frames, RunningTickets, event_of, running

QUEUE = "tickets.plates_read.v1"


async def test_the_queue_and_its_binding(service: RunningTickets) -> None:
    [consumer] = service.service.consumers
    subscription = consumer.subscription("tickets")
    assert (subscription.queue, subscription.binding) == (QUEUE, "plates.plates_read.v1.#")
    assert subscription.is_ordered


async def sessions(service: RunningTickets) -> set[tuple[int, int, str, str, str | None]]:
    page = await service.get("/tickets", page_size=200)
    assert page["total"] == len(page["items"])
    return {
        (t["camera_id"], t["spot_number"], t["plate_text"], t["entry_time"], t["exit_time"])
        for t in page["items"]
    }


async def test_events_that_are_repeated_and_entries_that_are_late(service: RunningTickets) -> None:
    """Six cameras with two spots each; exits in order among themselves, entries anywhere, all twice."""
    rng = random.Random(5)
    arrivals: list[plates.PlatesRead] = []
    expected = set()
    for camera_id in range(1, 7):
        frames = Frames(camera_id=camera_id)
        for spot in (1, 2):
            entries, exits = [], []
            for n in range(4):
                text = f"{'AKRX'[n]}{camera_id}{spot}7{3 * n + 1}"
                entered, left = 60.0 * n + spot, 60.0 * n + spot + 40
                entries.append(frames.entry(entered, text, spot=spot))
                exits.append(frames.exit(left, spot=spot))
                stay = tuple(frames.at(m).isoformat().replace("+00:00", "Z") for m in (entered, left))
                expected.add((camera_id, spot, text, *stay))
            ordered = [*exits]
            for entry in entries:
                ordered.insert(rng.randrange(len(ordered) + 1), entry)
            arrivals += ordered
    for read in arrivals:
        await service.bus.publish(event_of(read))
        if rng.random() < 0.5:
            await service.bus.publish(event_of(read))
    for read in rng.sample(arrivals, len(arrivals)):
        await service.bus.publish(event_of(read))

    async def is_done() -> bool:
        return await service.bus.depth(QUEUE) == 0 and await sessions(service) == expected

    _: bool = await eventually(is_done, timeout_s=60, message="all tickets as expected")
    assert (await service.bus.dead_letters(QUEUE)) == []


async def test_invalid_frames_become_dead_letters_and_the_next_ones_are_handled(
    service: RunningTickets, frames: Frames
) -> None:
    no_spot = frames.entry(0)
    no_spot.frame.ClearField("spot")
    no_spot.frame.ClearField("spot_ref")
    no_purpose = frames.entry(0)
    no_purpose.frame.ClearField("purpose")
    await service.bus.publish(event_of(no_spot))
    await service.bus.publish(event_of(no_purpose))
    await service.publish(frames.entry(1), frames.exit(2))
    reasons = sorted(dead_letter.reason for dead_letter in await service.bus.dead_letters(QUEUE))
    assert len(reasons) == 2
    assert "camera_id and a spot_number" in reasons[0] + reasons[1]
    assert "no purpose" in reasons[0] + reasons[1]
    assert len(await sessions(service)) == 1


async def test_its_events_are_published_in_order(service: RunningTickets, frames: Frames) -> None:
    received: list[Any] = []
    kinds: dict[str, Any] = {
        "lookout.parking.v1.TicketOpened": parking.TicketOpened,
        "lookout.parking.v1.TicketClosed": parking.TicketClosed,
        "lookout.parking.v1.ReviewRequested": parking.ReviewRequested,
        "lookout.parking.v1.TriggerDecided": parking.TriggerDecided,
    }

    async def receive(delivery: Delivery) -> None:
        received.append((delivery.event, kinds[delivery.event.type].FromString(delivery.event.body)))

    await service.bus.consume(Subscription("listener", "parking", "parking.#"), receive)
    entry, leaving = frames.entry(0, None), frames.exit(30)
    await service.publish(entry, leaving)
    await eventually(lambda: len(received) == 5, message="five events")
    assert [type(message).__name__ for _, message in received] == [
        "TicketOpened",
        "ReviewRequested",
        "TriggerDecided",
        "TicketClosed",
        "TriggerDecided",
    ]
    assert {event.partition_key for event, _ in received} == {"camera:95"}
    assert [event.correlation_id for event, _ in received] == [entry.frame.frame_id] * 3 + [
        leaving.frame.frame_id
    ] * 2
    assert received[-1][0].routing_key == "parking.trigger_decided.v1.NAD.95"


async def test_events_continue_the_trace_of_the_frame(service: RunningTickets, frames: Frames) -> None:
    received: list[str | None] = []

    async def receive(delivery: Delivery) -> None:
        received.append(delivery.event.traceparent)

    await service.bus.consume(Subscription("listener", "parking", "parking.#"), receive)
    trace_id = uuid7().hex
    event = event_of(frames.entry(0))
    traced = type(event)(**{**_fields(event), "traceparent": f"00-{trace_id}-{'1' * 16}-01"})
    await service.bus.publish(traced)
    await eventually(lambda: len(received) == 2, message="two events")
    assert [parent and parent.split("-")[1] for parent in received] == [trace_id] * 2


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__}


async def test_gauges_and_the_end_of_waiting(decider: Decider, frames: Frames) -> None:
    tickets_metrics = TicketsMetrics(decider.metrics)
    housekeeping = Housekeeping(db=decider.db, clock=decider.clock, metrics=tickets_metrics)
    await decider.decide(frames.exit(0), frames.entry(1), frames.entry(2, None, spot=2), frames.exit(3))
    await housekeeping.count()
    rendered = decider.metrics.render()
    assert b"lookout_tickets_open_tickets 1.0" in rendered
    assert b"lookout_tickets_pending_reviews 1.0" in rendered
    assert b"lookout_tickets_pending_exit_pictures 1.0" in rendered
    assert await housekeeping.stop_waiting(timedelta(hours=1)) == 0
    decider.clock.advance(timedelta(days=9))
    # Only the clock says so yet: it may be wrong.
    assert await housekeeping.stop_waiting(timedelta(days=8)) == 0
    await decider.decide(frames.entry(9 * 24 * 60, spot=3))
    assert await housekeeping.stop_waiting(timedelta(days=8)) == 1
    assert await housekeeping.stop_waiting(timedelta(days=8)) == 0


@pytest.mark.integration
async def test_events_wait_while_the_database_is_down(
    private_postgres_server: PostgresServer, tmp_path: Path, manual_clock: ManualClock, frames: Frames
) -> None:
    """The API answers 503, events wait in order, none is lost."""
    async with running(private_postgres_server.fresh_database(), tmp_path, manual_clock) as service:
        await service.publish(frames.entry(0))
        private_postgres_server.kill()
        response = await service.http.get("/api/v1/tickets")
        assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert (await service.anonymous.get("/health/ready")).status_code == 503
        for read in (frames.exit(30), frames.entry(40, "K77310"), frames.exit(50)):
            await service.bus.publish(event_of(read))
        private_postgres_server.start()

        async def is_done() -> bool:
            response = await service.http.get("/api/v1/tickets", params={"status": "CLOSED"})
            return response.status_code == 200 and response.json()["total"] == 2

        _: bool = await eventually(is_done, timeout_s=60, message="both tickets closed")
        assert await service.bus.dead_letters(QUEUE) == []
