"""`DecideTrigger` on SQLite and PostgreSQL: the tables and the outbox after triggers."""

import asyncio
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import IntegrityError

from kit.bus import Delivery, Rejected, Transient
from kit.db import Database
from lookout.common.v1 import common_pb2 as common
from lookout.parking.v1 import parking_pb2 as parking
from lookout.plates.v1 import plates_pb2 as plates
from tickets.domain.triggers import Rules
from tickets.store.tables import cameras, inbox, outbox, reviews, spots, tickets, triggers

from .conftest import Decider, Frames, MakeDecider, event_of

QUEUE = "tickets.plates_read.v1"
PARKING: dict[str, Any] = {
    "lookout.parking.v1.TicketOpened": parking.TicketOpened,
    "lookout.parking.v1.TicketClosed": parking.TicketClosed,
    "lookout.parking.v1.ReviewRequested": parking.ReviewRequested,
    "lookout.parking.v1.TriggerDecided": parking.TriggerDecided,
}


async def rows(db: Database, table: Any) -> list[dict[str, Any]]:
    async with db.reading() as session:
        found = await session.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row) for row in found.mappings()]


async def published(db: Database) -> list[Any]:
    return [PARKING[row["type"]].FromString(row["body"]) for row in await rows(db, outbox)]


def names(messages: list[Any]) -> list[str]:
    return [type(message).__name__ for message in messages]


async def sessions(db: Database) -> list[tuple[str, str, float, float | None]]:
    frames = Frames()

    def minute(moment: Any) -> float | None:
        return None if moment is None else (moment - frames.at(0)) / timedelta(minutes=1)

    found = sorted(await rows(db, tickets), key=lambda row: row["entry_at"])
    return [
        (row["plate_text"], row["status"], minute(row["entry_at"]) or 0.0, minute(row["exit_at"]))
        for row in found
    ]


async def test_an_entry_becomes_a_ticket(decider: Decider, frames: Frames) -> None:
    entry = frames.entry(0)
    await decider.decide(entry)
    (ticket,) = await rows(decider.db, tickets)
    expected = {
        "status": "OPEN",
        "location_code": "NAD",
        "camera_id": 95,
        "camera_name": "NAD-P1-C95",
        "spot_number": 1,
        "spot_id": 101,
        "time_zone": "Asia/Dubai",
        "plate_text": "A12345",
        "plate_number": "12345",
        "plate_code": "A",
        "plate_city": "DXB",
        "region": "ae-du",
        "is_unknown": False,
        "entry_at": frames.at(0),
        "exit_at": None,
    }
    assert {name: ticket[name] for name in expected} == expected
    assert ticket["confidence"] == pytest.approx(0.93)
    assert ticket["entry_picture"]["key"] == entry.frame.picture.key
    assert ticket["seen"]["characters"][0] == {"text": "A", "confidence": 0.93}
    (trigger,) = await rows(decider.db, triggers)
    assert (trigger["decision"], trigger["ticket_id"], trigger["body"]) == (
        "OPENED",
        ticket["ticket_id"],
        None,
    )
    assert await rows(decider.db, reviews) == []
    assert decider.decided == [1]


async def test_its_events_carry_the_whole_ticket(decider: Decider, frames: Frames) -> None:
    entry = frames.entry(0)
    await decider.decide(entry)
    messages = await published(decider.db)
    assert names(messages) == ["TicketOpened", "TriggerDecided"]
    opened, decided = messages
    assert opened.is_reopened is False
    assert opened.ticket == decided.ticket
    assert opened.ticket.status == parking.TICKET_STATUS_OPEN
    assert opened.ticket.plate.text == "A12345"
    assert opened.ticket.plate.crop.key == "crops/2026/03/14/crop.jpg"
    assert opened.ticket.plate_city == "DXB"
    assert opened.ticket.entry_picture.key == entry.frame.picture.key
    assert opened.ticket.entry_frame_id == entry.frame.frame_id
    assert not opened.ticket.HasField("exit_at")
    assert opened.ticket.camera == entry.frame.camera
    assert opened.ticket.spot_ref == entry.frame.spot_ref
    assert (decided.frame_id, decided.decision) == (entry.frame.frame_id, parking.DECISION_OPENED)
    first, second = await rows(decider.db, outbox)
    assert first["routing_key"] == "parking.ticket_opened.v1.NAD.95"
    assert second["routing_key"] == "parking.trigger_decided.v1.NAD.95"
    for row in (first, second):
        assert row["partition_key"] == "camera:95"
        assert row["correlation_id"] == entry.frame.frame_id
        assert row["must_route"] is False


async def test_an_exit_closes_and_its_picture_is_to_be_outlined(decider: Decider, frames: Frames) -> None:
    leaving = frames.exit(30)
    await decider.decide(frames.entry(0), leaving)
    assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30)]
    (ticket,) = await rows(decider.db, tickets)
    assert ticket["mark_state"] == "PENDING"
    assert ticket["exit_picture"]["key"] == leaving.frame.picture.key
    assert ticket["exit_polygon_px"] == [[20, 10], [60, 10], [70, 40], [10, 40]]
    closed, decided = (await published(decider.db))[2:]
    assert names([closed, decided]) == ["TicketClosed", "TriggerDecided"]
    assert closed.ticket.status == parking.TICKET_STATUS_CLOSED
    assert closed.ticket.exit_at.ToSeconds() - closed.ticket.entry_at.ToSeconds() == 30 * 60
    assert closed.ticket.exit_frame_id == leaving.frame.frame_id
    assert decided.decision == parking.DECISION_CLOSED


@pytest.mark.parametrize(
    ("text", "confidence", "reason"), [(None, 0.9, "unread_plate"), ("A12345", 0.3, "low_confidence")]
)
async def test_an_unread_plate_is_unknown_with_a_review(
    decider: Decider, frames: Frames, text: str | None, confidence: float, reason: str
) -> None:
    entry = frames.entry(0, text, confidence=confidence)
    await decider.decide(entry)
    (ticket,) = await rows(decider.db, tickets)
    assert (ticket["plate_text"], ticket["is_unknown"], ticket["confidence"]) == ("UNKNOWN", True, 0)
    (review,) = await rows(decider.db, reviews)
    assert (review["ticket_id"], review["status"], review["reason"]) == (
        ticket["ticket_id"],
        "PENDING",
        reason,
    )
    assert review["picture"]["key"] == entry.frame.picture.key
    assert (review["guess"] or {}).get("text") == text
    opened, requested, decided = await published(decider.db)
    assert names([opened, requested, decided]) == ["TicketOpened", "ReviewRequested", "TriggerDecided"]
    assert opened.ticket.plate.text == "UNKNOWN"
    assert requested.review_id == review["review_id"] == decided.review_id
    assert requested.reason == reason
    assert parking.ReviewReason.Name(requested.review_reason) == f"REVIEW_REASON_{reason.upper()}"
    assert requested.ticket.ticket_id == ticket["ticket_id"]


@pytest.mark.parametrize("guess", ["", "A12345"])
async def test_a_plate_seen_and_not_read_is_an_unread_one(
    decider: Decider, frames: Frames, guess: str
) -> None:
    """Also if its sender filled the text."""
    entry, leaving = frames.entry(0, guess, confidence=0.99), frames.exit(5, guess)
    for read in (entry, leaving):
        read.plates[0].state = common.PLATE_STATE_SEEN_NOT_READ
        read.plates[0].unread_reason = "too_small"
        read.plates[0].raw_text = "4123"
    await decider.decide(entry)
    (ticket,) = await rows(decider.db, tickets)
    assert (ticket["plate_text"], ticket["plate_number"], ticket["plate_code"]) == ("UNKNOWN", "UNKNOWN", "")
    assert (ticket["is_unknown"], ticket["confidence"]) == (True, 0)
    (review,) = await rows(decider.db, reviews)
    assert review["reason"] == "unread_plate"
    assert (review["guess"]["text"], review["guess"]["raw_text"]) == ("", "4123")
    assert review["guess"]["crop"]["key"]
    await decider.decide(leaving)
    (ticket,) = await rows(decider.db, tickets)
    assert ticket["exit_at"] is None, "the car is still there"


async def test_ignored_triggers_are_stored_with_reason_picture_and_plate(
    decider: Decider, frames: Frames
) -> None:
    again = frames.entry(5, "K77310")
    await decider.decide(
        frames.exit(-5),
        frames.entry(0),
        again,
        frames.entry(6, None, occupancy=plates.SPOT_OCCUPANCY_UNKNOWN),
        frames.exit(7, "A12345"),
        frames.exit(8),
        frames.entry(40, None, occupancy=plates.SPOT_OCCUPANCY_FREE),
    )
    kept = await rows(decider.db, triggers)
    assert [(row["decision"], row["reason"]) for row in kept] == [
        ("IGNORED", "NO_OPEN_TICKET"),
        ("OPENED", ""),
        ("IGNORED", "SPOT_ALREADY_OCCUPIED"),
        ("IGNORED", "SPOT_ALREADY_OCCUPIED"),
        ("IGNORED", "SPOT_STILL_OCCUPIED"),
        ("CLOSED", ""),
        ("IGNORED", "NO_CAR_DETECTED"),
    ]
    assert kept[2]["picture"]["key"] == again.frame.picture.key
    assert kept[2]["plate_text"] == "K77310"
    assert kept[2]["notes"] == ["another plate than the ticket's: K77310, not A12345"]
    decided = [m for m in await published(decider.db) if isinstance(m, parking.TriggerDecided)]
    assert [m.reason for m in decided] == [
        "No open ticket",
        "",
        "Spot already occupied",
        "Spot already occupied",
        "Spot still occupied",
        "",
        "No car detected",
    ]
    assert [m.ignored_reason for m in decided] == [
        parking.IGNORED_REASON_NO_OPEN_TICKET,
        parking.IGNORED_REASON_UNSPECIFIED,
        parking.IGNORED_REASON_SPOT_ALREADY_OCCUPIED,
        parking.IGNORED_REASON_SPOT_ALREADY_OCCUPIED,
        parking.IGNORED_REASON_SPOT_STILL_OCCUPIED,
        parking.IGNORED_REASON_UNSPECIFIED,
        parking.IGNORED_REASON_NO_CAR_DETECTED,
    ]
    assert [m.outcome for m in decided] == [
        parking.TRIGGER_OUTCOME_IGNORED,
        parking.TRIGGER_OUTCOME_OPENED,
        parking.TRIGGER_OUTCOME_IGNORED,
        parking.TRIGGER_OUTCOME_IGNORED,
        parking.TRIGGER_OUTCOME_STILL_OCCUPIED,
        parking.TRIGGER_OUTCOME_CLOSED,
        parking.TRIGGER_OUTCOME_IGNORED,
    ]
    assert decided[0].HasField("ticket") is False
    assert decided[2].ticket.ticket_id == kept[1]["ticket_id"]
    assert len(await rows(decider.db, tickets)) == 1


async def test_the_same_plate_back_reopens(decider: Decider, frames: Frames) -> None:
    await decider.decide(frames.entry(0), frames.exit(30), frames.entry(35))
    (ticket,) = await rows(decider.db, tickets)
    assert (ticket["status"], ticket["exit_at"], ticket["exit_picture"]) == ("OPEN", None, None)
    assert ticket["mark_state"] is None
    assert ticket["earlier_exits"] == [frames.at(30).isoformat()]
    opened, decided = (await published(decider.db))[-2:]
    assert opened.is_reopened is True
    assert decided.decision == parking.DECISION_REOPENED
    await decider.decide(frames.exit(50))
    assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 50)]


async def test_a_repeat_changes_nothing(decider: Decider, frames: Frames) -> None:
    entry, leaving = frames.entry(0), frames.exit(30)
    await decider.decide(entry, entry, leaving, entry, leaving, leaving)
    assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30)]
    assert len(await rows(decider.db, outbox)) == 4
    assert len(await rows(decider.db, triggers)) == 2
    assert {(row["consumer"], str(row["message_id"])) for row in await rows(decider.db, inbox)} == {
        (QUEUE, entry.read_id),
        (QUEUE, leaving.read_id),
    }
    repeats = f'lookout_tickets_inbox_repeats_total{{consumer="{QUEUE}"}} 4.0'
    assert repeats in decider.metrics.render().decode()


async def test_a_repeat_after_the_inbox_was_swept_changes_nothing(decider: Decider, frames: Frames) -> None:
    entry = frames.entry(0)
    await decider.decide(entry, frames.exit(30))
    async with decider.db.transaction() as session:
        await session.execute(inbox.delete())
    await decider.decide(entry)
    assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30)]
    assert len(await rows(decider.db, outbox)) == 4


class TestLate:
    async def test_the_exit_came_first(self, decider: Decider, frames: Frames) -> None:
        leaving, entry = frames.exit(30), frames.entry(0)
        await decider.decide(leaving, entry)
        assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30)]
        first, second = await rows(decider.db, triggers)
        assert (first["decision"], first["first_reason"], first["is_waiting"]) == (
            "CLOSED",
            "NO_OPEN_TICKET",
            False,
        )
        assert second["decision"] == "OPENED"
        messages = await published(decider.db)
        assert names(messages) == [
            "TriggerDecided",
            "TicketOpened",
            "TriggerDecided",
            "TicketClosed",
            "TriggerDecided",
        ]
        assert (messages[2].frame_id, messages[2].decision) == (entry.frame.frame_id, parking.DECISION_OPENED)
        assert (messages[4].frame_id, messages[4].decision) == (
            leaving.frame.frame_id,
            parking.DECISION_CLOSED,
        )
        # Subscribers get the ticket open before it is closed, although it never was open in the table.
        assert messages[1].ticket.status == parking.TICKET_STATUS_OPEN
        assert len({row["message_id"] for row in await rows(decider.db, outbox)}) == 5

    async def test_a_past_session_before_the_open_ticket_is_added(
        self, decider: Decider, frames: Frames
    ) -> None:
        await decider.decide(frames.entry(40, "K77310"), frames.exit(30), frames.entry(0))
        assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "OPEN", 40, None)]

    async def test_the_exit_between_two_cars_came_late(self, decider: Decider, frames: Frames) -> None:
        second = frames.entry(40, "K77310")
        await decider.decide(frames.entry(0), second, frames.exit(30))
        assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "OPEN", 40, None)]
        found = {row["plate_text"]: row for row in await rows(decider.db, tickets)}
        assert found["K77310"]["entry_picture"]["key"] == second.frame.picture.key
        await decider.decide(frames.exit(60))
        assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "CLOSED", 40, 60)]

    async def test_the_next_car_came_in_the_second_of_the_exit(
        self, decider: Decider, frames: Frames
    ) -> None:
        await decider.decide(frames.entry(0), frames.entry(30, "K77310"), frames.exit(30))
        assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "OPEN", 30, None)]

    async def test_a_trigger_outside_the_window_is_not_combined(self, make_decider: MakeDecider) -> None:
        decider, frames = make_decider(Rules(late_event_window=timedelta(minutes=20))), Frames()
        await decider.decide(frames.exit(30), frames.entry(0))
        assert await sessions(decider.db) == [("A12345", "OPEN", 0, None)]

    async def test_a_trigger_beyond_the_history_limit_changes_nothing(
        self, make_decider: MakeDecider
    ) -> None:
        decider, frames = make_decider(history_limit=2), Frames()
        for n in range(3):
            await decider.decide(frames.entry(100 + 10 * n, f"K{n}731{n}"), frames.exit(105 + 10 * n))
        before = await sessions(decider.db)
        await decider.decide(frames.exit(30), frames.entry(0))
        assert await sessions(decider.db) == before
        *_, late_exit, late_entry = await rows(decider.db, triggers)
        assert late_exit["reason"] == late_entry["reason"] == "OLDER_THAN_LATEST_TICKET"
        assert not late_exit["is_waiting"]


class TestClock:
    async def test_an_implausible_clock_is_noted(self, decider: Decider, frames: Frames) -> None:
        await decider.decide(frames.entry(0, clock_skew=-timedelta(days=365)))
        received_at = frames.at(0) + timedelta(seconds=1)
        (ticket,) = await rows(decider.db, tickets)
        assert ticket["entry_at"] == received_at
        assert ticket["notes"] == ["camera clock 365 days, 0:00:00 behind: the time of receipt is used"]
        (trigger,) = await rows(decider.db, triggers)
        assert (trigger["at"], trigger["captured_at"]) == (received_at, received_at - timedelta(days=365))

    async def test_the_time_of_an_ingest_that_sends_no_clock_state_is_not_questioned(
        self, decider: Decider, frames: Frames
    ) -> None:
        entry = frames.entry(0, received_after_s=365 * 86_400)
        entry.frame.ClearField("clock_state")
        entry.frame.ClearField("clock_skew")
        await decider.decide(entry)
        (ticket,) = await rows(decider.db, tickets)
        assert (ticket["entry_at"], ticket["notes"]) == (frames.at(0), [])

    async def test_without_a_time_that_of_receipt_is_used(self, decider: Decider, frames: Frames) -> None:
        entry = frames.entry(0)
        entry.frame.ClearField("captured_at")
        await decider.decide(entry)
        (ticket,) = await rows(decider.db, tickets)
        assert ticket["entry_at"] == frames.at(0) + timedelta(seconds=1)
        assert ticket["notes"] == ["the camera sent no time: the time of receipt is used"]

    async def test_a_skew_beyond_the_calendar_is_no_error(self, decider: Decider, frames: Frames) -> None:
        await decider.decide(frames.entry(0, clock_skew=-timedelta(days=1_000_000)))
        (trigger,) = await rows(decider.db, triggers)
        assert trigger["captured_at"] is None


async def test_a_message_of_an_older_ingest_is_the_same_trigger(decider: Decider, frames: Frames) -> None:
    """Without `camera` and `spot_ref`, which an older ingest does not fill."""
    entry = frames.entry(0)
    entry.frame.ClearField("camera")
    entry.frame.ClearField("spot_ref")
    await decider.decide(entry, frames.exit(30))
    (ticket,) = await rows(decider.db, tickets)
    assert (ticket["camera_name"], ticket["location_code"], ticket["spot_id"]) == ("NAD-P1-C95", "NAD", 101)
    assert (ticket["time_zone"], ticket["status"]) == ("Asia/Dubai", "CLOSED")


async def test_frames_that_are_no_entry_or_exit_are_not_stored(decider: Decider, frames: Frames) -> None:
    await decider.decide(frames.snapshot(0))
    for table in (tickets, triggers, outbox, inbox):
        assert await rows(decider.db, table) == []


async def test_spots_do_not_mix(decider: Decider) -> None:
    one, two = Frames(camera_id=1), Frames(camera_id=2)
    await decider.decide(
        one.entry(0), one.entry(1, "K77310", spot=2), two.entry(2, "R90521"), one.exit(9, spot=2)
    )
    assert await sessions(decider.db) == [
        ("A12345", "OPEN", 0, None),
        ("K77310", "CLOSED", 1, 9),
        ("R90521", "OPEN", 2, None),
    ]
    assert [row["camera_id"] for row in await rows(decider.db, cameras)] == [1, 2]
    assert len(await rows(decider.db, spots)) == 3


async def test_a_renamed_camera_is_stored(decider: Decider, frames: Frames) -> None:
    await decider.decide(frames.entry(0))
    renamed = frames.exit(10)
    renamed.frame.camera.name = "north gate"
    await decider.decide(renamed)
    (camera,) = await rows(decider.db, cameras)
    assert camera["name"] == "north gate"


async def test_invalid_messages_are_rejected_and_change_nothing(decider: Decider, frames: Frames) -> None:
    no_spot, no_id, no_receipt, no_camera = (frames.entry(n) for n in range(4))
    no_spot.frame.ClearField("spot")
    no_spot.frame.ClearField("spot_ref")
    no_id.frame.frame_id = "one"
    no_receipt.frame.ClearField("received_at")
    no_camera.frame.camera.camera_id = 0
    for read in (no_spot, no_id, no_receipt, no_camera):
        with pytest.raises(Rejected):
            await decider.decide(read)
    assert await rows(decider.db, triggers) == []


async def test_values_that_no_column_can_store_are_removed(decider: Decider, frames: Frames) -> None:
    entry = frames.entry(0)
    entry.frame.camera.name = "north\x00gate"
    entry.plates[0].raw_text = "A\x0012345"
    entry.plates[0].box.x = float("nan")
    entry.plates[0].characters[0].confidence = float("inf")
    entry.frame.spot.polygon.points[0].x = float("-inf")
    await decider.decide(entry)
    (ticket,) = await rows(decider.db, tickets)
    assert ticket["camera_name"] == "northgate"
    assert ticket["seen"]["box_px"] is None


async def test_a_confidence_that_is_no_number_does_not_count(decider: Decider, frames: Frames) -> None:
    await decider.decide(frames.entry(0, confidence=float("nan")))
    (ticket,) = await rows(decider.db, tickets)
    assert ticket["is_unknown"]


async def test_a_plate_outside_the_spot_is_not_considered(decider: Decider, frames: Frames) -> None:
    entry, leaving = frames.entry(0), frames.exit(30, "A12345")
    entry.spot_plate_index = leaving.spot_plate_index = -1
    leaving.spot_occupancy = plates.SPOT_OCCUPANCY_FREE
    await decider.decide(entry, leaving)
    assert await sessions(decider.db) == [("UNKNOWN", "CLOSED", 0, 30)]


async def test_only_a_detectors_vehicle_keeps_a_ticket_open(decider: Decider, frames: Frames) -> None:
    by_camera, by_detector = (
        frames.exit(30, occupancy=plates.SPOT_OCCUPANCY_OCCUPIED),
        frames.exit(30, occupancy=plates.SPOT_OCCUPANCY_OCCUPIED),
    )
    by_camera.vehicles.add(source="camera", is_in_spot=True)
    by_detector.vehicles.add(source="yolo11x", is_in_spot=True)
    await decider.decide(frames.entry(0), by_detector)
    assert await sessions(decider.db) == [("A12345", "OPEN", 0, None)]
    await decider.decide(by_camera)
    assert await sessions(decider.db) == [("A12345", "CLOSED", 0, 30)]


async def test_the_database_refuses_a_second_open_ticket_on_a_spot(decider: Decider, frames: Frames) -> None:
    await decider.decide(frames.entry(0), frames.exit(5), frames.entry(30, "K77310"))
    open_all = update(tickets).values(status="OPEN", exit_at=None)

    async def open_them() -> None:
        async with decider.db.transaction() as session:
            await session.execute(open_all)

    with pytest.raises(IntegrityError):
        await open_them()


async def test_two_replicas_at_once_open_one_ticket(make_decider: MakeDecider) -> None:
    """While a shard moves to another replica, both may handle it for a moment."""
    here, there, frames = make_decider(), make_decider(), Frames()
    first, second = frames.entry(0), frames.entry(1)
    results = await asyncio.gather(
        here.handler(Delivery(event_of(first), QUEUE)),
        there.handler(Delivery(event_of(second), QUEUE)),
        return_exceptions=True,
    )
    for result, read in zip(results, (first, second), strict=True):
        if isinstance(result, Transient):
            await here.decide(read)
        else:
            assert result is None
    assert len(await rows(here.db, tickets)) == 1
    assert {row["decision"] for row in await rows(here.db, triggers)} == {"OPENED", "IGNORED"}


class TestSeveralDeliveriesInOneTransaction:
    async def test_each_is_decided_with_those_before_it(self, decider: Decider, frames: Frames) -> None:
        entry, leaving = frames.entry(0), frames.exit(30)
        await decider.decide_in_one_transaction(
            entry, entry, leaving, frames.entry(0, "K77310", spot=2), frames.entry(40, "R90521")
        )
        assert await sessions(decider.db) == [
            ("A12345", "CLOSED", 0, 30),
            ("K77310", "OPEN", 0, None),
            ("R90521", "OPEN", 40, None),
        ]
        assert len(await rows(decider.db, outbox)) == 8
        assert decider.decided == [1, 1, 1, 1]

    async def test_one_that_is_rejected_rolls_back_the_others(self, decider: Decider, frames: Frames) -> None:
        entry, invalid = frames.entry(0), frames.entry(1, spot=2)
        invalid.frame.frame_id = "no UUID"
        with pytest.raises(Rejected):
            await decider.decide_in_one_transaction(entry, invalid)
        for table in (tickets, triggers, outbox, inbox):
            assert await rows(decider.db, table) == []
        assert decider.decided == []
        await decider.decide(entry)
        assert await sessions(decider.db) == [("A12345", "OPEN", 0, None)]


async def test_a_decision_is_written_whole_or_not_at_all(decider: Decider, frames: Frames) -> None:
    """The outbox fails: no ticket, no trigger, no inbox row; the next attempt writes all of them."""
    entry = frames.entry(0)
    async with decider.db.transaction() as session:
        await session.execute(select(1))
        await session.execute(outbox.delete())
    engine = decider.db.engine.sync_engine

    def refuse(*arguments: Any) -> None:
        if "INSERT INTO outbox" in arguments[2]:
            raise RuntimeError("killed here")

    event.listen(engine, "before_cursor_execute", refuse)
    with pytest.raises(RuntimeError, match="killed here"):
        await decider.decide(entry)
    event.remove(engine, "before_cursor_execute", refuse)
    for table in (tickets, triggers, outbox, inbox, cameras):
        assert await rows(decider.db, table) == []
    await decider.decide(entry)
    assert await sessions(decider.db) == [("A12345", "OPEN", 0, None)]
    assert len(await rows(decider.db, cameras)) == 1


async def test_an_ordinary_event_takes_six_statements_at_most(decider: Decider, frames: Frames) -> None:
    await decider.decide(frames.entry(0), frames.exit(5))
    statements: list[str] = []

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(decider.db.engine.sync_engine, "before_cursor_execute", count)
    for read in (frames.entry(30, "K77310"), frames.entry(31), frames.exit(40)):
        statements.clear()
        await decider.decide(read)
        counted = [s for s in statements if not s.startswith(("BEGIN", "COMMIT", "SAVEPOINT"))]
        assert len(counted) <= 6, counted
    statements.clear()
    await decider.decide(frames.entry(50, None))
    with_review = [s for s in statements if not s.startswith(("BEGIN", "COMMIT", "SAVEPOINT"))]
    assert len(with_review) <= 7, with_review


async def test_the_state_of_the_spot_is_stored_and_published(decider: Decider, frames: Frames) -> None:
    reads = [
        frames.entry(0),
        frames.exit(5, "A12345"),
        frames.exit(10),
        frames.exit(20, "K77310"),
        frames.entry(20, spot=2, occupancy=plates.SPOT_OCCUPANCY_FREE),
    ]
    for read in reads:
        await decider.decide(read)
    decided = [one for one in await published(decider.db) if isinstance(one, parking.TriggerDecided)]
    assert [(one.spot_status, one.spot_status_at.ToDatetime(UTC)) for one in decided] == [
        (parking.SPOT_STATUS_OCCUPIED, frames.at(0)),
        (parking.SPOT_STATUS_OCCUPIED, frames.at(0)),
        (parking.SPOT_STATUS_FREE, frames.at(10)),
        (parking.SPOT_STATUS_UNKNOWN, frames.at(20)),
        (parking.SPOT_STATUS_FREE, frames.at(20)),
    ]
    assert [(one.camera.camera_id, one.spot_ref.spot_number) for one in decided] == [(95, 1)] * 4 + [(95, 2)]
    stored = await rows(decider.db, spots)
    assert [(row["status"], row["status_at"]) for row in stored] == [
        ("UNKNOWN", frames.at(20)),
        ("FREE", frames.at(20)),
    ]


async def test_all_decisions_of_one_message_carry_the_same_state(decider: Decider, frames: Frames) -> None:
    """Subscribers get them in any order, and with the same `decided_at`."""
    await decider.decide(frames.exit(10), frames.entry(12, "K77310"), frames.exit(15))
    before = len(await published(decider.db))
    await decider.decide(frames.entry(0))
    decided = [
        one for one in (await published(decider.db))[before:] if isinstance(one, parking.TriggerDecided)
    ]
    assert len(decided) > 1
    assert {(one.spot_status, one.spot_status_at.ToDatetime(UTC)) for one in decided} == {
        (parking.SPOT_STATUS_FREE, frames.at(15))
    }


async def test_a_ticket_says_that_its_entry_picture_is_incomplete(decider: Decider, frames: Frames) -> None:
    await decider.decide(
        frames.entry(0, is_picture_incomplete=True), frames.exit(5), frames.entry(30, spot=2)
    )
    messages = [one for one in await published(decider.db) if not isinstance(one, parking.TriggerDecided)]
    assert [(type(one).__name__, one.ticket.is_picture_incomplete) for one in messages] == [
        ("TicketOpened", True),
        ("TicketClosed", True),
        ("TicketOpened", False),
    ]
