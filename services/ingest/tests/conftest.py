"""The service on real sockets, with a database of either kind and a bus that is listened to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from ingest.settings import IngestSettings
from ingest.store.tables import camera_events, outbox_rows
from ingest.wiring import build
from kit.bus import Bus, Event, Subscription, event_type
from kit.db import Database
from kit.service import Service, ServiceRunner
from kit.settings import BusSettings
from lookout.camera.v1 import camera_pb2
from testkit.clock import ManualClock
from testkit.pictures import parking_push
from testkit.service import TokenIssuer, running_service

FRAMES = Subscription.to(event_type(camera_pb2.FrameCaptured), "listener")

QUICK: dict[str, Any] = {
    "http": {"port": 0},
    "log": {"level": "WARNING"},
    "dispatch": {"poll_interval_s": 0.05, "retry_delay_s": 0.05},
}
CORNERS = {"p1_x": 10, "p1_y": 5, "p2_x": 50, "p2_y": 5, "p3_x": 50, "p3_y": 40, "p4_x": 10, "p4_y": 40}


@dataclass
class Ingest:
    """A running service and what tests read of it."""

    settings: IngestSettings
    service: Service
    clock: ManualClock
    client: httpx.AsyncClient
    bus: Bus
    tokens: TokenIssuer
    db: Database
    runner: ServiceRunner
    frames: list[Event] = field(default_factory=list)

    def headers(self, *permissions: str) -> dict[str, str]:
        return self.tokens.headers(*permissions)

    @property
    def admin(self) -> dict[str, str]:
        return self.headers("site:read", "site:write", "cameras:read")

    async def create(self, path: str, **values: Any) -> dict[str, Any]:
        answer = await self.client.post(f"/api/v1/{path}", json=values, headers=self.admin)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def make_camera(
        self, *, location: str = "NAD", api_code: str = "95", spots: int = 1, **values: Any
    ) -> dict[str, Any]:
        """A camera with its pole, zone and location; an existing location is used again."""
        found = await self.client.get(f"/api/v1/locations?code={location}", headers=self.admin)
        if found.json()["items"]:
            place = found.json()["items"][0]
            zones = await self.client.get(f"/api/v1/zones?location_id={place['id']}", headers=self.admin)
            zone = zones.json()["items"][0]
            poles = await self.client.get(f"/api/v1/poles?zone_id={zone['id']}", headers=self.admin)
            pole = poles.json()["items"][0]
        else:
            place = await self.create(
                "locations",
                name=location,
                code=location,
                time_zone="Asia/Dubai",
                camera_user="admin",
                camera_pass="camera-secret",
                regions=["ae"],
            )
            zone = await self.create("zones", location_id=place["id"], code="Z1")
            pole = await self.create("poles", zone_id=zone["id"], name="Pole 1", code="P1")
        camera = await self.create("cameras", pole_id=pole["id"], name="Cam", api_code=api_code, **values)
        for number in range(1, spots + 1):
            await self.create("spots", camera_id=camera["id"], spot_number=number, **CORNERS)
        return camera

    async def post(self, *, headers: dict[str, str] | None = None, **overrides: Any) -> httpx.Response:
        return await self.client.post("/api/v1/post", json=parking_push(**overrides), headers=headers)

    async def rows(self) -> list[Any]:
        async with self.db.reading() as session:
            query = select(camera_events).order_by(camera_events.c.event_no)
            return list((await session.execute(query)).all())

    async def outbox(self) -> list[Any]:
        async with self.db.reading() as session:
            return list((await session.execute(select(outbox_rows).order_by(outbox_rows.c.outbox_id))).all())

    async def sent(self) -> list[camera_pb2.FrameCaptured]:
        """What is in the outbox, in order."""
        return [camera_pb2.FrameCaptured.FromString(row.body) for row in await self.outbox()]

    def blobs(self, area: str = "") -> list[Path]:
        root = self.settings.data_dir / "blobs" / area
        return sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))


Starter = Callable[..., Any]


@pytest.fixture
async def start_ingest(tmp_path: Path) -> AsyncIterator[Starter]:
    """Starts services on a database URL; further settings are those of `IngestSettings`."""
    async with AsyncExitStack() as stack:

        async def start(
            database_url: str, *, clock: ManualClock | None = None, name: str = "", **given: Any
        ) -> Ingest:
            settings = IngestSettings(
                mode="embedded",
                data_dir=tmp_path / f"data{name}",
                database={"url": database_url},
                **{**QUICK, **given},
            )
            bus_settings = BusSettings(url=f"sqlite:///{tmp_path}/bus{name}.db")
            started = await stack.enter_async_context(
                running_service(
                    build, settings, bus_settings, clock=clock or ManualClock(), subscriptions=[FRAMES]
                )
            )
            db = Database(settings.database, "test")
            stack.push_async_callback(db.stop)
            return Ingest(
                settings,
                started.service,
                started.clock,
                started.http,
                started.bus,
                started.tokens,
                db,
                started.runner,
                started.events,
            )

        yield start
        # Connections that a test left open close before the loop does.
        await asyncio.sleep(0)


@pytest.fixture
async def ingest(start_ingest: Starter, any_database: str) -> Ingest:
    """The service with its defaults, once on each kind of database."""
    started: Ingest = await start_ingest(any_database)
    return started


@pytest.fixture
async def sqlite_ingest(start_ingest: Starter, sqlite_url: str) -> Ingest:
    """The service on SQLite alone, for what no database has a part in."""
    started: Ingest = await start_ingest(sqlite_url)
    return started
