"""A captured frame becomes a PlatesRead event, which is published before the frame is acknowledged."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from uuid import UUID

from kit.blobs import BlobStore, new_blob_key
from kit.bus import Bus, Event
from kit.clock import Clock
from kit.errors import Invalid, LookoutError, NotFound, TooLarge, UnsupportedMedia
from kit.ids import derived_id
from kit.logging import Logger
from plate_ocr.domain.engines import EncodeCrop
from plate_ocr.domain.frames import CapturedFrame, FrameRead, ReadFailure, StoredCrop
from plate_ocr.domain.requests import PictureRequest
from plate_ocr.domain.values import Picture, PlateReading, SpotOccupancy, UnreadReason
from plate_ocr.handlers.inference import PictureDropped, RegionUnknown
from plate_ocr.handlers.read_picture import ReadPicture
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

    async def __call__(
        self, frame: CapturedFrame, message_id: UUID, event_of: Callable[[FrameRead], Event]
    ) -> None:
        """Read the frame and publish the result, which `event_of` makes an event. Ids and blob keys are derived from
        the frame's message, so that a redelivered frame publishes the same event again.

        Raises:
            Unavailable: the blob store, the engine or the bus is unavailable; the frame is to be redelivered.
        """
        read_id = derived_id(message_id, "plates_read")
        try:
            read = await self._read(frame, read_id)
        except (NotFound, Invalid, TooLarge, UnsupportedMedia, PictureDropped) as error:
            # A dropped frame is published as failed and not redelivered: read later it would be older than the
            # next one, and redeliveries would fill the queue that was full.
            read = self._failed(frame, read_id, error)
        await self._publish(frame, read, event_of)

    async def give_up(
        self, frame: CapturedFrame, message_id: UUID, reason: str, event_of: Callable[[FrameRead], Event]
    ) -> None:
        """Publish the frame as not read, since the process crashed each time that it was; a person can look at it.

        Raises:
            Unavailable: the bus is unavailable.
        """
        read_id = derived_id(message_id, "plates_read")
        self._logger.error("frame_given_up", frame_id=frame.frame_id, reason=reason)
        failure = f"given_up: {reason}"
        read = FrameRead(read_id, self._clock.now(), failure=failure, failure_code=ReadFailure.GIVEN_UP)
        await self._publish(frame, read, event_of)

    async def _publish(
        self, frame: CapturedFrame, read: FrameRead, event_of: Callable[[FrameRead], Event]
    ) -> None:
        await self._bus.publish(event_of(read))
        outcome = _outcome(read)
        self._metrics.frames_read.labels(outcome).inc()
        result = read.result
        self._logger.info(
            "frame_read",
            frame_id=frame.frame_id,
            camera_id=frame.camera_id,
            outcome=outcome,
            plates=[plate.text or f"not read: {plate.unread_reason}" for plate in result.plates]
            if result
            else [],
            spot_occupancy=(result.spot.occupancy if result else SpotOccupancy.UNKNOWN).value,
            is_picture_complete=result.is_complete if result else None,
            elapsed_ms=round(result.elapsed_ms, 1) if result else 0.0,
        )

    async def _read(self, frame: CapturedFrame, read_id: UUID) -> FrameRead:
        request = replace(
            frame.request, regions=self._regions_for(frame.location_code, frame.request.regions)
        )
        try:
            return await self._read_and_store(frame, request, read_id)
        except RegionUnknown as error:
            # The picture is good, and nobody waits for the error: plates are read as from any region.
            self._logger.warning("regions_ignored", frame_id=frame.frame_id, reason=error.detail)
            return await self._read_and_store(frame, replace(request, regions=()), read_id)

    async def _read_and_store(
        self, frame: CapturedFrame, request: PictureRequest, read_id: UUID
    ) -> FrameRead:
        async with self._read_picture(request, can_wait=True) as (result, picture):
            crops = await asyncio.gather(
                *(
                    self._store_crop(frame, read_id, index, picture, plate)
                    for index, plate in enumerate(result.plates)
                )
            )
        return FrameRead(read_id, self._clock.now(), result, tuple(crops))

    async def _store_crop(
        self, frame: CapturedFrame, read_id: UUID, index: int, picture: Picture, plate: PlateReading
    ) -> StoredCrop | None:
        if plate.unread_reason is UnreadReason.TOO_MANY:
            return None  # a picture of a thousand plates must not store a thousand crops
        loop = asyncio.get_running_loop()
        crop = await loop.run_in_executor(self._executor, self._encode_crop, picture, plate.box)
        if crop is None:
            return None
        key = new_blob_key(CROPS, frame.received_at, "jpg", derived_id(read_id, f"crop {index}"))
        stored = await self._blobs.put(key, crop.data, "image/jpeg")
        return StoredCrop(
            key=stored.key,
            content_type=stored.content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            width_px=crop.width_px,
            height_px=crop.height_px,
        )

    def _failed(self, frame: CapturedFrame, read_id: UUID, error: LookoutError) -> FrameRead:
        """The frame is published without a reading: the ticket opens, and a person can look at the picture."""
        self._logger.warning(
            "frame_unreadable", frame_id=frame.frame_id, code=error.code, reason=error.detail
        )
        failure = f"{error.code}: {error.detail}"
        return FrameRead(read_id, self._clock.now(), failure=failure, failure_code=_failure_code(error))


def _failure_code(error: LookoutError) -> ReadFailure:
    match error:
        case PictureDropped():
            return ReadFailure.DROPPED
        case NotFound():
            return ReadFailure.PICTURE_NOT_FOUND
        case TooLarge():
            return ReadFailure.PICTURE_TOO_LARGE
        case _:
            return ReadFailure.PICTURE_INVALID


def _outcome(read: FrameRead) -> str:
    if read.result is None:
        return "dropped" if read.failure_code is ReadFailure.DROPPED else "failed"
    if any(plate.text for plate in read.result.plates):
        return "plates"
    return "seen" if read.result.plates else "none"
