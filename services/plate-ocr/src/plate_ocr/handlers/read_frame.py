"""A captured frame becomes a PlatesRead event, which is published before the frame is acknowledged."""

import asyncio
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC
from uuid import UUID

from kit.blobs import BlobStore, new_blob_key
from kit.bus import Bus, Metadata
from kit.clock import Clock
from kit.errors import Invalid, LookoutError, NotFound, TooLarge, UnsupportedMedia
from kit.ids import derived_id
from kit.logging import Logger
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from plate_ocr.domain.engines import EncodeCrop
from plate_ocr.domain.requests import PictureRequest
from plate_ocr.domain.values import Box, Picture, PlateReading
from plate_ocr.handlers.inference import PictureDropped, RegionUnknown
from plate_ocr.handlers.read_picture import ReadPicture
from plate_ocr.mapping import (
    EVENTS,
    box_from_message,
    failed_read_to_message,
    plates_read_to_message,
    polygon_from_message,
    purpose_from_message,
)
from plate_ocr.metrics import PlateOcrMetrics
from plate_ocr.settings import RegionsFor

CROPS = "crops"


class ReadFrame:
    """`executor`: its threads run `encode_crop`."""

    def __init__(
        self,
        *,
        read_picture: ReadPicture,
        blobs: BlobStore,
        bus: Bus,
        clock: Clock,
        encode_crop: EncodeCrop,
        regions_for: RegionsFor,
        executor: Executor,
        logger: Logger,
        metrics: PlateOcrMetrics,
    ) -> None:
        self._read_picture = read_picture
        self._blobs = blobs
        self._bus = bus
        self._clock = clock
        self._encode_crop = encode_crop
        self._regions_for = regions_for
        self._executor = executor
        self._logger = logger
        self._metrics = metrics

    async def __call__(self, frame: camera.FrameCaptured, source: Metadata) -> None:
        """Read the frame and publish the result. Ids and blob keys are derived from the frame's message, so that a
        redelivered frame publishes the same event again.

        Raises:
            Unavailable: the blob store, the engine or the bus is unavailable; the frame is to be redelivered.
        """
        read_id = derived_id(source.message_id, "plates_read")
        try:
            read = await self._read(frame, read_id)
        except (NotFound, Invalid, TooLarge, UnsupportedMedia, PictureDropped) as error:
            # A dropped frame is published as failed and not redelivered: read later it would be older than the
            # next one, and redeliveries would fill the queue that was full.
            read = self._failed(frame, read_id, error)
        await self._bus.publish(
            EVENTS.event(
                read,
                scope=(frame.location_code, frame.camera_api_code),
                partition_key=source.partition_key,
                occurred_at=read.read_at.ToDatetime(UTC),
                correlation_id=source.correlation_id,
                message_id=read_id,
            )
        )
        outcome = _outcome(read)
        self._metrics.frames_read.labels(outcome).inc()
        self._logger.info(
            "frame_read",
            frame_id=frame.frame_id,
            camera_id=frame.camera_id,
            outcome=outcome,
            plates=[plate.text or f"not read: {plate.unread_reason}" for plate in read.plates],
            spot_occupancy=plates.SpotOccupancy.Name(read.spot_occupancy),
            elapsed_ms=round(read.elapsed_ms, 1),
        )

    async def _read(self, frame: camera.FrameCaptured, read_id: UUID) -> plates.PlatesRead:
        request = PictureRequest(
            blob_key=frame.picture.key,
            spot=polygon_from_message(frame.spot.polygon),
            camera_box=camera_box(frame),
            purpose=purpose_from_message(frame.purpose),
            regions=self._regions_for(frame.location_code, frame.regions),
        )
        try:
            result, picture = await self._read_picture(request, can_wait=True)
        except RegionUnknown as error:
            # The picture is good, and nobody waits for the error: plates are read as from any region.
            self._logger.warning("regions_ignored", frame_id=frame.frame_id, reason=error.detail)
            result, picture = await self._read_picture(replace(request, regions=()), can_wait=True)
        crops = await asyncio.gather(
            *(
                self._store_crop(frame, read_id, index, picture, plate)
                for index, plate in enumerate(result.plates)
            )
        )
        return plates_read_to_message(str(read_id), frame, result, crops, self._clock.now())

    async def _store_crop(
        self, frame: camera.FrameCaptured, read_id: UUID, index: int, picture: Picture, plate: PlateReading
    ) -> common.BlobRef | None:
        loop = asyncio.get_running_loop()
        crop = await loop.run_in_executor(self._executor, self._encode_crop, picture, plate.box)
        if crop is None:
            return None
        received_at = frame.received_at.ToDatetime(UTC)
        key = new_blob_key(CROPS, received_at, "jpg", derived_id(read_id, f"crop {index}"))
        stored = await self._blobs.put(key, crop.data, "image/jpeg")
        return common.BlobRef(
            key=stored.key,
            content_type=stored.content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            width_px=crop.width_px,
            height_px=crop.height_px,
        )

    def _failed(self, frame: camera.FrameCaptured, read_id: UUID, error: LookoutError) -> plates.PlatesRead:
        """The frame is published without a reading: the ticket opens, and a person can look at the picture."""
        self._logger.warning(
            "frame_unreadable", frame_id=frame.frame_id, code=error.code, reason=error.detail
        )
        failure = f"{error.code}: {error.detail}"
        code = _failure_code(error)
        return failed_read_to_message(str(read_id), frame, failure, code, self._clock.now())


def _failure_code(error: LookoutError) -> plates.ReadFailure.ValueType:
    match error:
        case PictureDropped():
            return plates.READ_FAILURE_DROPPED
        case NotFound():
            return plates.READ_FAILURE_PICTURE_NOT_FOUND
        case TooLarge():
            return plates.READ_FAILURE_PICTURE_TOO_LARGE
        case _:
            return plates.READ_FAILURE_PICTURE_INVALID


def _outcome(read: plates.PlatesRead) -> str:
    if read.failure:
        return "dropped" if read.failure_code == plates.READ_FAILURE_DROPPED else "failed"
    if any(plate.text for plate in read.plates):
        return "plates"
    return "seen" if read.plates else "none"


def camera_box(frame: camera.FrameCaptured) -> Box | None:
    """The vehicle box that the camera detected in this very picture.

    None on an exit, where the box is that of the car that left, and in a picture that was fetched afterwards.
    """
    if frame.purpose == camera.PURPOSE_EXIT or frame.picture_source == camera.PICTURE_SOURCE_FETCHED:
        return None
    return box_from_message(frame.vehicle_box) if frame.HasField("vehicle_box") else None
