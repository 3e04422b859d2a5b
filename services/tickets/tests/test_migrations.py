"""The migrations on both databases: up and down, equal to the tables in the code, and converting rows."""

from datetime import timedelta
from typing import Any

from sqlalchemy import inspect, text

from kit.db import Database
from kit.migrations import check, downgrade, upgrade
from kit.settings import DatabaseSettings
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from tickets.store.tables import triggers

from .conftest import Decider, Frames
from .test_decide_trigger import rows


async def tables(settings: DatabaseSettings) -> set[str]:
    db = Database(settings, "tickets")
    async with db.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await db.stop()
    return names - {"alembic_version", "sqlite_sequence"}


async def test_up_down_and_up_again(any_database: str) -> None:
    settings = DatabaseSettings(url=any_database)
    await upgrade(settings, "tickets")
    await check(settings, "tickets")
    assert await tables(settings) == {"tickets", "triggers", "reviews", "cameras", "spots", "inbox", "outbox"}
    await downgrade(settings, "tickets", "base")
    assert await tables(settings) == set()
    await upgrade(settings, "tickets")
    await check(settings, "tickets")


async def test_waiting_triggers_survive_0002_down_and_up(
    any_database: str, decider: Decider, frames: Frames
) -> None:
    settings = DatabaseSettings(url=any_database)
    leaving = frames.exit(30, clock_skew=-timedelta(days=365))
    leaving.vehicles.add(source="camera", is_in_spot=True)
    await decider.decide(leaving, frames.entry(60, spot=2), frames.entry(61, "K77310", spot=2))
    before = await rows(decider.db, triggers)
    assert [row["is_waiting"] for row in before] == [True, False, True]

    await downgrade(settings, "tickets", "0001")
    older = await _older_rows(decider.db)
    assert [row["reason"] for row in older] == ["No open ticket", "", "Spot already occupied"]
    assert older[1]["body"] is None
    exit_read, entry_read = (plates.PlatesRead.FromString(older[n]["body"]) for n in (0, 2))
    for field in ("frame_id", "purpose", "camera_id", "location_code", "time_zone", "received_at", "picture"):
        assert getattr(exit_read.frame, field) == getattr(leaving.frame, field), field
    assert exit_read.frame.spot == leaving.frame.spot
    assert entry_read.plates[entry_read.spot_plate_index].text == "K77310"
    assert entry_read.plates[entry_read.spot_plate_index].state == common.PLATE_STATE_READ

    await upgrade(settings, "tickets")
    after = await rows(decider.db, triggers)
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1]["reason"] == ""
    await decider.decide(frames.entry(0))
    first, *_ = await rows(decider.db, triggers)
    assert (first["decision"], first["first_reason"]) == ("CLOSED", "NO_OPEN_TICKET")


async def _older_rows(db: Database) -> list[dict[str, Any]]:
    async with db.reading() as session:
        found = await session.execute(text("SELECT reason, body FROM triggers ORDER BY trigger_id"))
        return [dict(row) for row in found.mappings()]
