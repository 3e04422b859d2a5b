"""The migrations on both databases: up and down, equal to the tables in the code, and converting rows."""

from datetime import timedelta
from typing import Any

from sqlalchemy import inspect, null, text, update

from kit.db import Database
from kit.migrations import check, downgrade, upgrade
from kit.settings import DatabaseSettings
from lookout.plates.v1 import plates_pb2 as plates
from tickets.store.tables import spots, tickets, triggers

from .conftest import POLYGON, Decider, Frames
from .test_decide_trigger import rows


async def table_names(settings: DatabaseSettings) -> set[str]:
    db = Database(settings, "tickets")
    async with db.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await db.stop()
    return names - {"alembic_version", "sqlite_sequence"}


async def test_up_down_and_up_again(any_database: str) -> None:
    settings = DatabaseSettings(url=any_database)
    await upgrade(settings, "tickets")
    await check(settings, "tickets")
    assert await table_names(settings) == {
        "tickets",
        "triggers",
        "reviews",
        "cameras",
        "spots",
        "inbox",
        "outbox",
    }
    await downgrade(settings, "tickets", "base")
    assert await table_names(settings) == set()
    await upgrade(settings, "tickets")
    await check(settings, "tickets")


async def test_waiting_triggers_survive_0002_down_and_up(
    any_database: str, decider: Decider, frames: Frames
) -> None:
    settings = DatabaseSettings(url=any_database)
    leaving = frames.exit(30, clock_skew=-timedelta(days=365))
    leaving.vehicles.add(source="camera", is_in_spot=True)
    opened, late = frames.entry(60, spot=2), frames.entry(61, "K77310", spot=2)
    await decider.decide(leaving, opened, late)

    await downgrade(settings, "tickets", "0001")
    older = await _older_rows(decider.db)
    assert [row["reason"] for row in older] == ["No open ticket", "", "Spot already occupied"]
    assert [_read_from(row) for row in older] == [leaving, None, late]

    await upgrade(settings, "tickets")
    # A replica of the release before, which still runs, finds the messages.
    assert [_read_from(row) for row in await _older_rows(decider.db)] == [leaving, None, late]
    await decider.decide(frames.entry(0))
    first, second, *_ = await rows(decider.db, triggers)
    assert (first["decision"], first["first_reason"]) == ("CLOSED", "NO_OPEN_TICKET")
    assert second["reason"] == ""
    [_, closed] = await rows(decider.db, tickets)
    assert closed["exit_polygon_px"] == [list(point) for point in POLYGON]
    assert any("behind: the time of receipt is used" in note for note in closed["notes"])


async def test_a_waiting_trigger_that_a_replica_of_the_release_before_stored_after_0002_is_decided(
    decider: Decider, frames: Frames
) -> None:
    leaving = frames.exit(30, occupancy=plates.SPOT_OCCUPANCY_UNKNOWN)
    leaving.vehicles.add(source="detector", is_in_spot=True)
    await decider.decide(leaving)
    async with decider.db.transaction() as session:
        # That replica writes neither of the new columns, and the reason in words.
        older_row = {"is_vehicle_seen": False, "trigger_notes": null(), "spot_polygon_px": null()}
        await session.execute(update(triggers).values(**older_row, reason="No open ticket"))
    await decider.decide(frames.entry(0))
    [trigger, _] = await rows(decider.db, triggers)
    assert (trigger["decision"], trigger["reason"]) == ("IGNORED", "SPOT_STILL_OCCUPIED")
    assert [row["status"] for row in await rows(decider.db, tickets)] == ["OPEN"]


async def _older_rows(db: Database) -> list[dict[str, Any]]:
    async with db.reading() as session:
        found = await session.execute(text("SELECT reason, body FROM triggers ORDER BY trigger_id"))
        return [dict(row) for row in found.mappings()]


def _read_from(row: dict[str, Any]) -> plates.PlatesRead | None:
    return None if row["body"] is None else plates.PlatesRead.FromString(row["body"])


async def test_0003_gives_spots_the_status_of_their_tickets(
    any_database: str, decider: Decider, frames: Frames
) -> None:
    await decider.decide(
        frames.entry(0), frames.exit(9), frames.entry(2, "B200", spot=2), frames.exit(5, spot=3)
    )
    settings = DatabaseSettings(url=any_database)
    before = await rows(decider.db, spots)
    await downgrade(settings, "tickets", "0002")
    await upgrade(settings, "tickets")
    assert await rows(decider.db, spots) == [
        *before[:2],
        # An exit without a ticket leaves no trace in the tables of 0002 that says so.
        before[2] | {"status": "UNKNOWN", "status_at": None},
    ]
