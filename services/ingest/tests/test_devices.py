import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from kit.size_limits import MAX_PICTURE_BYTES
from testkit import CameraMode, HttpCamera
from testkit.camera import CLIP
from testkit.pictures import bomb, noise

from .conftest import Ingest, Starter

FAST = {"is_loopback_allowed": True, "frame_timeout_s": 0.5, "clip_timeout_s": 1, "clip_backoff_s": 0.02}


@pytest.fixture
async def ingest(start_ingest: Starter, sqlite_url: str) -> Any:
    return await start_ingest(sqlite_url, devices=FAST)


@pytest.fixture
async def camera(ingest: Ingest, http_camera: HttpCamera) -> Any:
    return await ingest.make_camera(p_ip=http_camera.address)


async def get(ingest: Ingest, camera: Any, what: Any, **query: Any) -> Any:
    url = f"/api/v1/cameras/{camera['id']}/{what}"
    return await ingest.client.get(url, params=query, headers=ingest.headers("cameras:read"))


async def test_a_frame_comes_straight_from_the_camera(
    ingest: Ingest, camera: Any, http_camera: HttpCamera
) -> None:
    answer = await get(ingest, camera, "frame")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == http_camera.picture
    assert ingest.blobs() == []


async def test_a_frame_is_kept_on_demand(ingest: Ingest, camera: Any, http_camera: HttpCamera) -> None:
    answer = await get(ingest, camera, "frame", store=True)
    (blob,) = ingest.blobs("frames")
    assert blob.read_bytes() == http_camera.picture
    assert str(blob).endswith(answer.headers["lookout-blob-key"])


async def test_the_cameras_challenge_is_remembered(
    ingest: Ingest, camera: Any, http_camera: HttpCamera
) -> None:
    for _ in range(3):
        assert (await get(ingest, camera, "frame")).status_code == 200
    assert [request.is_authorized for request in http_camera.requests] == [False, True, True, True]
    http_camera.clear_nonces()  # as after a reboot
    assert (await get(ingest, camera, "frame")).status_code == 200


async def test_a_changed_password_is_used_at_once(
    ingest: Ingest, camera: Any, http_camera: HttpCamera
) -> None:
    assert (await get(ingest, camera, "frame")).status_code == 200
    http_camera.password = "changed"
    assert (await get(ingest, camera, "frame")).status_code == 502
    change = await ingest.client.patch(
        "/api/v1/locations/1", json={"camera_pass": "changed"}, headers=ingest.admin
    )
    assert change.status_code == 200
    assert (await get(ingest, camera, "frame")).status_code == 200


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        (CameraMode.HANG, 504, "camera_timeout"),
        (CameraMode.REFUSE, 502, "camera_credentials_refused"),
        (CameraMode.ERROR, 502, "camera_failed"),
        (CameraMode.NOT_A_PICTURE, 502, "not_a_picture"),
        (CameraMode.TRUNCATED, 502, "picture_truncated"),
        (CameraMode.CUT, 502, "camera_failed"),
    ],
)
async def test_a_camera_that_does_not_deliver_is_a_clear_problem(
    ingest: Ingest, camera: Any, http_camera: HttpCamera, mode: Any, status: Any, code: Any
) -> None:
    http_camera.mode = mode
    answer = await get(ingest, camera, "frame")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "camera-secret" not in answer.text
    page = (await ingest.client.get("/metrics")).text
    assert "lookout_ingest_camera_call_seconds_count" in page


async def test_a_camera_that_is_off_is_a_clear_problem(
    ingest: Ingest, camera: Any, http_camera: HttpCamera
) -> None:
    http_camera.stop()
    answer = await get(ingest, camera, "frame")
    assert (answer.status_code, answer.json()["code"]) == (502, "camera_unreachable")
    http_camera.start()
    assert (await get(ingest, camera, "frame")).status_code == 200


@pytest.mark.parametrize(
    ("picture", "code"),
    [(bomb(), "picture_too_large_pixels"), (noise(MAX_PICTURE_BYTES + 100_000), "camera_answer_too_large")],
)
async def test_a_camera_cannot_send_what_is_too_large(
    ingest: Ingest, camera: Any, http_camera: HttpCamera, picture: Any, code: Any
) -> None:
    http_camera.picture = picture
    answer = await get(ingest, camera, "frame")
    assert (answer.status_code, answer.json()["code"]) == (502, code)


async def test_an_answer_that_arrives_too_slowly_ends_at_the_deadline(ingest: Ingest) -> None:
    async def trickle(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)  # the pace of the camera; nothing waits for it
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        camera = await ingest.make_camera(p_ip=f"127.0.0.1:{port}")
        answer = await get(ingest, camera, "frame")
        assert answer.status_code == 504


async def test_redirects_are_not_followed(ingest: Ingest, http_camera: HttpCamera) -> None:
    async def redirect(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        target = f"http://{http_camera.address}/snapshot.cgi"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        camera = await ingest.make_camera(p_ip=f"127.0.0.1:{port}")
        assert (await get(ingest, camera, "frame")).json()["code"] == "camera_failed"
    assert http_camera.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]"])
async def test_what_leads_back_into_our_own_machine_is_not_called(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera, address: Any
) -> None:
    ingest = await start_ingest(sqlite_url, devices={"is_loopback_allowed": False})
    port = http_camera.address.rpartition(":")[2]
    camera = await ingest.make_camera(p_ip=f"{address}:{port}")
    answer = await get(ingest, camera, "frame")
    assert (answer.status_code, answer.json()["code"]) == (502, "camera_address_refused")
    assert http_camera.requests == []


@pytest.mark.parametrize(
    ("values", "code"),
    [({}, "camera_without_address"), ({"p_ip": "127.0.0.1", "status": "OFFLINE"}, "camera_offline")],
)
async def test_a_camera_that_cannot_be_called(ingest: Ingest, values: Any, code: Any) -> None:
    camera = await ingest.make_camera(**values)
    answer = await get(ingest, camera, "frame")
    assert (answer.status_code, answer.json()["code"]) == (409, code)


@pytest.mark.parametrize("what", ["frame", "clip"])
@pytest.mark.parametrize("first", ["no-such-camera.invalid", "169.254.169.254"])
async def test_a_first_address_that_leads_nowhere_does_not_hide_the_second(
    ingest: Ingest, http_camera: HttpCamera, first: str, what: str
) -> None:
    camera = await ingest.make_camera(p_ip=first, vpn_ip=http_camera.address)
    answer = await get(ingest, camera, what)
    assert answer.status_code == 200
    assert answer.content == (http_camera.picture if what == "frame" else http_camera.clip)


@pytest.mark.parametrize(
    ("addresses", "code", "detail"),
    [
        (("127.0.0.1:9", "169.254.169.254"), "camera_address_refused", "may not be called"),
        (("169.254.169.254", "no-such-camera.invalid"), "camera_unreachable", "does not resolve"),
        (("no-such-camera.invalid", "127.0.0.1:9"), "camera_unreachable", "refuses the connection"),
    ],
)
async def test_of_two_unreachable_addresses_the_error_names_the_last(
    ingest: Ingest, addresses: Any, code: Any, detail: Any
) -> None:
    camera = await ingest.make_camera(p_ip=addresses[0], vpn_ip=addresses[1])
    answer = await get(ingest, camera, "frame")
    assert (answer.status_code, answer.json()["code"]) == (502, code)
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("what", ["frame", "clip"])
async def test_fetching_a_frame_needs_the_permission(ingest: Ingest, camera: Any, what: Any) -> None:
    url = f"/api/v1/cameras/{camera['id']}/{what}"
    assert (await ingest.client.get(url)).status_code == 401
    assert (await ingest.client.get(url, headers=ingest.headers("site:read"))).status_code == 403
    assert (await get(ingest, {"id": 999}, what)).json()["code"] == "camera_not_found"


async def test_a_clip_is_fetched_in_the_cameras_own_time_and_kept(
    ingest: Ingest, camera: Any, http_camera: HttpCamera
) -> None:
    answer = await get(ingest, camera, "clip")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.content == http_camera.clip
    (blob,) = ingest.blobs("clips")
    assert blob.read_bytes() == http_camera.clip
    asked = [
        request.query for request in http_camera.requests if request.path == CLIP and request.is_authorized
    ]
    # 08:30 UTC is 12:30 at the location; the usual window is the last 20 seconds.
    assert asked[0]["starttime"] == "2026-03-14 12:29:40"
    assert asked[0]["endtime"] == "2026-03-14 12:30:00"
    assert {"dw", "filename", "index", "sid", "uuid"} <= asked[0].keys()


async def test_a_clip_of_a_given_window(ingest: Ingest, camera: Any, http_camera: HttpCamera) -> None:
    start = ingest.clock.now() - timedelta(seconds=100)
    await get(
        ingest, camera, "clip", start=start.isoformat(), end=(start + timedelta(seconds=30)).isoformat()
    )
    assert http_camera.requests[-1].query["starttime"] == "2026-03-14 12:28:20"
    assert http_camera.requests[-1].query["endtime"] == "2026-03-14 12:28:50"


@pytest.mark.parametrize("broken", [1, 2])
async def test_a_broken_clip_is_asked_for_again(
    ingest: Ingest, camera: Any, http_camera: HttpCamera, broken: Any
) -> None:
    http_camera.broken_clips = broken
    assert (await get(ingest, camera, "clip")).content == http_camera.clip
    assert http_camera.count(CLIP) == broken + 1


async def test_a_clip_that_stays_broken_is_given_up(
    ingest: Ingest, camera: Any, http_camera: HttpCamera, capfd: pytest.CaptureFixture[str]
) -> None:
    http_camera.broken_clips = 99
    answer = await get(ingest, camera, "clip")
    assert (answer.status_code, answer.json()["code"]) == (502, "clip_broken")
    assert http_camera.count(CLIP) == 3
    assert ingest.blobs() == []
    written = "".join(capfd.readouterr()).splitlines()
    assert [line for line in written if not line.startswith("{")] == []  # FFmpeg's own lines


async def test_a_clip_that_does_not_arrive_in_time_is_an_error(
    ingest: Ingest, camera: Any, http_camera: HttpCamera
) -> None:
    http_camera.mode = CameraMode.HANG
    answer = await get(ingest, camera, "clip")
    assert (answer.status_code, answer.json()["code"]) == (504, "camera_timeout")


@pytest.mark.parametrize(
    "query",
    [
        {"start": "2026-03-14T08:00:00Z", "end": "2026-03-14T07:00:00Z"},
        {"start": "2026-03-14T08:00:00Z", "end": "2026-03-14T08:29:00Z"},
        {"start": "2036-03-14T08:00:00Z"},
        {"start": "2026-03-14T08:00:00"},
        {"end": "now"},
    ],
)
async def test_an_invalid_window_is_rejected(
    ingest: Ingest, camera: Any, http_camera: HttpCamera, query: Any
) -> None:
    answer = await get(ingest, camera, "clip", **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in {"start", "end"}
    assert http_camera.requests == []


async def test_no_proxy_from_the_environment_is_asked(
    ingest: Ingest, camera: Any, http_camera: HttpCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await get(ingest, camera, "frame")).status_code == 200
    assert isinstance(ingest.client, httpx.AsyncClient)
