"""gRPC in: the service `lookout.parking.v1.Tickets`."""

import grpc

from kit.errors import FieldError, Invalid
from lookout.parking.v1 import parking_pb2 as parking
from lookout.parking.v1 import parking_pb2_grpc as stubs
from tickets.domain.lists import Slice, TicketFilter
from tickets.handlers.plate_filters import city, pattern
from tickets.handlers.queries import Queries
from tickets.mapping import bound_from, status_from, ticket_message

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


class TicketsRpc(stubs.TicketsServicer):
    """NOT_FOUND: no such ticket. INVALID_ARGUMENT: an invalid page token or size."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def GetTicket(  # noqa: N802 - the contract's name
        self, request: parking.GetTicketRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> parking.GetTicketResponse:
        """One ticket."""
        return parking.GetTicketResponse(ticket=ticket_message(await self._queries.ticket(request.ticket_id)))

    async def ListTickets(  # noqa: N802 - the contract's name
        self, request: parking.ListTicketsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> parking.ListTicketsResponse:
        """A page of tickets, newest first. An empty or zero field of the request is no condition.

        INVALID_ARGUMENT: also a part of a plate without a letter or digit.
        """
        if request.page_size < 0:
            raise Invalid("The page size is negative.", errors=(FieldError("page_size", "must be 0 to 200"),))
        part = Slice(
            limit=min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
            cursor=request.page_token or None,
        )
        wanted = TicketFilter(
            camera_id=request.camera_id or None,
            spot_number=request.spot_number or None,
            plate_number=pattern("plate_number", request.plate_number or None),
            plate_code=pattern("plate_code", request.plate_code or None),
            plate_city=city(request.plate_city),
            entry_start=bound_from(request.entry_start),
            entry_end=bound_from(request.entry_end),
            status=status_from(request.status),
            location_id=request.location_id or None,
        )
        found = await self._queries.tickets(wanted, part, is_counted=False)
        return parking.ListTicketsResponse(
            tickets=[ticket_message(ticket) for ticket in found.items],
            next_page_token=found.next_cursor or "",
        )

    async def CountByCamera(  # noqa: N802 - the contract's name
        self, request: parking.CountByCameraRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> parking.CountByCameraResponse:
        """Open and closed tickets of each camera that has any."""
        wanted = TicketFilter(
            location_id=request.location_id or None,
            entry_start=bound_from(request.entry_start),
            entry_end=bound_from(request.entry_end),
        )
        counts = await self._queries.counts_by_camera(wanted)
        return parking.CountByCameraResponse(
            counts=[
                parking.CameraCount(
                    camera_id=count.camera_id,
                    camera_name=count.camera_name,
                    open_count=count.open_count,
                    closed_count=count.closed_count,
                )
                for count in counts
            ]
        )
