"""Migrations, settings, retention, logs: what operators rely on."""

import os
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from ingest.handlers.accept_parking_push import SNAPSHOTS
from ingest.handlers.apply_retention import ApplyRetention
from ingest.handlers.dispatch_pending import EXITS
from ingest.metrics import IngestMetrics
from ingest.settings import IngestSettings, RetentionSettings
from ingest.store.tables import camera_events
from kit import migrations
from kit.blobs import new_blob_key, open_blobs
from kit.ids import uuid7
from kit.metrics import Metrics
from kit.settings import DatabaseSettings, SettingsError, read
from testkit import CameraMode, HttpCamera
from testkit.pictures import noise, solid

from .conftest import Ingest, Starter

DISTRIBUTED = {
    "LOOKOUT_MODE": "distributed",
    "DATABASE_URL": "postgresql://u:p@h/d",
    "RABBITMQ_URL": "amqp://u:p@h/",
    "LOOKOUT_INGEST__BLOBS__URL": "file:///tmp/blobs",
    "LOOKOUT_INGEST__GRPC__TOKEN": "a token for services",
}


async def test_the_schema_goes_up_and_down_and_agrees_with_the_tables(any_database: str) -> None:
    settings = DatabaseSettings(url=any_database)
    await migrations.upgrade(settings, "ingest")
    await migrations.check(settings, "ingest")
    await migrations.downgrade(settings, "ingest", "base")
    assert await migrations.current(settings, "ingest") is None
    await migrations.upgrade(settings, "ingest")
    await migrations.check(settings, "ingest")


def test_distributed_mode_needs_a_key_for_secrets() -> None:
    with pytest.raises(SettingsError, match=r"INGEST__SECRETS_KEY"):
        read(IngestSettings, environ=DISTRIBUTED)
    read(IngestSettings, environ=DISTRIBUTED | {"LOOKOUT_INGEST__SECRETS_KEY": "k" * 32})


def test_loopback_cameras_are_for_embedded_mode() -> None:
    distributed = read(IngestSettings, environ=DISTRIBUTED | {"LOOKOUT_INGEST__SECRETS_KEY": "k" * 32})
    assert not distributed.devices.is_loopback_allowed
    assert read(IngestSettings, environ={"LOOKOUT_MODE": "embedded"}).devices.is_loopback_allowed
    assert "kkkk" not in repr(distributed)


@pytest.fixture
def sweeping(ingest: Ingest) -> Any:
    """A sweeper over the service's own database and pictures."""

    def make(**given: Any) -> Any:
        return ApplyRetention(
            db=ingest.db,
            blobs=open_blobs(ingest.settings.blobs),
            clock=ingest.clock,
            settings=RetentionSettings(**given),
            metrics=IngestMetrics(Metrics("test")),
        )

    return make


async def test_raw_pushes_are_deleted_before_events_and_events_with_their_pictures(
    ingest: Ingest, sweeping: Any
) -> None:
    await ingest.make_camera()
    for days in range(4):
        await ingest.post(duration=days, picture=noise(5000, seed=days))
        ingest.clock.advance(timedelta(days=1))
    sweeper = sweeping(raw_push_days=2, event_days=3)
    await sweeper.sweep()
    rows = await ingest.rows()
    assert [row.raw_report is None for row in rows] == [True, False, False]
    assert len(ingest.blobs(SNAPSHOTS)) == 3
    ingest.clock.advance(timedelta(days=30))
    await sweeper.sweep()
    assert await ingest.rows() == []
    assert ingest.blobs(SNAPSHOTS) == []


async def test_zero_days_is_forever(ingest: Ingest, sweeping: Any) -> None:
    await ingest.make_camera()
    await ingest.post()
    ingest.clock.advance(timedelta(days=3650))
    await sweeping(raw_push_days=0, event_days=0, capture_days=0).sweep()
    (row,) = await ingest.rows()
    assert row.raw_report is not None
    assert len(ingest.blobs(SNAPSHOTS)) == 1


async def test_a_pending_event_is_not_deleted(ingest: Ingest, sweeping: Any) -> None:
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


async def test_only_old_pictures_without_an_event_are_deleted(ingest: Ingest, sweeping: Any) -> None:
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
    ingest: Ingest, sweeping: Any, http_camera: HttpCamera
) -> None:
    camera = await ingest.make_camera(p_ip=http_camera.address)
    url = f"/api/v1/cameras/{camera['id']}/frame?store=true"
    assert (await ingest.client.get(url, headers=ingest.admin)).status_code == 200
    (blob,) = ingest.blobs("frames")
    await sweeping(capture_days=30).sweep()
    assert ingest.blobs("frames") == [blob]
    age = timedelta(seconds=blob.stat().st_mtime - ingest.clock.now().timestamp())
    ingest.clock.advance(age + timedelta(days=31))
    await sweeping(capture_days=30).sweep()
    assert ingest.blobs("frames") == []


async def test_no_log_line_contains_a_secret_or_a_picture(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest = await start_ingest(sqlite_url, log={"level": "DEBUG", "format": "json"})
    await ingest.make_camera(p_ip=http_camera.address)
    http_camera.mode = CameraMode.REFUSE
    await ingest.post(occupancy=0, picture=noise(5000))
    await ingest.client.post(
        "/api/v1/locations", json={"name": "", "camera_pass": "camera-secret"}, headers=ingest.admin
    )
    out = capsys.readouterr()
    assert "http_request" in out.out
    for text in (out.out, out.err):
        assert "camera-secret" not in text
        assert "/9j/4AAQ" not in text
