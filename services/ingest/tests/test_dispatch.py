import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.camera_event import PendingEvent
from ingest.handlers.dispatch_pending import PendingEventDispatcher
from ingest.mapping import decode_frame
from ingest.store import events
from ingest.store.tables import camera_events, spots
from kit.ids import uuid7
from lookout.camera.v1 import camera_pb2
from testkit import CameraMode, HttpCamera, eventually
from testkit.pictures import noise, solid

from .conftest import Ingest, Starter

FETCHED = camera_pb2.PICTURE_SOURCE_FETCHED
FALLBACK = camera_pb2.PICTURE_SOURCE_PUSHED_FALLBACK
PUSHED = camera_pb2.PICTURE_SOURCE_PUSHED


async def sent(ingest: Ingest, count: Any, timeout_s: Any = 15) -> Any:
    async def enough() -> Any:
        frames = await ingest.sent()
        return frames if len(frames) >= count else None

    return await eventually(enough, timeout_s, f"{count} events sent")


async def test_a_fresh_picture_is_fetched_for_an_exit(ingest: Ingest, http_camera: HttpCamera) -> None:
    http_camera.picture = solid(320, 180)
    await ingest.make_camera(p_ip=http_camera.address)
    answer = await ingest.post(occupancy=0, picture=solid(640, 360))
    assert answer.status_code == 200
    assert answer.json()["purpose"] == "EXIT"
    (frame,) = await sent(ingest, 1)
    assert frame.purpose == camera_pb2.PURPOSE_EXIT
    assert frame.picture_source == FETCHED
    assert frame.picture_note == ""
    assert (frame.picture.width_px, frame.picture.height_px) == (320, 180)
    # The corners follow the fetched picture's size; the vehicle box of the pushed picture does not apply to it.
    assert [(p.x, p.y) for p in frame.spot.polygon.points] == [(5, 2.5), (25, 2.5), (25, 20), (5, 20)]
    assert not frame.HasField("vehicle_box")
    (kept,) = ingest.blobs("exits")
    assert kept.read_bytes() == http_camera.picture
    (row,) = await ingest.rows()
    assert (row.state, row.picture_source, row.lease_id) == ("DISPATCHED", "FETCHED", None)
    assert row.picture["key"] == frame.picture.key
    event_url = f"/api/v1/camera-events/{frame.frame_id}/image"
    image = await ingest.client.get(event_url, headers=ingest.admin)
    assert image.content == http_camera.picture
    pushed = await ingest.client.get(f"{event_url}?which=pushed", headers=ingest.admin)
    assert pushed.content == solid(640, 360)
    (event,) = await eventually(lambda: ingest.frames)
    assert event.traceparent
    assert event.traceparent.split("-")[1] == answer.headers["x-trace-id"]


async def test_the_answer_to_an_exit_does_not_wait_for_the_camera(
    sqlite_ingest: Ingest, http_camera: HttpCamera
) -> None:
    http_camera.mode = CameraMode.HANG
    await sqlite_ingest.make_camera(p_ip=http_camera.address)
    assert (await sqlite_ingest.post(occupancy=0)).status_code == 200
    (row,) = await sqlite_ingest.rows()
    assert row.state == "PENDING"


@pytest.mark.parametrize(
    ("mode", "note"),
    [
        (CameraMode.REFUSE, "refuses our user name"),
        (CameraMode.ERROR, "answered with status 500"),
        (CameraMode.NOT_A_PICTURE, "no usable picture"),
        (CameraMode.TRUNCATED, "no usable picture"),
        (CameraMode.CUT, "closed the connection"),
        (CameraMode.HANG, "did not answer within"),
    ],
)
async def test_an_exit_is_dispatched_with_the_pushed_picture_if_the_camera_sends_none(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera, mode: Any, note: Any
) -> None:
    ingest = await start_ingest(sqlite_url, devices={"frame_timeout_s": 0.5, "is_loopback_allowed": True})
    http_camera.mode = mode
    await ingest.make_camera(p_ip=http_camera.address)
    await ingest.post(occupancy=0, picture=noise(9000))
    (frame,) = await sent(ingest, 1)
    assert frame.picture_source == FALLBACK
    assert note in frame.picture_note
    assert frame.picture.key.startswith("snapshots/")
    assert frame.HasField("vehicle_box")
    (row,) = await ingest.rows()
    assert (row.picture_source, row.picture_note) == ("PUSHED_FALLBACK", frame.picture_note)


@pytest.mark.parametrize(
    ("camera", "note"),
    [
        ({}, "has no address"),
        ({"p_ip": "127.0.0.1:9", "status": "OFFLINE"}, "OFFLINE"),
        ({"p_ip": "127.0.0.1:9"}, "refuses the connection"),
        ({"p_ip": "169.254.169.254"}, "may not be called"),
        ({"p_ip": "no-such-camera.invalid"}, "does not resolve"),
    ],
)
async def test_an_exit_of_a_camera_that_cannot_be_called_is_dispatched_with_the_pushed_picture(
    sqlite_ingest: Ingest, camera: Any, note: Any
) -> None:
    await sqlite_ingest.make_camera(**camera)
    await sqlite_ingest.post(occupancy=0)
    (frame,) = await sent(sqlite_ingest, 1)
    assert frame.picture_source == FALLBACK
    assert note in frame.picture_note


@pytest.mark.parametrize("first", ["127.0.0.1:9", "no-such-camera.invalid", "169.254.169.254"])
async def test_the_vpn_address_is_tried_when_the_first_cannot_be_called(
    sqlite_ingest: Ingest, http_camera: HttpCamera, first: str
) -> None:
    await sqlite_ingest.make_camera(p_ip=first, vpn_ip=http_camera.address)
    await sqlite_ingest.post(occupancy=0)
    (frame,) = await sent(sqlite_ingest, 1)
    assert frame.picture_source == FETCHED


async def test_one_picture_serves_the_exits_that_came_before_it_was_fetched(
    ingest: Ingest, http_camera: HttpCamera
) -> None:
    http_camera.mode, http_camera.slow_s = CameraMode.SLOW, 2.0
    await ingest.make_camera(p_ip=http_camera.address, spots=4)
    for number in (1, 2, 3, 4):
        answer = await ingest.post(occupancy=0, index_number=number, picture=solid(64 + number))
        assert answer.status_code == 200
    ingest.clock.advance(
        0.001
    )  # the picture of the first is on its way; that of the second is asked for later
    http_camera.slow_s = 0.0
    frames = await sent(ingest, 4)
    assert {frame.picture_source for frame in frames} == {FETCHED}
    assert calls(http_camera) == 2
    ingest.clock.advance(1)
    await ingest.post(occupancy=0, index_number=1, picture=solid(99))
    await sent(ingest, 5)
    assert calls(http_camera) == 3, "a later exit needs a later picture"


def calls(camera: HttpCamera) -> int:
    """Pictures fetched; not the requests that HTTP Digest challenges."""
    return sum(request.is_authorized for request in camera.requests)


async def test_nothing_overtakes_an_exit_of_its_camera(ingest: Ingest, http_camera: HttpCamera) -> None:
    http_camera.mode = CameraMode.SLOW
    http_camera.slow_s = 0.3
    await ingest.make_camera(p_ip=http_camera.address, spots=3)
    order = []
    for number in range(6):
        answer = await ingest.post(occupancy=number % 3 and 1, index_number=1 + number % 3, duration=number)
        order.append(answer.json()["event_id"])
    frames = await sent(ingest, 6)
    assert [frame.frame_id for frame in frames] == order
    assert [frame.picture_source for frame in frames] == [FETCHED, PUSHED, PUSHED] * 2
    await eventually(lambda: len(ingest.frames) == 6)
    assert [str(event.message_id) for event in ingest.frames] == order


async def test_an_entry_without_a_pending_event_before_it_is_dispatched_at_once(
    sqlite_ingest: Ingest,
) -> None:
    await sqlite_ingest.make_camera()
    await sqlite_ingest.post()
    assert len(await sqlite_ingest.outbox()) == 1


async def test_a_dead_camera_slows_only_itself(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera
) -> None:
    ingest = await start_ingest(sqlite_url, devices={"frame_timeout_s": 30, "is_loopback_allowed": True})
    with HttpCamera() as dead:
        dead.mode = CameraMode.HANG
        await ingest.make_camera(api_code="1", p_ip=dead.address)
        await ingest.make_camera(api_code="2", p_ip=http_camera.address)
        await ingest.post(parking_area="NAD1", occupancy=0)
        for number in range(3):
            await ingest.post(parking_area="NAD2", occupancy=0, duration=number)
        frames = await sent(ingest, 3)
        assert {frame.camera_api_code for frame in frames} == {"2"}
        dead.mode = CameraMode.OK


async def test_a_camera_that_does_not_answer_is_not_called_for_a_while(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera
) -> None:
    devices = {
        "frame_timeout_s": 0.3,
        "is_loopback_allowed": True,
        "circuit_max_failures": 2,
        "circuit_open_s": 30,
    }
    ingest = await start_ingest(sqlite_url, devices=devices)
    http_camera.mode = CameraMode.HANG
    await ingest.make_camera(p_ip=http_camera.address)
    for number in range(6):
        await ingest.post(occupancy=0, duration=number)
    frames = await sent(ingest, 6)
    assert http_camera.count() == 2
    assert ["not called for a while" in frame.picture_note for frame in frames] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    http_camera.mode = CameraMode.OK
    ingest.clock.advance(31)
    await ingest.post(occupancy=0, duration=7)
    assert (await sent(ingest, 7))[-1].picture_source == FETCHED


async def test_an_exit_whose_camera_was_deleted_is_dispatched(ingest: Ingest) -> None:
    camera = await ingest.make_camera()
    async with ingest.db.transaction() as session:
        await session.execute(update(camera_events).values(camera_id=0))
    await ingest.post(occupancy=0, duration=1)
    async with ingest.db.transaction() as session:
        # As if the camera were gone by the time its turn to be dispatched comes.
        await session.execute(update(camera_events).values(camera_id=camera["id"] + 1000))
    (frame,) = await sent(ingest, 1)
    assert frame.picture_source == FALLBACK


async def pend(ingest: Ingest, count: Any = 1) -> None:
    """Events that wait, in a service that does not dispatch."""
    for number in range(count):
        assert (await ingest.post(occupancy=0, duration=number)).status_code == 200


@pytest.fixture
async def idle(start_ingest: Starter, any_database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A service that does not dispatch, so that a test can act as several dispatchers."""

    async def run(_: PendingEventDispatcher) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(PendingEventDispatcher, "run", run)
    return await start_ingest(any_database)


async def claim(ingest: Ingest, limit: Any = 10, lease_s: Any = 20) -> Any:
    now = ingest.clock.now()
    async with ingest.db.transaction() as session:
        return await events.claim(
            session, lease_id=uuid7(), now=now, lease_until=now + timedelta(seconds=lease_s), limit=limit
        )


async def mark(ingest: Ingest, session: AsyncSession, event: PendingEvent) -> bool:
    frame = decode_frame(event.encoded_frame)
    return await events.mark_dispatched(session, event, frame, now=ingest.clock.now())


async def test_one_event_of_a_camera_is_leased_at_a_time(idle: Ingest) -> None:
    await idle.make_camera()
    await pend(idle, 3)
    (first,) = await claim(idle)
    assert await claim(idle) == []
    async with idle.db.transaction() as session:
        assert await mark(idle, session, first)
    (second,) = await claim(idle)
    assert second.event_no > first.event_no


async def test_an_expired_lease_is_taken_over_and_its_holder_can_dispatch_nothing(idle: Ingest) -> None:
    await idle.make_camera()
    await pend(idle, 2)
    (mine,) = await claim(idle)
    idle.clock.advance(21)
    (theirs,) = await claim(idle)
    assert theirs.event_id == mine.event_id
    async with idle.db.transaction() as session:
        assert not await mark(idle, session, mine)
        await events.release(session, mine)
    assert await claim(idle) == []  # releasing a lost lease frees nothing
    async with idle.db.transaction() as session:
        assert await mark(idle, session, theirs)
        assert not await mark(idle, session, theirs)


async def test_a_dispatcher_whose_lease_expired_during_the_fetch_sends_nothing(
    ingest: Ingest, http_camera: HttpCamera
) -> None:
    http_camera.mode = CameraMode.SLOW
    http_camera.slow_s = 0.5
    await ingest.make_camera(p_ip=http_camera.address)
    await ingest.post(occupancy=0)
    await eventually(lambda: http_camera.count() == 1)
    until = ingest.clock.now() + timedelta(seconds=20)
    async with ingest.db.transaction() as session:
        # Another replica assumes that this one has crashed, and takes the lease.
        await session.execute(update(camera_events).values(lease_id=uuid7(), lease_until=until))
    await eventually(lambda: len(ingest.blobs("exits")) == 1)
    ingest.clock.advance(21)  # and crashes itself, so that this one leases the event again

    async def is_out() -> bool:
        (row,) = await ingest.rows()
        return bool(row.state == "DISPATCHED")

    await eventually(is_out)
    assert http_camera.count() == 2
    assert len(await ingest.outbox()) == 1
    assert len(ingest.blobs("exits")) == 1


async def test_replicas_that_claim_concurrently_share_the_cameras(idle: Ingest) -> None:
    for number in range(1, 9):
        await idle.make_camera(api_code=str(number))
        await idle.post(parking_area=f"NAD{number}", occupancy=0)
        await idle.post(parking_area=f"NAD{number}", occupancy=0, duration=1)
    claims = await asyncio.gather(*(claim(idle, limit=3) for _ in range(6)))
    taken = [event.event_id for claimed in claims for event in claimed]
    assert len(taken) == len(set(taken)) <= 8
    assert len({event.camera_id for claimed in claims for event in claimed}) == len(taken)
    rest = await claim(idle)
    assert len(taken) + len(rest) == 8


async def test_a_camera_with_pending_events_is_not_deleted(idle: Ingest) -> None:
    camera = await idle.make_camera(spots=0)
    await pend(idle)
    async with idle.db.transaction() as session:
        await session.execute(spots.delete())
    answer = await idle.client.delete(f"/api/v1/cameras/{camera['id']}", headers=idle.admin)
    assert answer.status_code == 409
    assert answer.json()["code"] == "has_pending_events"


async def test_pending_events_are_dispatched_after_a_restart(
    start_ingest: Starter, any_database: str, http_camera: HttpCamera
) -> None:
    http_camera.mode = CameraMode.HANG
    first = await start_ingest(any_database, devices={"is_loopback_allowed": True, "frame_timeout_s": 30})
    await first.make_camera(p_ip=http_camera.address, spots=2)
    await pend(first, 2)
    entry = await first.post(index_number=2)
    await eventually(lambda: http_camera.count() == 1)
    await first.runner.stop()
    assert await first.outbox() == []
    http_camera.mode = CameraMode.OK
    second = await start_ingest(any_database, clock=first.clock)
    frames = await sent(second, 3)
    assert [frame.picture_source for frame in frames] == [FETCHED, FETCHED, PUSHED]
    assert frames[2].frame_id == entry.json()["event_id"]


async def test_a_bug_with_one_event_does_not_stop_the_other_cameras(ingest: Ingest) -> None:
    await ingest.make_camera(api_code="1")
    await ingest.make_camera(api_code="2")
    await ingest.post(parking_area="NAD1")
    (row,) = await ingest.rows()
    async with ingest.db.transaction() as session:
        await session.execute(
            update(camera_events)
            .where(camera_events.c.event_no == row.event_no)
            .values(state="PENDING", frame=b"\xff\xff broken")
        )
    await ingest.post(parking_area="NAD2", occupancy=0)
    frames = await sent(ingest, 2)
    assert frames[1].camera_api_code == "2"

    async def counted() -> Any:
        page = (await ingest.client.get("/metrics")).text
        return "lookout_ingest_pending_event_errors_total 1.0" in page

    await eventually(counted)
