# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""A captured frame becomes a read, with good and bad pictures."""

import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.ids import derived_id
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.plates.v1 import plates_pb2 as plates
from plate_ocr.adapters.decoding import decode
from plate_ocr.domain.values import AdmittedPicture, Box, UnreadReason, seen_not_read
from testkit import pictures
from testkit.bus import BusBackend
from testkit.clock import ManualClock
from testkit.waiting import eventually

from .conftest import encoded
from .running_service import FakeEngine, RunningService, plate, running

IN_SPOT, OUTSIDE = (200, 200), (500, 200)
OCCUPIED, FREE, UNKNOWN = (
    plates.SPOT_OCCUPANCY_OCCUPIED,
    plates.SPOT_OCCUPANCY_FREE,
    plates.SPOT_OCCUPANCY_UNKNOWN,
)
CAR_IN_SPOT = common.Box(x=120, y=120, width=160, height=160)
CAR_ELSEWHERE = common.Box(x=400, y=120, width=160, height=160)


def image(width: int = 640) -> bytes:
    return encoded(np.full((480, width, 3), 90, np.uint8))


async def test_the_content_of_a_read(ocr: RunningService) -> None:
    FakeEngine.plates[640] = (plate("FAR111", *OUTSIDE, confidence=0.99), plate("D71026", *IN_SPOT))
    frame = ocr.frame(await ocr.store(image()), vehicle_box=CAR_IN_SPOT)
    read = await ocr.read(frame)
    (event,) = ocr.events
    assert event.message_id == derived_id(UUID(frame.frame_id), "plates_read") == UUID(read.read_id)
    assert event.routing_key == "plates.plates_read.v1.NAD.95"
    assert (event.partition_key, event.correlation_id) == ("camera:95", frame.frame_id)
    assert (read.frame, read.engine, read.failure) == (frame, "fake", "")
    assert read.elapsed_ms > 0
    assert read.read_at.ToSeconds() == int(ocr.clock.now().timestamp())
    assert [one.text for one in read.plates] == ["D71026", "FAR111"]
    assert (read.spot_plate_index, read.spot_occupancy, read.is_spot_occupied) == (0, OCCUPIED, True)
    assert [c.text for c in read.plates[0].characters] == list("D71026")
    (vehicle,) = read.vehicles
    assert (vehicle.source, vehicle.is_in_spot, vehicle.share_in_spot) == ("camera", True, 1.0)


async def test_crops_are_stored_before_the_read_is_published(ocr: RunningService) -> None:
    FakeEngine.plates[640] = (plate("D71026", *IN_SPOT),)
    read = await ocr.read(ocr.frame(await ocr.store(image())))
    crop = read.plates[0].crop
    assert crop.key.startswith("crops/")
    data = await ocr.blobs.get(crop.key)
    shown = decode(data, AdmittedPicture(0))
    assert shown.shape[:2] == (crop.height_px, crop.width_px)
    assert (len(data), crop.content_type) == (crop.size_bytes, "image/jpeg")


async def test_a_redelivered_frame_publishes_the_same_read(ocr: RunningService) -> None:
    FakeEngine.plates[640] = (plate("D71026", *IN_SPOT),)
    frame = ocr.frame(await ocr.store(image()))
    first = await ocr.read(frame)
    second = await ocr.read(frame)
    assert first.read_id == second.read_id
    assert first.plates[0].crop.key == second.plates[0].crop.key
    assert [key.key async for key in ocr.blobs.list("crops/")] == [first.plates[0].crop.key]


@pytest.mark.parametrize(
    ("found", "box", "occupancy"),
    [
        (IN_SPOT, CAR_IN_SPOT, OCCUPIED),
        (None, CAR_IN_SPOT, OCCUPIED),
        (IN_SPOT, CAR_ELSEWHERE, OCCUPIED),
        (OUTSIDE, CAR_ELSEWHERE, FREE),
        (None, CAR_ELSEWHERE, FREE),
        (None, None, UNKNOWN),
        (OUTSIDE, None, UNKNOWN),
        (IN_SPOT, None, OCCUPIED),
    ],
)
async def test_entries(
    ocr: RunningService, found: tuple[int, int] | None, box: common.Box | None, occupancy: int
) -> None:
    FakeEngine.plates[640] = (plate("D71026", *found),) if found else ()
    read = await ocr.read(ocr.frame(await ocr.store(image()), vehicle_box=box))
    assert read.spot_occupancy == occupancy
    assert read.is_spot_occupied == (occupancy == OCCUPIED)
    assert read.spot_plate_index == (0 if found == IN_SPOT else -1)
    assert len(read.vehicles) == (box is not None)


@pytest.mark.parametrize(
    "source",
    [
        camera.PICTURE_SOURCE_FETCHED,
        camera.PICTURE_SOURCE_PUSHED_FALLBACK,
        camera.PICTURE_SOURCE_PUSHED,
    ],
)
@pytest.mark.parametrize(("found", "occupancy"), [(IN_SPOT, OCCUPIED), (OUTSIDE, UNKNOWN), (None, UNKNOWN)])
async def test_on_an_exit_the_cameras_box_is_that_of_the_car_that_left(
    ocr: RunningService, source: Any, found: tuple[int, int] | None, occupancy: int
) -> None:
    FakeEngine.plates[640] = (plate("D71026", *found),) if found else ()
    frame = ocr.frame(
        await ocr.store(image()),
        purpose=camera.PURPOSE_EXIT,
        picture_source=source,
        vehicle_box=CAR_IN_SPOT,
    )
    read = await ocr.read(frame)
    assert read.spot_occupancy == occupancy
    assert not read.vehicles


async def test_the_camera_is_that_of_the_reference_and_not_of_the_older_fields(ocr: RunningService) -> None:
    frame = ocr.frame(await ocr.store(image()), camera=common.CameraRef(location_code="ABC", api_code="7"))
    for name in ("location_id", "location_code", "camera_id", "camera_api_code"):
        frame.ClearField(name)
    await ocr.read(frame)
    (event,) = ocr.events
    assert event.routing_key == "plates.plates_read.v1.ABC.7"


async def test_a_frame_without_a_spot(ocr: RunningService) -> None:
    FakeEngine.plates[640] = (plate("D71026", *IN_SPOT),)
    frame = ocr.frame(await ocr.store(image()), purpose=camera.PURPOSE_SNAPSHOT, spot=None)
    read = await ocr.read(frame)
    assert (read.spot_occupancy, read.spot_plate_index, len(read.plates)) == (UNKNOWN, -1, 1)


@pytest.mark.parametrize(("missing", "occupancy"), [(0, FREE), (2, UNKNOWN), (400, UNKNOWN)])
async def test_an_incomplete_jpeg_is_read_as_far_as_it_goes(
    ocr: RunningService, missing: int, occupancy: int
) -> None:
    """The car in the spot may be in the part that is missing."""
    FakeEngine.plates[640] = (plate("D71026", *OUTSIDE),)
    data = image()
    frame = ocr.frame(await ocr.store(data[: len(data) - missing]), vehicle_box=CAR_ELSEWHERE)
    read = await ocr.read(frame)
    assert [one.text for one in read.plates] == ["D71026"]
    assert (read.failure, read.spot_occupancy) == ("", occupancy)
    assert read.is_picture_incomplete == (missing > 0)


@pytest.mark.parametrize(
    ("data", "code", "failure_code"),
    [
        (b"no picture", "not_a_picture", plates.READ_FAILURE_PICTURE_INVALID),
        (image()[:300], "picture_truncated", plates.READ_FAILURE_PICTURE_INVALID),
        (pictures.bomb(), "picture_too_large", plates.READ_FAILURE_PICTURE_TOO_LARGE),
    ],
)
async def test_a_picture_that_cannot_be_read_is_published_as_failed(
    ocr: RunningService, data: bytes, code: str, failure_code: plates.ReadFailure.ValueType
) -> None:
    read = await ocr.read(ocr.frame(await ocr.store(data), vehicle_box=CAR_IN_SPOT))
    assert read.failure.startswith(f"{code}: ")
    assert read.failure_code == failure_code
    assert (len(read.plates), read.spot_plate_index, read.spot_occupancy) == (0, -1, UNKNOWN)
    assert not read.is_spot_occupied


@pytest.mark.integration
async def test_a_frame_with_which_the_process_crashed_three_times_is_published_as_given_up(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    queue = "plate-ocr.frame_captured.v1"
    async with running(tmp_path, manual_clock) as ocr:
        FakeEngine.plates[640] = (plate("D71026", *IN_SPOT),)
        frame = ocr.frame(await ocr.store(image()), vehicle_box=CAR_IN_SPOT)
    bus = BusBackend("sqlite", ocr.settings.bus.url)
    await (await bus.open()).publish(ocr.event(frame))
    await bus.close_all()
    with sqlite3.connect(tmp_path / "bus.db") as db:
        db.execute("UPDATE messages SET deliveries = 3 WHERE queue = ?", (queue,))
    db.close()
    async with running(tmp_path, manual_clock) as ocr:
        await eventually(lambda: len(ocr.events) == 1, message="published")
        read = ocr.events[0].parse(plates.PlatesRead)
        assert read.failure.startswith("given_up: the process crashed 3 times")
        assert (read.failure_code, read.frame) == (plates.READ_FAILURE_GIVEN_UP, frame)
        assert (len(read.plates), read.spot_occupancy) == (0, UNKNOWN)

        async def is_dead_letter() -> bool:
            return len(await ocr.bus.dead_letters(queue)) == 1

        await eventually(is_dead_letter, message="dead letter")


@pytest.mark.parametrize("key", ["frames/2026/03/14/gone.jpg", "../etc/passwd", ""])
async def test_a_missing_picture_is_published_as_failed(ocr: RunningService, key: str) -> None:
    read = await ocr.read(ocr.frame(common.BlobRef(key=key)))
    assert read.failure


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xff", ""),
        (b"", "not a UUID"),
        (camera.FrameCaptured(frame_id="x", purpose=camera.PURPOSE_ENTRY).SerializeToString(), "not a UUID"),
        (camera.FrameCaptured(frame_id=str(UUID(int=7))).SerializeToString(), "no purpose"),
        (
            camera.FrameCaptured(
                frame_id=str(UUID(int=7)),
                purpose=camera.PURPOSE_ENTRY,
                received_at=Timestamp(seconds=10**15),
            ).SerializeToString(),
            "received_at",
        ),
    ],
)
async def test_an_incomplete_frame_becomes_a_dead_letter(
    ocr: RunningService, body: bytes, reason: str
) -> None:
    frame = ocr.frame(await ocr.store(image()))
    event = await ocr.publish(frame)
    await eventually(lambda: len(ocr.events) == 1, message="read")
    await ocr.bus.publish(event.__class__(**{**fields(event), "body": body, "message_id": UUID(int=5)}))

    async def is_dead_letter() -> bool:
        found = await ocr.bus.dead_letters("plate-ocr.frame_captured.v1")
        return len(found) == 1 and reason in found[0].reason

    await eventually(is_dead_letter, message="dead letter")


async def test_cameras_are_read_in_parallel(ocr: RunningService) -> None:
    picture = await ocr.store(image())
    for number in range(40):
        await ocr.publish(ocr.frame(picture, camera_id=number % 8, camera_api_code=str(number % 8)))
    await eventually(lambda: len(ocr.events) == 40, message="all read")
    metrics = (await ocr.http.get("/metrics")).text
    assert 'lookout_plate_ocr_frames_read_total{outcome="none"} 40.0' in metrics
    for stage in ("decode", "queue", "detect", "recognize", "whole"):
        assert f'lookout_plate_ocr_stage_seconds_count{{stage="{stage}"}} 40.0' in metrics


@pytest.mark.integration
async def test_a_dropped_frame_is_published_as_failed_and_entries_are_not_dropped(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    async with running(tmp_path, manual_clock, inference={"queue_size": 2, "max_batch_pictures": 1}) as ocr:
        await ocr.is_ready()
        picture = await ocr.store(image())
        FakeEngine.go.clear()
        try:
            for number in range(12):
                purpose = camera.PURPOSE_ENTRY if number % 3 == 0 else camera.PURPOSE_VIDEO
                await ocr.publish(ocr.frame(picture, camera_id=number, purpose=purpose))
            # One more is being read than the queue holds, so at most one video frame is read.
            await eventually(lambda: len(ocr.events) >= 7, message="dropped")
        finally:
            FakeEngine.go.set()
        await eventually(lambda: len(ocr.events) == 12, message="all published")
        reads = [event.parse(plates.PlatesRead) for event in ocr.events]
        dropped = [read for read in reads if read.failure]
        assert all(read.failure.startswith("dropped: 2 pictures waited") for read in dropped)
        assert {read.failure_code for read in dropped} == {plates.READ_FAILURE_DROPPED}
        assert all(read.frame.purpose == camera.PURPOSE_VIDEO for read in dropped)
        assert all(read.spot_occupancy == UNKNOWN for read in dropped)
        metrics = (await ocr.http.get("/metrics")).text
        assert f'lookout_plate_ocr_frames_read_total{{outcome="dropped"}} {len(dropped)}.0' in metrics
        assert f'lookout_plate_ocr_pictures_dropped_total{{purpose="video"}} {len(dropped)}.0' in metrics
        assert not await ocr.bus.dead_letters("plate-ocr.frame_captured.v1")


def fields(event: object) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__}  # type: ignore[attr-defined] # an Event


async def test_a_plate_that_was_seen_and_not_read(ocr: RunningService) -> None:
    tiny = seen_not_read(
        Box(190, 195, 20, 8), UnreadReason.TOO_SMALL, height_px=7.5, outline=Box(190, 195, 20, 8).corners()
    )
    FakeEngine.plates[640] = (tiny, plate("FAR111", *OUTSIDE))
    read = await ocr.read(ocr.frame(await ocr.store(image())))
    assert (read.spot_plate_index, read.spot_occupancy) == (0, OCCUPIED)
    seen, far = read.plates
    assert (seen.text, seen.number, seen.state) == ("", "", common.PLATE_STATE_SEEN_NOT_READ)
    assert (seen.unread_reason, seen.height_px, len(seen.outline.points)) == ("too_small", 7.5, 4)
    assert seen.unread_reason_code == common.UNREAD_REASON_TOO_SMALL
    assert seen.crop.key
    assert (far.text, far.state, far.unread_reason, far.HasField("outline")) == (
        "FAR111",
        common.PLATE_STATE_READ,
        "",
        False,
    )
    FakeEngine.plates[640] = (tiny, plate("D71026", *IN_SPOT))
    read = await ocr.read(ocr.frame(await ocr.store(image())))
    assert [one.text for one in read.plates] == ["D71026", ""]
