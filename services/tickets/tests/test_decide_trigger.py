"""The handler on SQLite and PostgreSQL: what stands in the tables and the outbox after triggers came."""

import asyncio
from datetime import timedelta
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

from .conftest import Desk, Frames, MakeDesk, event_of

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


async def stays(db: Database) -> list[tuple[str, str, float, float | None]]:
    frames = Frames()

    def minute(moment: Any) -> float | None:
        return None if moment is None else (moment - frames.at(0)) / timedelta(minutes=1)

    found = sorted(await rows(db, tickets), key=lambda row: row["entry_at"])
    return [
        (row["plate_text"], row["status"], minute(row["entry_at"]) or 0.0, minute(row["exit_at"]))
        for row in found
    ]


async def test_an_entry_becomes_a_ticket(desk: Desk, frames: Frames) -> None:
    entry = frames.entry(0)
    await desk.play(entry)
    (ticket,) = await rows(desk.db, tickets)
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
    (trigger,) = await rows(desk.db, triggers)
    assert (trigger["decision"], trigger["ticket_id"], trigger["body"]) == (
        "OPENED",
        ticket["ticket_id"],
        None,
    )
    assert await rows(desk.db, reviews) == []
    assert desk.decided == [1]


async def test_its_events_carry_the_whole_ticket(desk: Desk, frames: Frames) -> None:
    entry = frames.entry(0)
    await desk.play(entry)
    messages = await published(desk.db)
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
    assert (decided.frame_id, decided.decision) == (entry.frame.frame_id, parking.DECISION_OPENED)
    first, second = await rows(desk.db, outbox)
    assert first["routing_key"] == "parking.ticket_opened.v1.NAD.95"
    assert second["routing_key"] == "parking.trigger_decided.v1.NAD.95"
    for row in (first, second):
        assert row["partition_key"] == "camera:95"
        assert row["correlation_id"] == entry.frame.frame_id
        assert row["must_route"] is False


async def test_an_exit_closes_and_asks_for_the_exit_picture(desk: Desk, frames: Frames) -> None:
    leaving = frames.leaving(30)
    await desk.play(frames.entry(0), leaving)
    assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30)]
    (ticket,) = await rows(desk.db, tickets)
    assert ticket["mark_state"] == "PENDING"
    assert ticket["exit_picture"]["key"] == leaving.frame.picture.key
    assert ticket["exit_polygon_px"] == [[20, 10], [60, 10], [70, 40], [10, 40]]
    closed, decided = (await published(desk.db))[2:]
    assert names([closed, decided]) == ["TicketClosed", "TriggerDecided"]
    assert closed.ticket.status == parking.TICKET_STATUS_CLOSED
    assert closed.ticket.exit_at.ToSeconds() - closed.ticket.entry_at.ToSeconds() == 30 * 60
    assert closed.ticket.exit_frame_id == leaving.frame.frame_id
    assert decided.decision == parking.DECISION_CLOSED


@pytest.mark.parametrize(
    ("text", "confidence", "reason"), [(None, 0.9, "unread_plate"), ("A12345", 0.3, "low_confidence")]
)
async def test_an_unread_plate_is_unknown_with_a_review(
    desk: Desk, frames: Frames, text: str | None, confidence: float, reason: str
) -> None:
    entry = frames.entry(0, text, confidence=confidence)
    await desk.play(entry)
    (ticket,) = await rows(desk.db, tickets)
    assert (ticket["plate_text"], ticket["is_unknown"], ticket["confidence"]) == ("UNKNOWN", True, 0)
    (review,) = await rows(desk.db, reviews)
    assert (review["ticket_id"], review["status"], review["reason"]) == (
        ticket["ticket_id"],
        "PENDING",
        reason,
    )
    assert review["picture"]["key"] == entry.frame.picture.key
    assert (review["guess"] or {}).get("text") == text
    opened, requested, decided = await published(desk.db)
    assert names([opened, requested, decided]) == ["TicketOpened", "ReviewRequested", "TriggerDecided"]
    assert opened.ticket.plate.text == "UNKNOWN"
    assert requested.review_id == review["review_id"] == decided.review_id
    assert requested.reason == reason
    assert parking.ReviewReason.Name(requested.review_reason) == f"REVIEW_REASON_{reason.upper()}"
    assert requested.ticket.ticket_id == ticket["ticket_id"]


@pytest.mark.parametrize("guess", ["", "A12345"])
async def test_a_plate_seen_and_not_read_is_an_unread_one(desk: Desk, frames: Frames, guess: str) -> None:
    """Also when its sender forgot to leave the text out."""
    entry, leaving = frames.entry(0, guess, confidence=0.99), frames.leaving(5, guess)
    for read in (entry, leaving):
        read.plates[0].state = common.PLATE_STATE_SEEN_NOT_READ
        read.plates[0].unread_reason = "too_small"
        read.plates[0].raw_text = "4123"
    await desk.play(entry)
    (ticket,) = await rows(desk.db, tickets)
    assert (ticket["plate_text"], ticket["plate_number"], ticket["plate_code"]) == ("UNKNOWN", "UNKNOWN", "")
    assert (ticket["is_unknown"], ticket["confidence"]) == (True, 0)
    (review,) = await rows(desk.db, reviews)
    assert review["reason"] == "unread_plate"
    assert (review["guess"]["text"], review["guess"]["raw_text"]) == ("", "4123")
    assert review["guess"]["crop"]["key"]
    await desk.play(leaving)
    (ticket,) = await rows(desk.db, tickets)
    assert ticket["exit_at"] is None, "a car still stands there"


async def test_ignored_triggers_are_kept_with_reason_picture_and_plate(desk: Desk, frames: Frames) -> None:
    again = frames.entry(5, "K77310")
    await desk.play(
        frames.leaving(-5),
        frames.entry(0),
        again,
        frames.entry(6, None, occupancy=plates.SPOT_OCCUPANCY_UNKNOWN),
        frames.leaving(7, "A12345"),
        frames.leaving(8),
        frames.entry(40, None, occupancy=plates.SPOT_OCCUPANCY_FREE),
    )
    kept = await rows(desk.db, triggers)
    assert [(row["decision"], row["reason"]) for row in kept] == [
        ("IGNORED", "No open ticket"),
        ("OPENED", ""),
        ("IGNORED", "Spot already occupied"),
        ("IGNORED", "Spot already occupied"),
        ("IGNORED", "Spot still occupied"),
        ("CLOSED", ""),
        ("IGNORED", "No car detected"),
    ]
    assert kept[2]["picture"]["key"] == again.frame.picture.key
    assert kept[2]["plate_text"] == "K77310"
    assert kept[2]["notes"] == ["another plate than the ticket's: K77310, not A12345"]
    decided = [m for m in await published(desk.db) if isinstance(m, parking.TriggerDecided)]
    assert [m.reason for m in decided] == [row["reason"] for row in kept]
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
    assert len(await rows(desk.db, tickets)) == 1


async def test_the_same_plate_back_reopens(desk: Desk, frames: Frames) -> None:
    await desk.play(frames.entry(0), frames.leaving(30), frames.entry(35))
    (ticket,) = await rows(desk.db, tickets)
    assert (ticket["status"], ticket["exit_at"], ticket["exit_picture"]) == ("OPEN", None, None)
    assert ticket["mark_state"] is None
    assert ticket["earlier_exits"] == [frames.at(30).isoformat()]
    opened, decided = (await published(desk.db))[-2:]
    assert opened.is_reopened is True
    assert decided.decision == parking.DECISION_REOPENED
    await desk.play(frames.leaving(50))
    assert await stays(desk.db) == [("A12345", "CLOSED", 0, 50)]


async def test_a_repeat_changes_nothing(desk: Desk, frames: Frames) -> None:
    entry, leaving = frames.entry(0), frames.leaving(30)
    await desk.play(entry, entry, leaving, entry, leaving, leaving)
    assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30)]
    assert len(await rows(desk.db, outbox)) == 4
    assert len(await rows(desk.db, triggers)) == 2
    assert {(row["consumer"], str(row["message_id"])) for row in await rows(desk.db, inbox)} == {
        (QUEUE, entry.read_id),
        (QUEUE, leaving.read_id),
    }
    repeats = f'lookout_tickets_inbox_repeats_total{{consumer="{QUEUE}"}} 4.0'
    assert repeats in desk.metrics.render().decode()


async def test_a_repeat_after_the_inbox_was_swept_changes_nothing(desk: Desk, frames: Frames) -> None:
    entry = frames.entry(0)
    await desk.play(entry, frames.leaving(30))
    async with desk.db.transaction() as session:
        await session.execute(inbox.delete())
    await desk.play(entry)
    assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30)]
    assert len(await rows(desk.db, outbox)) == 4


class TestLate:
    async def test_the_exit_came_first(self, desk: Desk, frames: Frames) -> None:
        leaving, entry = frames.leaving(30), frames.entry(0)
        await desk.play(leaving, entry)
        assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30)]
        first, second = await rows(desk.db, triggers)
        assert (first["decision"], first["first_reason"], first["is_waiting"]) == (
            "CLOSED",
            "No open ticket",
            False,
        )
        assert second["decision"] == "OPENED"
        messages = await published(desk.db)
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
        # A reader sees the ticket open before it is closed, although it never stood open in the table.
        assert messages[1].ticket.status == parking.TICKET_STATUS_OPEN
        assert len({row["message_id"] for row in await rows(desk.db, outbox)}) == 5

    async def test_a_stay_before_the_open_ticket_is_put_in_beside_it(
        self, desk: Desk, frames: Frames
    ) -> None:
        await desk.play(frames.entry(40, "K77310"), frames.leaving(30), frames.entry(0))
        assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "OPEN", 40, None)]

    async def test_the_exit_between_two_cars_came_late(self, desk: Desk, frames: Frames) -> None:
        second = frames.entry(40, "K77310")
        await desk.play(frames.entry(0), second, frames.leaving(30))
        assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "OPEN", 40, None)]
        found = {row["plate_text"]: row for row in await rows(desk.db, tickets)}
        assert found["K77310"]["entry_picture"]["key"] == second.frame.picture.key
        await desk.play(frames.leaving(60))
        assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "CLOSED", 40, 60)]

    async def test_the_next_car_came_in_the_second_of_the_exit(self, desk: Desk, frames: Frames) -> None:
        await desk.play(frames.entry(0), frames.entry(30, "K77310"), frames.leaving(30))
        assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30), ("K77310", "OPEN", 30, None)]

    async def test_what_came_too_late_finds_nothing_to_pair_with(self, make_desk: MakeDesk) -> None:
        desk, frames = make_desk(Rules(late_event_window=timedelta(minutes=20))), Frames()
        await desk.play(frames.leaving(30), frames.entry(0))
        assert await stays(desk.db) == [("A12345", "OPEN", 0, None)]

    async def test_beyond_the_history_limit_nothing_is_guessed(self, make_desk: MakeDesk) -> None:
        desk, frames = make_desk(history_limit=2), Frames()
        for n in range(3):
            await desk.play(frames.entry(100 + 10 * n, f"K{n}731{n}"), frames.leaving(105 + 10 * n))
        before = await stays(desk.db)
        await desk.play(frames.leaving(30), frames.entry(0))
        assert await stays(desk.db) == before
        *_, late_exit, late_entry = await rows(desk.db, triggers)
        assert late_exit["reason"] == late_entry["reason"] == "Older than the latest ticket"
        assert not late_exit["is_waiting"]

    async def test_a_wrong_clock_is_replaced_and_told(self, desk: Desk, frames: Frames) -> None:
        a_year_s = 365 * 86_400.0
        await desk.play(frames.entry(0, received_after_s=a_year_s))
        (ticket,) = await rows(desk.db, tickets)
        assert ticket["entry_at"] == frames.at(0) + timedelta(seconds=a_year_s)
        assert "camera clock 365 days, 0:00:00 behind" in ticket["notes"][0]
        (trigger,) = await rows(desk.db, triggers)
        assert trigger["captured_at"] == frames.at(0)


async def test_frames_that_are_no_entry_or_exit_leave_no_trace(desk: Desk, frames: Frames) -> None:
    await desk.play(frames.snapshot(0))
    for table in (tickets, triggers, outbox, inbox):
        assert await rows(desk.db, table) == []


async def test_spots_do_not_mix(desk: Desk) -> None:
    one, two = Frames(camera_id=1), Frames(camera_id=2)
    await desk.play(
        one.entry(0), one.entry(1, "K77310", spot=2), two.entry(2, "R90521"), one.leaving(9, spot=2)
    )
    assert await stays(desk.db) == [
        ("A12345", "OPEN", 0, None),
        ("K77310", "CLOSED", 1, 9),
        ("R90521", "OPEN", 2, None),
    ]
    assert [row["camera_id"] for row in await rows(desk.db, cameras)] == [1, 2]
    assert len(await rows(desk.db, spots)) == 3


async def test_a_renamed_camera_is_seen(desk: Desk, frames: Frames) -> None:
    await desk.play(frames.entry(0))
    renamed = frames.leaving(10)
    renamed.frame.camera_name = "north gate"
    await desk.play(renamed)
    (camera,) = await rows(desk.db, cameras)
    assert camera["name"] == "north gate"


async def test_nonsense_is_rejected_and_leaves_nothing(desk: Desk, frames: Frames) -> None:
    no_spot, no_id, no_receipt, no_camera = (frames.entry(n) for n in range(4))
    no_spot.frame.ClearField("spot")
    no_id.frame.frame_id = "one"
    no_receipt.frame.ClearField("received_at")
    no_camera.frame.camera_id = 0
    for read in (no_spot, no_id, no_receipt, no_camera):
        with pytest.raises(Rejected):
            await desk.play(read)
    assert await rows(desk.db, triggers) == []


async def test_what_no_column_takes_is_cleaned(desk: Desk, frames: Frames) -> None:
    entry = frames.entry(0)
    entry.frame.camera_name = "north\x00gate"
    entry.plates[0].raw_text = "A\x0012345"
    entry.plates[0].box.x = float("nan")
    entry.plates[0].characters[0].confidence = float("inf")
    entry.frame.spot.polygon.points[0].x = float("-inf")
    await desk.play(entry)
    (ticket,) = await rows(desk.db, tickets)
    assert ticket["camera_name"] == "northgate"
    assert ticket["seen"]["box_px"] is None


async def test_a_confidence_that_is_no_number_does_not_count(desk: Desk, frames: Frames) -> None:
    await desk.play(frames.entry(0, confidence=float("nan")))
    (ticket,) = await rows(desk.db, tickets)
    assert ticket["is_unknown"]


async def test_a_plate_elsewhere_in_the_picture_is_not_the_cars(desk: Desk, frames: Frames) -> None:
    entry, leaving = frames.entry(0), frames.leaving(30, "A12345")
    entry.spot_plate_index = leaving.spot_plate_index = -1
    leaving.spot_occupancy = plates.SPOT_OCCUPANCY_FREE
    await desk.play(entry, leaving)
    assert await stays(desk.db) == [("UNKNOWN", "CLOSED", 0, 30)]


async def test_only_a_detectors_vehicle_keeps_a_ticket_open(desk: Desk, frames: Frames) -> None:
    by_camera, by_detector = (
        frames.leaving(30, occupancy=plates.SPOT_OCCUPANCY_OCCUPIED),
        frames.leaving(30, occupancy=plates.SPOT_OCCUPANCY_OCCUPIED),
    )
    by_camera.vehicles.add(source="camera", is_in_spot=True)
    by_detector.vehicles.add(source="yolo11x", is_in_spot=True)
    await desk.play(frames.entry(0), by_detector)
    assert await stays(desk.db) == [("A12345", "OPEN", 0, None)]
    await desk.play(by_camera)
    assert await stays(desk.db) == [("A12345", "CLOSED", 0, 30)]


async def test_the_database_refuses_a_second_open_ticket_on_a_spot(desk: Desk, frames: Frames) -> None:
    await desk.play(frames.entry(0), frames.leaving(5), frames.entry(30, "K77310"))
    open_all = update(tickets).values(status="OPEN", exit_at=None)

    async def open_them() -> None:
        async with desk.db.transaction() as session:
            await session.execute(open_all)

    with pytest.raises(IntegrityError):
        await open_them()


async def test_two_replicas_at_once_open_one_ticket(make_desk: MakeDesk) -> None:
    """A shard that moves to another replica may be handled by both for a moment."""
    here, there, frames = make_desk(), make_desk(), Frames()
    first, second = frames.entry(0), frames.entry(1)
    results = await asyncio.gather(
        here.handler(Delivery(event_of(first), QUEUE)),
        there.handler(Delivery(event_of(second), QUEUE)),
        return_exceptions=True,
    )
    for result, read in zip(results, (first, second), strict=True):
        if isinstance(result, Transient):
            await here.play(read)
        else:
            assert result is None
    assert len(await rows(here.db, tickets)) == 1
    assert {row["decision"] for row in await rows(here.db, triggers)} == {"OPENED", "IGNORED"}


async def test_nothing_is_half_written(desk: Desk, frames: Frames) -> None:
    """The outbox refuses: no ticket, no trigger, no inbox row; the next attempt does it all."""
    entry = frames.entry(0)
    async with desk.db.transaction() as session:
        await session.execute(select(1))
        await session.execute(outbox.delete())
    engine = desk.db.engine.sync_engine

    def refuse(*arguments: Any) -> None:
        if "INSERT INTO outbox" in arguments[2]:
            raise RuntimeError("killed here")

    event.listen(engine, "before_cursor_execute", refuse)
    with pytest.raises(RuntimeError, match="killed here"):
        await desk.play(entry)
    event.remove(engine, "before_cursor_execute", refuse)
    for table in (tickets, triggers, outbox, inbox, cameras):
        assert await rows(desk.db, table) == []
    await desk.play(entry)
    assert await stays(desk.db) == [("A12345", "OPEN", 0, None)]
    assert len(await rows(desk.db, cameras)) == 1


async def test_an_ordinary_event_takes_seven_statements_at_most(desk: Desk, frames: Frames) -> None:
    await desk.play(frames.entry(0), frames.leaving(5))
    statements: list[str] = []

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(desk.db.engine.sync_engine, "before_cursor_execute", count)
    for read in (frames.entry(30, "K77310"), frames.entry(31), frames.leaving(40), frames.entry(50, None)):
        statements.clear()
        await desk.play(read)
        counted = [s for s in statements if not s.startswith(("BEGIN", "COMMIT", "SAVEPOINT"))]
        assert len(counted) <= 7, counted
