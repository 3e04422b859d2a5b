"""One picture, looked at: decoded, read, and held against its spot."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from plate_ocr.adapters.decoding import decode
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.engines import Settled
from plate_ocr.domain.spots import SpotVerdict, judge_spot
from plate_ocr.domain.values import Box, Picture, PlateReading, Polygon, VehicleSighting
from plate_ocr.settings import PictureSettings
from plate_ocr.worker import InferenceWorker

CAMERA = "camera"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a picture shows. `plates`: the one in the spot first, then as the engine ranks them. `left_out`: where
    plates are that were not read because they are settled.
    """

    picture: Picture
    plates: tuple[PlateReading, ...]
    vehicles: tuple[VehicleSighting, ...]
    verdict: SpotVerdict
    engine: str
    elapsed_ms: float
    left_out: tuple[Box, ...] = ()


class Look:
    """Shared by the bus, gRPC and HTTP. `threads` decode."""

    def __init__(self, worker: InferenceWorker, settings: PictureSettings, threads: Executor) -> None:
        self._worker = worker
        self._settings = settings
        self._threads = threads

    async def __call__(
        self,
        data: bytes,
        *,
        spot: Polygon = (),
        camera_box: Box | None = None,
        waits: bool,
        purpose: Purpose = Purpose.CALL,
        regions: tuple[str, ...] = (),
        settled: Settled | None = None,
    ) -> Sight:
        """`camera_box`: the vehicle that the camera itself saw in this very picture. `waits`, `purpose`, `regions`
        and `settled`: as `InferenceWorker.read` takes them.

        Raises:
            Invalid, TooLarge, UnsupportedMedia: of the picture or the regions. PictureDropped, Unavailable: of the
                engine or its queue.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        picture = await loop.run_in_executor(self._threads, self._decode, data)
        self._worker.note_decoded(loop.time() - began)
        reading = await self._worker.read(
            picture, waits=waits, purpose=purpose, regions=regions, settled=settled
        )
        vehicles = list(reading.vehicles)
        if camera_box is not None:
            vehicles.insert(0, VehicleSighting(camera_box, "", 1.0, CAMERA))
        has_vehicle_source = self._worker.has_vehicle_detector or camera_box is not None
        verdict = judge_spot(
            reading.plates,
            vehicles,
            spot,
            has_vehicle_source=has_vehicle_source,
            left_out=reading.left_out,
        )
        plates = list(reading.plates)
        if verdict.plate_index > 0:
            plates.insert(0, plates.pop(verdict.plate_index))
            verdict = replace(verdict, plate_index=0)
        return Sight(
            picture=picture,
            plates=tuple(plates),
            vehicles=tuple(vehicles),
            verdict=verdict,
            engine=self._worker.engine_name,
            elapsed_ms=(loop.time() - began) * 1000,
            left_out=reading.left_out,
        )

    def _decode(self, data: bytes) -> Picture:
        return decode(data, max_bytes=self._settings.max_bytes, max_pixels=self._settings.max_pixels)
