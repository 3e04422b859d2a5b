"""Fetch the pictures of tickets, reviews and ignored triggers from the blob store."""

from dataclasses import dataclass

from kit.blobs import BlobStore
from kit.errors import NotFound
from tickets.domain.plates import Picture
from tickets.domain.tickets import OutlineState, TicketStatus
from tickets.handlers.outline_exit_pictures import OutlineExitPictures
from tickets.handlers.queries import Queries

# Other stored content types are not passed on: a browser would run some of them.
_PICTURE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp"})


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded picture. `note` says why it is not as expected; empty if it is."""

    content: bytes
    content_type: str
    note: str = ""


class FetchPictures:
    """Fetches pictures. Every method raises `NotFound` if there is none, and `Unavailable`."""

    def __init__(self, queries: Queries, blobs: BlobStore, outliner: OutlineExitPictures) -> None:
        self._queries = queries
        self._blobs = blobs
        self._outliner = outliner

    async def entry(self, ticket_id: int) -> Image:
        """The picture of the entry that opened a ticket."""
        ticket = await self._queries.ticket(ticket_id)
        return await self._fetch(ticket.entry_picture, f"Ticket {ticket_id} has no entry picture.")

    async def exit(self, ticket_id: int) -> Image:
        """The picture of the exit that closed a ticket, with the spot outlined in red."""
        ticket = await self._queries.ticket(ticket_id)
        if ticket.status is TicketStatus.OPEN:
            raise NotFound(f"Ticket {ticket_id} is open: there is no exit picture yet.")
        if ticket.outline_state is OutlineState.PENDING:
            ticket = await self._outliner.outline(ticket)
        missing = f"Ticket {ticket_id} has no exit picture."
        return await self._fetch(ticket.exit_picture, missing, ticket.outline_note)

    async def plate(self, ticket_id: int) -> Image:
        """The crop of the plate at the entry, also if the plate could not be read."""
        ticket = await self._queries.ticket(ticket_id)
        crop = ticket.entry_plate.crop if ticket.entry_plate is not None else None
        return await self._fetch(crop, f"Ticket {ticket_id} has no picture of its plate.")

    async def review(self, review_id: int) -> Image:
        """The entry picture that a review is about."""
        review, _ = await self._queries.review(review_id)
        return await self._fetch(review.picture, f"Manual review {review_id} has no picture.")

    async def review_plate(self, review_id: int) -> Image:
        """The crop of the plate that a review is about."""
        review, _ = await self._queries.review(review_id)
        crop = review.guess.crop if review.guess is not None else None
        return await self._fetch(crop, f"Manual review {review_id} has no picture of a plate.")

    async def ignored(self, trigger_id: int) -> Image:
        """The picture of an ignored trigger."""
        ignored = await self._queries.ignored_trigger(trigger_id)
        return await self._fetch(ignored.received.picture, f"Ignored trigger {trigger_id} has no picture.")

    async def _fetch(self, picture: Picture | None, missing: str, note: str = "") -> Image:
        if picture is None:
            raise NotFound(missing)
        content = await self._blobs.get(picture.key)
        is_picture = picture.content_type in _PICTURE_TYPES
        return Image(content, picture.content_type if is_picture else "application/octet-stream", note)
