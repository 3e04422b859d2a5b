"""Reads one picture: loads and decodes it, reads its plates, and judges the parking spot in it."""

import asyncio
from concurrent.futures import Executor
from dataclasses import replace

from kit.blobs import BlobStore
from kit.tracing import span
from plate_ocr.domain.engines import DecodePicture, SkipPlate
from plate_ocr.domain.requests import PictureRequest, PictureResult
from plate_ocr.domain.spots import overlap_with_spot, spot_state
from plate_ocr.domain.values import Picture, VehicleDetection
from plate_ocr.handlers.inference import InferenceWorker
from plate_ocr.metrics import PlateOcrMetrics

CAMERA = "camera"
"""The source of a vehicle that the camera itself detected."""


class ReadPicture:
    """Shared by HTTP, gRPC and the bus. `executor`: its threads run `decode`."""

    def __init__(
        self,
        worker: InferenceWorker,
        blobs: BlobStore,
        decode: DecodePicture,
        executor: Executor,
        metrics: PlateOcrMetrics,
    ) -> None:
        self._worker = worker
        self._blobs = blobs
        self._decode = decode
        self._executor = executor
        self._metrics = metrics

    async def __call__(
        self, request: PictureRequest, *, can_wait: bool, skip: SkipPlate | None = None
    ) -> tuple[PictureResult, Picture]:
        """The result and the decoded picture. `can_wait` and `skip`: see `InferenceWorker.read`.

        Raises:
            NotFound: there is no such blob.
            Invalid, TooLarge, UnsupportedMedia: the picture or the regions are wrong.
            PictureDropped, Unavailable: the engine or its queue cannot take the picture.
        """
        data = request.image
        if data is None:
            data = await self._blobs.get(request.blob_key)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        with span("decode"):
            picture = await loop.run_in_executor(self._executor, self._decode, data)
        self._metrics.stage_seconds.labels("decode").observe(loop.time() - started_s)
        reading = await self._worker.read(
            picture, can_wait=can_wait, purpose=request.purpose, regions=request.regions, skip=skip
        )
        vehicles = reading.vehicles
        if request.camera_box is not None:
            vehicles = (VehicleDetection(request.camera_box, "", 1.0, CAMERA), *vehicles)
        spot = spot_state(
            reading.plates,
            vehicles,
            request.spot,
            has_vehicle_source=self._worker.has_vehicle_detector or request.camera_box is not None,
            skipped=reading.skipped,
        )
        plates = list(reading.plates)
        if spot.plate_index > 0:
            plates.insert(0, plates.pop(spot.plate_index))
            spot = replace(spot, plate_index=0)
        height_px, width_px = picture.shape[:2]
        result = PictureResult(
            plates=tuple(plates),
            vehicles=vehicles,
            overlaps=tuple(overlap_with_spot(vehicle.box, request.spot) for vehicle in vehicles),
            spot=spot,
            width_px=width_px,
            height_px=height_px,
            engine=self._worker.engine_name,
            elapsed_ms=(loop.time() - started_s) * 1000,
            skipped=reading.skipped,
        )
        return result, picture
