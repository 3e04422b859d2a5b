"""Builds the service: the only place that names what is behind each part."""

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
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.consumers import consumers
from plate_ocr.engine import open_engine
from plate_ocr.handlers.look import Look
from plate_ocr.handlers.read_frame import EVENTS, ReadFrame
from plate_ocr.http import PATH, routes
from plate_ocr.rpc import PlateReaderRpc
from plate_ocr.settings import InferenceSettings, PlateOcrSettings
from plate_ocr.worker import InferenceWorker

NAME = "plate-ocr"
VERSION = version("lookout-plate-ocr")
_MULTIPART_BYTES = 65_536
"""What a form adds to the picture in it."""


class _Threads(ThreadPoolExecutor):
    """A resource of the service."""

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """What is decoded now is finished."""
        self.shutdown(wait=False, cancel_futures=True)


async def _vehicles(worker: InferenceWorker, settings: InferenceSettings) -> CheckResult:
    """By what the spot rule knows of vehicles."""
    if not worker.engine_name:
        return CheckResult(ok=False, detail="the engine is not there")
    if not worker.has_vehicle_detector:
        return CheckResult(ok=True, detail="camera's own box and the plate's place")
    # An engine of the operator's own brings its detector along, and is asked for nothing but that it has one.
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
    """The service, not started. A `bus` that is given is shared: who made it starts and stops it."""
    clock = clock or SystemClock()
    logger = make_logger(NAME, settings.log)
    metrics, health = Metrics(NAME), Health()
    blobs = open_blobs(settings.blobs)
    own_bus = bus is None
    bus = bus or open_bus(settings.bus, logger=logger, metrics=metrics, clock=clock, app_id=NAME)
    threads = _Threads(settings.pictures.decode_threads, thread_name_prefix="pictures")
    worker = InferenceWorker(
        settings.inference,
        partial(
            open_engine, settings.engine, settings.inference, settings.regions, settings.inference.grammars
        ),
        logger,
        metrics,
    )
    look = Look(worker, settings.pictures, threads)
    read = ReadFrame(
        look=look,
        blobs=blobs,
        bus=bus,
        clock=clock,
        settings=settings.pictures,
        regions_for=settings.regions_for,
        threads=threads,
        logger=logger,
        metrics=metrics,
    )
    health.add("engine", worker.ready)
    # Told, and no reason to refuse pictures that come with the call.
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
        description="Pictures in, plates out.",
        body_limits={PATH: settings.pictures.max_bytes + _MULTIPART_BYTES},
    )
    app.include_router(routes(look))

    def register_grpc(server: grpc.aio.Server) -> None:
        stubs.add_PlateReaderServicer_to_server(
            PlateReaderRpc(look, blobs, settings.rpc.stream_window, settings.regions_for, clock), server
        )

    resources: list[Resource] = [blobs, threads, worker]
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
        app=app,
        resources=resources,
        bus=bus,
        consumers=consumers(read),
        publishes=EVENTS,
        register_grpc=register_grpc,
    )
