"""The site's tree: creating, changing and taking down its parts, level by level."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.site import SpotOrigin, check_corners
from ingest.handlers.site_directory import SiteDirectory
from ingest.store import events, registry
from ingest.store.registry import CAMERA, CROP_ZONE, LEVELS, SPOT, Level, Values
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, FieldError, Invalid, NotFound
from kit.pagination import Page, decode_cursor, encode_cursor
from kit.secrets import SecretBox

# What a caller may set and never read again → the column that holds it encrypted.
SECRETS = {
    "portal_password": "sealed_portal_password",
    "parkonic_api_token": "sealed_parkonic_api_token",
    "camera_pass": "sealed_camera_pass",
}


class Registry:
    """Locations, zones, poles, cameras, spots and crop zones. Every change is seen at once by the reports."""

    def __init__(
        self, *, db: Database, secret_box: SecretBox, clock: Clock, directory: SiteDirectory
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._clock = clock
        self._directory = directory

    async def get(self, level: Level, row_id: int) -> Values:
        """One of them.

        Raises:
            NotFound: there is none of that id.
        """
        async with self._db.reading() as session:
            return _shown(level, await _must_find(session, level, row_id))

    async def page(
        self, level: Level, page: Page, *, equal: Mapping[str, Any], search: str | None
    ) -> tuple[list[Values], int, str | None]:
        """A page by id, the number of all, and the cursor of the next page.

        Raises:
            Invalid: a cursor that this list did not give out.
        """
        after_id = decode_cursor(page.cursor, int)[0] if page.cursor is not None else None
        async with self._db.reading() as session:
            rows, total = await registry.list_rows(
                session, level, equal=equal, search=search, page=page, after_id=after_id
            )
        here = rows[: page.page_size]
        more = encode_cursor(here[-1][level.id_field]) if len(rows) > page.page_size else None
        return [_shown(level, row) for row in here], total, more

    async def create(self, level: Level, values: Values) -> Values:
        """A new one.

        Raises:
            NotFound: the parent it names does not exist.
            Invalid: a spot whose corners enclose nothing.
            Conflict: its code or number is taken.
        """
        now = self._clock.now()
        row = self._encrypted(values) | {"created_at": now, "updated_at": now}
        async with self._writing(level, values) as session:
            row |= await self._derived(session, level, row)
            made = await registry.insert_row(session, level, row)
        return _shown(level, made)

    async def change(self, level: Level, row_id: int, values: Values) -> Values:
        """The one of that id, with these fields set.

        Raises:
            NotFound: there is none of that id, or the parent it is to have does not exist.
            Conflict: its code or number is taken, or it may not move there.
        """
        async with self._writing(level, values) as session:
            before = await _must_find(session, level, row_id)
            row = self._encrypted(values) | {"updated_at": self._clock.now()}
            row |= await self._derived(session, level, {**before, **row})
            await self._refuse_move(session, level, before, row)
            made = await registry.update_row(session, level, row_id, row)
        return _shown(level, made)

    async def delete(self, level: Level, row_id: int) -> None:
        """Take it down. Crop zones go with their camera; everything else that hangs on it must go first.

        Raises:
            NotFound: there is none of that id.
            Conflict: something hangs on it, or waits to be sent.
        """
        async with self._writing(level, {}) as session:
            await _must_find(session, level, row_id)
            await self._refuse_if_used(session, level, row_id)
            if level is CAMERA:
                await registry.delete_children(session, level, row_id, CROP_ZONE)
            await registry.delete_row(session, level, row_id)

    @asynccontextmanager
    async def _writing(self, level: Level, values: Mapping[str, Any]) -> AsyncIterator[AsyncSession]:
        """A transaction: constraint faults are told as conflicts, the reports' memory is cleared after it."""
        try:
            async with self._db.transaction() as session:
                yield session
        except IntegrityError as fault:
            conflict = _conflict(level, values, fault)
            if conflict is None:
                raise
            raise conflict from fault
        finally:
            self._directory.clear()

    def _encrypted(self, values: Values) -> Values:
        """Secrets encrypted; None removes one, and one that is not named stays as it is."""
        row = {name: value for name, value in values.items() if name not in SECRETS}
        for name, column in SECRETS.items():
            if name in values:
                row[column] = self._secret_box.encrypt(values[name]) if values[name] else ""
        return row

    async def _derived(self, session: AsyncSession, level: Level, row: Values) -> Values:
        """What follows from the rest: a camera's location from its pole, a spot's drawer from who writes."""
        parent = level.parent
        if parent is None:
            return {}
        location_id = await registry.location_of(session, parent, row[parent.id_field])
        if location_id is None:
            reason = f"there is no {parent.word} {row[parent.id_field]}"
            raise NotFound(
                reason, code=f"{_snake(parent)}_not_found", errors=[FieldError(parent.id_field, reason)]
            )
        if level is CAMERA:
            return {"location_id": location_id}
        if level is SPOT:
            _check_spot(row)
            return {"origin": SpotOrigin.OPERATOR.value}
        return {}

    async def _refuse_move(self, session: AsyncSession, level: Level, before: Values, row: Values) -> None:
        """What carries cameras may not change its location: their codes are unique within it, and so is the
        meaning of every event that named them.
        """
        parent = level.parent
        if parent is None or level in {SPOT, CROP_ZONE, CAMERA} or parent.id_field not in row:
            return
        old = await registry.location_of(session, parent, before[parent.id_field])
        new = await registry.location_of(session, parent, row[parent.id_field])
        if old != new:
            reason = f"a {level.word} cannot move to another location"
            raise Conflict(reason, code="cannot_move", errors=[FieldError(parent.id_field, reason)])

    async def _refuse_if_used(self, session: AsyncSession, level: Level, row_id: int) -> None:
        for child in LEVELS:
            if child.parent is not level or child is CROP_ZONE:
                continue
            count = await registry.count_children(session, level, row_id, child)
            if count:
                them = f"{child.word} hangs" if count == 1 else f"{child.word}s hang"
                reason = f"{count} {them} on it: take {'it' if count == 1 else 'them'} down first"
                raise Conflict(
                    f"{level.word} {row_id} is in use: {reason}",
                    code="has_children",
                    errors=[FieldError(level.id_field, reason)],
                )
        if level is CAMERA and (count := await events.count_pending(session, row_id)):
            raise Conflict(
                f"camera {row_id} has {count} events that wait to be sent", code="has_pending_events"
            )


def _conflict(level: Level, values: Mapping[str, Any], fault: IntegrityError) -> Conflict | None:
    name, words = level.unique_field, str(fault.orig).lower()
    if name is not None and "unique" in words:
        value = values.get(name)
        reason = f"{value} is taken" if value is not None else "is taken there"
        return Conflict(
            f"another {level.word} has that {name}",
            code=f"{name}_taken",
            errors=[FieldError(name, reason)],
        )
    if "foreign key" in words:
        # The checks before have passed: somebody else has hung something on it, or taken the parent down.
        return Conflict("the registry has changed meanwhile: try again", code="changed_meanwhile")
    return None


def _check_spot(row: Values) -> None:
    a, b, c, d = ((float(row[f"p{n}_x"]), float(row[f"p{n}_y"])) for n in range(1, 5))
    try:
        check_corners((a, b, c, d))
    except ValueError as error:
        raise Invalid(
            f"no vehicle can stand there: {error}",
            code="invalid_corners",
            errors=[FieldError("p1_x", str(error))],
        ) from error


async def _must_find(session: AsyncSession, level: Level, row_id: int) -> Values:
    row = await registry.find(session, level, row_id)
    if row is None:
        raise NotFound(f"there is no {level.word} {row_id}", code=f"{_snake(level)}_not_found")
    return row


def _shown(level: Level, row: Values) -> Values:
    """The row without its secrets; `has_…` tells whether one is set."""
    shown = {name: value for name, value in row.items() if name not in SECRETS.values()}
    for name, column in SECRETS.items():
        if column in row:
            shown[f"has_{name}"] = bool(row[column])
    return shown | {"id": row[level.id_field]}


def _snake(level: Level) -> str:
    return level.word.replace(" ", "_")
