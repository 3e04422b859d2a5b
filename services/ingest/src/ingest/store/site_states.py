"""What is observed of cameras and spots."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.site import CameraStatus
from ingest.domain.site_status import CameraSigns, Occupancy, SpotCounts, SpotReport, count_spots, sum_of
from ingest.store.tables import camera_events, camera_health, cameras, spots

_PUSHED_AT = (
    select(camera_events.c.received_at)
    .where(camera_events.c.camera_id == cameras.c.camera_id)
    .order_by(camera_events.c.event_no.desc())
    .limit(1)
    .scalar_subquery()
)
_SIGNS = select(
    cameras.c.camera_id,
    cameras.c.set_status,
    _PUSHED_AT.label("pushed_at"),
    camera_health.c.answered_at,
    camera_health.c.failed_at,
    camera_health.c.failure,
).select_from(cameras.outerjoin(camera_health, camera_health.c.camera_id == cameras.c.camera_id))
_COUNTS = (
    select(
        cameras.c.camera_id,
        cameras.c.location_id,
        cameras.c.number_of_parking,
        func.count(spots.c.spot_id).label("registered"),
        func.count().filter(spots.c.occupancy == Occupancy.OCCUPIED.value).label("occupied"),
        func.count().filter(spots.c.occupancy == Occupancy.FREE.value).label("free"),
    )
    .select_from(cameras.outerjoin(spots, spots.c.camera_id == cameras.c.camera_id))
    .group_by(cameras.c.camera_id, cameras.c.location_id, cameras.c.number_of_parking)
)


async def signs(session: AsyncSession, camera_ids: Collection[int] | None = None) -> dict[int, CameraSigns]:
    """What was seen of those cameras; None: of all."""
    query = _SIGNS if camera_ids is None else _SIGNS.where(cameras.c.camera_id.in_(camera_ids))
    return {
        row.camera_id: CameraSigns(
            is_enabled=row.set_status == CameraStatus.ONLINE.value,
            pushed_at=row.pushed_at,
            answered_at=row.answered_at,
            failed_at=row.failed_at,
            failure=row.failure or "",
        )
        for row in await session.execute(query)
    }


async def callable_cameras(session: AsyncSession) -> list[int]:
    """The enabled cameras that have an address."""
    has_address = or_(cameras.c.p_ip != "", cameras.c.vpn_ip != "")
    is_enabled = cameras.c.set_status == CameraStatus.ONLINE.value
    return list((await session.execute(select(cameras.c.camera_id).where(has_address, is_enabled))).scalars())


async def spots_of_cameras(session: AsyncSession, camera_ids: Collection[int]) -> Mapping[int, SpotCounts]:
    """The spots of each of those cameras."""
    found = await _counts(session, _COUNTS.where(cameras.c.camera_id.in_(camera_ids)))
    return {camera_id: counts for camera_id, _, counts in found}


async def spots_of_locations(
    session: AsyncSession, location_ids: Collection[int]
) -> Mapping[int, SpotCounts]:
    """The spots of all cameras of each of those locations."""
    found = await _counts(session, _COUNTS.where(cameras.c.location_id.in_(location_ids)))
    by_location: dict[int, list[SpotCounts]] = {location_id: [] for location_id in location_ids}
    for _, location_id, counts in found:
        by_location[location_id].append(counts)
    return {location_id: sum_of(counts) for location_id, counts in by_location.items()}


async def _counts(session: AsyncSession, query: Select[Any]) -> list[tuple[int, int, SpotCounts]]:
    return [
        (
            row.camera_id,
            row.location_id,
            count_spots(row.number_of_parking, row.registered, row.occupied, row.free),
        )
        for row in await session.execute(query)
    ]


async def record_spot(session: AsyncSession, report: SpotReport) -> None:
    """Store what tickets said of a spot, unless it is not registered or something later is stored."""
    await session.execute(
        update(spots)
        .where(
            spots.c.camera_id == report.camera_id,
            spots.c.spot_number == report.spot_number,
            or_(spots.c.occupancy_decided_at.is_(None), spots.c.occupancy_decided_at <= report.decided_at),
        )
        .values(
            status=int(report.occupancy is Occupancy.OCCUPIED),
            occupancy=report.occupancy.value,
            occupancy_at=report.at,
            occupancy_decided_at=report.decided_at,
        )
    )


async def record_call(session: AsyncSession, camera_id: int, at: datetime, failure: str | None) -> None:
    """Store that a camera answered, or the code of the error that the call ended with."""
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    insert: Any = postgresql.insert if is_postgresql else sqlite.insert
    values = {"answered_at": at} if failure is None else {"failed_at": at, "failure": failure}
    statement = insert(camera_health).values(camera_id=camera_id, **values)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[camera_health.c.camera_id], set_=values)
    )
