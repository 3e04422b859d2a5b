"""The site's hierarchy: the same routes for each of its levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, SecretStr

from ingest.domain.registry import CAMERA, CROP_ZONE, LOCATION, POLE, SPOT, ZONE, Entry, Level
from ingest.handlers.registry import SECRETS, Registry
from ingest.http import registry_schemas as schemas
from ingest.http.registry_schemas import Create, Filter, Out, RowId
from kit.auth import require
from kit.pagination import Page, PageOf, PageParams

S = TypeVar("S", bound=Out)

_READ = [Depends(require("site:read"))]
_WRITE = [Depends(require("site:write"))]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A level's path and schemas."""

    level: Level
    path: str
    create: type[Create]
    out: type[Out]
    filter: type[Filter]


_ENDPOINTS = (
    _Endpoint(LOCATION, "locations", schemas.LocationCreate, schemas.LocationOut, schemas.LocationFilter),
    _Endpoint(ZONE, "zones", schemas.ZoneCreate, schemas.ZoneOut, schemas.ZoneFilter),
    _Endpoint(POLE, "poles", schemas.PoleCreate, schemas.PoleOut, schemas.PoleFilter),
    _Endpoint(CAMERA, "cameras", schemas.CameraCreate, schemas.CameraOut, schemas.CameraFilter),
    _Endpoint(SPOT, "spots", schemas.SpotCreate, schemas.SpotOut, schemas.SpotFilter),
    _Endpoint(CROP_ZONE, "crop-zones", schemas.CropZoneCreate, schemas.CropZoneOut, schemas.CropZoneFilter),
)


def registry_routes(registry: Registry) -> APIRouter:
    """The routes of all levels."""
    router = APIRouter(prefix="/api/v1", tags=["site"])
    for endpoint in _ENDPOINTS:
        _add_reading(router, registry, endpoint)
        _add_writing(router, registry, endpoint)

    @router.get("/cameras/{camera_id}/spots", summary="The spots of a camera", dependencies=_READ)
    async def list_camera_spots(
        camera_id: Annotated[RowId, "as in /cameras"], page: PageParams
    ) -> PageOf[schemas.SpotOut]:
        await registry.get(CAMERA, camera_id)
        found, total, more = await registry.page(SPOT, page, equal={"camera_id": camera_id}, search=None)
        return _page_of(schemas.SpotOut, found, total, more, page)

    del list_camera_spots
    return router


def _add_reading(router: APIRouter, registry: Registry, endpoint: _Endpoint) -> None:
    level, path = endpoint.level, f"/{endpoint.path}"

    async def list_all(page: PageParams, filters: BaseModel) -> Any:
        equal = filters.model_dump(exclude_none=True)
        search = equal.pop("search", None)
        found, total, more = await registry.page(level, page, equal=_plain(equal), search=search)
        return _page_of(endpoint.out, found, total, more, page)

    async def read(row_id: RowId) -> Any:
        return endpoint.out.model_validate(await registry.get(level, row_id))

    # The annotation is a value, a different one for each level; FastAPI reads it when the route is added.
    list_all.__annotations__["filters"] = Annotated[endpoint.filter, Query()]
    router.get(
        path,
        summary=f"All {level.word}s",
        dependencies=_READ,
        response_model=PageOf[endpoint.out],  # type: ignore[name-defined] # as the annotation above
        operation_id=f"list_{_plural(endpoint)}",
    )(list_all)
    router.get(
        f"{path}/{{row_id}}",
        summary=f"One {level.word}",
        dependencies=_READ,
        response_model=endpoint.out,
        operation_id=f"get_{_singular(endpoint)}",
    )(read)


def _add_writing(router: APIRouter, registry: Registry, endpoint: _Endpoint) -> None:
    level, path = endpoint.level, f"/{endpoint.path}"

    async def create(fields: Create, response: Response) -> Any:
        created = await registry.create(level, _values(fields, is_complete=True))
        response.headers["Location"] = f"/api/v1{path}/{created.id}"
        return endpoint.out.model_validate(created)

    async def replace(row_id: RowId, fields: Create) -> Any:
        changed = await registry.change(level, row_id, _values(fields, is_complete=True))
        return endpoint.out.model_validate(changed)

    async def change(row_id: RowId, fields: Create) -> Any:
        changed = await registry.change(level, row_id, _values(fields, is_complete=False))
        return endpoint.out.model_validate(changed)

    async def delete(row_id: RowId) -> None:
        await registry.delete(level, row_id)

    update = schemas.update_of(endpoint.create)
    put_back = schemas.replace_of(endpoint.create, endpoint.out)
    create.__annotations__["fields"] = endpoint.create
    replace.__annotations__["fields"] = put_back
    change.__annotations__["fields"] = update
    one = f"{path}/{{row_id}}"
    shared: dict[str, Any] = {"dependencies": _WRITE, "response_model": endpoint.out}
    word, name = level.word, _singular(endpoint)
    router.post(path, summary=f"A new {word}", status_code=201, operation_id=f"create_{name}", **shared)(
        create
    )
    router.put(one, summary=f"All fields of a {word} at once", operation_id=f"replace_{name}", **shared)(
        replace
    )
    router.patch(one, summary=f"Some fields of a {word}", operation_id=f"update_{name}", **shared)(change)
    router.delete(
        one,
        summary=f"Delete a {word}",
        status_code=204,
        operation_id=f"delete_{name}",
        dependencies=_WRITE,
    )(delete)


def _plural(endpoint: _Endpoint) -> str:
    """Its name in an operation id of lists."""
    return endpoint.path.replace("-", "_")


def _singular(endpoint: _Endpoint) -> str:
    """Its name in an operation id of one of them."""
    return endpoint.level.word.replace(" ", "_")


def _values(fields: Create, *, is_complete: bool) -> dict[str, Any]:
    """The columns to write. A secret that is not in the request is never changed."""
    values = fields.model_dump(exclude_unset=not is_complete)
    for name in SECRETS:
        if name in values and name not in fields.model_fields_set:
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


def _page_of(out: type[S], found: list[Entry], total: int, more: str | None, page: Page) -> PageOf[S]:
    return PageOf(
        items=[out.model_validate(entry) for entry in found],
        page=page.page,
        page_size=page.page_size,
        total=total,
        next_cursor=more,
    )
