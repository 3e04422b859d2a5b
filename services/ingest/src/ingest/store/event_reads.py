"""Looking at events."""

from collections.abc import Mapping
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.store.tables import camera_events as events
from kit.pagination import Page

# A page has no use for what makes a row large.
_HEAVY = {"frame", "raw_report", "fingerprint"}
_LISTED = [column for column in events.columns if column.name not in _HEAVY]


async def find(session: AsyncSession, event_id: UUID) -> dict[str, Any] | None:
    """The event of that id, whole."""
    row = (
        (await session.execute(select(events).where(events.c.event_id == event_id))).mappings().one_or_none()
    )
    return dict(row) if row is not None else None


async def list_events(
    session: AsyncSession, wanted: Mapping[str, Any], *, page: Page, before_no: int | None
) -> list[dict[str, Any]]:
    """A page and one row more, newest first. `wanted`: column → value, `received_start`, `received_end`."""
    query = select(*_LISTED)
    for name, value in wanted.items():
        plain = value.value if isinstance(value, Enum) else value
        if name == "received_start":
            query = query.where(events.c.received_at >= plain)
        elif name == "received_end":
            query = query.where(events.c.received_at < plain)
        else:
            query = query.where(events.c[name] == plain)
    query = query.where(events.c.event_no < before_no) if before_no is not None else query.offset(page.offset)
    query = query.order_by(events.c.event_no.desc()).limit(page.page_size + 1)
    return [dict(row) for row in (await session.execute(query)).mappings()]
