"""A ticket has closed: the spot is outlined in its exit picture.

After the closing transaction and not in it: drawing takes tens of milliseconds and two trips to the blob
store, and neither a slow store nor a broken picture may hold up the camera's next event. What is still to do
stands in the ticket's row, so a crash forgets nothing.
"""

import asyncio
from dataclasses import replace

from kit.blobs import BlobStore, new_blob_key
from kit.db import Database
from kit.errors import LookoutError, NotFound
from kit.ids import derived_id
from kit.logging import Logger
from tickets.adapters.outline import NotDrawable, outline_spot
from tickets.domain.plates import Picture
from tickets.domain.tickets import MarkState, Ticket
from tickets.sight import Sight
from tickets.store import marks

_AREA = "exits"


class MarkExitPictures:
    """Marks pictures in the background and, for who asks before that, at once.

    batch: pictures looked up at a time; poll_s: the longest wait when nobody notifies, and after a fault.
    max_picture_px: pictures that say they are larger are left as they are.
    """

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        logger: Logger,
        sight: Sight,
        batch: int,
        poll_s: float,
        max_picture_px: int,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._logger = logger
        self._sight = sight
        self._batch = batch
        self._poll_s = poll_s
        self._max_picture_px = max_picture_px
        self._wake = asyncio.Event()

    def notify(self) -> None:
        """A ticket may have closed."""
        self._wake.set()

    async def run(self) -> None:
        """Mark until cancelled. Neither the database nor the blob store going away ends it."""
        while True:
            self._wake.clear()
            try:
                is_more = await self.mark_pending() == self._batch
            except LookoutError as error:
                self._logger.warning("exit pictures wait", error=str(error))
                await asyncio.sleep(self._poll_s)
                continue
            if not is_more:
                await self._wait()

    async def mark_pending(self) -> int:
        """Mark the oldest ones, one after the other; returns how many.

        Raises:
            Unavailable: the database or the blob store is away; those that were marked stay so.
        """
        async with self._db.reading() as session:
            pending = await marks.pending_marks(session, self._batch)
        for ticket in pending:
            await self.mark(ticket)
        return len(pending)

    async def mark(self, ticket: Ticket) -> Ticket:
        """The ticket with its exit picture marked, or left plain with a note where that cannot be.

        Raises:
            Unavailable: the database or the blob store is away.
        """
        picture, state, note = await self._draw(ticket)
        async with self._db.transaction() as session:
            await marks.save_mark(session, ticket, picture, state, note)
        self._sight.marks.labels(state.value).inc()
        if note:
            self._logger.warning("exit picture stays plain", ticket_id=ticket.ticket_id, reason=note)
        return replace(ticket, exit_picture=picture, mark_state=state, mark_note=note)

    async def _draw(self, ticket: Ticket) -> tuple[Picture | None, MarkState, str]:
        plain = ticket.exit_picture
        if plain is None or ticket.exit_at is None or ticket.exit_frame_id is None:
            return plain, MarkState.PLAIN, "there is no exit picture"
        if plain.width_px * plain.height_px > self._max_picture_px:
            return plain, MarkState.PLAIN, f"the picture has more than {self._max_picture_px} pixels"
        try:
            encoded = await self._blobs.get(plain.key)
            marked = await asyncio.to_thread(outline_spot, encoded, ticket.exit_polygon_px)
        except NotFound:
            return plain, MarkState.PLAIN, "the picture is no longer kept"
        except NotDrawable as error:
            return plain, MarkState.PLAIN, str(error)
        # The same key for the same exit: marking it twice leaves one blob.
        blob_id = derived_id(ticket.exit_frame_id, "exit_picture")
        key = new_blob_key(_AREA, ticket.exit_at, "jpg", blob_id)
        stored = await self._blobs.put(key, marked, "image/jpeg")
        picture = Picture(
            key=stored.key,
            content_type=stored.content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            width_px=plain.width_px,
            height_px=plain.height_px,
        )
        return picture, MarkState.MARKED, ""

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._wake.wait()
        except TimeoutError:
            return
