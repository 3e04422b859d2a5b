"""Outline the spot in the exit pictures of closed tickets.

Not in the transaction that closes the ticket: drawing takes tens of milliseconds and two calls of the blob store, and
neither a slow store nor a broken picture may delay the camera's next event. What is still to be drawn is in the
ticket's row, so that a crash loses nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from kit.blobs import BlobStore, new_blob_key
from kit.db import Database
from kit.errors import LookoutError, NotFound
from kit.ids import derived_id
from kit.logging import Logger
from tickets.domain.plates import Picture
from tickets.domain.tickets import CannotOutline, OutlineState, Point, Ticket
from tickets.metrics import TicketsMetrics
from tickets.store import exit_pictures

_BLOB_AREA = "exits"

Outline = Callable[[bytes, Sequence[Point]], bytes]
"""Draws a polygon, in pixels of the picture as displayed, into an encoded picture; returns a JPEG.

Raises:
    CannotOutline: the picture does not decode, or the polygon has fewer than three corners.
"""


class OutlineExitPictures:
    """Draws in the background, and at once for a request that comes before that.

    batch_size: tickets loaded at a time. poll_interval_s: the longest wait without `notify`, and the wait after an
    error. max_picture_px: larger pictures (width times height) are not decoded and stay as they are.
    """

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        logger: Logger,
        metrics: TicketsMetrics,
        outline: Outline,
        batch_size: int,
        poll_interval_s: float,
        max_picture_px: int,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._logger = logger
        self._metrics = metrics
        self._outline = outline
        self._batch_size = batch_size
        self._poll_interval_s = poll_interval_s
        self._max_picture_px = max_picture_px
        self._wake = asyncio.Event()

    def notify(self) -> None:
        """A ticket may have closed."""
        self._wake.set()

    async def run(self) -> None:
        """Draw until cancelled. An unreachable database or blob store does not end it."""
        while True:
            self._wake.clear()
            try:
                is_more = await self.outline_pending() == self._batch_size
            except LookoutError as error:
                self._logger.warning("cannot outline exit pictures; trying again", error=str(error))
                await asyncio.sleep(self._poll_interval_s)
                continue
            if not is_more:
                await self._wait()

    async def outline_pending(self) -> int:
        """Draw the oldest pending ones, one after the other; returns how many.

        Raises:
            Unavailable: the database or the blob store cannot be reached; those drawn before that are stored.
        """
        async with self._db.reading() as session:
            pending = await exit_pictures.list_pending(session, self._batch_size)
        for ticket in pending:
            await self.outline(ticket)
        return len(pending)

    async def outline(self, ticket: Ticket) -> Ticket:
        """The ticket with the outline in its exit picture, or with a note why it cannot be drawn.

        Raises:
            Unavailable: the database or the blob store cannot be reached.
        """
        picture, state, note = await self._draw(ticket)
        async with self._db.transaction() as session:
            await exit_pictures.save_outline(session, ticket, picture, state, note)
        self._metrics.exit_pictures.labels(state.value).inc()
        if note:
            self._logger.warning(
                "the spot cannot be outlined in the exit picture", ticket_id=ticket.ticket_id, reason=note
            )
        return replace(ticket, exit_picture=picture, outline_state=state, outline_note=note)

    async def _draw(self, ticket: Ticket) -> tuple[Picture | None, OutlineState, str]:
        plain = ticket.exit_picture
        if plain is None or ticket.exit_at is None or ticket.exit_frame_id is None:
            return plain, OutlineState.PLAIN, "there is no exit picture"
        if plain.width_px * plain.height_px > self._max_picture_px:
            return plain, OutlineState.PLAIN, f"the picture has more than {self._max_picture_px} pixels"
        try:
            encoded = await self._blobs.get(plain.key)
            outlined = await asyncio.to_thread(self._outline, encoded, ticket.exit_polygon_px)
        except NotFound:
            return plain, OutlineState.PLAIN, "the picture is no longer stored"
        except CannotOutline as error:
            return plain, OutlineState.PLAIN, str(error)
        # The same key for the same exit, so that drawing it twice leaves one blob.
        blob_id = derived_id(ticket.exit_frame_id, "exit_picture")
        key = new_blob_key(_BLOB_AREA, ticket.exit_at, "jpg", blob_id)
        stored = await self._blobs.put(key, outlined, "image/jpeg")
        picture = Picture(
            key=stored.key,
            content_type=stored.content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            width_px=plain.width_px,
            height_px=plain.height_px,
        )
        return picture, OutlineState.MARKED, ""

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_interval_s):
                await self._wake.wait()
        except TimeoutError:
            return
