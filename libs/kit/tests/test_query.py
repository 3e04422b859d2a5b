from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from kit.pagination import PageParams
from kit.query import MAX_NAME_CHARS, MAX_REPORTED, any_query, faults

KNOWN = {"plate_city": False, "plate_code": False, "page": False, "permission": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        (["page", "plate_city"], {}),
        (["permission", "permission"], {}),
        (["plate_citty"], {"plate_citty": "did you mean plate_city?"}),
        (["PAGE"], {"PAGE": "did you mean page?"}),
        (["page", "page", "page"], {"page": "is given more than once"}),
        (["zzz"], {"zzz": "it takes page, permission, plate_city, plate_code"}),
        ([""], {"": "it takes page, permission, plate_city, plate_code"}),
        (["a" * 9000], {"a" * MAX_NAME_CHARS: "it takes page, permission, plate_city, plate_code"}),
    ],
)
def test_what_is_wrong_with_the_names_in_a_query(given: list[str], expected: dict[str, str]) -> None:
    found = {error.field: error.reason for error in faults(given, KNOWN)}
    assert list(found) == list(expected)
    for name, reason in expected.items():
        assert found[name].endswith(reason)


def test_an_operation_without_parameters_says_so() -> None:
    (only,) = faults(["page"], {})
    assert only.reason == "is not a parameter of this operation, which takes none"


def test_the_number_of_reported_names_is_limited() -> None:
    assert len(faults([f"name{number}" for number in range(10_000)], KNOWN)) == MAX_REPORTED


class Filter(BaseModel):
    model_config = ConfigDict(extra="ignore")

    city: str | None = None
    kinds: list[str] | None = Field(None, alias="kind")


def nested(search: Annotated[str | None, Query(alias="q")] = None) -> str | None:
    return search


def outer(search: Annotated[str | None, Depends(nested)]) -> str | None:
    return search


def routes() -> APIRouter:
    inner = APIRouter()

    @inner.get("/cars")
    async def cars(
        page: PageParams,
        filters: Annotated[Filter, Query()],
        search: Annotated[str | None, Depends(outer)],
        sort_by: Literal["id", "time"] = "id",
        tag: Annotated[list[str] | None, Query()] = None,
    ) -> dict[str, Any]:
        return {"page": page.page, "city": filters.city, "search": search, "sort_by": sort_by, "tag": tag}

    @inner.get("/cars/{car_id}")
    async def car(car_id: int) -> int:
        return car_id

    @inner.post("/push", dependencies=[Depends(any_query)])
    async def push() -> str:
        return "accepted"

    router = APIRouter(prefix="/api/v1")
    router.include_router(inner)
    # Included twice, with a dependency that declares a parameter: the routes of both inclusions are the same objects.
    router.include_router(inner, prefix="/again", dependencies=[Depends(region)])
    return router


def region(region: str = "") -> str:
    return region


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/cars", {}),
        ("/cars?page=2&page_size=5&cursor=&city=x&kind=a&kind=b&q=x&sort_by=time&tag=1&tag=2", {}),
        ("/cars?citty=DXB", {"citty": "city"}),
        ("/cars?search=x", {"search": ""}),  # the name in the query is the alias
        ("/cars?sort_by=hashed_password", {"sort_by": ""}),
        ("/cars?page=1&page=2", {"page": "more than once"}),
        ("/cars?city=a&city=b", {"city": "more than once"}),
        ("/cars?region=eu", {"region": ""}),
        ("/again/cars?region=eu", {}),
        ("/again/cars?regionn=eu", {"regionn": "region"}),
        ("/cars/7", {}),
        ("/cars/7?sort_by=id", {"sort_by": "takes none"}),
        ("/cars/7?%00=1", {"": "cannot be stored"}),
        ("/cars/7?%ff%fe", {"��": "takes none"}),
    ],
)
async def test_a_query_parameter_that_a_route_does_not_declare_is_refused(
    toy: Any, path: str, refused: dict[str, str]
) -> None:
    started = await toy(routes())
    answer = await started.client.get(f"/api/v1{path}")
    if not refused:
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors = {error["field"]: error["reason"] for error in answer.json()["errors"]}
    assert list(errors) == list(refused)
    for name, part in refused.items():
        assert part in errors[name]


async def test_routes_that_say_so_and_operations_ignore_unknown_parameters(toy: Any) -> None:
    started = await toy(routes())
    assert (await started.client.post("/api/v1/push?channel=1&channel=2")).status_code == 200
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert (await started.client.get(f"{path}?t=1")).status_code == 200
