"""Builds the service."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

import grpc

from kit.auth import HttpJwks, JwksSource, TokenVerifier
from kit.blobs import open_blobs
from kit.bus import Bus, open_bus
from kit.clock import Clock, SystemClock
from kit.health import CheckResult, Health
from kit.http import create_app
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.service import Resource, Service
from kit.tracing import open_tracing
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.adapters.decoding import decode, encode_crop
from plate_ocr.adapters.warm_up import warm_up_picture
from plate_ocr.consumers import consumers
from plate_ocr.handlers.inference import InferenceWorker
from plate_ocr.handlers.read_frame import ReadFrame
from plate_ocr.handlers.read_picture import ReadPicture
from plate_ocr.handlers.read_stream import ReadStream
from plate_ocr.http import PATH, routes
from plate_ocr.mapping import EVENTS
from plate_ocr.metrics import PlateOcrMetrics
from plate_ocr.rpc import PlateReaderRpc
from plate_ocr.settings import InferenceSettings, PlateOcrSettings
from plate_ocr.wiring.engine import open_engine

NAME = "plate-ocr"
VERSION = version("lookout-plate-ocr")
_MULTIPART_BYTES = 65_536
"""Added by the multipart form around the picture."""


class _PictureThreads(ThreadPoolExecutor):
    """Decode pictures and encode crops. A resource of the service."""

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Finish what is being decoded and cancel the rest."""
        self.shutdown(wait=False, cancel_futures=True)


async def _vehicles(worker: InferenceWorker, settings: InferenceSettings) -> CheckResult:
    """Which source of vehicles the spot rule has."""
    if not worker.engine_name:
        return CheckResult(ok=False, detail="the engine is not loaded")
    if not worker.has_vehicle_detector:
        return CheckResult(ok=True, detail="camera's own box and the plate's place")
    # An operator's own engine says only that it has a detector, not which.
    return CheckResult(
        ok=True, detail=settings.vehicle_model.name if settings.vehicle_model else worker.engine_name
    )


def build(
    settings: PlateOcrSettings,
    *,
    clock: Clock | None = None,
    bus: Bus | None = None,
    keys: JwksSource | None = None,
) -> Service:
    """The service, not started. A `bus` that is given is shared: its owner starts and stops it."""
    clock = clock or SystemClock()
    logger = make_logger(NAME, settings.log)
    tracing = open_tracing(NAME, VERSION, settings.tracing, logger)
    metrics, health = Metrics(NAME), Health()
    blobs = open_blobs(settings.blobs)
    own_bus = bus is None
    bus = bus or open_bus(settings.bus, logger=logger, metrics=metrics, clock=clock, app_id=NAME)
    executor = _PictureThreads(settings.pictures.decode_threads, thread_name_prefix="pictures")
    own_metrics = PlateOcrMetrics(metrics)
    worker = InferenceWorker(
        settings.inference,
        partial(open_engine, settings.engine, settings.inference, settings.regions),
        logger,
        own_metrics,
        warm_up_picture() if settings.inference.is_warm_start else None,
    )
    limits = settings.pictures
    read_picture = ReadPicture(
        worker,
        blobs,
        partial(decode, max_bytes=limits.max_bytes, max_pixels=limits.max_pixels),
        executor,
        own_metrics,
    )
    read_frame = ReadFrame(
        read_picture=read_picture,
        blobs=blobs,
        bus=bus,
        clock=clock,
        encode_crop=partial(encode_crop, margin=limits.crop_margin, quality=limits.crop_quality),
        regions_for=settings.regions_for,
        executor=executor,
        logger=logger,
        metrics=own_metrics,
    )
    read_stream = ReadStream(
        read_picture, clock, window=settings.rpc.stream_window, max_cameras=settings.rpc.stream_cameras
    )
    health.add("engine", worker.ready)
    # Not required: pictures that come with a call can be read without them.
    health.add("vehicles", partial(_vehicles, worker, settings.inference), required=False)
    health.add("bus", bus.ready, required=False)
    health.add("blobs", blobs.ping, required=False)
    app = create_app(
        NAME,
        VERSION,
        settings=settings.http,
        logger=logger,
        metrics=metrics,
        health=health,
        verifier=TokenVerifier(settings.auth, keys or HttpJwks(settings.auth), clock=clock),
        clock=clock,
        tracing=tracing,
        description="Pictures in, plates out.",
        body_limits={PATH: settings.pictures.max_bytes + _MULTIPART_BYTES},
    )
    app.include_router(routes(read_picture))

    def register_grpc(server: grpc.aio.Server) -> None:
        stubs.add_PlateReaderServicer_to_server(
            PlateReaderRpc(read_picture, read_stream, settings.regions_for), server
        )

    resources: list[Resource] = [blobs, executor, worker]
    if own_bus:
        resources.append(bus)
    return Service(
        name=NAME,
        version=VERSION,
        settings=settings,
        logger=logger,
        metrics=metrics,
        health=health,
        clock=clock,
        tracing=tracing,
        app=app,
        resources=resources,
        bus=bus,
        consumers=consumers(read_frame),
        publishes=EVENTS,
        register_grpc=register_grpc,
    )
