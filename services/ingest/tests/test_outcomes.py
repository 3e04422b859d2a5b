import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from kit.bus import Event
from lookout.common.v1 import common_pb2
from lookout.parking.v1 import parking_pb2
from testkit import eventually

from .conftest import Ingest, Starter

OPENED = parking_pb2.TRIGGER_OUTCOME_OPENED
IGNORED = parking_pb2.TRIGGER_OUTCOME_IGNORED


def decided(
    frame_id: Any,
    outcome: Any = OPENED,
    *,
    is_open: Any = True,
    reason: Any = 0,
    ticket_id: Any = 7,
    message_id: Any = None,
    second: int = 1,
) -> Any:
    message = parking_pb2.TriggerDecided(frame_id=frame_id, outcome=outcome, ignored_reason=reason)
    if ticket_id:
        status = parking_pb2.TICKET_STATUS_OPEN if is_open else parking_pb2.TICKET_STATUS_CLOSED
        plate = common_pb2.Plate(text="A12345", code="A", number="12345", region="ae-du", confidence=0.93)
        message.ticket.CopyFrom(
            parking_pb2.Ticket(ticket_id=ticket_id, status=status, plate=plate, plate_city="DXB")
        )
    now = datetime(2026, 3, 14, 8, 30, second, tzinfo=UTC)
    message.decided_at.FromDatetime(now)
    return Event.of(
        message,
        scope=("NAD", "95"),
        partition_key="camera:1",
        app_id="tickets",
        occurred_at=now,
        correlation_id=frame_id,
        message_id=message_id,
    )


async def event_of(ingest: Ingest, event_id: Any) -> Any:
    return (await ingest.client.get(f"/api/v1/camera-events/{event_id}", headers=ingest.admin)).json()


async def is_decided(ingest: Ingest, event_id: Any) -> Any:
    event = await event_of(ingest, event_id)
    return event if event["decided_at"] else None


async def answer_to_next(ingest: Ingest, **decision: Any) -> None:
    """Play tickets: decide the next event that comes over the bus."""
    seen = len(ingest.frames)
    (frame, *_) = await eventually(lambda: ingest.frames[seen:])
    await ingest.bus.publish(decided(frame.correlation_id, **decision))


async def test_an_outcome_is_stored_once(ingest: Ingest) -> None:
    await ingest.make_camera()
    event_id = (await ingest.post()).json()["event_id"]
    first = decided(event_id)
    await ingest.bus.publish(first)
    event: Any = await eventually(lambda: is_decided(ingest, event_id))
    assert event["outcome"] == "opened"
    assert event["outcome_document"]["ticket_id"] == 7
    repeat = decided(event_id, IGNORED, message_id=first.message_id)
    await ingest.bus.publish(repeat)
    other = (await ingest.post(duration=5)).json()["event_id"]
    await ingest.bus.publish(decided(other))
    await eventually(lambda: is_decided(ingest, other))
    assert (await event_of(ingest, event_id))["outcome"] == "opened"


async def test_the_later_of_two_decisions_counts_whichever_arrives_first(ingest: Ingest) -> None:
    await ingest.make_camera()
    event_id = (await ingest.post()).json()["event_id"]
    await ingest.bus.publish(decided(event_id, second=9))
    await eventually(lambda: is_decided(ingest, event_id))
    await ingest.bus.publish(decided(event_id, IGNORED, second=5))
    other = (await ingest.post(duration=5)).json()["event_id"]
    await ingest.bus.publish(decided(other))
    await eventually(lambda: is_decided(ingest, other))
    assert (await event_of(ingest, event_id))["outcome"] == "opened"


async def test_a_request_that_waits_gets_the_outcome(ingest: Ingest) -> None:
    await ingest.make_camera()
    waiting = asyncio.create_task(ingest.post(headers={"Prefer": "wait=20"}))
    await answer_to_next(ingest)
    answer = await waiting
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    body = answer.json()
    assert body["status"] == "opened"
    assert body["ticket_id"] == 7
    assert body["plate"] == {
        "text": "A12345", "code": "A", "number": "12345", "city": "DXB", "region": "ae-du", "confidence": 0.93,
    }  # fmt: skip
    assert body["purpose"] == "ENTRY"
    assert answer.headers["location"].endswith(body["event_id"])


@pytest.mark.parametrize(
    ("occupancy", "outcome", "is_open", "reason", "status", "sentence"),
    [
        (1, parking_pb2.TRIGGER_OUTCOME_REOPENED, True, 0, "reopened", None),
        (0, parking_pb2.TRIGGER_OUTCOME_CLOSED, False, 0, "closed", None),
        (
            1,
            IGNORED,
            True,
            parking_pb2.IGNORED_REASON_SPOT_ALREADY_OCCUPIED,
            "ignored",
            "Spot already occupied",
        ),
        (
            0,
            parking_pb2.TRIGGER_OUTCOME_STILL_OCCUPIED,
            True,
            parking_pb2.IGNORED_REASON_SPOT_STILL_OCCUPIED,
            "still_occupied",
            "Spot still occupied",
        ),
    ],
)
async def test_every_outcome_has_its_word(
    sqlite_ingest: Ingest,
    occupancy: Any,
    outcome: Any,
    is_open: Any,
    reason: Any,
    status: Any,
    sentence: Any,
) -> None:
    await sqlite_ingest.make_camera()
    waiting = asyncio.create_task(sqlite_ingest.post(occupancy=occupancy, headers={"Prefer": "wait=20"}))
    await answer_to_next(sqlite_ingest, outcome=outcome, is_open=is_open, reason=reason)
    body = (await waiting).json()
    assert body["status"] == status
    assert body["reason"] == sentence


async def test_a_late_exit_ignored_for_another_reason_is_not_answered_still_occupied(
    sqlite_ingest: Ingest,
) -> None:
    await sqlite_ingest.make_camera()
    waiting = asyncio.create_task(sqlite_ingest.post(occupancy=0, headers={"Prefer": "wait=20"}))
    # The ticket stays open, but not because this exit's picture shows the vehicle.
    await answer_to_next(
        sqlite_ingest,
        outcome=IGNORED,
        is_open=True,
        reason=parking_pb2.IGNORED_REASON_OLDER_THAN_LATEST_TICKET,
    )
    body = (await waiting).json()
    assert (body["status"], body["reason"]) == ("ignored", "Older than the latest ticket")
    assert body["ticket_id"] == 7


async def test_an_outcome_without_a_ticket(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    waiting = asyncio.create_task(sqlite_ingest.post(headers={"Prefer": "wait=20"}))
    await answer_to_next(
        sqlite_ingest, outcome=IGNORED, reason=parking_pb2.IGNORED_REASON_NO_CAR_DETECTED, ticket_id=0
    )
    body = (await waiting).json()
    assert (body["status"], body["ticket_id"], body["plate"]) == ("ignored", None, None)


async def test_without_the_outcome_in_time_the_answer_is_accepted(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    answer = await sqlite_ingest.post(headers={"Prefer": "wait=1"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "accepted"
    assert answer.headers["preference-applied"] == "wait=1"


async def test_no_request_waits_longer_than_the_setting(start_ingest: Starter, sqlite_url: str) -> None:
    ingest = await start_ingest(sqlite_url, push={"max_outcome_wait_s": 1})
    await ingest.make_camera()
    answer = await ingest.post(headers={"Prefer": "wait=3600"})
    assert answer.headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        ("respond-async", 202, "respond-async"),
        ("respond-async, wait=1", 202, "respond-async, wait=1"),
        ("wait=0", 200, None),
        ("wait=soon", 200, None),
        ("return=minimal", 200, None),
    ],
)
async def test_applied_preferences_are_named_in_the_answer(
    sqlite_ingest: Ingest, prefer: Any, status: Any, applied: Any
) -> None:
    await sqlite_ingest.make_camera()
    answer = await sqlite_ingest.post(headers={"Prefer": prefer})
    assert answer.status_code == status
    assert answer.headers.get("preference-applied") == applied


async def test_the_number_of_waiting_requests_is_limited(start_ingest: Starter, sqlite_url: str) -> None:
    ingest = await start_ingest(sqlite_url, push={"max_outcome_waiters": 0})
    await ingest.make_camera()
    answer = await ingest.post(headers={"Prefer": "wait=10"})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


async def test_a_repeat_that_waits_gets_the_outcome_that_is_known(ingest: Ingest) -> None:
    await ingest.make_camera()
    event_id = (await ingest.post()).json()["event_id"]
    await ingest.bus.publish(decided(event_id))
    await eventually(lambda: is_decided(ingest, event_id))
    plain = await ingest.post()
    assert plain.json()["status"] == "accepted"
    waited = await ingest.post(headers={"Prefer": "wait=5"})
    assert (waited.json()["status"], waited.json()["event_id"]) == ("opened", event_id)
    assert waited.headers["lookout-duplicate"] == "true"


async def test_a_request_that_waits_at_another_replica_gets_the_outcome(
    start_ingest: Starter, any_database: str
) -> None:
    one = await start_ingest(any_database, name="1")
    two = await start_ingest(
        any_database, name="2"
    )  # its bus is another one: the decision does not come there
    await one.make_camera()
    waiting = asyncio.create_task(two.post(headers={"Prefer": "wait=20"}))
    (row,) = await eventually(one.rows)
    await one.bus.publish(decided(str(row.event_id)))
    assert (await waiting).json()["status"] == "opened"


async def test_invalid_decisions_become_dead_letters(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    event_id = (await sqlite_ingest.post()).json()["event_id"]
    await sqlite_ingest.bus.publish(decided("no id"))
    await sqlite_ingest.bus.publish(decided(event_id, 99))
    await sqlite_ingest.bus.publish(decided(str(uuid4())))  # an event whose retention has ended

    async def dead_letters() -> Any:
        return len(await sqlite_ingest.bus.dead_letters("ingest.trigger_decided.v1")) == 2

    await eventually(dead_letters)
