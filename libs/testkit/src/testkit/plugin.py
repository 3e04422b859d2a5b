"""The fixtures, and what separates unit tests from integration tests.

A test that requests a fixture of the ini option `integration_fixtures` is marked `integration`. Any other test may not
open a network socket: pytest-socket makes it fail, so that `-m "not integration"` needs neither server nor network.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
from pytest_socket import disable_socket, enable_socket

from testkit.camera import HttpCamera
from testkit.clock import ManualClock
from testkit.disk import SmallDisk
from testkit.disk import small_disk as mounted_small_disk
from testkit.postgres import PostgresServer, postgres
from testkit.rabbitmq import private_rabbitmq_server, rabbitmq_server
from testkit.s3 import S3Server, s3

__all__ = ["private_rabbitmq_server", "rabbitmq_server"]  # fixtures, found here by pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini(
        "integration_fixtures", "fixtures that use a server, a socket or a process", type="args", default=[]
    )


@pytest.hookimpl(
    tryfirst=True
)  # before Hypothesis' own plugin, so that --hypothesis-profile takes precedence
def pytest_configure() -> None:
    """Let Hypothesis judge no speed: how fast data is drawn and examples run depends on what else the machine does."""
    hypothesis.settings.register_profile(
        "lookout", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("lookout")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that request a fixture of `integration_fixtures`, directly or not; also `chaos` and `e2e`."""
    fixtures = frozenset(config.getini("integration_fixtures"))
    for item in items:
        is_requested = isinstance(item, pytest.Function) and fixtures.intersection(item.fixturenames)
        if is_requested or item.get_closest_marker("chaos") or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse network sockets to unit tests. Unix sockets stay: every event loop has a pair of them."""
    if item.get_closest_marker("integration") is None:
        disable_socket(allow_unix_socket=True)
    else:
        enable_socket()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Fixtures of a wider scope may open sockets between tests."""
    enable_socket()


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
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 16 MiB that a test may fill; skips where this user may not mount one."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted_small_disk(tmp_path / "small-disk"))
        except PermissionError as error:
            pytest.skip(str(error))
        yield disk


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh SQLite file."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
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
