"""The pictures of tickets, reviews and triggers, out of the blob store."""

from dataclasses import dataclass

from kit.blobs import BlobStore
from kit.errors import NotFound
from tickets.domain.plates import Picture
from tickets.domain.tickets import MarkState, TicketStatus
from tickets.handlers.mark_exit_pictures import MarkExitPictures
from tickets.handlers.read import Read
from tickets.store.records import picture_from

# A picture's own word on its type is passed on only where it names one of these: a browser runs some others.
_PICTURE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp"})


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded picture. `note` says what is odd about it; empty when nothing is."""

    content: bytes
    content_type: str
    note: str = ""


class Pictures:
    """Fetches pictures. Every method raises `NotFound` where there is none, and `Unavailable`."""

    def __init__(self, read: Read, blobs: BlobStore, marker: MarkExitPictures) -> None:
        self._read = read
        self._blobs = blobs
        self._marker = marker

    async def entry(self, ticket_id: int) -> Image:
        """The snapshot that opened a ticket."""
        ticket = await self._read.ticket(ticket_id)
        return await self._fetch(ticket.entry_picture, f"Ticket {ticket_id} has no entry picture.")

    async def exit(self, ticket_id: int) -> Image:
        """The picture that closed a ticket, with the spot outlined in red."""
        ticket = await self._read.ticket(ticket_id)
        if ticket.status is TicketStatus.OPEN:
            raise NotFound(f"Ticket {ticket_id} is open: there is no exit picture yet.")
        if ticket.mark_state is MarkState.PENDING:
            ticket = await self._marker.mark(ticket)
        missing = f"Ticket {ticket_id} has no exit picture."
        return await self._fetch(ticket.exit_picture, missing, ticket.mark_note)

    async def plate(self, ticket_id: int) -> Image:
        """The plate at the entry, cut out: also of a ticket whose plate could not be read."""
        ticket = await self._read.ticket(ticket_id)
        crop = ticket.seen.crop if ticket.seen is not None else None
        return await self._fetch(crop, f"Ticket {ticket_id} has no picture of its plate.")

    async def review(self, review_id: int) -> Image:
        """The snapshot that a review is about."""
        review, _ = await self._read.review(review_id)
        return await self._fetch(review.picture, f"Manual review {review_id} has no picture.")

    async def review_plate(self, review_id: int) -> Image:
        """The plate that could not be read, cut out."""
        review, _ = await self._read.review(review_id)
        crop = review.guess.crop if review.guess is not None else None
        return await self._fetch(crop, f"Manual review {review_id} has no picture of a plate.")

    async def ignored(self, trigger_id: int) -> Image:
        """The picture of an ignored trigger."""
        row = await self._read.ignored_trigger(trigger_id)
        return await self._fetch(
            picture_from(row["picture"]), f"Ignored trigger {trigger_id} has no picture."
        )

    async def _fetch(self, picture: Picture | None, missing: str, note: str = "") -> Image:
        if picture is None:
            raise NotFound(missing)
        content = await self._blobs.get(picture.key)
        is_picture = picture.content_type in _PICTURE_TYPES
        return Image(content, picture.content_type if is_picture else "application/octet-stream", note)
