"""Create, change and delete what is registered of the site."""

import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.registry import (
    CAMERA,
    CROP_ZONE,
    LEVELS,
    LOCATION,
    SPOT,
    Camera,
    Entry,
    Level,
    Location,
    Spot,
)
from ingest.domain.site import CameraStatus, SpotOrigin, check_corners
from ingest.handlers.site_directory import SiteDirectory
from ingest.handlers.site_states import SiteStates
from ingest.store import events, registry, site_states
from ingest.store.registry import Values
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, FieldError, Invalid, NotFound
from kit.pagination import Page, decode_cursor, encode_cursor
from kit.secrets import SecretBox

_CORNERS = ("p1_x", "p1_y", "p2_x", "p2_y", "p3_x", "p3_y", "p4_x", "p4_y")

# What a caller may set and never read again → the column that holds it encrypted.
SECRETS = {
    "portal_password": "sealed_portal_password",
    "parkonic_api_token": "sealed_parkonic_api_token",
    "camera_pass": "sealed_camera_pass",
    "push_password": "sealed_push_password",
    "push_path_secret": "sealed_push_path_secret",
    "push_hmac_key": "sealed_push_hmac_key",
}


class Registry:
    """Locations, zones, poles, cameras, spots and crop zones. Pushes see every change at once.

    Locations and cameras are returned with what is observed of them.
    """

    def __init__(
        self,
        *,
        db: Database,
        secret_box: SecretBox,
        clock: Clock,
        directory: SiteDirectory,
        states: SiteStates,
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._clock = clock
        self._directory = directory
        self._states = states

    async def get(self, level: Level, row_id: int) -> Entry:
        """One entry.

        Raises:
            NotFound: there is none of that id.
        """
        async with self._db.reading() as session:
            return await self._observed_one(session, level, await _must_find(session, level, row_id))

    async def page(
        self, level: Level, page: Page, *, equal: Mapping[str, Any], search: str | None
    ) -> tuple[list[Entry], int, str | None]:
        """A page by id, the number of all, and the cursor of the next page.

        `equal` may have the `status` of cameras, which is observed, and `is_enabled`.

        Raises:
            Invalid: the cursor is not one of this list.
        """
        after_id = decode_cursor(page.cursor, int)[0] if page.cursor is not None else None
        equal, ids = self._columns(dict(equal)), None
        async with self._db.reading() as session:
            if level is CAMERA and "status" in equal:
                ids = await self._states.with_status(session, CameraStatus(equal.pop("status")))
            found, total = await registry.list_entries(
                session,
                level,
                equal=equal,
                ids=ids,
                search=ascii_form(search) if search is not None else None,
                page=page,
                after_id=after_id,
            )
            shown = await self._observed(session, level, found[: page.page_size])
        more = encode_cursor(shown[-1].id) if len(found) > page.page_size else None
        return shown, total, more

    async def camera_status(self, camera_id: int) -> CameraStatus:
        """Whether a camera works.

        Raises:
            NotFound: there is none of that id.
        """
        camera = await self.get(CAMERA, camera_id)
        assert isinstance(camera, Camera)
        return camera.status

    async def create(self, level: Level, values: Values) -> Entry:
        """A new entry.

        Raises:
            NotFound: the parent it names does not exist.
            Invalid: a spot whose corners enclose no area.
            Conflict: its code or number is taken.
        """
        now = self._clock.now()
        row = self._columns(values) | {"created_at": now, "updated_at": now}
        async with self._writing(level, values) as session:
            row |= await self._derived(session, level, row)
            entry = await registry.insert_entry(session, level, row)
            return await self._observed_one(session, level, entry)

    async def change(self, level: Level, row_id: int, values: Values) -> Entry:
        """Set these fields of the entry of that id.

        Raises:
            NotFound: there is none of that id, or its new parent does not exist.
            Conflict: its code or number is taken, or it may not be moved to that parent.
        """
        async with self._writing(level, values) as session:
            before = await _must_find(session, level, row_id)
            row = self._columns(values) | {"updated_at": self._clock.now()}
            row |= await self._derived(session, level, {**_values(before), **row}, before)
            await self._check_move(session, level, before, row)
            entry = await registry.update_entry(session, level, row_id, row)
            return await self._observed_one(session, level, entry)

    async def delete(self, level: Level, row_id: int) -> None:
        """Delete an entry. Its crop zones are deleted with a camera; everything else below it must be deleted first.

        Raises:
            NotFound: there is none of that id.
            Conflict: there are entries below it, or pending events.
        """
        async with self._writing(level, {}) as session:
            await _must_find(session, level, row_id)
            await self._check_unused(session, level, row_id)
            if level is CAMERA:
                await registry.delete_children(session, level, row_id, CROP_ZONE)
            await registry.delete_entry(session, level, row_id)

    @asynccontextmanager
    async def _writing(self, level: Level, values: Mapping[str, Any]) -> AsyncIterator[AsyncSession]:
        """A transaction that raises constraint violations as conflicts, and clears the cache of cameras at its end."""
        try:
            async with self._db.transaction() as session:
                yield session
        except IntegrityError as error:
            conflict = _conflict(level, values, error)
            if conflict is None:
                raise
            raise conflict from error
        finally:
            self._directory.clear()

    async def _observed(self, session: AsyncSession, level: Level, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with what is observed of them."""
        ids = [entry.id for entry in entries]
        if level is CAMERA:
            states = await self._states.cameras_with_spots(session, ids)
            return [replace(entry, state=states[entry.id]) for entry in entries if isinstance(entry, Camera)]
        if level is LOCATION:
            counts = await site_states.spots_of_locations(session, ids)
            return [
                replace(entry, spot_counts=counts[entry.id])
                for entry in entries
                if isinstance(entry, Location)
            ]
        return list(entries)

    async def _observed_one(self, session: AsyncSession, level: Level, entry: Entry) -> Entry:
        (observed,) = await self._observed(session, level, [entry])
        return observed

    def _columns(self, values: Values) -> Values:
        """As columns. Secrets are encrypted; None removes one, and one that is not named stays as it is."""
        row = {name: value for name, value in values.items() if name not in SECRETS}
        if "is_enabled" in row:
            is_enabled = row.pop("is_enabled")
            row["set_status"] = (CameraStatus.ONLINE if is_enabled else CameraStatus.OFFLINE).value
        for name, column in SECRETS.items():
            if name in values:
                row[column] = self._secret_box.encrypt(values[name]) if values[name] else ""
        return row

    async def _derived(
        self, session: AsyncSession, level: Level, row: Values, before: Entry | None = None
    ) -> Values:
        """Columns that follow from the others: a camera's location from its pole, a spot's origin from its corners."""
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
            is_as_learned = isinstance(before, Spot) and all(
                getattr(before, corner) == row[corner] for corner in _CORNERS
            )
            return {} if is_as_learned else {"origin": SpotOrigin.OPERATOR.value}
        return {}

    async def _check_move(self, session: AsyncSession, level: Level, before: Entry, row: Values) -> None:
        """Zones and poles stay in their location: camera codes are unique within it, and events name cameras by it."""
        parent = level.parent
        if parent is None or level in {SPOT, CROP_ZONE, CAMERA} or parent.id_field not in row:
            return
        old = await registry.location_of(session, parent, getattr(before, parent.id_field))
        new = await registry.location_of(session, parent, row[parent.id_field])
        if old != new:
            reason = f"a {level.word} cannot move to another location"
            raise Conflict(reason, code="cannot_move", errors=[FieldError(parent.id_field, reason)])

    async def _check_unused(self, session: AsyncSession, level: Level, row_id: int) -> None:
        for child in LEVELS:
            if child.parent is not level or child is CROP_ZONE:
                continue
            count = await registry.count_children(session, level, row_id, child)
            if count:
                children, them = (child.word, "it") if count == 1 else (f"{child.word}s", "them")
                reason = f"it has {count} {children}: delete {them} first"
                raise Conflict(
                    f"{level.word} {row_id} is in use: {reason}",
                    code="has_children",
                    errors=[FieldError(level.id_field, reason)],
                )
        if level is CAMERA and (count := await events.count_pending(session, row_id)):
            raise Conflict(
                f"camera {row_id} has {count} pending events: delete it when they are dispatched",
                code="has_pending_events",
            )


def _conflict(level: Level, values: Mapping[str, Any], error: IntegrityError) -> Conflict | None:
    name, words = level.unique_field, str(error.orig).lower()
    if name is not None and "unique" in words:
        value = values.get(name)
        reason = f"{value} is taken" if value is not None else "is taken there"
        return Conflict(
            f"another {level.word} has that {name}",
            code=f"{name}_taken",
            errors=[FieldError(name, reason)],
        )
    if "foreign key" in words:
        # The checks passed: another request has added an entry below it, or deleted its parent, since.
        return Conflict("the registry was changed by another request: try again", code="changed_meanwhile")
    return None


def _check_spot(row: Values) -> None:
    a, b, c, d = ((float(row[f"p{n}_x"]), float(row[f"p{n}_y"])) for n in range(1, 5))
    try:
        check_corners((a, b, c, d))
    except ValueError as error:
        raise Invalid(
            f"the spot is not valid: {error}",
            code="invalid_corners",
            errors=[FieldError("p1_x", str(error))],
        ) from error


def ascii_form(text: str) -> str:
    """With full-width letters and digits, and the digits of other scripts, as ASCII."""
    return "".join(str(unicodedata.decimal(c, c)) for c in unicodedata.normalize("NFKC", text))


async def _must_find(session: AsyncSession, level: Level, row_id: int) -> Entry:
    entry = await registry.find(session, level, row_id)
    if entry is None:
        raise NotFound(f"there is no {level.word} {row_id}", code=f"{_snake(level)}_not_found")
    return entry


def _values(entry: Entry) -> Values:
    return asdict(entry)


def _snake(level: Level) -> str:
    return level.word.replace(" ", "_")
