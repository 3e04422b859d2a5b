"""Migrations, settings, logs: what operators rely on."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from ingest.settings import IngestSettings
from ingest.wiring import build
from kit import migrations
from kit.db import Database
from kit.service import ServiceFailed, ServiceRunner
from kit.settings import DatabaseSettings, SettingsError, read
from testkit import CameraMode, HttpCamera, eventually
from testkit.pictures import noise

from .conftest import QUICK, Starter

DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}

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


@asynccontextmanager
async def started_without_migrating(folder: Path, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = IngestSettings(
        mode="embedded",
        data_dir=folder,
        database={"url": database_url, "migrate_on_start": False},
        bus={"url": f"sqlite:///{folder}/bus.db"},
        blobs={"url": f"file://{folder}/blobs"},
        **QUICK,
    )
    runner = ServiceRunner([build(settings)])
    await runner.start()
    try:
        async with httpx.AsyncClient(base_url=runner.url("ingest")) as client:
            yield client
    finally:
        await runner.stop()


@pytest.mark.integration
async def test_a_service_is_not_ready_before_its_schema_is(any_database: str, tmp_path: Path) -> None:
    settings = DatabaseSettings(url=any_database)
    async with started_without_migrating(tmp_path, any_database) as client:
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert "the database has no tables, and this release needs revision" in ready.text
        assert "run `ingest migrate`" in ready.text
        assert (await client.get("/api/v1/locations")).status_code == 503
        await migrations.upgrade(settings, "ingest")

        async def is_ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(is_ready, timeout_s=30)
        await migrations.downgrade(settings, "ingest", "0001")
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert "is at revision 0001" in ready.text


@pytest.mark.integration
async def test_a_schema_of_a_newer_release_ends_the_start_with_a_sentence(
    any_database: str, tmp_path: Path
) -> None:
    await migrations.upgrade(DatabaseSettings(url=any_database), "ingest")
    engine = create_engine(make_url(any_database).set(drivername=DRIVERS[make_url(any_database).drivername]))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ServiceFailed, match=r"a newer release \(revision 9999"):
        async with started_without_migrating(tmp_path, any_database):
            pass
    with pytest.raises(ServiceFailed, match=r"install that release"):
        await migrations.upgrade(DatabaseSettings(url=any_database), "ingest")


def run_migrate(database_url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "LOOKOUT_MODE": "embedded",
        "LOOKOUT_DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
    }
    return subprocess.run(
        [sys.executable, "-m", "ingest", "migrate", *arguments],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )


@pytest.mark.integration
async def test_a_downgrade_is_asked_for_and_refused_while_the_service_runs(
    any_database: str, tmp_path: Path
) -> None:
    settings = DatabaseSettings(url=any_database)
    assert run_migrate(any_database, tmp_path).returncode == 0
    unnamed = run_migrate(any_database, tmp_path, "--down")
    assert (unnamed.returncode, "--down needs --revision" in unnamed.stderr) == (2, True)
    unasked = run_migrate(any_database, tmp_path, "--down", "--revision", "base")
    assert (unasked.returncode, "--yes downgrades without asking" in unasked.stderr) == (1, True)
    if any_database.startswith("postgresql"):
        db = Database(settings, "ingest")
        try:
            await db.ping()
            used = run_migrate(any_database, tmp_path, "--down", "--revision", "base", "--yes")
        finally:
            await db.stop()
        assert (used.returncode, "ingest is running" in used.stderr) == (1, True)
    assert await migrations.current(settings, "ingest") is not None
    done = run_migrate(any_database, tmp_path, "--down", "--revision", "base", "--yes")
    assert done.returncode == 0, done.stderr
    assert await migrations.current(settings, "ingest") is None


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
    for printed in (out.out, out.err):
        assert "camera-secret" not in printed
        assert "/9j/4AAQ" not in printed
