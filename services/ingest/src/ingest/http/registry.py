"""The site's tree: list, create, read, replace, change and delete, alike on every level."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, SecretStr

from ingest.handlers.registry import SECRETS, Registry
from ingest.http import registry_schemas as schemas
from ingest.http.registry_schemas import Create, Filter, Out, RowId
from ingest.store.registry import CAMERA, CROP_ZONE, LOCATION, POLE, SPOT, ZONE, Level
from kit.auth import require
from kit.pagination import Page, PageOf, PageParams

S = TypeVar("S", bound=Out)

_READ = [Depends(require("site:read"))]
_WRITE = [Depends(require("site:write"))]


@dataclass(frozen=True, slots=True)
class _Face:
    """How a level looks from outside."""

    level: Level
    path: str
    given: type[Create]
    shown: type[Out]
    filter: type[Filter]


_FACES = (
    _Face(LOCATION, "locations", schemas.LocationCreate, schemas.LocationOut, schemas.LocationFilter),
    _Face(ZONE, "zones", schemas.ZoneCreate, schemas.ZoneOut, schemas.ZoneFilter),
    _Face(POLE, "poles", schemas.PoleCreate, schemas.PoleOut, schemas.PoleFilter),
    _Face(CAMERA, "cameras", schemas.CameraCreate, schemas.CameraOut, schemas.CameraFilter),
    _Face(SPOT, "spots", schemas.SpotCreate, schemas.SpotOut, schemas.SpotFilter),
    _Face(CROP_ZONE, "crop-zones", schemas.CropZoneCreate, schemas.CropZoneOut, schemas.CropZoneFilter),
)


def registry_routes(registry: Registry) -> APIRouter:
    """All levels."""
    router = APIRouter(prefix="/api/v1", tags=["site"])
    for face in _FACES:
        _add_reading(router, registry, face)
        _add_writing(router, registry, face)

    @router.get("/cameras/{camera_id}/spots", summary="The spots of a camera", dependencies=_READ)
    async def camera_spots(
        camera_id: Annotated[RowId, "as in /cameras"], page: PageParams
    ) -> PageOf[schemas.SpotOut]:
        await registry.get(CAMERA, camera_id)
        rows, total, more = await registry.page(SPOT, page, equal={"camera_id": camera_id}, search=None)
        return _page_of(schemas.SpotOut, rows, total, more, page)

    del camera_spots
    return router


def _add_reading(router: APIRouter, registry: Registry, face: _Face) -> None:
    level, path = face.level, f"/{face.path}"

    async def list_all(page: PageParams, wanted: BaseModel) -> Any:
        equal = wanted.model_dump(exclude_none=True)
        search = equal.pop("search", None)
        rows, total, more = await registry.page(level, page, equal=_plain(equal), search=search)
        return _page_of(face.shown, rows, total, more, page)

    async def read(row_id: RowId) -> Any:
        return await registry.get(level, row_id)

    # The annotation is a value here, one for each level; FastAPI reads it when the route is added.
    list_all.__annotations__["wanted"] = Annotated[face.filter, Query()]
    router.get(
        path,
        summary=f"All {level.word}s",
        dependencies=_READ,
        response_model=PageOf[face.shown],  # type: ignore[name-defined] # as the annotation above
        operation_id=f"list_{face.path}",
    )(list_all)
    router.get(
        f"{path}/{{row_id}}",
        summary=f"One {level.word}",
        dependencies=_READ,
        response_model=face.shown,
        operation_id=f"read_{face.path}",
    )(read)


def _add_writing(router: APIRouter, registry: Registry, face: _Face) -> None:
    level, path = face.level, f"/{face.path}"

    async def create(given: Create, response: Response) -> Any:
        made = await registry.create(level, _values(given, is_whole=True))
        response.headers["Location"] = f"/api/v1{path}/{made['id']}"
        return made

    async def replace(row_id: RowId, given: Create) -> Any:
        return await registry.change(level, row_id, _values(given, is_whole=True))

    async def change(row_id: RowId, given: Create) -> Any:
        return await registry.change(level, row_id, _values(given, is_whole=False))

    async def delete(row_id: RowId) -> None:
        await registry.delete(level, row_id)

    changes = schemas.changes_of(face.given)
    create.__annotations__["given"] = face.given
    replace.__annotations__["given"] = face.given
    change.__annotations__["given"] = changes
    one = f"{path}/{{row_id}}"
    shared: dict[str, Any] = {"dependencies": _WRITE, "response_model": face.shown}
    word, name = level.word, face.path
    router.post(path, summary=f"A new {word}", status_code=201, operation_id=f"create_{name}", **shared)(
        create
    )
    router.put(one, summary=f"All fields of a {word} at once", operation_id=f"replace_{name}", **shared)(
        replace
    )
    router.patch(one, summary=f"Some fields of a {word}", operation_id=f"change_{name}", **shared)(change)
    router.delete(
        one,
        summary=f"Take a {word} down",
        status_code=204,
        operation_id=f"delete_{name}",
        dependencies=_WRITE,
    )(delete)


def _values(given: Create, *, is_whole: bool) -> dict[str, Any]:
    """The columns to write. Secrets that the caller left out are left alone in either case."""
    values = given.model_dump(exclude_unset=not is_whole)
    for name in SECRETS:
        if name in values and name not in given.model_fields_set:
            del values[name]
    return _plain(values)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Enum):
        return value.value
    return value


def _page_of(
    shown: type[S], rows: list[dict[str, Any]], total: int, more: str | None, page: Page
) -> PageOf[S]:
    return PageOf(
        items=[shown.model_validate(row) for row in rows],
        page=page.page,
        page_size=page.page_size,
        total=total,
        next_cursor=more,
    )
