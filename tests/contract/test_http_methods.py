"""A 405 of any path of any service names every method that the path takes, and through the gateway too."""

import re
from typing import Any

import pytest

from in_process import Platform
from service_list import service_list

pytestmark = pytest.mark.integration

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE")
UUID = "01a21915-e55e-7182-a444-2228b8cc3bce"


def example(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: UUID if match[1] == "event_id" else "1", path)


@pytest.mark.parametrize("service", sorted(service.name for service in service_list()))
async def test_allow_names_every_method_of_the_path(service: str, in_process_platform: Platform) -> None:
    async with in_process_platform.client(service) as client:
        paths: dict[str, Any] = (await client.get("/openapi.json")).json()["paths"]
        assert paths
        if service == "gateway":
            client.headers["Authorization"] = f"Bearer {await in_process_platform.token()}"
        wrong = {}
        for path, item in paths.items():
            taken = {method.upper() for method in item} & set(METHODS)
            expected = ", ".join(sorted(taken | {"HEAD"} if "GET" in taken else taken))
            for method in set(METHODS) - taken:
                answer = await client.request(method, example(path))
                got = (answer.status_code, answer.headers.get("allow"))
                if got != (405, expected):
                    wrong[method, path] = got
    assert not wrong
