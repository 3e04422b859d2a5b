"""What people and other services look up. Nothing here changes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.engine import RowMapping

from kit.db import Database
from kit.errors import NotFound
from tickets.domain.tickets import Review, ReviewStatus, Ticket
from tickets.store import lists, sites
from tickets.store.lists import CameraCount, IgnoredFilter, Slice, TicketFilter
from tickets.store.sites import CameraOccupancy, LocationCounts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A page of a list. `total` is None where nobody asked for it."""

    items: Sequence[T]
    total: int | None
    next_cursor: str | None = None


class Read:
    """The look-ups, each in one read-only transaction."""

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
    ) -> Found[Ticket]:
        """A page of tickets.

        Raises:
            Invalid: the sorting or the cursor is none of this list.
        """
        async with self._db.reading() as session:
            items, next_cursor = await lists.list_tickets(
                session, wanted, part, sort_by=sort_by, is_descending=is_descending
            )
            total = await lists.count_tickets(session, wanted) if is_counted else None
        return Found(items, total, next_cursor)

    async def ticket(self, ticket_id: int) -> Ticket:
        """One ticket.

        Raises:
            NotFound: there is none of that number.
        """
        async with self._db.reading() as session:
            ticket = await lists.find_ticket(session, ticket_id)
        if ticket is None:
            raise NotFound(f"There is no ticket {ticket_id}.")
        return ticket

    async def counts_by_camera(self, wanted: TicketFilter) -> list[CameraCount]:
        """Open and closed tickets by camera."""
        async with self._db.reading() as session:
            return await lists.count_by_camera(session, wanted)

    async def reviews(self, status: ReviewStatus, part: Slice) -> Found[tuple[Review, Ticket]]:
        """A page of reviews with their tickets.

        Raises:
            Invalid: the cursor is none of this list.
        """
        async with self._db.reading() as session:
            items, next_cursor = await lists.list_reviews(session, status, part)
            total = await lists.count_reviews(session, status)
        return Found(items, total, next_cursor)

    async def review(self, review_id: int) -> tuple[Review, Ticket]:
        """One review with its ticket.

        Raises:
            NotFound: there is none of that number.
        """
        async with self._db.reading() as session:
            found = await lists.find_review(session, review_id)
        if found is None:
            raise NotFound(f"There is no manual review {review_id}.")
        return found

    async def ignored(self, wanted: IgnoredFilter, part: Slice) -> Found[RowMapping]:
        """A page of ignored triggers.

        Raises:
            Invalid: the cursor is none of this list.
        """
        async with self._db.reading() as session:
            items, next_cursor = await lists.list_ignored(session, wanted, part)
            total = await lists.count_ignored(session, wanted)
        return Found(items, total, next_cursor)

    async def ignored_trigger(self, trigger_id: int) -> RowMapping:
        """One ignored trigger.

        Raises:
            NotFound: there is none of that number.
        """
        async with self._db.reading() as session:
            row = await lists.find_ignored(session, trigger_id)
        if row is None:
            raise NotFound(f"There is no ignored trigger {trigger_id}.")
        return row

    async def occupancy(self, location: str | None, part: Slice) -> Found[CameraOccupancy]:
        """Cameras with what stands at them, of one location or of all.

        A location of which no camera has reported yet has none: the registry is ingest's, and not known here.
        """
        async with self._db.reading() as session:
            items, total = await sites.camera_occupancy(
                session, location, offset=part.offset, limit=part.limit
            )
        return Found(items, total)

    async def location_counts(self) -> list[LocationCounts]:
        """Every known location in numbers."""
        async with self._db.reading() as session:
            return await sites.location_counts(session)
