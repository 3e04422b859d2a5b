# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""The PlateReader service on a real port, with the service token."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from testkit.clock import ManualClock

from .conftest import encoded
from .running_service import SPOT, FakeEngine, RunningService, plate, running

pytestmark = pytest.mark.integration

DEADLINE_S = 20


@pytest.fixture
async def rpc(ocr: RunningService) -> "AsyncIterator[stubs.PlateReaderAsyncStub]":
    async with ocr.channel() as made:
        yield stubs.PlateReaderStub(made)


def image(width: int = 640) -> bytes:
    return encoded(np.full((480, width, 3), 90, np.uint8), ".png")


def spot() -> plates.ReadRequest:
    request = plates.ReadRequest(image=image(), request_id="r1")
    request.spot.polygon.points.extend(common.Point(x=x, y=y) for x, y in SPOT)
    return request


async def test_read(rpc: "stubs.PlateReaderAsyncStub") -> None:
    FakeEngine.plates[640] = (plate("FAR111", 500, 200), plate("D71026", 200, 200))
    request = spot()
    request.vehicle_box.CopyFrom(common.Box(x=120, y=120, width=160, height=160))
    answer = await rpc.Read(request, timeout=DEADLINE_S)
    assert (answer.request_id, answer.width_px, answer.height_px, answer.engine) == (
        "r1",
        640,
        480,
        "fake",
    )
    assert [one.text for one in answer.plates] == ["D71026", "FAR111"]
    assert (answer.spot_plate_index, answer.spot_occupancy) == (0, plates.SPOT_OCCUPANCY_OCCUPIED)
    assert answer.vehicles[0].is_in_spot
    assert answer.elapsed_ms > 0


async def test_read_from_a_blob(ocr: RunningService, rpc: "stubs.PlateReaderAsyncStub") -> None:
    blob = await ocr.store(image(300))
    answer = await rpc.Read(plates.ReadRequest(blob=blob), timeout=DEADLINE_S)
    assert (answer.width_px, answer.spot_occupancy) == (300, plates.SPOT_OCCUPANCY_UNKNOWN)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (plates.ReadRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        (plates.ReadRequest(image=b""), grpc.StatusCode.INVALID_ARGUMENT),
        (plates.ReadRequest(image=b"hello"), grpc.StatusCode.INVALID_ARGUMENT),
        (plates.ReadRequest(image=image()[:-12]), grpc.StatusCode.INVALID_ARGUMENT),
        (plates.ReadRequest(blob=common.BlobRef(key="frames/gone.jpg")), grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_refused(
    rpc: "stubs.PlateReaderAsyncStub", request_: plates.ReadRequest, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rpc.Read(request_, timeout=DEADLINE_S)
    assert refused.value.code() is code


async def test_a_picture_with_too_many_pixels(tmp_path: Path, manual_clock: ManualClock) -> None:
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock, pictures={"max_pixels": 1000}) as ocr:
        await ocr.is_ready()
        async with ocr.channel() as made:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stubs.PlateReaderStub(made).Read(plates.ReadRequest(image=image()), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_answers_in_order_and_continues_after_bad_frames(
    rpc: "stubs.PlateReaderAsyncStub",
) -> None:
    widths = [100 + number for number in range(30)]
    for width in widths:
        FakeEngine.plates[width] = (plate(f"AB{width}", 20, 20),)

    async def frames() -> AsyncIterator[plates.ReadStreamRequest]:
        for number, width in enumerate(widths):
            data = b"broken" if number % 7 == 3 else image(width)
            yield plates.ReadStreamRequest(frame=plates.ReadRequest(image=data, request_id=str(number)))

    answers = [answer async for answer in rpc.ReadStream(frames(), timeout=DEADLINE_S)]
    assert [answer.request_id for answer in answers] == [str(number) for number in range(30)]
    for number, answer in enumerate(answers):
        if number % 7 == 3:
            assert answer.error.startswith("not_a_picture: ")
            assert not answer.HasField("reading")
        else:
            assert answer.reading.plates[0].text == f"AB{widths[number]}"


def streamed(
    width: int, request_id: str, at_s: float, camera_id: str = "95", data: bytes | None = None
) -> plates.ReadStreamRequest:
    request = plates.ReadStreamRequest(
        frame=plates.ReadRequest(
            image=data or image(width), request_id=request_id, purpose=camera.PURPOSE_VIDEO
        ),
        camera_id=camera_id,
    )
    request.captured_at.FromMicroseconds(round((1_700_000_000 + at_s) * 1_000_000))
    return request


async def play(
    rpc: "stubs.PlateReaderAsyncStub", requests: list[plates.ReadStreamRequest]
) -> list[plates.ReadStreamResponse]:
    async def frames() -> AsyncIterator[plates.ReadStreamRequest]:
        for request in requests:
            yield request

    return [answer async for answer in rpc.ReadStream(frames(), timeout=DEADLINE_S)]


async def test_a_stream_tracks_a_plate(rpc: "stubs.PlateReaderAsyncStub") -> None:
    texts = ["D71028", "D71026", "D71026", "D71026"]
    for n, text in enumerate(texts):
        FakeEngine.plates[300 + n] = (plate(text, 100 + 20 * n, 200, 0.6 + 0.1 * n),)
    requests = [streamed(300 + n, f"r{n}", 0.2 * n) for n in range(4)]
    requests.insert(2, streamed(0, "bad", 0.3, data=b"no picture"))
    *answers, last = await play(rpc, requests)
    assert [one.request_id for one in answers] == ["r0", "r1", "bad", "r2", "r3"]
    assert answers[2].error.startswith("not_a_picture: ")
    assert not answers[2].tracks
    states = [track.plate.state for answer in answers for track in answer.tracks]
    assert states == [
        common.PLATE_STATE_SINGLE_LOOK,
        common.PLATE_STATE_SINGLE_LOOK,
        common.PLATE_STATE_READ,
        common.PLATE_STATE_READ,
    ]
    assert not any(track.is_final for answer in answers for track in answer.tracks)
    assert (last.request_id, last.error, last.HasField("reading")) == ("", "", False)
    (track,) = last.tracks
    assert track.is_final
    assert {one.tracks[0].track_id for one in answers if one.tracks} == {track.track_id} == {"95:1"}
    assert (track.plate.text, track.plate.looks, track.looks) == ("D71026", 3, 4)
    assert (track.evidence_request_id, track.evidence_text, track.is_composed) == ("r3", "D71026", False)
    assert track.evidence_box == track.plate.box == answers[4].reading.plates[0].box
    assert track.first_seen_at.ToMicroseconds() == 1_700_000_000_000_000
    assert track.last_seen_at.ToMicroseconds() == 1_700_000_000_600_000
    assert 0.5 < track.plate.confidence < 1


async def test_a_track_ends_once_and_cameras_are_tracked_separately(
    rpc: "stubs.PlateReaderAsyncStub",
) -> None:
    FakeEngine.plates[300] = (plate("D71026", 100, 200),)
    FakeEngine.plates[301] = (plate("K11842", 100, 200),)
    requests = [
        streamed(300, "a0", 0, "95"),
        streamed(301, "b0", 0, "96"),
        streamed(300, "a1", 0.2, "95"),
        streamed(400, "a2", 9, "95"),
        streamed(301, "b1", 0.1, "96"),
        streamed(301, "", -5, "96"),
    ]
    *answers, last = await play(rpc, requests)
    finals = [
        (answer.request_id, t.track_id, t.plate.text)
        for answer in (*answers, last)
        for t in answer.tracks
        if t.is_final
    ]
    assert finals == [("a2", "95:1", "D71026"), ("", "96:1", "K11842")]
    assert last.tracks[0].plate.looks == 3


async def test_frames_without_a_camera_are_not_tracked(rpc: "stubs.PlateReaderAsyncStub") -> None:
    FakeEngine.plates[300] = (plate("D71026", 100, 200),)
    answers = await play(rpc, [streamed(300, f"r{n}", n, "") for n in range(3)])
    assert [len(answer.tracks) for answer in answers] == [0, 0, 0]


async def test_the_looks_of_frames_without_ids_and_times_count(rpc: "stubs.PlateReaderAsyncStub") -> None:
    FakeEngine.plates[300] = (plate("D71026", 100, 200),)
    bare = plates.ReadStreamRequest(frame=plates.ReadRequest(image=image(300)), camera_id="95")
    *_, last = await play(rpc, [bare, bare])
    assert (last.tracks[0].plate.state, last.tracks[0].looks) == (common.PLATE_STATE_READ, 2)


async def test_an_impossible_capture_time_is_refused_and_the_stream_goes_on(
    rpc: "stubs.PlateReaderAsyncStub",
) -> None:
    FakeEngine.plates[300] = (plate("D71026", 100, 200),)
    bad = streamed(300, "bad", 0)
    bad.captured_at.seconds = 1 << 60
    first, refused, second, _ = await play(rpc, [streamed(300, "r0", 0), bad, streamed(300, "r1", 0.2)])
    assert "captured_at" in refused.error
    assert first.tracks[0].plate.text == second.tracks[0].plate.text == "D71026"


async def test_a_stream_refuses_more_cameras_than_it_may_track(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    FakeEngine.go.set()
    FakeEngine.plates[300] = (plate("D71026", 100, 200),)
    async with running(tmp_path, manual_clock, rpc={"max_stream_cameras": 1}) as ocr:
        await ocr.is_ready()
        async with ocr.channel() as made:
            first, second, _ = await play(
                stubs.PlateReaderStub(made),
                [streamed(300, "r0", 0), streamed(300, "r1", 0, camera_id="96")],
            )
    assert first.tracks[0].plate.text == "D71026"
    assert second.error.startswith("too_many_cameras: ")


def look(grey: int) -> bytes:
    """A picture 300 wide whose right part has that grey, as the surroundings of the plate."""
    picture = np.full((480, 300, 3), 90, np.uint8)
    picture[:, 110:] = grey
    return encoded(picture, ".png")


async def answer_of(call: Any) -> plates.ReadStreamResponse:
    answer = await call.read()
    assert isinstance(answer, plates.ReadStreamResponse)
    return answer


async def in_step(
    rpc: "stubs.PlateReaderAsyncStub", requests: list[plates.ReadStreamRequest]
) -> list[plates.ReadStreamResponse]:
    """Send each frame after the answer to the one before it."""
    call = rpc.ReadStream(timeout=DEADLINE_S)
    answers = []
    for request in requests:
        await call.write(request)
        answers.append(await answer_of(call))
    await call.done_writing()
    return [*answers, *[answer async for answer in call]]


async def test_a_settled_plate_is_not_read_in_every_frame(rpc: "stubs.PlateReaderAsyncStub") -> None:
    FakeEngine.recognized.clear()
    FakeEngine.plates[300] = (plate("D71026", 120, 200),)
    first = [streamed(300, f"a{n}", 0.2 * n, data=look(20)) for n in range(30)]
    for request in first:
        request.frame.spot.polygon.points.extend(common.Point(x=x, y=y) for x, y in SPOT)
    answers = (await in_step(rpc, first))[:-1]
    assert FakeEngine.recognized == ["D71026"] * 3
    assert {answer.tracks[0].track_id for answer in answers} == {"95:1"}
    assert answers[-1].tracks[0].last_seen_at.ToMicroseconds() == 1_700_000_005_800_000
    for number, answer in enumerate(answers):
        (shown,) = answer.reading.plates
        assert (shown.text, shown.looks) == ("D71026", 0 if number < 3 else 3)
        assert shown.box == common.Box(x=80, y=190, width=80, height=20)
        assert answer.reading.spot_occupancy == plates.SPOT_OCCUPANCY_OCCUPIED
        assert answer.reading.spot_plate_index == 0


async def test_the_car_that_comes_after_a_parked_one_is_read(rpc: "stubs.PlateReaderAsyncStub") -> None:
    FakeEngine.recognized.clear()
    texts: list[str] = []
    call = rpc.ReadStream(timeout=DEADLINE_S)
    for n in range(60):
        text, grey = ("D71026", 20) if n < 30 else ("K11842", 220)
        FakeEngine.plates[300] = (plate(text, 120, 200), plate(f"AB{n:04}", 250, 400, 0.5))
        await call.write(streamed(300, f"r{n}", 0.2 * n, data=look(grey)))
        texts += [one.text for one in (await answer_of(call)).reading.plates if not one.text.startswith("AB")]
    await call.done_writing()
    finals = [track.plate.text async for answer in call for track in answer.tracks]
    read = [text for text in FakeEngine.recognized if not text.startswith("AB")]
    assert read[:3] == ["D71026"] * 3
    assert set(read[3:]) == {"K11842"}
    assert len(read) <= 10
    assert texts == ["D71026"] * 30 + ["K11842"] * 30
    assert "K11842" in finals


async def test_frames_of_another_camera_or_without_one_are_read(rpc: "stubs.PlateReaderAsyncStub") -> None:
    FakeEngine.recognized.clear()
    FakeEngine.plates[300] = (plate("D71026", 120, 200),)
    for camera_id, times in (("95", 6), ("", 5), ("96", 1)):
        await in_step(rpc, [streamed(300, "r", 0.2 * n, camera_id) for n in range(times)])
    assert len(FakeEngine.recognized) == 3 + 5 + 1


async def test_an_empty_stream(rpc: "stubs.PlateReaderAsyncStub") -> None:
    async def none() -> AsyncIterator[plates.ReadStreamRequest]:
        return
        yield

    assert [answer async for answer in rpc.ReadStream(none(), timeout=DEADLINE_S)] == []


async def test_a_caller_cancels_its_stream(rpc: "stubs.PlateReaderAsyncStub") -> None:
    async def endless() -> AsyncIterator[plates.ReadStreamRequest]:
        while True:
            yield plates.ReadStreamRequest(frame=plates.ReadRequest(image=image(64)))

    call = rpc.ReadStream(endless(), timeout=DEADLINE_S)
    seen = 0
    async for _ in call:
        seen += 1
        if seen == 5:
            call.cancel()
            break
    answer = await rpc.Read(plates.ReadRequest(image=image(64)), timeout=DEADLINE_S)
    assert answer.width_px == 64


async def test_without_the_token(ocr: RunningService) -> None:
    async with ocr.channel(token="wrong") as made:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stubs.PlateReaderStub(made).Read(plates.ReadRequest(image=image()), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
