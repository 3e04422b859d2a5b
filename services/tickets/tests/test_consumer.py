"""The whole service on the embedded bus: repeats, disorder, poison, and what it publishes in turn."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from kit.bus import Delivery, Subscription
from kit.ids import uuid7
from lookout.parking.v1 import parking_pb2 as parking
from lookout.plates.v1 import plates_pb2 as plates
from testkit.clock import ManualClock
from testkit.postgres import PostgresServer
from testkit.waiting import eventually
from tickets.handlers.housekeeping import Housekeeping
from tickets.sight import Sight

from .conftest import Desk, Frames, House, event_of, running

QUEUE = "tickets.plates_read.v1"


async def test_the_queue_is_the_contracts(house: House) -> None:
    [consumer] = house.service.consumers
    subscription = consumer.subscription("tickets")
    assert (subscription.queue, subscription.binding) == (QUEUE, "plates.plates_read.v1.#")
    assert subscription.is_ordered


async def stays(house: House) -> set[tuple[int, int, str, str, str | None]]:
    page = await house.get("/tickets", page_size=200)
    assert page["total"] == len(page["items"])
    return {
        (t["camera_id"], t["spot_number"], t["plate_text"], t["entry_time"], t["exit_time"])
        for t in page["items"]
    }


async def test_a_morning_with_every_event_repeated_and_entries_late(house: House) -> None:
    """Six cameras with two spots each; exits in order among themselves, entries anywhere, all twice."""
    disorder = random.Random(5)
    arrivals: list[plates.PlatesRead] = []
    expected = set()
    for camera_id in range(1, 7):
        frames = Frames(camera_id=camera_id)
        for spot in (1, 2):
            coming, going = [], []
            for n in range(4):
                text = f"{'AKRX'[n]}{camera_id}{spot}7{3 * n + 1}"
                entered, left = 60.0 * n + spot, 60.0 * n + spot + 40
                coming.append(frames.entry(entered, text, spot=spot))
                going.append(frames.leaving(left, spot=spot))
                stay = tuple(frames.at(m).isoformat().replace("+00:00", "Z") for m in (entered, left))
                expected.add((camera_id, spot, text, *stay))
            ordered = [*going]
            for entry in coming:
                ordered.insert(disorder.randrange(len(ordered) + 1), entry)
            arrivals += ordered
    for read in arrivals:
        await house.bus.publish(event_of(read))
        if disorder.random() < 0.5:
            await house.bus.publish(event_of(read))
    for read in disorder.sample(arrivals, len(arrivals)):
        await house.bus.publish(event_of(read))

    async def is_through() -> bool:
        return await house.bus.depth(QUEUE) == 0 and await stays(house) == expected

    _: bool = await eventually(is_through, timeout_s=60, message="all tickets as they were")
    assert (await house.bus.parked(QUEUE)) == []


async def test_what_is_no_frame_is_parked_and_the_next_ones_flow(house: House, frames: Frames) -> None:
    no_spot = frames.entry(0)
    no_spot.frame.ClearField("spot")
    no_purpose = frames.entry(0)
    no_purpose.frame.ClearField("purpose")
    await house.bus.publish(event_of(no_spot))
    await house.bus.publish(event_of(no_purpose))
    await house.play(frames.entry(1), frames.leaving(2))
    reasons = sorted(parked.reason for parked in await house.bus.parked(QUEUE))
    assert len(reasons) == 2
    assert "camera and a spot number" in reasons[0] + reasons[1]
    assert "what it is for" in reasons[0] + reasons[1]
    assert len(await stays(house)) == 1


async def test_its_events_go_out_on_the_bus_in_order(house: House, frames: Frames) -> None:
    heard: list[Any] = []
    kinds: dict[str, Any] = {
        "lookout.parking.v1.TicketOpened": parking.TicketOpened,
        "lookout.parking.v1.TicketClosed": parking.TicketClosed,
        "lookout.parking.v1.ReviewRequested": parking.ReviewRequested,
        "lookout.parking.v1.TriggerDecided": parking.TriggerDecided,
    }

    async def hear(delivery: Delivery) -> None:
        heard.append((delivery.event, kinds[delivery.event.type].FromString(delivery.event.body)))

    await house.bus.consume(Subscription("listener", "parking", "parking.#"), hear)
    entry, leaving = frames.entry(0, None), frames.leaving(30)
    await house.play(entry, leaving)
    await eventually(lambda: len(heard) == 5, message="five events")
    assert [type(message).__name__ for _, message in heard] == [
        "TicketOpened",
        "ReviewRequested",
        "TriggerDecided",
        "TicketClosed",
        "TriggerDecided",
    ]
    assert {event.partition_key for event, _ in heard} == {"camera:95"}
    assert [event.correlation_id for event, _ in heard] == [entry.frame.frame_id] * 3 + [
        leaving.frame.frame_id
    ] * 2
    assert heard[-1][0].routing_key == "parking.trigger_decided.v1.NAD.95"


async def test_one_trace_from_the_frame_to_the_events(house: House, frames: Frames) -> None:
    heard: list[str | None] = []

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.event.traceparent)

    await house.bus.consume(Subscription("listener", "parking", "parking.#"), hear)
    trace_id = uuid7().hex
    event = event_of(frames.entry(0))
    traced = type(event)(**{**_fields(event), "traceparent": f"00-{trace_id}-{'1' * 16}-01"})
    await house.bus.publish(traced)
    await eventually(lambda: len(heard) == 2, message="two events")
    assert [parent and parent.split("-")[1] for parent in heard] == [trace_id] * 2


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__}


async def test_gauges_and_an_end_to_waiting(desk: Desk, frames: Frames) -> None:
    logger, sight = structlog.get_logger(), Sight(desk.metrics)
    keeping = Housekeeping(db=desk.db, clock=desk.clock, logger=logger, sight=sight)
    await desk.play(frames.leaving(0), frames.entry(1), frames.entry(2, None, spot=2), frames.leaving(3))
    await keeping.count()
    rendered = desk.metrics.render()
    assert b"lookout_tickets_open_tickets 1.0" in rendered
    assert b"lookout_tickets_pending_reviews 1.0" in rendered
    assert b"lookout_tickets_pending_exit_pictures 1.0" in rendered
    assert await keeping.stop_waiting(timedelta(hours=1)) == 0
    desk.clock.advance(timedelta(days=9))
    assert await keeping.stop_waiting(timedelta(days=8)) == 1
    assert await keeping.stop_waiting(timedelta(days=8)) == 0


@pytest.mark.integration
async def test_the_database_goes_away_and_comes_back(
    own_postgres_server: PostgresServer, tmp_path: Path, manual_clock: ManualClock, frames: Frames
) -> None:
    """Pages answer 503, events wait in their order, nothing is lost."""
    async with running(own_postgres_server.fresh_database(), tmp_path, manual_clock) as house:
        await house.play(frames.entry(0))
        own_postgres_server.kill()
        response = await house.http.get("/api/v1/tickets")
        assert (response.status_code, response.json()["code"]) == (503, "database_away")
        assert int(response.headers["retry-after"]) > 0
        assert (await house.anonymous.get("/health/ready")).status_code == 503
        for read in (frames.leaving(30), frames.entry(40, "K77310"), frames.leaving(50)):
            await house.bus.publish(event_of(read))
        own_postgres_server.start()

        async def is_through() -> bool:
            response = await house.http.get("/api/v1/tickets", params={"status": "CLOSED"})
            return response.status_code == 200 and response.json()["total"] == 2

        _: bool = await eventually(is_through, timeout_s=60, message="both tickets closed")
        assert await house.bus.parked(QUEUE) == []
