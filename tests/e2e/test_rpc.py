"""The gRPC services through their generated stubs, with the same calls in embedded and distributed mode."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from all_in_one.pictures import draw_car, spot_polygon
from lookout.camera.v1 import camera_pb2, camera_pb2_grpc
from lookout.parking.v1 import parking_pb2, parking_pb2_grpc
from lookout.plates.v1 import plates_pb2, plates_pb2_grpc
from stack import Stack
from testkit import CameraMode, HttpCamera, eventually
from testkit.pictures import parking_push

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

PLATE = "D71026"
DEADLINE_S = 60


@dataclass(frozen=True)
class Site:
    """A camera with one spot, registered through the REST API."""

    stack: Stack
    device: HttpCamera
    camera_id: int
    location_id: int


@pytest.fixture(scope="module")
def site(stack: Stack) -> Iterator[Site]:
    with HttpCamera(picture=draw_car("D 71026")) as device, stack.client() as client:

        def create(path: str, **values: Any) -> int:
            answer = client.post(path, json=values)
            assert answer.status_code == 201, answer.text
            created: int = answer.json()["id"]
            return created

        location_id = create(
            "/locations",
            name="Nad Al Hamar",
            code="NAD",
            time_zone="Asia/Dubai",
            camera_user=device.user,
            camera_pass=device.password,
        )
        zone_id = create("/zones", location_id=location_id, code="Z1")
        pole_id = create("/poles", zone_id=zone_id, name="Pole 1", code="P1")
        camera_id = create(
            "/cameras",
            pole_id=pole_id,
            name="Camera 95",
            api_code="95",
            p_ip=device.address,
            number_of_parking=1,
        )
        corners = {
            f"p{i}_{axis}": value
            for i, corner in enumerate(spot_polygon(1), 1)
            for axis, value in zip("xy", corner, strict=True)
        }
        create("/spots", camera_id=camera_id, spot_number=1, status=0, **corners)
        yield Site(stack, device, camera_id, location_id)


@pytest.fixture
async def cameras(site: Site) -> AsyncIterator["camera_pb2_grpc.CamerasAsyncStub"]:
    async with site.stack.channel("ingest") as channel:
        yield camera_pb2_grpc.CamerasStub(channel)


@pytest.fixture
async def reader(site: Site) -> AsyncIterator["plates_pb2_grpc.PlateReaderAsyncStub"]:
    async with site.stack.channel("plate-ocr") as channel:
        yield plates_pb2_grpc.PlateReaderStub(channel)


@pytest.fixture
async def tickets(site: Site) -> AsyncIterator["parking_pb2_grpc.TicketsAsyncStub"]:
    async with site.stack.channel("tickets") as channel:
        yield parking_pb2_grpc.TicketsStub(channel)


async def test_cameras_and_spots_are_described(
    site: Site, cameras: "camera_pb2_grpc.CamerasAsyncStub"
) -> None:
    request = camera_pb2.GetCameraRequest(camera_id=site.camera_id)
    camera = (await cameras.GetCamera(request, timeout=DEADLINE_S)).camera
    assert (camera.name, camera.api_code, camera.location_code) == ("Camera 95", "95", "NAD")
    listed = await cameras.ListSpots(
        camera_pb2.ListSpotsRequest(camera_id=site.camera_id), timeout=DEADLINE_S
    )
    assert [spot.spot_number for spot in listed.spots] == [1]


async def test_plate_ocr_reads_a_frame_that_ingest_captured(
    site: Site, cameras: "camera_pb2_grpc.CamerasAsyncStub", reader: "plates_pb2_grpc.PlateReaderAsyncStub"
) -> None:
    request = camera_pb2.CaptureFrameRequest(camera_id=site.camera_id)
    frame = await cameras.CaptureFrame(request, timeout=DEADLINE_S)
    reading = await reader.Read(
        plates_pb2.ReadRequest(blob=frame.picture, request_id="one"), timeout=DEADLINE_S
    )
    assert reading.request_id == "one"
    assert [plate.text for plate in reading.plates] == [PLATE]


async def test_a_clip_is_fetched(site: Site, cameras: "camera_pb2_grpc.CamerasAsyncStub") -> None:
    start = Timestamp()
    start.GetCurrentTime()
    start.seconds -= 60
    request = camera_pb2.FetchClipRequest(camera_id=site.camera_id, start=start)
    assert (await cameras.FetchClip(request, timeout=DEADLINE_S)).clip.content_type == "video/mp4"


async def test_a_stream_of_frames_is_read_and_tracked(reader: "plates_pb2_grpc.PlateReaderAsyncStub") -> None:
    picture = draw_car("D 71026")

    async def frames() -> AsyncIterator[plates_pb2.ReadStreamRequest]:
        for number in range(3):
            frame = plates_pb2.ReadRequest(image=picture, request_id=str(number))
            captured_at = Timestamp(seconds=1_773_475_800 + number)
            yield plates_pb2.ReadStreamRequest(frame=frame, camera_id="95", captured_at=captured_at)

    responses = [response async for response in reader.ReadStream(frames(), timeout=DEADLINE_S)]
    assert [response.request_id for response in responses[:3]] == ["0", "1", "2"]
    assert all(response.reading.plates[0].text == PLATE for response in responses[:3])
    tracks = [track for response in responses for track in response.tracks]
    assert {track.plate.text for track in tracks} == {PLATE}
    assert len({track.track_id for track in tracks}) == 1


async def test_tickets_are_queried(site: Site, tickets: "parking_pb2_grpc.TicketsAsyncStub") -> None:
    with site.stack.client() as client:
        answer = client.post("/post", json=parking_push(picture=draw_car("D 71026")))
    assert answer.is_success, answer.text

    async def listed() -> parking_pb2.ListTicketsResponse:
        request = parking_pb2.ListTicketsRequest(camera_id=site.camera_id)
        response: parking_pb2.ListTicketsResponse = await tickets.ListTickets(request, timeout=DEADLINE_S)
        assert response.tickets
        return response

    (ticket,) = (await eventually(listed, timeout_s=60, message="a ticket")).tickets
    same = await tickets.GetTicket(
        parking_pb2.GetTicketRequest(ticket_id=ticket.ticket_id), timeout=DEADLINE_S
    )
    assert same.ticket == ticket
    counted = await tickets.CountByCamera(
        parking_pb2.CountByCameraRequest(location_id=site.location_id), timeout=DEADLINE_S
    )
    assert [(count.camera_id, count.open_count) for count in counted.counts] == [(site.camera_id, 1)]


Call = Callable[[grpc.aio.Channel], Any]
CALLS: dict[str, Call] = {
    "ingest": lambda channel: camera_pb2_grpc.CamerasStub(channel).GetCamera(
        camera_pb2.GetCameraRequest(camera_id=1), timeout=DEADLINE_S
    ),
    "plate-ocr": lambda channel: plates_pb2_grpc.PlateReaderStub(channel).Read(
        plates_pb2.ReadRequest(image=b""), timeout=DEADLINE_S
    ),
    "tickets": lambda channel: parking_pb2_grpc.TicketsStub(channel).ListTickets(
        parking_pb2.ListTicketsRequest(), timeout=DEADLINE_S
    ),
}


@pytest.mark.parametrize("token", ["", "not the token"])
@pytest.mark.parametrize("service", CALLS)
async def test_a_call_without_the_service_token_is_refused(site: Site, service: str, token: str) -> None:
    async with site.stack.channel(service, token=token) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await CALLS[service](channel)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_errors_have_their_status(
    site: Site, cameras: "camera_pb2_grpc.CamerasAsyncStub", tickets: "parking_pb2_grpc.TicketsAsyncStub"
) -> None:
    calls: list[Any] = [
        cameras.GetCamera(camera_pb2.GetCameraRequest(camera_id=9999), timeout=DEADLINE_S),
        tickets.GetTicket(parking_pb2.GetTicketRequest(ticket_id=9999), timeout=DEADLINE_S),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_camera_that_does_not_answer_exceeds_the_deadline(
    site: Site, cameras: "camera_pb2_grpc.CamerasAsyncStub"
) -> None:
    site.device.mode = CameraMode.HANG
    try:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await cameras.CaptureFrame(camera_pb2.CaptureFrameRequest(camera_id=site.camera_id), timeout=1)
    finally:
        site.device.mode = CameraMode.OK
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
