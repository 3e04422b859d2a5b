"""Builds the service: the only module that names concrete classes."""

import time
from datetime import datetime

from ingest.adapters.clip_check import is_playable_clip
from ingest.adapters.http_camera import CallOptions, HttpCameras
from ingest.consumers import consumers
from ingest.handlers.accept_parking_push import AcceptParkingPush
from ingest.handlers.admit_push import AdmitPush, push_budgets
from ingest.handlers.apply_retention import ApplyRetention, accept_clock
from ingest.handlers.camera_events import CameraEvents
from ingest.handlers.device_calls import DeviceCalls
from ingest.handlers.dispatch_pending import PendingEventDispatcher
from ingest.handlers.outcome_waiters import OutcomeWaiters
from ingest.handlers.record_outcome import RecordOutcome
from ingest.handlers.registry import Registry
from ingest.handlers.site_directory import SiteDirectory
from ingest.handlers.site_states import CameraHealth, CheckCameras, SiteStates
from ingest.http import (
    POST_PATH,
    camera_event_routes,
    device_routes,
    post_routes,
    refused_push_routes,
    registry_routes,
)
from ingest.mapping import EVENTS
from ingest.metrics import IngestMetrics
from ingest.rpc import Cameras
from ingest.settings import DeviceSettings, IngestSettings
from ingest.store.tables import cameras, inbox_rows, locations, outbox_rows
from kit.clock import SystemClock
from kit.db import Database
from kit.service import Service, Shared, open_secret_box
from lookout.camera.v1 import camera_pb2, camera_pb2_grpc

# What a secret box encrypted, for the command re-encrypt-secrets.
SECRET_COLUMNS = (
    locations.c.sealed_portal_password,
    locations.c.sealed_parkonic_api_token,
    locations.c.sealed_camera_pass,
    cameras.c.sealed_push_password,
    cameras.c.sealed_push_path_secret,
    cameras.c.sealed_push_hmac_key,
)


def build(settings: IngestSettings, shared: Shared | None = None) -> Service:
    """The service, not started."""
    service = Service(settings, shared, description="The site, what its cameras push, and calls to cameras.")
    logger, clock = service.logger, service.clock
    ingest_metrics = IngestMetrics(service.metrics)
    db = service.database(settings.database)
    blobs = service.blobs(settings.blobs)
    reserve = service.disk_reserve(settings.disk, blobs=settings.blobs, database=settings.database)
    bus = service.event_bus(settings.bus)
    outbox = service.outbox(outbox_rows, db, bus, settings.bus)
    inbox = service.inbox(inbox_rows, db, settings.bus)
    camera_calls = service.add_resource(
        HttpCameras(_call_options(settings.devices), ingest_metrics.observe_camera_call)
    )
    threads = service.thread_pool("pushes", settings.push.threads)
    secret_box = open_secret_box(settings)

    directory = SiteDirectory(
        db, clock, ttl_s=settings.push.registry_cache_ttl_s, max_cameras=settings.push.max_cached_cameras
    )
    states = SiteStates(clock, settings.health)
    devices = DeviceCalls(
        cameras=camera_calls,
        directory=directory,
        secret_box=secret_box,
        blobs=blobs,
        clock=clock,
        settings=settings.devices,
        max_picture_bytes=settings.push.max_picture_bytes,
        picture_limits=settings.limits_of_pictures,
        is_playable_clip=is_playable_clip,
        health=CameraHealth(db=db, clock=clock, settings=settings.health, logger=logger),
        logger=logger,
        reserve=reserve,
    )
    checks = CheckCameras(
        db=db,
        clock=clock,
        directory=directory,
        devices=devices,
        settings=settings.health,
        logger=logger,
    )
    dispatcher = PendingEventDispatcher(
        db=db,
        blobs=blobs,
        outbox=outbox,
        directory=directory,
        devices=devices,
        clock=clock,
        settings=settings.dispatch,
        logger=logger,
        metrics=ingest_metrics,
    )
    admit = AdmitPush(
        settings=settings.push,
        secret_box=secret_box,
        budgets=push_budgets(settings.push, time.monotonic),
        clock=clock,
        logger=logger,
        metrics=ingest_metrics,
    )
    accept = AcceptParkingPush(
        db=db,
        admit=admit,
        blobs=blobs,
        outbox=outbox,
        directory=directory,
        clock=clock,
        settings=settings.push,
        picture_limits=settings.limits_of_pictures,
        threads=threads,
        logger=logger,
        on_pending=dispatcher.wake,
    )
    service.add_resource(accept)
    waiters = OutcomeWaiters(
        db,
        logger,
        poll_interval_s=settings.push.outcome_poll_interval_s,
        max_waiters=settings.push.max_outcome_waiters,
    )
    retention = ApplyRetention(
        db=db, blobs=blobs, clock=clock, settings=settings.retention, metrics=ingest_metrics, logger=logger
    )

    service.publishes = EVENTS
    service.consumers.extend(consumers(RecordOutcome(logger, waiters.publish), db, inbox))
    service.run_in_background("dispatch", dispatcher.run)
    service.run_in_background("outcomes", waiters.run)
    if settings.health.check_interval_s:
        service.every("camera_checks", settings.health.check_interval_s, checks.check)
    service.every("retention", settings.retention.sweep_interval_s, retention.sweep)

    app = service.http_app(body_limits={POST_PATH: settings.push.body_limit}, secret_prefixes=(POST_PATH,))
    app.include_router(post_routes(accept, admit, waiters, settings.push, ingest_metrics, reserve))
    app.include_router(refused_push_routes(admit))
    app.include_router(device_routes(devices, blobs))
    registry = Registry(db=db, secret_box=secret_box, clock=clock, directory=directory, states=states)
    app.include_router(registry_routes(registry))
    app.include_router(camera_event_routes(CameraEvents(db), blobs))
    service.add_rpc(
        camera_pb2_grpc.add_CamerasServicer_to_server,
        Cameras(registry, directory, devices),
        camera_pb2.DESCRIPTOR.services_by_name["Cameras"],
    )
    return service


async def accept_clock_now(settings: IngestSettings) -> datetime:
    """The command `accept-clock`: ages are measured against the clock from now on; returns what it shows."""
    db = Database(settings.database, settings.service_name)
    await db.start()
    try:
        return await accept_clock(db, SystemClock())
    finally:
        await db.stop()


def _call_options(devices: DeviceSettings) -> CallOptions:
    return CallOptions(
        frame_timeout_s=devices.frame_timeout_s,
        connect_timeout_s=devices.connect_timeout_s,
        clip_timeout_s=devices.clip_timeout_s,
        max_clip_bytes=devices.max_clip_bytes,
        snapshot_path=devices.snapshot_path,
        clip_path=devices.clip_path,
        clip_segment=devices.clip_segment,
        is_loopback_allowed=devices.is_loopback_allowed,
    )
