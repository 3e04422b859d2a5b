"""The fixtures: thin wrappers of the context managers of `testkit.servers`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.camera import HttpCamera
from testkit.clock import ManualClock
from testkit.postgres import PostgresServer, postgres
from testkit.rabbitmq import private_rabbitmq_server, rabbitmq_server
from testkit.s3 import S3Server, s3

__all__ = ["private_rabbitmq_server", "rabbitmq_server"]  # fixtures, found here by pytest


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process, each in a fresh database. Tests must not stop it."""
    with postgres() as server:
        yield server


@pytest.fixture
def private_postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for one test, which may stop and kill it."""
    with postgres(is_private=True) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for all tests of this process, each in a fresh bucket. Tests must not stop it."""
    with s3() as server:
        yield server


@pytest.fixture
def private_s3_server() -> Iterator[S3Server]:
    """An S3 server for one test, which may stop it."""
    with s3(is_private=True) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """A fresh PostgreSQL database."""
    return postgres_server.fresh_database()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh SQLite file."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database; the test runs once on SQLite and once on PostgreSQL."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def http_camera() -> Iterator[HttpCamera]:
    """A camera that answers every request."""
    with HttpCamera() as camera:
        yield camera


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock at its default start."""
    return ManualClock()
