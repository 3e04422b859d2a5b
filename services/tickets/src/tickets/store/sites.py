"""Cameras and spots as triggers name them, and their occupancy."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    distinct,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from tickets.domain.lists import Camera, CameraOccupancy, LocationCounts
from tickets.domain.spot_state import SpotCounts, SpotStatus, count_spots
from tickets.domain.tickets import ReceivedTrigger, ReviewStatus, SpotAddress, Ticket, TicketStatus
from tickets.store.records import ticket_from
from tickets.store.spots import TICKET_ROWS
from tickets.store.tables import cameras, reviews, spots, tickets

# Numbers with more digits do not fit into 64 bits.
_MAX_ID_DIGITS = 18


class KnownSites:
    """Stores the cameras and spots that triggers name. A cache of what is stored saves the statements for most."""

    def __init__(self) -> None:
        self._stored: dict[tuple[int, int], tuple[SpotAddress, int]] = {}

    async def store(self, session: AsyncSession, received: ReceivedTrigger) -> None:
        """Store the address if it is new or has changed. Call `remember` when the transaction has committed."""
        address = received.address
        if self._stored.get((address.camera_id, address.spot_number)) == (
            address,
            received.number_of_parking,
        ):
            return
        dialect = session.get_bind().dialect.name
        values = _camera_values(address) | {"number_of_parking": received.number_of_parking}
        await session.execute(_upsert(dialect, cameras, ["camera_id"], values))
        spot = {
            "camera_id": address.camera_id,
            "spot_number": address.spot_number,
            "spot_id": address.spot_id,
        }
        await session.execute(_upsert(dialect, spots, ["camera_id", "spot_number"], spot))

    def remember(self, received: ReceivedTrigger) -> None:
        """Note that the address is stored."""
        address = received.address
        self._stored[address.camera_id, address.spot_number] = (address, received.number_of_parking)


def _upsert(dialect: str, table: Any, keys: list[str], values: dict[str, Any]) -> Any:
    # Both classes have `on_conflict_do_update`, but no common base class that declares it.
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table).values(values)
    changed = {name: statement.excluded[name] for name in values if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _camera_values(address: SpotAddress) -> dict[str, Any]:
    return {
        "camera_id": address.camera_id,
        "name": address.camera_name,
        "api_code": address.camera_api_code,
        "location_id": address.location_id,
        "location_code": address.location_code,
        "zone_id": address.zone_id,
        "zone_code": address.zone_code,
        "pole_id": address.pole_id,
        "pole_code": address.pole_code,
        "time_zone": address.time_zone,
    }


def location_ids(location: str) -> Select[tuple[int]]:
    """The numbers of the locations with this number or code. A code may consist of digits."""
    matches = cameras.c.location_code == location.upper()
    if location.isascii() and location.isdigit() and len(location) <= _MAX_ID_DIGITS:
        matches |= cameras.c.location_id == int(location)
    return select(cameras.c.location_id).where(matches)


async def camera_occupancy(
    session: AsyncSession, location: str | None, *, offset: int, limit: int
) -> tuple[list[CameraOccupancy], int]:
    """Cameras by number with their open tickets, and the number of all cameras."""
    condition = [] if location is None else [cameras.c.location_id.in_(location_ids(location))]
    total = (await session.execute(select(func.count()).select_from(cameras).where(*condition))).scalar_one()
    page = select(cameras, *_spot_counts()).where(*condition)
    rows = (
        (await session.execute(page.order_by(cameras.c.camera_id).offset(offset).limit(limit)))
        .mappings()
        .all()
    )
    open_tickets = TICKET_ROWS.where(
        tickets.c.status == TicketStatus.OPEN.value,
        tickets.c.camera_id.in_([row["camera_id"] for row in rows]),
    ).order_by(tickets.c.camera_id, tickets.c.spot_number)
    by_camera: dict[int, list[Ticket]] = {}
    for row in (await session.execute(open_tickets)).mappings():
        by_camera.setdefault(row["camera_id"], []).append(ticket_from(row))
    found = [
        CameraOccupancy(
            camera=Camera(
                camera_id=row["camera_id"],
                name=row["name"],
                location_id=row["location_id"],
                location_code=row["location_code"],
                zone_code=row["zone_code"],
                pole_code=row["pole_code"],
            ),
            known_spots=row["known_spots"],
            counts=_counts_of(row),
            tickets=tuple(by_camera.get(row["camera_id"], ())),
        )
        for row in rows
    ]
    return found, total


def _spot_counts() -> list[ColumnElement[int]]:
    """Columns for a query of cameras, and for `_counts_of`."""
    is_here = spots.c.camera_id == cameras.c.camera_id
    is_free = spots.c.status == SpotStatus.FREE.value
    is_open_here = and_(
        tickets.c.camera_id == cameras.c.camera_id, tickets.c.status == TicketStatus.OPEN.value
    )
    return [
        select(func.count()).where(is_here).scalar_subquery().label("known_spots"),
        select(func.count()).where(is_here, is_free).scalar_subquery().label("free_spots"),
        select(func.count()).select_from(tickets).where(is_open_here).scalar_subquery().label("open_spots"),
    ]


def _counts_of(row: RowMapping) -> SpotCounts:
    return count_spots(row["number_of_parking"], row["known_spots"], row["open_spots"], row["free_spots"])


async def location_counts(session: AsyncSession) -> list[LocationCounts]:
    """Every location that a trigger has named, by number."""
    site = select(
        cameras.c.location_id,
        func.max(cameras.c.location_code).label("location_code"),
        func.count(distinct(cameras.c.zone_id)).label("zones"),
        func.count(distinct(cameras.c.pole_id)).label("poles"),
        func.count().label("cameras"),
    ).group_by(cameras.c.location_id)
    by_camera = select(cameras.c.location_id, cameras.c.number_of_parking, *_spot_counts())
    known_of: dict[int, int] = {}
    spots_of: dict[int, SpotCounts] = {}
    for row in (await session.execute(by_camera)).mappings():
        here = row["location_id"]
        known_of[here] = known_of.get(here, 0) + row["known_spots"]
        spots_of[here] = spots_of.get(here, SpotCounts()) + _counts_of(row)
    is_open = tickets.c.status == TicketStatus.OPEN.value
    ticket_counts = select(tickets.c.location_id, func.count(), func.count().filter(is_open)).group_by(
        tickets.c.location_id
    )
    is_pending = reviews.c.status == ReviewStatus.PENDING.value
    review_counts = (
        select(tickets.c.location_id, func.count(), func.count().filter(is_pending))
        .join(tickets, tickets.c.ticket_id == reviews.c.ticket_id)
        .group_by(tickets.c.location_id)
    )
    tickets_of = await _by_location(session, ticket_counts)
    reviews_of = await _by_location(session, review_counts)
    counts = []
    for row in (await session.execute(site.order_by(cameras.c.location_id))).mappings():
        here = row["location_id"]
        ticket_count, open_count = tickets_of.get(here, (0, 0))
        review_count, pending_count = reviews_of.get(here, (0, 0))
        counts.append(
            LocationCounts(
                location_id=here,
                location_code=row["location_code"],
                zones=row["zones"],
                poles=row["poles"],
                cameras=row["cameras"],
                spots=known_of[here],
                spot_counts=spots_of[here],
                tickets=ticket_count,
                open_tickets=open_count,
                reviews=review_count,
                pending_reviews=pending_count,
            )
        )
    return counts


async def _by_location(session: AsyncSession, counts: Select[Any]) -> dict[int, Sequence[int]]:
    return {row[0]: tuple(row[1:]) for row in (await session.execute(counts)).all()}
