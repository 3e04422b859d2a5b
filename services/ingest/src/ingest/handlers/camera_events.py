"""Read camera events."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ingest.domain.camera_event import CameraEvent
from ingest.domain.frame import StoredPicture
from ingest.store import event_reads
from kit.db import Database
from kit.errors import NotFound
from kit.pagination import Page, decode_cursor, encode_cursor


class CameraEvents:
    """Events, newest first."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, page: Page, filters: Mapping[str, Any]) -> tuple[list[CameraEvent], str | None]:
        """A page and the cursor of the next one. Not counted: there are millions.

        Raises:
            Invalid: the cursor is not one of this list.
        """
        before_no = decode_cursor(page.cursor, int)[0] if page.cursor is not None else None
        async with self._db.reading() as session:
            found = await event_reads.list_events(session, filters, page=page, before_no=before_no)
        shown = found[: page.page_size]
        more = encode_cursor(shown[-1].event_no) if len(found) > page.page_size else None
        return shown, more

    async def get(self, event_id: UUID) -> tuple[CameraEvent, str | None]:
        """One event, and the JSON of its push while that is kept.

        Raises:
            NotFound: there is no such event, or its retention has ended.
        """
        async with self._db.reading() as session:
            found = await event_reads.find(session, event_id)
        if found is None:
            raise NotFound(f"there is no camera event {event_id}", code="camera_event_not_found")
        return found

    async def picture(self, event_id: UUID, *, is_pushed: bool) -> StoredPicture:
        """The picture that was published, or the pushed one if `is_pushed` or while the event is pending.

        Raises:
            NotFound: there is no such event.
        """
        event, _ = await self.get(event_id)
        return event.pushed_picture if is_pushed or event.picture is None else event.picture
