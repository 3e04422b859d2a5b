"""Looking at what cameras reported."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ingest.store import event_reads
from kit.db import Database
from kit.errors import NotFound
from kit.pagination import Page, decode_cursor, encode_cursor


class CameraEvents:
    """Events, newest first."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, page: Page, wanted: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        """A page and the cursor of the next. Not counted: there are millions.

        Raises:
            Invalid: a cursor that this list did not give out.
        """
        before_no = decode_cursor(page.cursor, int)[0] if page.cursor is not None else None
        async with self._db.reading() as session:
            rows = await event_reads.list_events(session, wanted, page=page, before_no=before_no)
        here = rows[: page.page_size]
        more = encode_cursor(here[-1]["event_no"]) if len(rows) > page.page_size else None
        return here, more

    async def get(self, event_id: UUID) -> dict[str, Any]:
        """One event, whole.

        Raises:
            NotFound: there is none, or its retention has ended.
        """
        async with self._db.reading() as session:
            row = await event_reads.find(session, event_id)
        if row is None:
            raise NotFound(f"there is no camera event {event_id}", code="camera_event_not_found")
        return row

    async def picture(self, event_id: UUID, *, is_pushed: bool) -> dict[str, Any]:
        """The blob of its picture: what went out, unless it still waits or the pushed one is asked for.

        Raises:
            NotFound: there is no such event.
        """
        row = await self.get(event_id)
        blob: dict[str, Any] = (
            row["pushed_picture"] if is_pushed or row["picture"] is None else row["picture"]
        )
        return blob
