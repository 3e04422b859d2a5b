from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import grpc
import httpx
import pytest
import structlog
from google.protobuf.duration_pb2 import Duration

from kit.blobs import BlobStore, open_blobs
from kit.bus import BatchHandler, Bus, Delivery, Event, Handler
from kit.db import Database
from kit.ids import derived_id
from kit.inbox import Inbox
from kit.metrics import Metrics
from kit.migrations import upgrade
from kit.outbox import Outbox
from kit.service import Service
from kit.settings import BlobSettings, BusSettings, DatabaseSettings
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from testkit.clock import ManualClock
from testkit.service import TokenIssuer, running_service
from testkit.waiting import eventually
from tickets.consumers import consumers
from tickets.domain.triggers import Rules
from tickets.handlers.decide_trigger import DecideTrigger
from tickets.mapping import timestamp
from tickets.metrics import TicketsMetrics
from tickets.settings import TicketsSettings
from tickets.store.tables import inbox, outbox
from tickets.wiring import build

MORNING = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
SEED = UUID(int=11)
POLYGON = ((20.0, 10.0), (60.0, 10.0), (70.0, 40.0), (10.0, 40.0))


@dataclass
class Frames:
    """Builds `PlatesRead` messages of one camera, as plate-ocr publishes them. Times are minutes after 8:00."""

    camera_id: int = 95
    location: tuple[int, str] = (1, "NAD")
    made: int = field(default=0)

    def at(self, minute: float) -> datetime:
        return MORNING + timedelta(minutes=minute)

    def entry(self, minute: float, text: str | None = "A12345", **more: Any) -> plates.PlatesRead:
        return self._read(camera.PURPOSE_ENTRY, minute, text, **more)

    def exit(self, minute: float, text: str | None = None, **more: Any) -> plates.PlatesRead:
        return self._read(camera.PURPOSE_EXIT, minute, text, **more)

    def snapshot(self, minute: float) -> plates.PlatesRead:
        return self._read(camera.PURPOSE_SNAPSHOT, minute, "A12345")

    def _read(
        self,
        purpose: camera.Purpose.ValueType,
        minute: float,
        text: str | None,
        *,
        spot: int = 1,
        region: str = "ae-du",
        confidence: float = 0.93,
        occupancy: plates.SpotOccupancy.ValueType | None = None,
        received_after_s: float = 1,
        clock_skew: timedelta = timedelta(),
        picture: common.BlobRef | None = None,
        crop: common.BlobRef | None = None,
        failure: str = "",
        source: camera.PictureSource.ValueType | None = None,
        time_zone: str = "Asia/Dubai",
        number_of_parking: int = 0,
        is_picture_incomplete: bool = False,
    ) -> plates.PlatesRead:
        self.made += 1
        is_entry = purpose == camera.PURPOSE_ENTRY
        frame_id = uuid5(SEED, f"{self.camera_id} {self.made}")
        occurred_at = self.at(minute)
        received_at = occurred_at + timedelta(seconds=received_after_s)
        skew = Duration()
        skew.FromTimedelta(clock_skew or -timedelta(seconds=received_after_s))
        clock_state = camera.CLOCK_STATE_OK
        if clock_skew:  # implausible: ingest has replaced the camera's time by that of receipt
            occurred_at = received_at
            clock_state = camera.CLOCK_STATE_AHEAD if clock_skew > timedelta() else camera.CLOCK_STATE_BEHIND
        frame = camera.FrameCaptured(
            frame_id=str(frame_id),
            purpose=purpose,
            location_id=self.location[0],
            location_code=self.location[1],
            zone_id=2,
            zone_code="Z1",
            pole_id=3,
            pole_code="P1",
            camera_id=self.camera_id,
            camera_name=f"NAD-P1-C{self.camera_id}",
            camera_api_code=str(self.camera_id),
            time_zone=time_zone,
            spot=camera.Spot(
                spot_id=100 + spot,
                spot_number=spot,
                polygon=common.Polygon(points=[common.Point(x=x, y=y) for x, y in POLYGON]),
            ),
            captured_at=timestamp(occurred_at),
            received_at=timestamp(received_at),
            clock_state=clock_state,
            clock_skew=skew,
            camera=common.CameraRef(
                camera_id=self.camera_id,
                name=f"NAD-P1-C{self.camera_id}",
                api_code=str(self.camera_id),
                location_id=self.location[0],
                location_code=self.location[1],
                zone_id=2,
                zone_code="Z1",
                pole_id=3,
                pole_code="P1",
                time_zone=time_zone,
                number_of_parking=number_of_parking,
            ),
            spot_ref=common.SpotRef(spot_id=100 + spot, spot_number=spot),
            picture=picture or blob(f"frames/2026/03/14/{frame_id}.jpg"),
            picture_source=source
            or (camera.PICTURE_SOURCE_PUSHED if is_entry else camera.PICTURE_SOURCE_FETCHED),
        )
        found = [] if text is None else [_plate(text, region, confidence, crop)]
        if occupancy is None:
            is_empty = text is None and not is_entry
            occupancy = plates.SPOT_OCCUPANCY_FREE if is_empty else plates.SPOT_OCCUPANCY_OCCUPIED
        return plates.PlatesRead(
            read_id=str(derived_id(frame_id, "plates_read")),
            frame=frame,
            plates=found,
            spot_plate_index=0 if found else -1,
            spot_occupancy=occupancy,
            is_spot_occupied=occupancy == plates.SPOT_OCCUPANCY_OCCUPIED,
            failure=failure,
            is_picture_incomplete=is_picture_incomplete,
        )


def _plate(text: str, region: str, confidence: float, crop: common.BlobRef | None) -> common.Plate:
    has_code = text[:1].isalpha() and text[1:].isdigit()
    return common.Plate(
        text=text,
        region=region,
        code=text[0] if has_code else "",
        number=text[1:] if has_code else "",
        confidence=confidence,
        characters=[common.Character(text=c, confidence=confidence) for c in text],
        box=common.Box(x=1, y=2, width=30, height=8),
        crop=crop or blob("crops/2026/03/14/crop.jpg"),
        raw_text=text,
    )


def blob(key: str) -> common.BlobRef:
    return common.BlobRef(
        key=key, content_type="image/jpeg", size_bytes=9, sha256="00", width_px=64, height_px=48
    )


def event_of(read: plates.PlatesRead) -> Event:
    """The event in which plate-ocr publishes it."""
    frame = read.frame
    return Event.of(
        read,
        scope=(frame.location_code, frame.camera_api_code),
        partition_key=f"camera:{frame.camera_id}",
        app_id="plate-ocr",
        occurred_at=MORNING,
        correlation_id=frame.frame_id,
        message_id=UUID(read.read_id),
    )


@dataclass
class Decider:
    """`DecideTrigger` behind its consumer, on a real database and without a bus."""

    db: Database
    clock: ManualClock
    metrics: Metrics
    handler: Handler
    decided: list[int]

    async def decide(self, *reads: plates.PlatesRead) -> None:
        for read in reads:
            await self.handler(Delivery(event_of(read), "tickets.plates_read.v1"))

    async def decide_in_one_transaction(self, *reads: plates.PlatesRead) -> None:
        assert isinstance(self.handler, BatchHandler)
        await self.handler.handle_batch(
            [Delivery(event_of(read), "tickets.plates_read.v1") for read in reads]
        )


MakeDecider = Callable[..., Decider]


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
async def database(any_database: str) -> AsyncIterator[Database]:
    settings = DatabaseSettings(url=any_database)
    await upgrade(settings, "tickets")
    db = Database(settings, "tickets")
    await db.start()
    yield db
    await db.stop()


@pytest.fixture
def make_decider(database: Database, manual_clock: ManualClock) -> MakeDecider:
    def make(rules: Rules | None = None, history_limit: int = 200) -> Decider:
        metrics = Metrics("tickets")
        decided: list[int] = []
        decide = DecideTrigger(
            outbox=Outbox(outbox),
            rules=rules or Rules(),
            history_limit=history_limit,
            clock=manual_clock,
            logger=structlog.get_logger(),
            metrics=TicketsMetrics(metrics),
            on_decided=lambda: decided.append(1),
        )
        [consumer] = consumers(decide, database, Inbox(inbox, metrics))
        return Decider(database, manual_clock, metrics, consumer.handler("tickets"), decided)

    return make


@pytest.fixture
def decider(make_decider: MakeDecider) -> Decider:
    return make_decider()


@dataclass
class RunningTickets:
    """The service on real sockets, with a bus and a blob folder of its own."""

    service: Service
    settings: TicketsSettings
    bus: Bus
    blobs: BlobStore
    clock: ManualClock
    tokens: TokenIssuer
    channel: Callable[..., grpc.aio.Channel]
    http: httpx.AsyncClient
    anonymous: httpx.AsyncClient

    async def publish(self, *reads: plates.PlatesRead) -> None:
        """Publish, and wait until all are decided."""
        before = await self.decided()
        for read in reads:
            await self.bus.publish(event_of(read))

        async def is_done() -> bool:
            return await self.decided() >= before + len(reads)

        _: bool = await eventually(is_done, message="decided")

    async def decided(self) -> int:
        rendered = (await self.anonymous.get("/metrics")).text
        lines = [
            line for line in rendered.splitlines() if line.startswith("lookout_tickets_decisions_total{")
        ]
        return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines))

    async def get(self, path: str, /, **params: Any) -> Any:
        """The JSON of a 200 response."""
        response = await self.http.get(f"/api/v1{path}", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def get_problem(self, path: str, code: int, /, **params: Any) -> Any:
        """The problem of an error response."""
        response = await self.http.get(f"/api/v1{path}", params=params)
        assert response.status_code == code, response.text
        assert response.headers["content-type"] == "application/problem+json"
        return response.json()


@asynccontextmanager
async def running(
    database_url: str, folder: Path, clock: ManualClock, **blocks: Any
) -> AsyncIterator[RunningTickets]:
    settings = TicketsSettings(
        mode="embedded",
        data_dir=folder,
        database=DatabaseSettings(url=database_url),
        bus=BusSettings(url=f"sqlite:///{folder}/bus.db", relay_poll_interval_s=0.1),
        blobs=BlobSettings(url=f"file://{folder}/blobs"),
        **{
            "http": {"port": 0, "host": "127.0.0.1"},
            "log": {"level": "ERROR"},
            **blocks,
        },
    )
    blobs = open_blobs(settings.blobs)
    await blobs.start()
    async with running_service(build, settings, settings.bus, clock=clock) as started:
        url, headers = str(started.http.base_url), started.tokens.headers("tickets:read")
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            yield RunningTickets(
                started.service,
                settings,
                started.bus,
                blobs,
                clock,
                started.tokens,
                started.channel,
                http,
                started.http,
            )


@pytest.fixture
async def service(
    sqlite_url: str, tmp_path: Path, manual_clock: ManualClock
) -> AsyncIterator[RunningTickets]:
    async with running(sqlite_url, tmp_path, manual_clock) as made:
        yield made


@pytest.fixture
async def any_service(
    any_database: str, tmp_path: Path, manual_clock: ManualClock
) -> AsyncIterator[RunningTickets]:
    async with running(any_database, tmp_path, manual_clock) as made:
        yield made
