"""Reads one picture: loads, checks and decodes it, reads its plates, and judges the parking spot in it."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from kit.blobs import BlobStore
from kit.byte_budget import ByteBudget
from kit.tracing import span
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.engines import CheckPicture, DecodePicture, SkipPlate
from plate_ocr.domain.requests import PictureRequest, PictureResult
from plate_ocr.domain.spots import overlap_with_spot, spot_state
from plate_ocr.domain.values import Picture, VehicleDetection
from plate_ocr.handlers.inference import InferenceWorker
from plate_ocr.metrics import PlateOcrMetrics

CAMERA = "camera"
"""The source of a vehicle that the camera itself detected."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What pictures of one kind are read with. `executor`: its threads check and decode them."""

    worker: InferenceWorker
    executor: Executor


class ReadPicture:
    """Shared by HTTP, gRPC and the bus.

    `calls`: the reader of pictures that a caller waits for; calls need no token, and must not take the threads of the
    `frames` of cameras. `memory`: for the decoded pictures of both. `call_memory`: the part that calls may use.
    """

    def __init__(
        self,
        frames: Reader,
        calls: Reader,
        blobs: BlobStore,
        check: CheckPicture,
        decode: DecodePicture,
        memory: ByteBudget,
        call_memory: ByteBudget,
        metrics: PlateOcrMetrics,
    ) -> None:
        self._frames = frames
        self._calls = calls
        self._blobs = blobs
        self._check = check
        self._decode = decode
        self._memory = memory
        self._call_memory = call_memory
        self._metrics = metrics

    @asynccontextmanager
    async def __call__(
        self, request: PictureRequest, *, can_wait: bool, skip: SkipPlate | None = None
    ) -> AsyncIterator[tuple[PictureResult, Picture]]:
        """The result and the decoded picture, whose memory is free for others after the block. `can_wait` and `skip`:
        see `InferenceWorker.read`.

        Raises:
            NotFound: there is no such blob.
            Invalid, TooLarge, UnsupportedMedia: the picture or the regions are wrong.
            PictureDropped, Unavailable: the engine, its queue or the memory has no place for the picture.
        """
        is_call = request.purpose is Purpose.CALL
        reader = self._calls if is_call else self._frames
        data = request.image
        if data is None:
            data = await self._blobs.get(request.blob_key)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        reader.worker.check_place(request.purpose, can_wait=can_wait)
        admitted = await loop.run_in_executor(reader.executor, self._check, data)
        async with AsyncExitStack() as memory:
            if is_call:
                await memory.enter_async_context(self._call_memory.reserve(admitted.decoding_bytes))
            await memory.enter_async_context(self._memory.reserve(admitted.decoding_bytes))
            with span("decode"):
                decode_started_s = loop.time()
                picture = await loop.run_in_executor(reader.executor, self._decode, data, admitted)
            self._metrics.stage_seconds.labels("decode").observe(loop.time() - decode_started_s)
            result = await self._read(
                reader.worker,
                request,
                picture,
                started_s,
                can_wait=can_wait,
                skip=skip,
                is_complete=admitted.is_complete,
            )
            yield result, picture

    async def _read(
        self,
        worker: InferenceWorker,
        request: PictureRequest,
        picture: Picture,
        started_s: float,
        *,
        can_wait: bool,
        skip: SkipPlate | None,
        is_complete: bool,
    ) -> PictureResult:
        reading = await worker.read(
            picture, can_wait=can_wait, purpose=request.purpose, regions=request.regions, skip=skip
        )
        vehicles = reading.vehicles
        if request.camera_box is not None:
            vehicles = (VehicleDetection(request.camera_box, "", 1.0, CAMERA), *vehicles)
        spot = spot_state(
            reading.plates,
            vehicles,
            request.spot,
            # A vehicle may be in the part of the picture that is missing.
            has_vehicle_source=is_complete
            and (worker.has_vehicle_detector or request.camera_box is not None),
            skipped=reading.skipped,
        )
        plates = list(reading.plates)
        if spot.plate_index > 0:
            plates.insert(0, plates.pop(spot.plate_index))
            spot = replace(spot, plate_index=0)
        height_px, width_px = picture.shape[:2]
        return PictureResult(
            plates=tuple(plates),
            vehicles=vehicles,
            overlaps=tuple(overlap_with_spot(vehicle.box, request.spot) for vehicle in vehicles),
            spot=spot,
            width_px=width_px,
            height_px=height_px,
            engine=worker.engine_name,
            elapsed_ms=(asyncio.get_running_loop().time() - started_s) * 1000,
            skipped=reading.skipped,
            is_complete=is_complete,
        )
