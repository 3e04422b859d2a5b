"""Builds the service."""

import asyncio
from functools import partial

from kit.byte_budget import ByteBudget
from kit.health import CheckResult
from kit.memory import return_kept_memory
from kit.service import Service, Shared
from lookout.plates.v1 import plates_pb2, plates_pb2_grpc
from plate_ocr.adapters.decoding import check, decode, encode_crop
from plate_ocr.adapters.warm_up import warm_up_picture
from plate_ocr.consumers import consumers
from plate_ocr.handlers.inference import InferenceWorker
from plate_ocr.handlers.read_frame import ReadFrame
from plate_ocr.handlers.read_picture import Reader, ReadPicture
from plate_ocr.handlers.read_stream import ReadStream
from plate_ocr.http import PATH, routes
from plate_ocr.mapping import EVENTS
from plate_ocr.metrics import PlateOcrMetrics
from plate_ocr.rpc import PlateReaderRpc
from plate_ocr.settings import InferenceSettings, PlateOcrSettings
from plate_ocr.wiring.engine import open_engine


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


def build(settings: PlateOcrSettings, shared: Shared | None = None) -> Service:
    """The service, not started."""
    service = Service(settings, shared, description="Pictures in, plates out.")
    logger, metrics, clock = service.logger, service.metrics, service.clock
    # Requests that contain their picture need neither blobs nor the bus.
    blobs = service.blobs(settings.blobs, is_required=False)
    bus = service.event_bus(settings.bus)
    own_metrics = PlateOcrMetrics(metrics)
    warm_up = warm_up_picture() if settings.inference.is_warm_start else None
    executor = service.thread_pool("pictures", settings.pictures.decode_threads)
    worker = InferenceWorker(
        settings.inference,
        partial(open_engine, settings.engine, settings.inference, settings.regions),
        logger,
        own_metrics,
        warm_up,
    )
    service.add_resource(worker)
    frames = calls = Reader(worker, executor)
    if settings.inference.is_call_engine_separate:
        own = settings.inference.model_copy(update={"threads": 1, "max_batch_pictures": 1})
        call_worker = InferenceWorker(
            own,
            partial(open_engine, settings.engine, own, settings.regions),
            logger,
            own_metrics,
            warm_up,
            is_lazy=True,
            niceness=own.call_niceness,
        )
        service.add_resource(call_worker)
        service.health.add("call_engine", call_worker.ready, required=False)
        calls = Reader(call_worker, service.thread_pool("call-pictures", 1, niceness=own.call_niceness))
    limits = settings.pictures
    read_picture = ReadPicture(
        frames,
        calls,
        blobs,
        partial(check, max_bytes=limits.max_bytes, limits=settings.limits_of_pictures),
        decode,
        ByteBudget(limits.max_decoded_bytes, timeout_s=None, detail="no memory for the decoded picture"),
        ByteBudget(limits.max_decoded_call_bytes, timeout_s=None, detail="no memory for the decoded picture"),
        own_metrics,
    )
    read_frame = ReadFrame(
        read_picture=read_picture,
        blobs=blobs,
        bus=bus,
        clock=clock,
        encode_crop=partial(encode_crop, margin=limits.crop_margin, quality=limits.crop_jpeg_quality),
        regions_for=settings.regions_for,
        executor=executor,
        logger=logger,
        metrics=own_metrics,
    )
    read_stream = ReadStream(
        read_picture,
        clock,
        window=settings.rpc.stream_window_frames,
        max_cameras=settings.rpc.max_stream_cameras,
    )
    service.every(
        "return_kept_memory",
        settings.inference.return_memory_interval_s,
        partial(asyncio.to_thread, return_kept_memory),
    )
    service.health.add("engine", worker.ready)
    # Not required: pictures that come with a call can be read without them.
    service.health.add("vehicles", partial(_vehicles, worker, settings.inference), required=False)
    service.publishes = EVENTS
    service.consumers.extend(consumers(read_frame))

    app = service.http_app(body_limits={PATH: settings.pictures.body_limit})
    app.include_router(routes(read_picture, settings.pictures))
    service.add_rpc(
        plates_pb2_grpc.add_PlateReaderServicer_to_server,
        PlateReaderRpc(read_picture, read_stream, settings.regions_for),
        plates_pb2.DESCRIPTOR.services_by_name["PlateReader"],
    )
    return service
