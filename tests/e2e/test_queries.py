"""No operation of any service ignores a query parameter that it does not know; through the gateway, in both modes."""

from collections.abc import Iterator

import httpx
import pytest

from stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

IGNORES_UNKNOWN = {
    ("post", "/api/v1/post"): "typed into cameras, whose firmware may add parameters; no event may be lost",
    ("post", "/api/v1/post/{secret}"): "as above",
    ("get", "/health/live"): "probes add parameters against caches",
    ("get", "/health/ready"): "as above",
    ("get", "/metrics"): "scrapers add parameters",
}
"""The operations that may, with the reason."""


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as signed_in:
        yield signed_in


def test_every_operation_refuses_unknown_query_parameters_and_sort_columns(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    operations = [(method, path) for path, methods in paths.items() for method in methods]
    assert len(operations) > 50
    accepted = []
    for method, path in operations:
        if (method, path) in IGNORES_UNKNOWN:
            continue
        address = numbered(path)
        for query in ("sort_by=hashed_password", "plate_citty=DXB"):
            answer = client.request(method, f"{address}?{query}", json={})
            named = [error["field"] for error in answer.json()["errors"]] if answer.status_code == 422 else []
            if query.partition("=")[0] not in named:
                accepted.append(f"{method} {address}?{query}: {answer.status_code} {answer.text[:200]}")
    assert accepted == []


def test_a_misspelt_filter_is_answered_with_the_nearest_name(client: httpx.Client) -> None:
    problem = client.get("/tickets", params={"plate_citty": "DXB"}).json()
    assert (problem["status"], problem["code"]) == (422, "invalid_query")
    assert problem["errors"] == [
        {
            "field": "plate_citty",
            "reason": "is not a parameter of this operation; did you mean plate_city?",
        }
    ]


def test_the_documented_queries_are_accepted(client: httpx.Client) -> None:
    for path in (
        "/tickets?page=1&page_size=20&plate_number=ABC123&entry_start=2024-01-01T00:00:00&entry_end=2024-01-31T23:59",
        "/tickets?search=A&camera_id=1&spot_number=1&plate_code=1&plate_city=DXB&sort_by=entry_time&sort_order=asc",
        "/manual-reviews?page=1&page_size=20&status=PENDING",
    ):
        assert client.get(path).status_code == 200, path


def numbered(path: str) -> str:
    """The path with 1 for each of its parameters."""
    parts = ["1" if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)
