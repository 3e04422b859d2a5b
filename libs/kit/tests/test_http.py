import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from kit.errors import Conflict, Unavailable
from kit.health import CheckResult
from kit.http import read_json, require_media_type
from kit.pagination import Page, PageOf, PageParams
from kit.settings import HttpSettings
from kit.size_limits import BodyLimit
from kit.tracing import current_trace
from testkit import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
JSON = {"content-type": "application/json"}


class Spot(BaseModel):
    number: int
    name: str
    notes: dict[str, Any] = {}


def routes() -> APIRouter:
    router = APIRouter(prefix="/api/v1")
    router.include_router(working_routes())
    router.include_router(failing_routes())
    return router


def working_routes() -> APIRouter:
    router = APIRouter()

    @router.post("/spots/{spot_id}")
    async def save(spot_id: int, spot: Spot) -> Spot:
        return spot

    @router.get("/spots")
    async def spots(page: PageParams, q: str = "") -> PageOf[int]:
        assert isinstance(page, Page)
        return PageOf(
            items=[page.offset], page=page.page, page_size=page.page_size, total=None, next_cursor=q
        )

    @router.get("/spots/by-name/{name}")
    async def by_name(name: str) -> str:
        return name

    @router.get("/with-trace-header")
    async def with_trace_header() -> Response:
        return Response("x", headers={"X-Trace-Id": "another"})

    @router.post("/raw")
    async def raw(request: Request) -> Any:
        require_media_type(request, "application/json")
        return await read_json(request)

    @router.post("/count")
    async def count(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @router.post("/form")
    async def form(name: Annotated[str, Form()], image: Annotated[UploadFile, File()]) -> int:
        return len(await image.read())

    @router.get("/trace")
    async def trace() -> str:
        here = current_trace()
        assert here is not None
        return here.trace_id

    return router


def failing_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/taken")
    async def taken() -> None:
        raise Conflict("That name is taken.", code="name_taken")

    @router.get("/unavailable")
    async def unavailable() -> None:
        raise Unavailable("The database is unavailable.", retry_after_s=9)

    @router.get("/bug")
    async def bug() -> None:
        raise KeyError("hunter2")

    @router.get("/breaks-off")
    async def breaks_off() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("in the middle")

        return StreamingResponse(parts())

    async def unwell() -> None:
        raise ValueError("dependency bug")

    @router.get("/bad-dependency", dependencies=[Depends(unwell)])
    async def bad_dependency() -> None:
        return None

    return router


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert set(document) == {"type", "title", "status", "detail", "code", "trace_id", "errors"}
    assert document["status"] == status
    assert document["trace_id"] == response.headers["x-trace-id"]
    assert "Traceback" not in response.text
    return document


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("PUT", "/api/v1/taken", 405, "method_not_allowed"),
        ("GET", "/api/v1/taken", 409, "name_taken"),
        ("GET", "/api/v1/unavailable", 503, "unavailable"),
        ("GET", "/api/v1/bug", 500, "internal"),
        ("GET", "/api/v1/bad-dependency", 500, "internal"),
        ("GET", "/api/v1/spots/x", 405, "method_not_allowed"),
        ("POST", "/api/v1/spots/x", 422, "invalid"),
        ("GET", "/api/v1/spots?page_size=201", 422, "invalid"),
        ("GET", "/api/v1/spots?page_size=0", 422, "invalid"),
        ("GET", "/api/v1/spots?page=0", 422, "invalid"),
        ("GET", "/api/v1/spots?page=99999999999999999999", 422, "invalid"),
        ("GET", "/api/v1/spots?q=%00", 422, "invalid_text"),
        ("GET", "/api/v1/spots/by-name/a%00b", 422, "invalid_text"),
        ("PROPFIND", "/api/v1/taken", 405, "method_not_allowed"),
    ],
)
async def test_every_error_is_a_problem_document(
    toy: Any, method: str, path: str, status: int, code: str
) -> None:
    started = await toy(routes())
    is_problem(await started.client.request(method, path), status, code)


async def test_headers_of_error_responses(toy: Any) -> None:
    client = (await toy(routes())).client
    assert (await client.get("/api/v1/unavailable")).headers["retry-after"] == "9"
    assert "GET" in (await client.put("/api/v1/taken")).headers["allow"]


@pytest.mark.parametrize(
    "path", ["/api/v1/spots", "/api/v1/taken", "/nothing/here", "/health/ready", "/metrics"]
)
async def test_head_is_get_without_the_body(toy: Any, path: str) -> None:
    started = await toy(routes())
    got, head = await started.client.get(path), await started.client.head(path)
    assert (head.status_code, head.headers["content-type"]) == (got.status_code, got.headers["content-type"])
    assert int(head.headers["content-length"]) > 0
    assert head.content == b""
    assert (await started.client.get(path)).content  # the connection is still in step


async def test_head_is_logged_and_counted_as_head(toy: Any) -> None:
    started = await toy(routes())
    await started.client.head("/api/v1/trace")
    (line,) = started.lines("http_request")
    assert (line["method"], line["route"]) == ("HEAD", "/api/v1/trace")


async def test_an_unexpected_error_is_logged_and_its_text_is_not_sent(toy: Any) -> None:
    started = await toy(routes())
    response = await started.client.get("/api/v1/bug")
    assert "hunter2" not in response.text
    (line,) = started.lines("http_unhandled_error")
    assert "KeyError: 'hunter2'" in line["exception"]
    assert line["trace_id"] == response.headers["x-trace-id"]


async def test_an_aborted_response_does_not_look_complete(toy: Any) -> None:
    started = await toy(routes())
    with pytest.raises(httpx.RemoteProtocolError):
        await started.client.get("/api/v1/breaks-off")
    assert started.lines("http_unhandled_error")
    assert (await started.client.get("/api/v1/trace")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        (b'{"number": 1, "name": "a"}', 200, None, []),
        ('{"number": 1, "name": "Zoë 🚗"}'.encode(), 200, None, []),
        (b'{"number": "x"}', 422, "invalid", ["number", "name"]),
        (b'{"number": 1e400, "name": "a"}', 422, None, ["number"]),
        (b'{"number": NaN, "name": "a"}', 422, None, ["number"]),
        (b'{"number": 1, "name": "a\\u0000b"}', 422, "invalid_text", ["name"]),
        (b'{"number": 1, "name": "\\ud800"}', 422, "invalid_text", ["name"]),
        (
            b'{"number": 1, "name": "a", "notes": {"x": [1, {"y": "\\u0000"}]}}',
            422,
            "invalid_text",
            ["notes.x.1.y"],
        ),
        (b'{"number": 1, "name": "a", "notes": {"x": Infinity}}', 422, "invalid_text", ["notes.x"]),
        (b'{"number": 1, "name": "a", "notes": {"\\u0000": 1}}', 422, "invalid_text", ["notes"]),
        (b"", 422, "invalid", ["body"]),
        (b"null", 422, "invalid", ["body"]),
        (b"[1", 400, "invalid_json", []),
        (b"\xff\xfe\x00", 400, None, []),
        (b"\xc3\x28", 400, None, []),
        (b"[" * 100_000, 400, None, []),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, None, []),
    ],
)
async def test_bodies(toy: Any, body: bytes, status: int, code: str | None, fields: list[str]) -> None:
    client = (await toy(routes())).client
    response = await client.post("/api/v1/spots/1", content=body, headers=JSON)
    if status == 200:
        assert response.status_code == 200, response.text
        return
    document = is_problem(response, status, code or response.json()["code"])
    assert [error["field"] for error in document["errors"]] == fields
    assert all(error["reason"] for error in document["errors"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"a": [1, 2.5, null, "b"]}', 200, None),
        (b'{"a": NaN}', 400, "invalid_json"),
        (b'{"a": "\\ud800"}', 400, "invalid_json"),
        (b'{"a": "\\u0000"}', 422, "invalid_text"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
    ],
)
async def test_bodies_of_routes_that_parse_them_themselves(
    toy: Any, body: bytes, status: int, code: str | None
) -> None:
    client = (await toy(routes())).client
    response = await client.post("/api/v1/raw", content=body, headers=JSON)
    if code is None:
        assert response.json() == {"a": [1, 2.5, None, "b"]}
    else:
        is_problem(response, status, code)


async def test_a_body_with_another_media_type_is_refused(toy: Any) -> None:
    client = (await toy(routes())).client
    problem = is_problem(await client.post("/api/v1/raw", content=b"a=b"), 415, "unsupported_media")
    assert "application/json" in problem["detail"]


async def test_text_fields_of_a_form_are_checked_and_its_files_are_not(toy: Any) -> None:
    client = (await toy(routes())).client
    files = {"image": b"\x00\x01"}
    assert (await client.post("/api/v1/form", data={"name": "a"}, files=files)).json() == 2
    refused = await client.post("/api/v1/form", data={"name": "a\x00"}, files=files)
    assert is_problem(refused, 422, "invalid_text")["errors"][0]["field"] == "name"


LIMITED = HttpSettings(host="127.0.0.1", port=0, max_body_bytes=1000)


async def chunks(total: int, sent: list[int] | None = None) -> AsyncIterator[bytes]:
    for _ in range(total // 100):
        if sent is not None:
            sent.append(100)
        yield b"x" * 100


@pytest.mark.parametrize(
    ("size", "is_streamed", "status"),
    [(1000, False, 200), (1001, False, 413), (1000, True, 200), (1100, True, 413), (5_000_000, False, 413)],
)
async def test_a_body_over_the_limit_is_refused(toy: Any, size: int, is_streamed: bool, status: int) -> None:
    client = (await toy(routes(), http=LIMITED)).client
    content = chunks(size) if is_streamed else b"x" * size
    response = await client.post("/api/v1/count", content=content)
    assert response.status_code == status
    if status == 413:
        problem = is_problem(response, 413, "too_large")
        assert "1000 bytes, the limit that LOOKOUT_TOY__HTTP__MAX_BODY_BYTES sets" in problem["detail"]
    else:
        assert response.json() == size


async def test_a_streamed_json_body_over_the_limit_is_a_413_and_no_syntax_error(toy: Any) -> None:
    client = (await toy(routes(), http=LIMITED)).client
    response = await client.post("/api/v1/spots/1", content=chunks(2000), headers=JSON)
    assert response.status_code == 413


async def test_a_declared_size_is_refused_before_anything_is_read(toy: Any) -> None:
    started = await toy(routes(), http=LIMITED)
    host, port = "127.0.0.1", started.runner.http["toy"].port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /api/v1/count HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b" 413 " in head
    assert b"connection: close" in head.lower()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_route_may_have_a_limit_of_its_own(toy: Any) -> None:
    limits = {"/api/v1": BodyLimit(500, "SMALL"), "/api/v1/count": BodyLimit(3000, "LARGE")}
    client = (await toy(routes(), http=LIMITED, body_limits=limits)).client
    assert (await client.post("/api/v1/count", content=b"x" * 3000)).json() == 3000
    for content in (b"x" * 501, chunks(600)):
        problem = is_problem(
            await client.post("/api/v1/raw", content=content, headers=JSON), 413, "too_large"
        )
        assert problem["detail"] == "The body is over 500 bytes, the limit that SMALL sets."


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
        ({"X-Request-Id": TRACE}, TRACE),
        ({"traceparent": f"00-{'a' * 32}-b7ad6b7169203331-01", "X-Request-Id": TRACE}, "a" * 32),
        ({"traceparent": "nonsense"}, None),
        ({}, None),
    ],
)
async def test_a_call_belongs_to_one_trace(toy: Any, headers: dict[str, str], trace_id: str | None) -> None:
    started = await toy(routes())
    response = await started.client.get("/api/v1/trace", headers=headers)
    seen = response.json()
    assert response.headers["x-trace-id"] == seen
    assert (seen == trace_id) if trace_id else (seen != TRACE)
    assert started.lines("http_request")[-1]["trace_id"] == seen


async def test_the_trace_header_is_sent_once_even_if_the_route_set_it(toy: Any) -> None:
    response = await (await toy(routes())).client.get("/api/v1/with-trace-header")
    (trace_id,) = response.headers.get_list("x-trace-id")
    assert len(trace_id) == 32


async def test_access_log_and_metrics_name_the_route_and_not_the_path(toy: Any) -> None:
    started = await toy(routes())
    for number in range(3):
        await started.client.post(f"/api/v1/spots/{number}", json={"number": 1, "name": "a"})
    await started.client.get("/made/up/1")
    await started.client.request("PROPFIND", "/made/up/2")
    await eventually(lambda: len(started.lines("http_request")) == 5)
    line = started.lines("http_request")[0]
    assert (line["method"], line["route"], line["path"], line["status"]) == (
        "POST",
        "/api/v1/spots/{spot_id}",
        "/api/v1/spots/0",
        200,
    )
    assert line["ms"] > 0
    text = (await started.client.get("/metrics")).text
    assert 'http_requests_total{method="POST",route="/api/v1/spots/{spot_id}",status="200"} 3.0' in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'http_requests_total{method="other",route="unmatched",status="404"} 1.0' in text
    assert (
        'http_request_seconds_count{method="POST",route="/api/v1/spots/{spot_id}",status="200"} 3.0' in text
    )
    assert "made/up" not in text


async def test_probes_and_scrapes_are_not_logged_at_info(toy: Any) -> None:
    started = await toy(routes())
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert (await started.client.get(path)).status_code == 200
    assert started.lines("http_request") == []


async def test_readiness_lists_each_dependency(toy: Any) -> None:
    started = await toy(routes())
    is_up = True

    async def database() -> CheckResult:
        return CheckResult(ok=is_up, detail="sqlite")

    started.service.health.add("database", database)
    ready = await started.client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["checks"]["database"] == {"ok": True, "required": True, "detail": "sqlite"}
    is_up = False
    unready = await started.client.get("/health/ready")
    assert (unready.status_code, unready.json()["status"]) == (503, "not_ready")
    assert (await started.client.get("/health/live")).status_code == 200


async def test_pages(toy: Any) -> None:
    client = (await toy(routes())).client
    assert (await client.get("/api/v1/spots")).json() == {
        "items": [0],
        "page": 1,
        "page_size": 50,
        "total": None,
        "next_cursor": "",
    }
    assert (await client.get("/api/v1/spots?page=3&page_size=200")).json()["items"] == [400]


async def test_browsers_of_allowed_origins_may_read_responses_and_errors(toy: Any) -> None:
    http = HttpSettings(host="127.0.0.1", port=0, cors_origins=("https://a.example",))
    client = (await toy(routes(), http=http)).client
    for path in ("/api/v1/trace", "/api/v1/bug", "/nothing"):
        response = await client.get(path, headers={"Origin": "https://a.example"})
        assert response.headers["access-control-allow-origin"] == "https://a.example"
    foreign = await client.get("/api/v1/trace", headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in foreign.headers


async def test_a_client_that_disconnects_is_not_an_error(toy: Any) -> None:
    started = await toy(routes())
    _, writer = await asyncio.open_connection("127.0.0.1", started.runner.http["toy"].port)
    writer.write(b"POST /api/v1/count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    await writer.drain()
    writer.close()
    (line,) = await eventually(lambda: started.lines("http_request"))
    assert line["status"] == 499
    assert started.lines("http_unhandled_error") == []


async def test_the_api_page_describes_problems_and_operations(toy: Any) -> None:
    client = (await toy(routes())).client
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/api/v1/spots/{spot_id}"]["post"]
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "/health/ready" in document["paths"]


async def test_the_metrics_may_need_a_token(toy):
    started = await toy(http=HttpSettings(host="127.0.0.1", port=0, metrics_token="scraper-token"))
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic scraper-token"}, 401),
        ({"Authorization": "Bearer scraper-token"}, 200),
    ):
        assert (await started.client.get("/metrics", headers=headers)).status_code == status


async def test_the_state_of_the_parts_may_be_hidden(toy):
    started = await toy(http=HttpSettings(host="127.0.0.1", port=0, is_state_public=False))
    answer = await started.client.get("/health/ready")
    assert (answer.status_code, "checks" in answer.json()) == (200, False)
