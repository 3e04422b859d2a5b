from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from kit.bus import Bus
from kit.columns import new_metadata
from kit.db import Database
from kit.inbox import Inbox, inbox_table
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.outbox import Outbox, Relay, outbox_table
from kit.settings import DatabaseSettings, LogSettings
from testkit.bus import BusBackend


@dataclass
class ServiceParts:
    """A service's database and its bus: both embedded, or PostgreSQL and RabbitMQ."""

    kind: str
    database_url: str
    backend: BusBackend
    db: Database
    outbox: Outbox
    inbox: Inbox
    metrics: Metrics

    def relay(self, bus: Bus, **overrides) -> Relay:
        settings = self.backend.settings(
            **{
                "relay_poll_interval_s": 0.1,
                "relay_backoff_max_s": 0.5,
                "relay_outage_backoff_max_s": 0.5,
                "queue_depth_interval_s": 0.1,
                **overrides,
            }
        )
        logger = make_logger("test", LogSettings(level="ERROR", format="console"))
        return Relay(self.db, self.outbox, bus, settings, logger, self.metrics)

    async def add(self, *events) -> None:
        async with self.db.transaction() as session:
            await self.outbox.add(session, *events)


@asynccontextmanager
async def _service(kind: str, database_url: str, backend: BusBackend) -> AsyncIterator[ServiceParts]:
    metadata = new_metadata()
    metrics = Metrics("test")
    outbox, inbox = Outbox(outbox_table(metadata)), Inbox(inbox_table(metadata), metrics)
    db = Database(DatabaseSettings(url=database_url), "test")
    await db.start()
    async with db.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield ServiceParts(kind, database_url, backend, db, outbox, inbox, metrics)
    await backend.close_all()
    await db.stop()


@pytest.fixture
async def embedded_service(tmp_path) -> AsyncIterator[ServiceParts]:
    backend = BusBackend("sqlite", f"sqlite:///{tmp_path / 'bus.db'}")
    async with _service("embedded", f"sqlite:///{tmp_path / 'service.db'}", backend) as service:
        yield service


@pytest.fixture
async def distributed_service(postgres_server, rabbitmq_server) -> AsyncIterator[ServiceParts]:
    backend = BusBackend("rabbitmq", rabbitmq_server.fresh_vhost())
    async with _service("distributed", postgres_server.fresh_database(), backend) as service:
        yield service


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=pytest.mark.integration)])
def service(request) -> ServiceParts:
    service = request.getfixturevalue(f"{request.param}_service")
    assert isinstance(service, ServiceParts)
    return service
