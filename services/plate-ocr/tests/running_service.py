"""The whole service on real sockets, with a subscriber to its events and a folder of pictures."""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
from google.protobuf.timestamp_pb2 import Timestamp

from kit.blobs import BlobStore, new_blob_key, open_blobs
from kit.bus import Bus, Event, Subscription, event_type
from kit.ids import uuid7
from kit.service import Service
from kit.settings import BlobSettings, BusSettings
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from plate_ocr.domain.engines import SkipPlate
from plate_ocr.domain.values import Box, Character, Picture, PictureReading, PlateReading
from plate_ocr.settings import PlateOcrSettings
from plate_ocr.wiring import build
from testkit.clock import ManualClock
from testkit.service import running_service
from testkit.waiting import eventually

READS = Subscription.to(event_type(plates.PlatesRead), "listener")
SPOT = ((100, 100), (300, 100), (300, 300), (100, 300))


class FakeEngine:
    """An engine whose readings a test sets by the width of the picture: width in pixels → plates."""

    name = "fake"
    has_vehicle_detector = False
    known_regions = frozenset({"ae", "de"})
    plates: dict[int, tuple[PlateReading, ...]] = {}  # noqa: RUF012 - shared: the service finds the factory by name

    recognized: list[str] = []  # noqa: RUF012 - as `plates`

    go = threading.Event()
    is_reading = threading.Event()
    """Set when a read begins, also one that waits for `go`."""

    def read(
        self,
        pictures: Sequence[Picture],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        self.is_reading.set()
        assert self.go.wait(20)
        return [
            self._reading(picture, skip[index] if skip else None) for index, picture in enumerate(pictures)
        ]

    def _reading(self, picture: Picture, skip: SkipPlate | None) -> PictureReading:
        found = self.plates.get(picture.shape[1], ())
        skipped = tuple(one.box for one in found if skip is not None and skip(picture, one.box))
        read = tuple(one for one in found if one.box not in skipped)
        self.recognized.extend(one.text for one in read)
        return PictureReading(read, skipped=skipped)


def make_engine() -> FakeEngine:
    return FakeEngine()


def plate(text: str, x: float, y: float, confidence: float = 0.93) -> PlateReading:
    """With its centre there."""
    characters = tuple(Character(c, confidence) for c in text)
    return PlateReading(text, text, "", "", text, confidence, characters, Box(x - 40, y - 10, 80, 20))


@dataclass
class RunningService:
    """A running service, its events and its stores."""

    service: Service
    settings: PlateOcrSettings
    bus: Bus
    blobs: BlobStore
    clock: ManualClock
    http: httpx.AsyncClient
    channel: Callable[..., grpc.aio.Channel]
    events: list[Event] = field(default_factory=list)

    async def store(self, data: bytes) -> common.BlobRef:
        key = new_blob_key("frames", self.clock.now(), "jpg")
        stored = await self.blobs.put(key, data, "image/jpeg")
        return common.BlobRef(key=stored.key, content_type=stored.content_type, size_bytes=len(data))

    def frame(self, picture: common.BlobRef, **more: Any) -> camera.FrameCaptured:
        at = stamp(self.clock.now())
        values: dict[str, Any] = {
            "frame_id": str(uuid7()),
            "purpose": camera.PURPOSE_ENTRY,
            "location_id": 1,
            "location_code": "NAD",
            "camera_id": 95,
            "camera_api_code": "95",
            "spot": camera.Spot(
                spot_id=7,
                spot_number=1,
                polygon=common.Polygon(points=[common.Point(x=x, y=y) for x, y in SPOT]),
            ),
            "captured_at": at,
            "received_at": at,
            "picture": picture,
            "picture_source": camera.PICTURE_SOURCE_PUSHED,
        }
        return camera.FrameCaptured(**{**values, **more})

    def event(self, frame: camera.FrameCaptured, message_id: UUID | None = None) -> Event:
        return Event.of(
            frame,
            scope=("NAD", "95"),
            partition_key=f"camera:{frame.camera_id}",
            app_id="ingest",
            occurred_at=self.clock.now(),
            correlation_id=frame.frame_id,
            message_id=message_id or UUID(frame.frame_id),
        )

    async def publish(self, frame: camera.FrameCaptured, message_id: UUID | None = None) -> Event:
        event = self.event(frame, message_id)
        await self.bus.publish(event)
        return event

    async def read(self, frame: camera.FrameCaptured) -> plates.PlatesRead:
        """Publish the frame and wait for its read."""
        before = len(self.events)
        await self.publish(frame)
        await eventually(lambda: len(self.events) > before, message="read")
        return self.events[-1].parse(plates.PlatesRead)

    async def is_ready(self) -> None:
        """Wait until the engine is loaded."""

        async def ready() -> bool:
            return (await self.http.get("/health/ready")).status_code == 200

        await eventually(ready, message="ready")


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


@asynccontextmanager
async def running(folder: Path, clock: ManualClock, **blocks: Any) -> AsyncIterator[RunningService]:
    settings = PlateOcrSettings(
        **{
            "mode": "embedded",
            "data_dir": folder,
            "bus": BusSettings(url=f"sqlite:///{folder}/bus.db", ordered_retry_delays_s=(0.05, 0.1)),
            "blobs": BlobSettings(url=f"file://{folder}/blobs"),
            "engine": f"{__name__}:make_engine",
            "http": {"port": 0, "host": "127.0.0.1"},
            "log": {"level": "ERROR"},
            **blocks,
        }
    )
    blobs = open_blobs(settings.blobs)
    await blobs.start()
    async with running_service(build, settings, settings.bus, clock=clock, subscriptions=[READS]) as started:
        yield RunningService(
            started.service,
            settings,
            started.bus,
            blobs,
            clock,
            started.http,
            started.channel,
            started.events,
        )
