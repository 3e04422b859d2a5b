# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""`POST /api/v1/ocr-image` on a real socket, and readiness."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.domain.values import Box, UnreadReason, seen_not_read
from testkit import pictures
from testkit.clock import ManualClock
from testkit.waiting import eventually

from .conftest import bgr, canvas, encoded, jpeg, put_plate
from .running_service import FakeEngine, RunningService, plate, running

pytestmark = pytest.mark.integration

URL = "/api/v1/ocr-image"


async def post(ocr: RunningService, data: bytes, field: str = "image") -> Any:
    return await ocr.http.post(URL, files={field: ("car.jpg", data, "image/jpeg")})


async def test_a_picture(ocr: RunningService) -> None:
    FakeEngine.plates[640] = (plate("D71026", 300, 200),)
    answer = await post(ocr, encoded(np.full((480, 640, 3), 90, np.uint8)))
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["width_px"], shown["height_px"], shown["engine"], shown["vehicles"]) == (
        640,
        480,
        "fake",
        [],
    )
    assert shown["elapsed_ms"] > 0
    (found,) = shown["plates"]
    assert found["box"] == [260, 190, 80, 20]
    assert (found["text"], found["raw_text"], found["number"]) == ("D71026", "D71026", "D71026")
    assert found["confidence"] == pytest.approx(0.93)
    assert found["characters"][0] == {"text": "D", "confidence": 0.93}
    assert (found["state"], found["unread_reason"], found["outline"]) == ("read", None, [])


async def test_a_plate_that_was_seen_and_not_read(ocr: RunningService) -> None:
    box = Box(260, 190, 30, 9)
    FakeEngine.plates[640] = (
        seen_not_read(box, UnreadReason.COVERED, height_px=9, outline=box.corners(), confidence=0.8),
    )
    (found,) = (await post(ocr, encoded(np.full((480, 640, 3), 90, np.uint8)))).json()["plates"]
    assert (found["text"], found["state"], found["unread_reason"]) == ("", "seen_not_read", "covered")
    assert (found["height_px"], found["outline"][0], len(found["outline"])) == (9, [260, 190], 4)


@pytest.mark.parametrize("missing", [0, 2, 400])
async def test_a_jpeg_without_its_end_is_read_and_the_answer_says_so(
    ocr: RunningService, missing: int
) -> None:
    FakeEngine.plates[640] = (plate("D71026", 260, 190),)
    data = encoded(np.full((480, 640, 3), 90, np.uint8))
    answer = await post(ocr, data[: len(data) - missing])
    assert [one["text"] for one in answer.json()["plates"]] == ["D71026"]
    assert answer.json()["is_complete"] == (missing == 0)


async def test_no_plate(ocr: RunningService) -> None:
    answer = await post(ocr, encoded(np.full((480, 640, 3), 90, np.uint8)))
    assert (answer.status_code, answer.json()["plates"]) == (200, [])


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "picture_empty"),
        (pictures.error_page(), 415, "not_a_picture"),
        (jpeg(canvas())[:300], 422, "picture_truncated"),
        (pictures.bomb(), 413, "picture_too_large"),
    ],
)
async def test_input_that_is_not_a_picture(ocr: RunningService, data: bytes, status: int, code: str) -> None:
    answer = await post(ocr, data)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["errors"][0]["field"] == "image"
    assert problem["trace_id"]


async def test_a_missing_field_is_named(ocr: RunningService) -> None:
    answer = await post(ocr, jpeg(canvas(64, 48)), field="picture")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any("image" in error["field"] for error in answer.json()["errors"])


async def test_an_image_that_is_text(ocr: RunningService) -> None:
    answer = await ocr.http.post(URL, data={"image": "hello"})
    assert answer.status_code == 422


async def test_a_full_queue(tmp_path: Path, manual_clock: ManualClock) -> None:
    narrow = {
        "inference": {"queue_size": 1, "max_batch_pictures": 1, "max_batch_wait_ms": 0, "retry_after_s": 3}
    }
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock, **narrow) as ocr:
        await ocr.is_ready()
        data = jpeg(canvas(64, 48))
        assert (await post(ocr, data)).status_code == 200  # the engine of calls is loaded at the first one
        FakeEngine.go.clear()
        FakeEngine.is_reading.clear()
        waiting = [asyncio.create_task(post(ocr, data))]
        # Only then the others: while it is in the queue itself, one more would be refused.
        await eventually(FakeEngine.is_reading.is_set, message="one being read")
        waiting += [asyncio.create_task(post(ocr, data)) for _ in range(5)]

        async def is_full() -> bool:
            return "pictures_refused_total 4.0" in (await ocr.http.get("/metrics")).text

        await eventually(is_full, message="one being read, one waiting, four refused")
        async with ocr.channel() as made:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stubs.PlateReaderStub(made).Read(plates.ReadRequest(image=data), timeout=20)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        FakeEngine.go.set()
        answers = await asyncio.gather(*waiting)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"3"}


async def test_a_body_over_the_limit(tmp_path: Path, manual_clock: ManualClock) -> None:
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock, pictures={"max_bytes": 100_000}) as ocr:
        await ocr.is_ready()
        assert (await post(ocr, pictures.noise(400_000))).status_code == 413
        assert (await post(ocr, pictures.noise(99_000))).status_code == 200


async def test_readiness_reports_a_missing_engine(tmp_path: Path, manual_clock: ManualClock) -> None:
    missing = {"engine": "lookout", "inference": {"detector_model": tmp_path / "gone.onnx"}}
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock, **missing) as ocr:

        async def is_reported() -> bool:
            answer = await ocr.http.get("/health/ready")
            return answer.status_code == 503 and "gone.onnx" in answer.json()["checks"]["engine"]["detail"]

        await eventually(is_reported, message="reported")
        assert (await ocr.http.get("/health/live")).status_code == 200
        answer = await post(ocr, jpeg(canvas(64, 48)))
        assert (answer.status_code, answer.json()["code"]) == (503, "engine_missing")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.timeout(300)
async def test_the_shipped_engine_end_to_end(tmp_path: Path, manual_clock: ManualClock) -> None:
    picture = canvas(640, 480)
    put_plate(picture, "RK 755AJ", (150, 200))
    data = encoded(bgr(picture))
    shipped = {"engine": "lookout", "inference": {"threads": 1}}
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock, **shipped) as ocr:
        await ocr.is_ready()
        (found,) = (await post(ocr, data)).json()["plates"]
        assert found["text"] == "RK755AJ"
        read = await ocr.read(ocr.frame(await ocr.store(data)))
        assert [one.text for one in read.plates] == ["RK755AJ"]
