"""Queries for camera events as users see them."""

from collections.abc import Mapping
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.camera_event import CameraEvent, EventState
from ingest.domain.frame import StoredPicture
from ingest.domain.parking_push import Purpose
from ingest.store.tables import camera_events as events
from ingest.store.tables import locations
from kit.days import is_day, range_condition
from kit.pagination import Page

# A list has no use for the large columns.
_NOT_LISTED = {"frame", "raw_report", "fingerprint", "traceparent", "lease_id", "lease_until"}
_LISTED = [column for column in events.columns if column.name not in _NOT_LISTED]


async def find(session: AsyncSession, event_id: UUID) -> tuple[CameraEvent, str | None] | None:
    """The event of that id, and the JSON of its push while that is kept."""
    query = select(*_LISTED, events.c.raw_report).where(events.c.event_id == event_id)
    row = (await session.execute(query)).one_or_none()
    return (_event(row), row.raw_report) if row is not None else None


async def list_events(
    session: AsyncSession, filters: Mapping[str, Any], *, page: Page, before_no: int | None
) -> list[CameraEvent]:
    """A page and one event more, newest first. `filters`: column → value, `received_start`, `received_end`.

    A bound that is a day is that day in the time zone of the event's location.
    """
    rest = dict(filters)
    start, end = rest.pop("received_start", None), rest.pop("received_end", None)
    zones: dict[int, ZoneInfo] = {}
    if is_day(start) or is_day(end):
        known = await session.execute(select(locations.c.location_id, locations.c.time_zone))
        zones = {row.location_id: ZoneInfo(row.time_zone) for row in known}
    received = range_condition(
        events.c.received_at,
        start,
        end,
        zone_column=events.c.location_id,
        zones=zones,
        is_end_included=False,
    )
    query = select(*_LISTED).where(*received)
    for name, value in rest.items():
        query = query.where(events.c[name] == (value.value if isinstance(value, Enum) else value))
    query = query.where(events.c.event_no < before_no) if before_no is not None else query.offset(page.offset)
    query = query.order_by(events.c.event_no.desc()).limit(page.page_size + 1)
    return [_event(row) for row in await session.execute(query)]


def _event(row: Any) -> CameraEvent:
    values = {column.name: getattr(row, column.name) for column in _LISTED}
    return CameraEvent(
        **values
        | {
            "purpose": Purpose(row.purpose),
            "state": EventState(row.state),
            "pushed_picture": StoredPicture(**row.pushed_picture),
            "picture": StoredPicture(**row.picture) if row.picture is not None else None,
        }
    )
