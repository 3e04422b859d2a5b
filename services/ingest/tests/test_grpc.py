"""What other services ask over gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.grpc import local_channel
from lookout.camera.v1 import camera_pb2, camera_pb2_grpc
from testkit import CameraMode, HttpCamera

from .conftest import Ingest, Starter


@asynccontextmanager
async def calling(ingest: Ingest) -> AsyncIterator[Any]:
    async with local_channel(ingest.settings, "ingest") as channel:
        yield camera_pb2_grpc.CamerasStub(channel)


@pytest.fixture
async def cameras(sqlite_ingest: Ingest) -> AsyncIterator[Any]:
    async with calling(sqlite_ingest) as stub:
        yield stub


async def status_of(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code()


async def test_other_services_ask_for_cameras_and_spots(sqlite_ingest: Ingest, cameras: Any) -> None:
    made = await sqlite_ingest.make_camera(spots=2, portal_id="77", number_of_parking=4)
    camera = (await cameras.GetCamera(camera_pb2.GetCameraRequest(camera_id=made["id"]), timeout=10)).camera
    assert (camera.name, camera.api_code, camera.location_code) == ("Cam", "95", "NAD")
    assert (camera.zone_code, camera.pole_code, camera.portal_id) == ("Z1", "P1", "77")
    assert (camera.status, camera.number_of_parking, camera.time_zone) == ("OFFLINE", 4, "Asia/Dubai")
    listed = await cameras.ListSpots(camera_pb2.ListSpotsRequest(camera_id=made["id"]), timeout=10)
    assert [spot.spot_number for spot in listed.spots] == [1, 2]
    assert len(listed.spots[0].polygon.points) == 4


async def test_other_services_ask_for_frames_and_clips(
    sqlite_ingest: Ingest, cameras: Any, http_camera: HttpCamera
) -> None:
    made = await sqlite_ingest.make_camera(p_ip=http_camera.address)
    frame = await cameras.CaptureFrame(camera_pb2.CaptureFrameRequest(camera_id=made["id"]), timeout=10)
    (blob,) = sqlite_ingest.blobs("frames")
    assert str(blob).endswith(frame.picture.key)
    assert frame.picture.width_px > 0
    start = Timestamp()
    start.FromDatetime(sqlite_ingest.clock.now() - timedelta(seconds=60))
    clip = await cameras.FetchClip(camera_pb2.FetchClipRequest(camera_id=made["id"], start=start), timeout=10)
    (blob,) = sqlite_ingest.blobs("clips")
    assert str(blob).endswith(clip.clip.key)
    assert clip.clip.content_type == "video/mp4"


async def test_failures_have_the_contracts_codes(
    sqlite_ingest: Ingest, cameras: Any, http_camera: HttpCamera
) -> None:
    def capture(camera: Any) -> Any:
        return cameras.CaptureFrame(camera_pb2.CaptureFrameRequest(camera_id=camera["id"]), timeout=10)

    assert await status_of(capture({"id": 999})) is grpc.StatusCode.NOT_FOUND
    dead = await sqlite_ingest.make_camera(api_code="1", p_ip="127.0.0.1:9")
    assert await status_of(capture(dead)) is grpc.StatusCode.UNAVAILABLE
    alive = await sqlite_ingest.make_camera(api_code="2", p_ip=http_camera.address)
    http_camera.mode = CameraMode.NOT_A_PICTURE
    assert await status_of(capture(alive)) is grpc.StatusCode.INTERNAL
    request = camera_pb2.FetchClipRequest(
        camera_id=alive["id"], start=Timestamp(seconds=50), end=Timestamp(seconds=10)
    )
    assert await status_of(cameras.FetchClip(request, timeout=10)) is grpc.StatusCode.INVALID_ARGUMENT
    request.start.seconds = 10**15
    assert await status_of(cameras.FetchClip(request, timeout=10)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_slow_camera_is_deadline_exceeded(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera
) -> None:
    http_camera.mode = CameraMode.HANG
    ingest = await start_ingest(sqlite_url, devices={"frame_timeout_s": 0.2, "is_loopback_allowed": True})
    made = await ingest.make_camera(p_ip=http_camera.address)
    async with calling(ingest) as stub:
        call = stub.CaptureFrame(camera_pb2.CaptureFrameRequest(camera_id=made["id"]), timeout=10)
        assert await status_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED
