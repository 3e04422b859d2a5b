# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""The PlateReader service on a real port, with the service token."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from kit.grpc import channel
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from testkit.clock import ManualClock

from .conftest import encoded
from .house import GRPC_TOKEN, SPOT, House, Scripted, plate, running

DEADLINE_S = 20


@pytest.fixture
async def rpc(house: House) -> "AsyncIterator[stubs.PlateReaderAsyncStub]":
    settings = house.settings.grpc
    async with channel(f"127.0.0.1:{settings.port}", settings, token=GRPC_TOKEN) as made:
        yield stubs.PlateReaderStub(made)


def image(width: int = 640) -> bytes:
    return encoded(np.full((480, width, 3), 90, np.uint8), ".png")


def spot() -> plates.ReadRequest:
    request = plates.ReadRequest(image=image(), request_id="r1")
    request.spot.polygon.points.extend(common.Point(x=x, y=y) for x, y in SPOT)
    return request


async def test_read(rpc: "stubs.PlateReaderAsyncStub") -> None:
    Scripted.plates[640] = (plate("FAR111", 500, 200), plate("D71026", 200, 200))
    request = spot()
    request.vehicle_box.CopyFrom(common.Box(x=120, y=120, width=160, height=160))
    answer = await rpc.Read(request, timeout=DEADLINE_S)
    assert (answer.request_id, answer.width_px, answer.height_px, answer.engine) == (
        "r1",
        640,
        480,
        "scripted",
    )
    assert [one.text for one in answer.plates] == ["D71026", "FAR111"]
    assert (answer.spot_plate_index, answer.spot_occupancy) == (0, plates.SPOT_OCCUPANCY_OCCUPIED)
    assert answer.vehicles[0].is_in_spot
    assert answer.elapsed_ms > 0


async def test_read_from_a_blob(house: House, rpc: "stubs.PlateReaderAsyncStub") -> None:
    blob = await house.store(image(300))
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
    Scripted.go.set()
    async with running(tmp_path, manual_clock, pictures={"max_pixels": 1000}) as house:
        await house.is_ready()
        settings = house.settings.grpc
        async with channel(f"127.0.0.1:{settings.port}", settings, token=GRPC_TOKEN) as made:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stubs.PlateReaderStub(made).Read(plates.ReadRequest(image=image()), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_answers_in_order_and_outlives_bad_frames(rpc: "stubs.PlateReaderAsyncStub") -> None:
    widths = [100 + number for number in range(30)]
    for width in widths:
        Scripted.plates[width] = (plate(f"AB{width}", 20, 20),)

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


async def test_an_empty_stream(rpc: "stubs.PlateReaderAsyncStub") -> None:
    async def none() -> AsyncIterator[plates.ReadStreamRequest]:
        return
        yield

    assert [answer async for answer in rpc.ReadStream(none(), timeout=DEADLINE_S)] == []


async def test_a_caller_who_hangs_up(rpc: "stubs.PlateReaderAsyncStub") -> None:
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


async def test_without_the_token(house: House) -> None:
    settings = house.settings.grpc
    async with channel(f"127.0.0.1:{settings.port}", settings, token="wrong") as made:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stubs.PlateReaderStub(made).Read(plates.ReadRequest(image=image()), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
