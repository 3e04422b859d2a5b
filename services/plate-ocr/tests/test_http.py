# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""`POST /api/v1/ocr-image` on a real socket, and readiness."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kit.grpc import channel
from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.domain.values import Box, UnreadReason, seen_not_read
from testkit import pictures
from testkit.clock import ManualClock
from testkit.waiting import eventually

from .conftest import bgr, canvas, encoded, jpeg, put_plate
from .house import GRPC_TOKEN, House, Scripted, plate, running

URL = "/api/v1/ocr-image"


async def post(house: House, data: bytes, field: str = "image") -> Any:
    return await house.http.post(URL, files={field: ("car.jpg", data, "image/jpeg")})


async def test_a_picture(house: House) -> None:
    Scripted.plates[640] = (plate("D71026", 300, 200),)
    answer = await post(house, encoded(np.full((480, 640, 3), 90, np.uint8)))
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["width_px"], shown["height_px"], shown["engine"], shown["vehicles"]) == (
        640,
        480,
        "scripted",
        [],
    )
    assert shown["elapsed_ms"] > 0
    (found,) = shown["plates"]
    assert found["box"] == [260, 190, 80, 20]
    assert (found["text"], found["raw_text"], found["number"]) == ("D71026", "D71026", "D71026")
    assert found["confidence"] == pytest.approx(0.93)
    assert found["characters"][0] == {"text": "D", "confidence": 0.93}
    assert (found["state"], found["unread_reason"], found["outline"]) == ("read", None, [])


async def test_a_plate_that_was_seen_and_not_read(house: House) -> None:
    box = Box(260, 190, 30, 9)
    Scripted.plates[640] = (
        seen_not_read(box, UnreadReason.COVERED, height_px=9, outline=box.corners(), confidence=0.8),
    )
    (found,) = (await post(house, encoded(np.full((480, 640, 3), 90, np.uint8)))).json()["plates"]
    assert (found["text"], found["state"], found["unread_reason"]) == ("", "seen_not_read", "covered")
    assert (found["height_px"], found["outline"][0], len(found["outline"])) == (9, [260, 190], 4)


async def test_no_plate(house: House) -> None:
    answer = await post(house, encoded(np.full((480, 640, 3), 90, np.uint8)))
    assert (answer.status_code, answer.json()["plates"]) == (200, [])


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "picture_empty"),
        (pictures.no_picture(), 415, "not_a_picture"),
        (pictures.truncated(jpeg(canvas())), 422, "picture_truncated"),
        (pictures.bomb(), 413, "picture_too_large"),
    ],
)
async def test_what_is_no_picture(house: House, data: bytes, status: int, code: str) -> None:
    answer = await post(house, data)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["errors"][0]["field"] == "image"
    assert problem["trace_id"]


async def test_a_missing_field_is_named(house: House) -> None:
    answer = await post(house, jpeg(canvas(64, 48)), field="picture")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any("image" in error["field"] for error in answer.json()["errors"])


async def test_an_image_that_is_text(house: House) -> None:
    answer = await house.http.post(URL, data={"image": "hello"})
    assert answer.status_code == 422


async def test_a_full_queue(tmp_path: Path, manual_clock: ManualClock) -> None:
    narrow = {"inference": {"queue_size": 1, "max_batch": 1, "max_wait_ms": 0, "retry_after_s": 3}}
    Scripted.go.set()
    async with running(tmp_path, manual_clock, **narrow) as house:
        await house.is_ready()
        Scripted.go.clear()
        data = jpeg(canvas(64, 48))
        waiting = [asyncio.create_task(post(house, data)) for _ in range(6)]

        async def is_full() -> bool:
            return "pictures_refused_total 4.0" in (await house.http.get("/metrics")).text

        await eventually(is_full, message="one in hand, one waiting, four refused")
        settings = house.settings.grpc
        async with channel(f"127.0.0.1:{settings.port}", settings, token=GRPC_TOKEN) as made:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stubs.PlateReaderStub(made).Read(plates.ReadRequest(image=data), timeout=20)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        Scripted.go.set()
        answers = await asyncio.gather(*waiting)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"3"}


async def test_a_body_over_the_limit(tmp_path: Path, manual_clock: ManualClock) -> None:
    Scripted.go.set()
    async with running(tmp_path, manual_clock, pictures={"max_bytes": 100_000}) as house:
        await house.is_ready()
        assert (await post(house, pictures.noise(400_000))).status_code == 413
        assert (await post(house, pictures.noise(99_000))).status_code == 200


async def test_a_missing_engine_is_told(tmp_path: Path, manual_clock: ManualClock) -> None:
    missing = {"engine": "lookout", "inference": {"detector_model": tmp_path / "gone.onnx"}}
    Scripted.go.set()
    async with running(tmp_path, manual_clock, **missing) as house:

        async def told() -> bool:
            answer = await house.http.get("/health/ready")
            return answer.status_code == 503 and "gone.onnx" in answer.json()["checks"]["engine"]["detail"]

        await eventually(told, message="told")
        assert (await house.http.get("/health/live")).status_code == 200
        answer = await post(house, jpeg(canvas(64, 48)))
        assert (answer.status_code, answer.json()["code"]) == (503, "engine_missing")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.timeout(300)
async def test_the_shipped_engine_behind_it_all(tmp_path: Path, manual_clock: ManualClock) -> None:
    picture = canvas(640, 480)
    put_plate(picture, "RK 755AJ", (150, 200))
    data = encoded(bgr(picture))
    shipped = {"engine": "lookout", "inference": {"threads": 1}}
    Scripted.go.set()
    async with running(tmp_path, manual_clock, **shipped) as house:
        await house.is_ready()
        (found,) = (await post(house, data)).json()["plates"]
        assert found["text"] == "RK755AJ"
        read = await house.read(house.frame(await house.store(data)))
        assert [one.text for one in read.plates] == ["RK755AJ"]
