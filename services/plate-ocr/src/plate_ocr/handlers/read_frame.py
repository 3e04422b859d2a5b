"""A captured frame becomes a read. Acknowledged after the read is confirmed; a repeat stays a repeat."""

import asyncio
from concurrent.futures import Executor
from functools import partial
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from kit.blobs import BlobStore, new_blob_key
from kit.bus import Bus, EventSource, Metadata
from kit.clock import Clock
from kit.errors import Invalid, LookoutError, NotFound, TooLarge, UnsupportedMedia
from kit.ids import derived_id
from kit.logging import Logger
from kit.metrics import Metrics
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as contract
from plate_ocr.adapters.decoding import encode_crop
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.values import Box, PlateReading, SpotOccupancy
from plate_ocr.handlers.look import Look, Sight
from plate_ocr.messages import (
    OCCUPANCY,
    PURPOSES,
    box_of,
    plate_message,
    polygon_of,
    vehicle_messages,
)
from plate_ocr.settings import PictureSettings, RegionsFor
from plate_ocr.worker import PictureDropped, RegionUnknown

CROPS = "crops"

EVENTS = EventSource("plate-ocr", contract.PlatesRead)
"""All that plate-ocr publishes."""


class ReadFrame:
    """`threads` encode the crops."""

    def __init__(
        self,
        *,
        look: Look,
        blobs: BlobStore,
        bus: Bus,
        clock: Clock,
        settings: PictureSettings,
        regions_for: RegionsFor,
        threads: Executor,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._look = look
        self._blobs = blobs
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._regions_for = regions_for
        self._threads = threads
        self._logger = logger
        self._frames = metrics.counter("frames_read_total", "frames read", ("outcome",))

    async def __call__(self, frame: camera.FrameCaptured, source: Metadata) -> None:
        """Read it and publish what was read.

        Raises:
            Unavailable: the blob store, the engine or the bus; the frame comes again.
        """
        read_id = derived_id(source.message_id, "plates_read")
        try:
            read = await self._read(frame, read_id)
        except (NotFound, Invalid, TooLarge, UnsupportedMedia, PictureDropped) as error:
            # A dropped frame is told too, and settled: read later it would say less than the next one, and
            # repeats would fill the queue that was full.
            read = self._failed(frame, read_id, error)
        await self._bus.publish(
            EVENTS.event(
                read,
                scope=(frame.location_code, frame.camera_api_code),
                partition_key=source.partition_key,
                occurred_at=read.read_at.ToDatetime(self._clock.now().tzinfo),
                correlation_id=source.correlation_id,
                message_id=read_id,
            )
        )
        outcome = _outcome(read)
        self._frames.labels(outcome).inc()
        self._logger.info(
            "frame_read",
            frame_id=frame.frame_id,
            camera_id=frame.camera_id,
            outcome=outcome,
            plates=[plate.text or f"seen: {plate.unread_reason}" for plate in read.plates],
            spot_occupancy=contract.SpotOccupancy.Name(read.spot_occupancy),
            elapsed_ms=round(read.elapsed_ms, 1),
        )

    async def _read(self, frame: camera.FrameCaptured, read_id: UUID) -> contract.PlatesRead:
        data = await self._blobs.get(frame.picture.key)
        spot = polygon_of(frame.spot.polygon)
        purpose = PURPOSES.get(frame.purpose, Purpose.CALL)
        regions = self._regions_for(frame.location_code, frame.regions)
        look = partial(self._look, data, spot=spot, camera_box=camera_box(frame), waits=True, purpose=purpose)
        try:
            sight = await look(regions=regions)
        except RegionUnknown as error:
            # The picture is good, and the frame's sender cannot be asked: it is read as one from anywhere.
            self._logger.warning("regions_ignored", frame_id=frame.frame_id, reason=error.detail)
            sight = await look()
        crops = await asyncio.gather(
            *(
                self._keep_crop(frame, read_id, number, sight, plate)
                for number, plate in enumerate(sight.plates)
            )
        )
        return contract.PlatesRead(
            read_id=str(read_id),
            frame=frame,
            vehicles=vehicle_messages(sight.vehicles, spot),
            plates=[plate_message(plate, crop) for plate, crop in zip(sight.plates, crops, strict=True)],
            is_spot_occupied=sight.verdict.occupancy is SpotOccupancy.OCCUPIED,
            spot_occupancy=OCCUPANCY[sight.verdict.occupancy],
            spot_plate_index=sight.verdict.plate_index,
            engine=sight.engine,
            elapsed_ms=sight.elapsed_ms,
            read_at=self._now(),
        )

    async def _keep_crop(
        self, frame: camera.FrameCaptured, read_id: UUID, number: int, sight: Sight, plate: PlateReading
    ) -> common.BlobRef | None:
        encoded = await asyncio.get_running_loop().run_in_executor(self._threads, self._encode, sight, plate)
        if encoded is None:
            return None
        data, width_px, height_px = encoded
        # Derived, so that a frame that is read twice overwrites its own crops.
        at = frame.received_at.ToDatetime(self._clock.now().tzinfo)
        key = new_blob_key(CROPS, at, "jpg", derived_id(read_id, f"crop {number}"))
        stored = await self._blobs.put(key, data, "image/jpeg")
        return common.BlobRef(
            key=stored.key,
            content_type=stored.content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            width_px=width_px,
            height_px=height_px,
        )

    def _encode(self, sight: Sight, plate: PlateReading) -> tuple[bytes, int, int] | None:
        margin, quality = self._settings.crop_margin, self._settings.crop_quality
        return encode_crop(sight.picture, plate.box, margin=margin, quality=quality)

    def _failed(self, frame: camera.FrameCaptured, read_id: UUID, error: LookoutError) -> contract.PlatesRead:
        """The frame goes on without a reading: a person can still look at it, and the ticket opens."""
        self._logger.warning(
            "frame_unreadable", frame_id=frame.frame_id, code=error.code, reason=error.detail
        )
        return contract.PlatesRead(
            read_id=str(read_id),
            frame=frame,
            spot_occupancy=contract.SPOT_OCCUPANCY_UNKNOWN,
            spot_plate_index=-1,
            read_at=self._now(),
            failure=f"{error.code}: {error.detail}",
        )

    def _now(self) -> Timestamp:
        stamp = Timestamp()
        stamp.FromDatetime(self._clock.now())
        return stamp


def _outcome(read: contract.PlatesRead) -> str:
    if read.failure:
        return "dropped" if read.failure.startswith(f"{PictureDropped.default_code}: ") else "failed"
    if any(plate.text for plate in read.plates):
        return "plates"
    return "seen" if read.plates else "none"


def camera_box(frame: camera.FrameCaptured) -> Box | None:
    """The camera's own vehicle box, where it was seen in this very picture.

    On an exit it is the car that left, whichever picture is looked at now.
    """
    if frame.purpose == camera.PURPOSE_EXIT or frame.picture_source == camera.PICTURE_SOURCE_FETCHED:
        return None
    return box_of(frame.vehicle_box) if frame.HasField("vehicle_box") else None
