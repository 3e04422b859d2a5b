import asyncio
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from testkit import CameraMode, HttpCamera, eventually
from testkit.camera import CLIP, SNAPSHOT, small_clip

pytestmark = pytest.mark.integration

CLIP_QUERY = {
    "dw": "sd",
    "filename": "a b.mp4",
    "starttime": "2026-03-14 12:30:00",
    "endtime": "2026-03-14 12:30:20",
}


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=3) as client:
        yield client


def fetch(
    client: httpx.AsyncClient, camera: HttpCamera, path: str = SNAPSHOT, password: str | None = None, **more
):
    auth = httpx.DigestAuth(camera.user, camera.password if password is None else password)
    return client.get(f"http://{camera.address}{path}", auth=auth, **more)


def frames(clip: bytes, folder: Path) -> int:
    path = folder / "clip.mp4"
    path.write_bytes(clip)
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_digest_accepts_only_the_right_password(client, algorithm):
    with HttpCamera(algorithm=algorithm) as camera:
        response = await fetch(client, camera)
        assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
        assert response.content == camera.picture
        assert (await fetch(client, camera, password="wrong")).status_code == 401
        assert (await client.get(f"http://{camera.address}{SNAPSHOT}")).status_code == 401
        basic = await client.get(f"http://{camera.address}{SNAPSHOT}", auth=(camera.user, camera.password))
        assert basic.status_code == 401
        assert camera.count() == 1
        camera.password = "changed"
        assert (await fetch(client, camera)).status_code == 200


async def test_replayed_credentials_are_rejected(client, http_camera):
    seen: list[str] = []
    client.event_hooks["request"].append(lambda request: record_credentials(request, seen))
    assert (await fetch(client, http_camera)).status_code == 200
    [credentials] = seen
    replay = await client.get(
        f"http://{http_camera.address}{SNAPSHOT}", headers={"Authorization": credentials}
    )
    assert replay.status_code == 401
    other_path = await client.get(
        f"http://{http_camera.address}/other.cgi", headers={"Authorization": credentials}
    )
    assert other_path.status_code == 401


async def record_credentials(request: httpx.Request, seen: list[str]) -> None:
    if "Authorization" in request.headers and request.headers["Authorization"] not in seen:
        seen.append(request.headers["Authorization"])


async def test_a_nonce_is_valid_for_several_requests_until_it_is_cleared(client, http_camera):
    auth = httpx.DigestAuth(http_camera.user, http_camera.password)
    for _ in range(3):
        assert (await client.get(f"http://{http_camera.address}{SNAPSHOT}", auth=auth)).status_code == 200
    assert len(http_camera.requests) == 4, "one challenge, three pictures"
    http_camera.clear_nonces()
    first = await client.get(f"http://{http_camera.address}{SNAPSHOT}", auth=auth)
    assert first.status_code == 200
    assert len(http_camera.requests) == 6, "a stale nonce is challenged once"


async def test_clips_decode_and_their_query_is_recorded(client, http_camera, tmp_path):
    response = await fetch(client, http_camera, CLIP, params=CLIP_QUERY)
    assert response.headers["content-type"] == "video/mp4"
    assert frames(response.content, tmp_path) == 10
    assert http_camera.requests[-1].query == CLIP_QUERY
    assert (await fetch(client, http_camera, CLIP)).status_code == 400


async def test_the_next_clips_are_truncated_when_requested(client, http_camera, tmp_path):
    http_camera.broken_clips = 2
    counts = []
    for _ in range(3):
        response = await fetch(client, http_camera, CLIP, params=CLIP_QUERY)
        counts.append(frames(response.content, tmp_path))
    assert counts[:2] != [10, 10]
    assert max(counts[:2]) < 10
    assert counts[2] == 10


async def test_each_mode_answers_as_documented(client, http_camera):
    def decodes(data: bytes) -> bool:
        return data.endswith(b"\xff\xd9") and cv2.imdecode(np.frombuffer(data, np.uint8), 1) is not None

    assert decodes((await fetch(client, http_camera)).content)
    http_camera.mode = CameraMode.TRUNCATED
    assert not decodes((await fetch(client, http_camera)).content)
    http_camera.mode = CameraMode.NOT_A_PICTURE
    response = await fetch(client, http_camera)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html")
    http_camera.mode = CameraMode.CUT
    with pytest.raises(httpx.RemoteProtocolError):
        await fetch(client, http_camera)
    http_camera.mode = CameraMode.ERROR
    assert (await fetch(client, http_camera)).status_code == 500
    http_camera.mode = CameraMode.REFUSE
    assert (await fetch(client, http_camera)).status_code == 401
    http_camera.mode = CameraMode.OK
    assert (await fetch(client, http_camera, "/nothing.cgi")).status_code == 404
    assert (await fetch(client, http_camera)).status_code == 200


async def test_a_hanging_request_ends_when_the_camera_stops(client, http_camera):
    http_camera.mode = CameraMode.HANG
    with pytest.raises(httpx.ReadTimeout):
        await fetch(client, http_camera, timeout=0.3)
    waiting = asyncio.create_task(fetch(client, http_camera))
    await eventually(lambda: http_camera.count() == 2)
    await asyncio.to_thread(http_camera.stop)
    with pytest.raises(httpx.RemoteProtocolError):
        await waiting


async def test_a_slow_camera_answers_after_its_delay(client, http_camera):
    http_camera.mode, http_camera.slow_s = CameraMode.SLOW, 0.4
    with pytest.raises(httpx.ReadTimeout):
        await fetch(client, http_camera, timeout=0.1)
    assert (await fetch(client, http_camera)).status_code == 200


async def test_a_stopped_camera_refuses_connections_and_restarts_at_its_address(client, http_camera):
    address = http_camera.address
    http_camera.stop()
    with pytest.raises(httpx.ConnectError):
        await fetch(client, http_camera)
    http_camera.start()
    assert http_camera.address == address
    assert (await fetch(client, http_camera)).status_code == 200


def test_a_clip_is_smaller_than_30_kb():
    assert len(small_clip()) < 30_000
