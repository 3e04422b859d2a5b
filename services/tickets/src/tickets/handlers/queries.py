"""Look up tickets, reviews, ignored triggers and occupancy. Nothing here changes anything."""

from kit.db import Database
from kit.errors import FieldError, NotFound
from tickets.domain.lists import (
    CameraOccupancy,
    CameraTicketCount,
    IgnoredTriggerFilter,
    ListPage,
    LocationCounts,
    Slice,
    TicketFilter,
)
from tickets.domain.tickets import IgnoredTrigger, Review, ReviewStatus, Ticket
from tickets.store import lists, sites


class Queries:
    """The queries, each in one read-only transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tickets(
        self,
        wanted: TicketFilter,
        part: Slice,
        *,
        sort_by: str = "id",
        is_descending: bool = True,
        is_counted: bool = True,
    ) -> ListPage[Ticket]:
        """A page of tickets.

        Raises:
            Invalid: an unknown sort key, or a cursor of another list or order.
        """
        async with self._db.reading() as session:
            items, next_cursor = await lists.list_tickets(
                session, wanted, part, sort_by=sort_by, is_descending=is_descending
            )
            total = await lists.count_tickets(session, wanted) if is_counted else None
        return ListPage(items, total, next_cursor)

    async def ticket(self, ticket_id: int) -> Ticket:
        """One ticket.

        Raises:
            NotFound: there is none with this number.
        """
        async with self._db.reading() as session:
            ticket = await lists.find_ticket(session, ticket_id)
        if ticket is None:
            raise NotFound(f"There is no ticket {ticket_id}.")
        return ticket

    async def counts_by_camera(self, wanted: TicketFilter) -> list[CameraTicketCount]:
        """Open and closed tickets by camera."""
        async with self._db.reading() as session:
            return await lists.count_by_camera(session, wanted)

    async def reviews(self, status: ReviewStatus, part: Slice) -> ListPage[tuple[Review, Ticket]]:
        """A page of reviews with their tickets.

        Raises:
            Invalid: the cursor is of another list.
        """
        async with self._db.reading() as session:
            items, next_cursor = await lists.list_reviews(session, status, part)
            total = await lists.count_reviews(session, status)
        return ListPage(items, total, next_cursor)

    async def review(self, review_id: int) -> tuple[Review, Ticket]:
        """One review with its ticket.

        Raises:
            NotFound: there is none with this number.
        """
        async with self._db.reading() as session:
            found = await lists.find_review(session, review_id)
        if found is None:
            raise NotFound(f"There is no manual review {review_id}.")
        return found

    async def ignored(self, wanted: IgnoredTriggerFilter, part: Slice) -> ListPage[IgnoredTrigger]:
        """A page of ignored triggers.

        Raises:
            Invalid: the cursor is of another list.
        """
        async with self._db.reading() as session:
            items, next_cursor = await lists.list_ignored(session, wanted, part)
            total = await lists.count_ignored(session, wanted)
        return ListPage(items, total, next_cursor)

    async def ignored_trigger(self, trigger_id: int) -> IgnoredTrigger:
        """One ignored trigger.

        Raises:
            NotFound: there is none with this number.
        """
        async with self._db.reading() as session:
            ignored = await lists.find_ignored(session, trigger_id)
        if ignored is None:
            raise NotFound(f"There is no ignored trigger {trigger_id}.")
        return ignored

    async def occupancy(self, location: str | None, part: Slice) -> ListPage[CameraOccupancy]:
        """Cameras with their open tickets, of one location or of all.

        Only cameras that have sent a trigger are known: the registry is owned by ingest.

        Raises:
            NotFound: no known camera is at this location.
        """
        async with self._db.reading() as session:
            items, total = await sites.camera_occupancy(
                session, location, offset=part.offset, limit=part.limit
            )
        if location is not None and not total:
            raise NotFound(
                f"No camera of a location {location} has sent an entry or exit. GET /locations lists the"
                " registered locations.",
                code="unknown_location",
                errors=(FieldError("location", "is the number or code of no location that is known here"),),
            )
        return ListPage(items, total)

    async def location_counts(self) -> list[LocationCounts]:
        """Every known location in numbers."""
        async with self._db.reading() as session:
            return await sites.location_counts(session)
