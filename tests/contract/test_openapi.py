"""The OpenAPI document of the gateway, which has the operations of all services."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from in_process import Platform
from service_list import service_list

pytestmark = pytest.mark.integration

METHODS = {"get", "put", "post", "patch", "delete"}
OPERATION_ID = re.compile(r"[a-z][a-z_]{2,39}")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield method, path, operation


async def test_operation_ids_are_short_and_differ_over_all_services(in_process_platform: Platform) -> None:
    async with in_process_platform.client() as gateway:
        merged = (await gateway.get("/openapi.json")).json()
    ids = {(method, path): operation["operationId"] for method, path, operation in operations(merged)}
    assert ids["get", "/api/v1/cameras"] == "list_cameras"
    assert ids["get", "/api/v1/tickets/{ticket_id}"] == "get_ticket"
    assert [name for name in ids.values() if not OPERATION_ID.fullmatch(name)] == []
    assert len(set(ids.values())) == len(ids)
    # The same in the document of the service itself: the gateway had to rename none.
    for service in service_list():
        if service.name == "gateway":
            continue
        async with in_process_platform.client(service.name) as client:
            own = (await client.get("/openapi.json")).json()
        for method, path, operation in operations(own):
            if (method, path) in ids:
                assert operation["operationId"] == ids[method, path]
