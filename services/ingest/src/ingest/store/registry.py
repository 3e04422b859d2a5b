"""The site's hierarchy: the same queries for each of its levels."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    CursorResult,
    RowMapping,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.geometry import Quad
from ingest.domain.registry import CAMERA, CROP_ZONE, LOCATION, POLE, SPOT, ZONE, Entry, Level
from ingest.domain.site import SpotOrigin
from ingest.store.tables import cameras, crop_zones, locations, poles, spots, zones
from kit.pagination import Page

Values = dict[str, Any]
"""Column → value."""


_TABLES = {
    LOCATION: locations,
    ZONE: zones,
    POLE: poles,
    CAMERA: cameras,
    SPOT: spots,
    CROP_ZONE: crop_zones,
}


def _table(level: Level) -> Table:
    return _TABLES[level]


def _id_column(level: Level) -> Column[int]:
    return _table(level).c[level.id_field]


def _entry(level: Level, row: RowMapping) -> Entry:
    """By the columns' keys: the column `status` of a camera is its field `set_status`."""
    return level.entry(**{column.key: row[column] for column in _table(level).columns})


async def find(session: AsyncSession, level: Level, row_id: int) -> Entry | None:
    """The entry of that id."""
    row = (
        (await session.execute(select(_table(level)).where(_id_column(level) == row_id)))
        .mappings()
        .one_or_none()
    )
    return _entry(level, row) if row is not None else None


async def insert_entry(session: AsyncSession, level: Level, values: Mapping[str, Any]) -> Entry:
    """The new entry."""
    row = (
        (await session.execute(insert(_table(level)).values(**values).returning(_table(level))))
        .mappings()
        .one()
    )
    return _entry(level, row)


async def update_entry(session: AsyncSession, level: Level, row_id: int, values: Mapping[str, Any]) -> Entry:
    """The entry after the change; it must exist."""
    statement = (
        update(_table(level)).where(_id_column(level) == row_id).values(**values).returning(_table(level))
    )
    return _entry(level, (await session.execute(statement)).mappings().one())


async def delete_entry(session: AsyncSession, level: Level, row_id: int) -> bool:
    """Whether there was such an entry."""
    result = await session.execute(delete(_table(level)).where(_id_column(level) == row_id))
    return cast("CursorResult[Any]", result).rowcount == 1


async def count_children(session: AsyncSession, level: Level, row_id: int, child: Level) -> int:
    """The number of entries of `child` below the entry."""
    query = select(func.count()).where(_table(child).c[level.id_field] == row_id)
    return (await session.execute(query)).scalar_one()


async def delete_children(session: AsyncSession, level: Level, row_id: int, child: Level) -> None:
    """Delete all entries of `child` below the entry."""
    await session.execute(delete(_table(child)).where(_table(child).c[level.id_field] == row_id))


async def list_entries(
    session: AsyncSession,
    level: Level,
    *,
    equal: Mapping[str, Any],
    ids: Sequence[int] | None = None,
    search: str | None,
    page: Page,
    after_id: int | None,
) -> tuple[list[Entry], int]:
    """A page and one entry more, by id, and the number of all.

    `equal` may name the columns of any level above; `ids`: only of these.
    """
    conditions = [_field(level, name) == value for name, value in equal.items()]
    if ids is not None:
        conditions.append(_id_column(level).in_(ids))
    if search:
        conditions.append(
            or_(*(_table(level).c[name].icontains(search, autoescape=True) for name in level.searched))
        )
    joined = _joined(level, equal)
    total = (await session.execute(select(func.count()).select_from(joined).where(*conditions))).scalar_one()
    query = select(_table(level)).select_from(joined).where(*conditions).order_by(_id_column(level))
    query = query.offset(page.offset) if after_id is None else query.where(_id_column(level) > after_id)
    rows = (await session.execute(query.limit(page.page_size + 1))).mappings().all()
    return [_entry(level, row) for row in rows], total


def _field(level: Level, name: str) -> ColumnElement[Any]:
    above: Level | None = level
    while above is not None:
        if name in _table(above).c:
            return _table(above).c[name]
        above = above.parent
    raise KeyError(name)


def _joined(level: Level, names: Mapping[str, Any]) -> Any:
    """The level's table, joined with the levels above that the filters name."""
    joined: Any = _table(level)
    below, above = level, level.parent
    missing = {name for name in names if name not in _table(level).c}
    while missing and above is not None:
        joined = joined.join(_table(above), _table(below).c[above.id_field] == _id_column(above))
        missing -= set(_table(above).c.keys())
        below, above = above, above.parent
    return joined


async def location_of(session: AsyncSession, level: Level, row_id: int) -> int | None:
    """The location that an entry of that level belongs to; None if there is no such entry."""
    joined: Any = _table(level)
    below = level
    while below.parent is not None and "location_id" not in _table(below).c:
        parent = below.parent
        joined = joined.join(_table(parent), _table(below).c[parent.id_field] == _id_column(parent))
        below = parent
    query = select(_table(below).c.location_id).select_from(joined).where(_id_column(level) == row_id)
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
