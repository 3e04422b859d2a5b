"""The fixtures, thin over the context managers of `testkit.servers`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.clock import ManualClock
from testkit.postgres import PostgresServer, postgres
from testkit.s3 import S3Server, s3


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process. A test that stops it starts it again before it ends."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for all tests of this process. A test that stops it starts it again before it ends."""
    with s3() as server:
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
    """The URL of a fresh database: the test runs once on each kind."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock at its default start."""
    return ManualClock()
