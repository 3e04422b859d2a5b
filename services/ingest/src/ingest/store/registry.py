"""The site's hierarchy: the same queries for each of its levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, CursorResult, Table, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.geometry import Quad
from ingest.domain.registry import Camera, CropZone, Entry, Location, Pole, Spot, Zone
from ingest.domain.site import SpotOrigin
from ingest.store.tables import cameras, crop_zones, locations, poles, spots, zones
from kit.pagination import Page

Values = dict[str, Any]
"""Column → value."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the hierarchy. `unique_field`: no two entries with the same parent have the same value in it."""

    word: str
    table: Table
    entry: type[Entry]
    parent: "Level | None" = None
    unique_field: str | None = None
    searched: tuple[str, ...] = ()

    @property
    def id_column(self) -> Column[int]:
        """Its primary key."""
        return cast("Column[int]", self.table.primary_key.columns[0])

    @property
    def id_field(self) -> str:
        """The name of its primary key, `zone_id`."""
        return self.id_column.name


LOCATION = Level("location", locations, Location, unique_field="code", searched=("name", "code"))
ZONE = Level("zone", zones, Zone, LOCATION, "code", ("code",))
POLE = Level("pole", poles, Pole, ZONE, "code", ("name", "code"))
CAMERA = Level("camera", cameras, Camera, POLE, "api_code", ("name", "api_code"))
SPOT = Level("spot", spots, Spot, CAMERA, "spot_number")
CROP_ZONE = Level("crop zone", crop_zones, CropZone, CAMERA)

LEVELS = (LOCATION, ZONE, POLE, CAMERA, SPOT, CROP_ZONE)


async def find(session: AsyncSession, level: Level, row_id: int) -> Entry | None:
    """The entry of that id."""
    row = (
        (await session.execute(select(level.table).where(level.id_column == row_id))).mappings().one_or_none()
    )
    return level.entry(**row) if row is not None else None


async def insert_entry(session: AsyncSession, level: Level, values: Mapping[str, Any]) -> Entry:
    """The new entry."""
    row = (
        (await session.execute(insert(level.table).values(**values).returning(level.table))).mappings().one()
    )
    return level.entry(**row)


async def update_entry(session: AsyncSession, level: Level, row_id: int, values: Mapping[str, Any]) -> Entry:
    """The entry after the change; it must exist."""
    statement = update(level.table).where(level.id_column == row_id).values(**values).returning(level.table)
    return level.entry(**(await session.execute(statement)).mappings().one())


async def delete_entry(session: AsyncSession, level: Level, row_id: int) -> bool:
    """Whether there was such an entry."""
    result = await session.execute(delete(level.table).where(level.id_column == row_id))
    return cast("CursorResult[Any]", result).rowcount == 1


async def count_children(session: AsyncSession, level: Level, row_id: int, child: Level) -> int:
    """The number of entries of `child` below the entry."""
    query = select(func.count()).where(child.table.c[level.id_field] == row_id)
    return (await session.execute(query)).scalar_one()


async def delete_children(session: AsyncSession, level: Level, row_id: int, child: Level) -> None:
    """Delete all entries of `child` below the entry."""
    await session.execute(delete(child.table).where(child.table.c[level.id_field] == row_id))


async def list_entries(
    session: AsyncSession,
    level: Level,
    *,
    equal: Mapping[str, Any],
    search: str | None,
    page: Page,
    after_id: int | None,
) -> tuple[list[Entry], int]:
    """A page and one entry more, by id, and the number of all. `equal` may name the columns of any level above."""
    conditions = [_field(level, name) == value for name, value in equal.items()]
    if search:
        conditions.append(
            or_(*(level.table.c[name].icontains(search, autoescape=True) for name in level.searched))
        )
    joined = _joined(level, equal)
    total = (await session.execute(select(func.count()).select_from(joined).where(*conditions))).scalar_one()
    query = select(level.table).select_from(joined).where(*conditions).order_by(level.id_column)
    query = query.offset(page.offset) if after_id is None else query.where(level.id_column > after_id)
    rows = (await session.execute(query.limit(page.page_size + 1))).mappings().all()
    return [level.entry(**row) for row in rows], total


def _field(level: Level, name: str) -> ColumnElement[Any]:
    above: Level | None = level
    while above is not None:
        if name in above.table.c:
            return above.table.c[name]
        above = above.parent
    raise KeyError(name)


def _joined(level: Level, names: Mapping[str, Any]) -> Any:
    """The level's table, joined with the levels above that the filters name."""
    joined: Any = level.table
    below, above = level, level.parent
    missing = {name for name in names if name not in level.table.c}
    while missing and above is not None:
        joined = joined.join(above.table, below.table.c[above.id_field] == above.id_column)
        missing -= set(above.table.c.keys())
        below, above = above, above.parent
    return joined


async def location_of(session: AsyncSession, level: Level, row_id: int) -> int | None:
    """The location that an entry of that level belongs to; None if there is no such entry."""
    joined: Any = level.table
    below = level
    while below.parent is not None and "location_id" not in below.table.c:
        parent = below.parent
        joined = joined.join(parent.table, below.table.c[parent.id_field] == parent.id_column)
        below = parent
    query = select(below.table.c.location_id).select_from(joined).where(level.id_column == row_id)
    return await session.scalar(query)


async def learn_spot(
    session: AsyncSession, *, camera_id: int, spot_number: int, corners: Quad, learned_at: datetime
) -> None:
    """Register a spot that its camera reported, unless an operator has drawn it meanwhile."""
    points = {
        f"p{number}_{axis}": value
        for number, corner in enumerate(corners, start=1)
        for axis, value in zip("xy", corner, strict=True)
    }
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(spots).values(
        camera_id=camera_id,
        spot_number=spot_number,
        **points,
        status=0,
        origin=SpotOrigin.CAMERA.value,
        created_at=learned_at,
        updated_at=learned_at,
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[spots.c.camera_id, spots.c.spot_number],
            set_={name: statement.excluded[name] for name in (*points, "updated_at")},
            where=spots.c.origin == SpotOrigin.CAMERA.value,
        )
    )
