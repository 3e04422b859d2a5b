"""Migrations, settings, logs: what operators rely on."""

import pytest

from ingest.settings import IngestSettings
from kit import migrations
from kit.settings import DatabaseSettings, SettingsError, read
from testkit import CameraMode, HttpCamera
from testkit.pictures import noise

from .conftest import Starter

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
