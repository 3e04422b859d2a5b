"""The Tickets service over gRPC, on a real socket with the service token."""

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from lookout.parking.v1 import parking_pb2 as parking
from lookout.parking.v1 import parking_pb2_grpc as stubs
from tickets.mapping import timestamp

from .conftest import Frames, RunningTickets

DEADLINE_S = 10


@pytest.fixture
async def rpc(any_service: RunningTickets) -> "AsyncIterator[stubs.TicketsAsyncStub]":
    async with any_service.channel() as channel:
        yield stubs.TicketsStub(channel)


async def fill(service: RunningTickets) -> None:
    gate, south = Frames(camera_id=95), Frames(camera_id=7, location=(2, "17"))
    await service.publish(gate.entry(0), gate.exit(10), gate.entry(20, "K77310", region="ae-aj"))
    await service.publish(gate.entry(25, None, spot=2))
    await service.publish(south.entry(30, "R90521"))  # separately: cameras are handled concurrently


async def test_get_ticket(any_service: RunningTickets, rpc: "stubs.TicketsAsyncStub") -> None:
    await fill(any_service)
    ticket = (await rpc.GetTicket(parking.GetTicketRequest(ticket_id=1), timeout=DEADLINE_S)).ticket
    assert (ticket.ticket_id, ticket.status, ticket.plate.text) == (1, parking.TICKET_STATUS_CLOSED, "A12345")
    assert (ticket.plate_city, ticket.camera_name, ticket.spot_number) == ("DXB", "NAD-P1-C95", 1)
    assert ticket.exit_at.ToSeconds() - ticket.entry_at.ToSeconds() == 600
    unknown = (await rpc.GetTicket(parking.GetTicketRequest(ticket_id=3), timeout=DEADLINE_S)).ticket
    assert unknown.plate.text == "UNKNOWN"


@pytest.mark.parametrize("number", [0, -1, 99, 2**63 - 1])
async def test_get_ticket_not_found(rpc: "stubs.TicketsAsyncStub", number: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rpc.GetTicket(parking.GetTicketRequest(ticket_id=number), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_list_tickets(any_service: RunningTickets, rpc: "stubs.TicketsAsyncStub") -> None:
    await fill(any_service)
    frames = Frames()

    async def found(list_request: parking.ListTicketsRequest) -> list[int]:
        return [
            ticket.ticket_id for ticket in (await rpc.ListTickets(list_request, timeout=DEADLINE_S)).tickets
        ]

    request = parking.ListTicketsRequest
    assert await found(request()) == [4, 3, 2, 1]
    assert await found(request(camera_id=95)) == [3, 2, 1]
    assert await found(request(spot_number=2)) == [3]
    assert await found(request(plate_number="77310")) == [2]
    assert await found(request(plate_code="K")) == [2]
    assert await found(request(plate_city="AJM")) == [2]
    assert await found(request(status=parking.TICKET_STATUS_CLOSED)) == [1]
    assert await found(request(location_id=2)) == [4]
    assert await found(request(entry_start=timestamp(frames.at(20)), entry_end=timestamp(frames.at(25)))) == [
        3,
        2,
    ]


async def test_page_tokens_page_through_the_list(
    any_service: RunningTickets, rpc: "stubs.TicketsAsyncStub"
) -> None:
    await fill(any_service)
    seen, token = [], ""
    for _ in range(4):
        page = await rpc.ListTickets(
            parking.ListTicketsRequest(page_size=1, page_token=token), timeout=DEADLINE_S
        )
        seen += [ticket.ticket_id for ticket in page.tickets]
        token = page.next_page_token
    assert (seen, token) == ([4, 3, 2, 1], "")


@pytest.mark.parametrize(
    "request_",
    [
        parking.ListTicketsRequest(page_token="nonsense"),
        parking.ListTicketsRequest(page_size=-1),
    ],
)
async def test_invalid_requests(rpc: "stubs.TicketsAsyncStub", request_: parking.ListTicketsRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rpc.ListTickets(request_, timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_count_by_camera(any_service: RunningTickets, rpc: "stubs.TicketsAsyncStub") -> None:
    await fill(any_service)

    async def counts(request: parking.CountByCameraRequest) -> list[tuple[int, str, int, int]]:
        answer = await rpc.CountByCamera(request, timeout=DEADLINE_S)
        return [(c.camera_id, c.camera_name, c.open_count, c.closed_count) for c in answer.counts]

    assert await counts(parking.CountByCameraRequest()) == [(7, "NAD-P1-C7", 1, 0), (95, "NAD-P1-C95", 2, 1)]
    assert await counts(parking.CountByCameraRequest(location_id=2)) == [(7, "NAD-P1-C7", 1, 0)]
    late = timestamp(Frames().at(20) - timedelta(seconds=1))
    assert await counts(parking.CountByCameraRequest(location_id=1, entry_start=late)) == [
        (95, "NAD-P1-C95", 2, 0)
    ]


async def test_a_call_without_the_token_is_unauthenticated(any_service: RunningTickets) -> None:
    async with any_service.channel(token="wrong") as made:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stubs.TicketsStub(made).GetTicket(parking.GetTicketRequest(ticket_id=1), timeout=DEADLINE_S)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
