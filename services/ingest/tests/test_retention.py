"""Retention on a running service: what is deleted, and that a wrong clock deletes nothing."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import select
from structlog.testing import capture_logs

from ingest.handlers.accept_parking_push import SNAPSHOTS
from ingest.handlers.apply_retention import ApplyRetention, accept_clock
from ingest.handlers.dispatch_pending import EXITS
from ingest.metrics import IngestMetrics
from ingest.settings import RetentionSettings
from ingest.store.tables import camera_events
from kit.blobs import new_blob_key, open_blobs
from kit.ids import uuid7
from kit.metrics import Metrics
from testkit import HttpCamera
from testkit.pictures import noise, solid

from .conftest import Ingest, Starter

Sweepers = Callable[..., ApplyRetention]


class Watch:
    """Seconds of a clock that cannot be set: only the time that passes for real."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def ingest(sqlite_ingest: Ingest) -> Ingest:
    """On SQLite: PostgreSQL has a clock of its own, which tests cannot set."""
    return sqlite_ingest


@pytest.fixture
def sweeping(ingest: Ingest, watch: Watch) -> Sweepers:
    """A sweeper over the service's own database and pictures; its logger is captured by `capture_logs`."""

    def make(**given: Any) -> ApplyRetention:
        return ApplyRetention(
            db=ingest.db,
            blobs=open_blobs(ingest.settings.blobs),
            clock=ingest.clock,
            settings=RetentionSettings(**given),
            metrics=IngestMetrics(Metrics("test")),
            logger=structlog.get_logger(),
            monotonic=watch,
        )

    return make


@pytest.fixture
def live(ingest: Ingest, watch: Watch) -> Callable[[timedelta], None]:
    """Let time pass for real: both clocks advance."""

    def pass_time(by: timedelta) -> None:
        ingest.clock.advance(by)
        watch.now_s += by.total_seconds()

    return pass_time


async def test_a_clock_500_days_ahead_at_the_start_deletes_nothing(
    ingest: Ingest, sweeping: Sweepers, live: Callable[[timedelta], None]
) -> None:
    await ingest.make_camera()
    for number in range(43):
        await ingest.post(duration=number, picture=noise(5000, seed=number))
    ingest.clock.advance(timedelta(days=500))
    with capture_logs() as lines:
        for _ in range(3):  # also after further starts: what is trusted is stored
            sweeper = sweeping()
            await sweeper.sweep()
            live(timedelta(hours=1))
            await sweeper.sweep()
    assert len(await ingest.rows()) == 43
    assert len(ingest.blobs(SNAPSHOTS)) == 43
    assert all(row.raw_report is not None for row in await ingest.rows())
    warnings = [line for line in lines if line["event"] == "retention_clock_ahead"]
    assert len(warnings) == 6
    assert warnings[0]["events_due_by_clock"] == 43
    assert warnings[0]["log_level"] == "warning"
    assert warnings[0]["ahead_s"] == 500 * 86_400
    # An event that is stored with the wrong time changes nothing.
    await ingest.post(duration=100, picture=noise(5000, seed=100))
    await sweeping().sweep()
    assert len(await ingest.rows()) == 44


async def test_a_clock_that_stays_ahead_is_believed_after_a_week_of_running(
    ingest: Ingest, sweeping: Sweepers, live: Callable[[timedelta], None]
) -> None:
    await ingest.make_camera()
    for number in range(30):
        await ingest.post(duration=number, picture=noise(5000, seed=number))
    ingest.clock.advance(timedelta(days=500))
    sweeper = sweeping()
    for _ in range(7 * 24):
        await sweeper.sweep()
        live(timedelta(hours=1))
    assert len(await ingest.rows()) == 30
    with capture_logs() as lines:
        await sweeper.sweep()
    assert len(await ingest.rows()) == 10, "20 is what one run may delete of so few"
    assert [line["kind"] for line in lines if line["event"] == "retention_limited"] == ["raw_push", "event"]


async def test_an_operator_can_accept_the_clock(
    ingest: Ingest, sweeping: Sweepers, live: Callable[[timedelta], None]
) -> None:
    await ingest.make_camera()
    await ingest.post()
    ingest.clock.advance(timedelta(days=500))
    sweeper = sweeping()
    await sweeper.sweep()
    assert len(await ingest.rows()) == 1
    assert await accept_clock(ingest.db, ingest.clock) == ingest.clock.now()
    await sweeper.sweep()
    assert await ingest.rows() == []


@pytest.mark.integration
async def test_the_clock_of_the_database_counts_where_it_is_earlier(
    start_ingest: Starter, postgres_url: str
) -> None:
    started = await start_ingest(postgres_url, name="postgres")
    started.clock.set(datetime.now(UTC) + timedelta(days=500))
    accepted = await accept_clock(started.db, started.clock)
    assert abs(accepted - datetime.now(UTC)) < timedelta(hours=1)


async def test_steady_days_delete_what_is_due_with_its_pictures(
    ingest: Ingest, sweeping: Sweepers, live: Callable[[timedelta], None]
) -> None:
    await ingest.make_camera()
    sweeper = sweeping(raw_push_days=2, event_days=3)
    for days in range(6):
        await ingest.post(duration=days, picture=noise(5000, seed=days))
        await sweeper.sweep()
        live(timedelta(days=1))
    with capture_logs() as lines:
        await sweeper.sweep()
    rows = await ingest.rows()
    assert [row.raw_report is None for row in rows] == [True, False, False]
    assert len(ingest.blobs(SNAPSHOTS)) == 3
    (line,) = lines
    assert line["log_level"] == "info"
    assert line["deleted"] == {"raw_push": 1, "event": 1}
    # A site that is silent: time passes for real, so its last evidence ends with its retention, and not before.
    for _ in range(2):
        live(timedelta(days=1))
        await sweeper.sweep()
    assert len(await ingest.rows()) == 1
    live(timedelta(days=1))
    await sweeper.sweep()
    assert await ingest.rows() == []
    assert ingest.blobs(SNAPSHOTS) == []


async def test_one_run_deletes_at_most_a_share_of_what_is_stored(
    ingest: Ingest, sweeping: Sweepers, live: Callable[[timedelta], None]
) -> None:
    await ingest.make_camera()
    sweeper = sweeping(event_days=1, max_share=0.25, min_deletions=1)
    await sweeper.sweep()
    for number in range(8):
        await ingest.post(duration=number, picture=noise(5000, seed=number))
    live(timedelta(days=2))
    left = []
    for _ in range(4):
        await sweeper.sweep()
        left.append(len(ingest.blobs(SNAPSHOTS)))
    assert left == [6, 5, 4, 3]


async def test_pictures_whose_events_were_lost_with_the_database_are_not_deleted_at_once(
    ingest: Ingest, sweeping: Sweepers
) -> None:
    blobs = open_blobs(ingest.settings.blobs)
    two_hours_ago = ingest.clock.now().timestamp() - 7200
    for _ in range(60):
        await blobs.put(new_blob_key(SNAPSHOTS, ingest.clock.now(), "jpg"), b"x", "image/jpeg")
    for path in ingest.blobs():
        os.utime(path, (two_hours_ago, two_hours_ago))
    with capture_logs() as lines:
        await sweeping().sweep()
    assert len(ingest.blobs(SNAPSHOTS)) == 40
    assert [line["kind"] for line in lines if line["event"] == "retention_limited"] == ["orphan"]
    await blobs.stop()


async def test_hold_deletes_nothing(
    ingest: Ingest, sweeping: Sweepers, live: Callable[[timedelta], None]
) -> None:
    await ingest.make_camera()
    await ingest.post()
    sweeper = sweeping(event_days=1, hold=True)
    await sweeper.sweep()
    live(timedelta(days=30))
    with capture_logs() as lines:
        await sweeper.sweep()
    assert [line["event"] for line in lines] == ["retention_held"]
    assert len(await ingest.rows()) == 1


async def test_zero_days_is_forever(ingest: Ingest, sweeping: Sweepers) -> None:
    await ingest.make_camera()
    await ingest.post()
    ingest.clock.advance(timedelta(days=3650))
    await sweeping(raw_push_days=0, event_days=0, capture_days=0).sweep()
    (row,) = await ingest.rows()
    assert row.raw_report is not None
    assert len(ingest.blobs(SNAPSHOTS)) == 1


async def test_a_pending_event_is_not_deleted(ingest: Ingest, sweeping: Sweepers) -> None:
    await ingest.make_camera()
    await ingest.post()
    # Leased, or the service that runs beside this test would send it out in between.
    held = {"state": "PENDING", "frame": b"", "lease_until": ingest.clock.now() + timedelta(days=2 * 3650)}
    async with ingest.db.transaction() as session:
        await session.execute(camera_events.update().values(held))
    ingest.clock.advance(timedelta(days=3650))
    await sweeping(event_days=1).sweep()
    async with ingest.db.reading() as session:
        assert len((await session.execute(select(camera_events.c.event_no))).all()) == 1


async def test_only_old_pictures_without_an_event_are_deleted(ingest: Ingest, sweeping: Sweepers) -> None:
    await ingest.make_camera()
    await ingest.post(picture=solid())
    blobs = open_blobs(ingest.settings.blobs)
    today = ingest.clock.now()
    orphans = [new_blob_key(area, today, "jpg", uuid7()) for area in (SNAPSHOTS, EXITS)]
    orphans.append(new_blob_key(SNAPSHOTS, today, "jpg").replace(".jpg", "-odd.jpg"))
    for key in orphans:
        await blobs.put(key, b"x", "image/jpeg")
    # The blobs' times come from the machine's clock, which is ahead of the test's.
    await sweeping(orphan_min_age_s=3600).sweep()
    assert len(ingest.blobs()) == 4
    two_hours_ago = ingest.clock.now().timestamp() - 7200
    for path in ingest.blobs():
        os.utime(path, (two_hours_ago, two_hours_ago))
    await sweeping(orphan_min_age_s=3600).sweep()
    (kept,) = ingest.blobs()
    (row,) = await ingest.rows()
    assert str(kept).endswith(row.pushed_picture["key"])
    await blobs.stop()


async def test_captures_are_deleted_at_the_end_of_their_retention(
    ingest: Ingest, sweeping: Sweepers, http_camera: HttpCamera
) -> None:
    camera = await ingest.make_camera(p_ip=http_camera.address)
    url = f"/api/v1/cameras/{camera['id']}/frame?store=true"
    assert (await ingest.client.get(url, headers=ingest.admin)).status_code == 200
    (blob,) = ingest.blobs("frames")
    await sweeping(capture_days=30).sweep()
    assert ingest.blobs("frames") == [blob]
    long_ago = (ingest.clock.now() - timedelta(days=31)).timestamp()
    os.utime(blob, (long_ago, long_ago))
    await sweeping(capture_days=30).sweep()
    assert ingest.blobs("frames") == []
