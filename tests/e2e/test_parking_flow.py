"""The demo's scenario through the gateway: from a camera's push to the closed ticket."""

import asyncio
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import httpx
import numpy as np
import pytest
from rich.console import Console

from all_in_one.demo.play import play
from all_in_one.pictures import draw_car
from stack import SUPERADMIN_PASSWORD, Stack
from testkit.otlp import OtlpCollector, ReceivedSpan
from testkit.pictures import parking_push
from testkit.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.fixture(scope="module")
def played(stack: Stack) -> tuple[Stack, str]:
    """Lookout after the demo's scenario, with the demo's output."""
    output = io.StringIO()

    async def run() -> bool:
        with stack.client() as signed_in:
            headers = {"Authorization": signed_in.headers["Authorization"]}
        async with aiohttp.ClientSession(stack.gateway_url, headers=headers) as client:
            return await play(client, Console(file=output, width=160))

    is_right = asyncio.run(run())
    assert is_right, output.getvalue() + "\n" + stack.logs()[-6000:]
    return stack, output.getvalue()


def test_every_step_of_the_demo_has_the_expected_outcome(played: tuple[Stack, str]) -> None:
    assert "Tickets" in played[1]


def test_the_exit_picture_shows_the_spot_in_red(played: tuple[Stack, str]) -> None:
    with played[0].client() as client:
        closed = client.get("/tickets", params={"status": "CLOSED"}).json()["items"]
        assert closed
        for ticket in closed:
            answer = client.get(f"/tickets/{ticket['id']}/exit-image")
            assert answer.headers["content-type"] == "image/jpeg"
            decoded = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
            assert decoded is not None
            picture = decoded.astype(int)
            red = (picture[:, :, 2] > 180) & (picture[:, :, 1] < 80) & (picture[:, :, 0] < 80)
            assert red.sum() > 300


def test_head_has_the_status_and_headers_of_get_and_no_body(played: tuple[Stack, str]) -> None:
    with played[0].client() as client:
        for path in ("/docs", "/health/ready", "/tickets", "/tickets/1/image", "/tickets/9999"):
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["content-type"] == got.headers["content-type"]


def test_an_unread_plate_becomes_a_manual_review(played: tuple[Stack, str]) -> None:
    with played[0].client() as client:
        reviews = client.get("/manual-reviews").json()["items"]
        assert [review["status"] for review in reviews] == ["PENDING"]


def test_ignored_triggers_are_listed_with_their_reason(played: tuple[Stack, str]) -> None:
    with played[0].client() as client:
        reasons = {row["reason"] for row in client.get("/ignored-triggers").json()["items"]}
    assert {"Spot already occupied", "No car detected"} <= reasons
    assert len(reasons) == 3


def test_occupancy_lists_the_parked_vehicles(played: tuple[Stack, str]) -> None:
    with played[0].client() as client:
        cameras = client.get("/camera-occupancy").json()["items"]
    assert sum(len(camera["occupied"]) for camera in cameras) == 4


def test_a_client_generated_from_the_published_document_does_a_users_work(
    played: tuple[Stack, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = played[0].gateway_url
    package = f"lookout_client_{tmp_path.name}"
    command = [
        str(Path(sys.executable).with_name("openapi-python-client")),
        *("generate", "--url", f"{url}/openapi.json", "--meta", "none", "--fail-on-warning"),
        *("--config", str(Path(__file__).with_name("openapi_client.yaml"))),
        *("--output-path", str(tmp_path / package)),
    ]
    generated = subprocess.run(command, check=False, capture_output=True, text=True)
    assert generated.returncode == 0, generated.stdout + generated.stderr
    monkeypatch.syspath_prepend(tmp_path)

    def module(name: str) -> Any:
        return importlib.import_module(f"{package}.{name}")

    models, api = module("models"), lambda name: module(f"api.{name}")
    credentials = models.Credentials(username="superadmin", password=SUPERADMIN_PASSWORD)
    with module("client").Client(base_url=url, timeout=httpx.Timeout(60)) as visitor:
        tokens = api("gateway.sign_in").sync(client=visitor, body=credentials)
        wrong = models.Credentials(username="superadmin", password="wrong")
        refused = api("gateway.sign_in").sync(client=visitor, body=wrong)
    assert isinstance(refused, models.Problem)
    assert refused.status == 401
    signed_in = module("client").AuthenticatedClient(
        base_url=url, token=tokens.access_token, timeout=httpx.Timeout(60)
    )
    with signed_in as client:
        closed = models.ListTicketsStatusType0.CLOSED
        page = api("tickets.list_tickets").sync(client=client, status=closed, page_size=1)
        assert (len(page.items), page.total > 1) == (1, True)
        ticket = api("tickets.get_ticket").sync(page.items[0].id, client=client)
        assert (ticket.plate_text, ticket.status) == (page.items[0].plate_text, "CLOSED")
        picture = api("tickets.get_ticket_image").sync(ticket.id, client=client)
        assert picture.payload.read(2) == b"\xff\xd8"
        camera = api("ingest.get_camera").sync(ticket.camera_id, client=client)
        assert camera.name == ticket.camera_name
        location = models.LocationCreate(name="Deira", code="DEI", time_zone="Asia/Dubai")
        created = api("ingest.create_location").sync(client=client, body=location)
        assert (created.name, created.spot_counts.total) == ("Deira", 0)
        missing = api("tickets.get_ticket").sync(9999, client=client)
        assert (missing.status, missing.code) == (404, "not_found")


def test_log_lines_of_all_services_share_a_trace_id(played: tuple[Stack, str]) -> None:
    stack = played[0]
    services_by_trace: dict[str, set[str]] = {}
    for line in stack.logs().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("trace_id"):
            services_by_trace.setdefault(entry["trace_id"], set()).add(entry["service"])
    assert {"gateway", "ingest", "plate-ocr", "tickets"} in services_by_trace.values()


def test_the_spans_of_a_push_are_one_tree_from_gateway_to_ticket(
    played: tuple[Stack, str], collector: OtlpCollector
) -> None:
    stack = played[0]
    wait_until(
        lambda: bool(paths_to(collector.spans(), "create lookout.parking.v1.TicketOpened")),
        timeout_s=30,
        what="a ticket's span being exported with all before it",
        log=stack.services["gateway"].log,
    )
    spans = collector.spans()
    # Pushes that arrive together share a transaction, whose statements belong to the trace of the first push.
    path = next(
        path
        for path in paths_to(spans, "create lookout.parking.v1.TicketOpened")
        if "INSERT outbox" in names_below(spans, path[2])
    )
    assert [(span.service, span.kind, span.name) for span in path] == [
        ("gateway", "SERVER", "POST /api/v1/post"),
        ("gateway", "CLIENT", "POST"),
        ("ingest", "SERVER", "POST /api/v1/post"),
        ("ingest", "PRODUCER", "create lookout.camera.v1.FrameCaptured"),
        ("plate-ocr", "CONSUMER", "process plate-ocr.frame_captured.v1"),
        ("plate-ocr", "PRODUCER", "create lookout.plates.v1.PlatesRead"),
        ("tickets", "CONSUMER", "process tickets.plates_read.v1"),
        ("tickets", "PRODUCER", "create lookout.parking.v1.TicketOpened"),
    ]
    assert {span.trace_id for span in path} == {path[0].trace_id}
    frame_created, frame_processed, plates_created, plates_processed = path[3:7]
    assert names_below(spans, frame_created) >= {"send lookout.camera.v1.FrameCaptured"}
    assert names_below(spans, frame_processed) >= {"decode", "inference"}
    inference = next(
        span for span in spans if span.name == "inference" and span.parent_span_id == frame_processed.span_id
    )
    assert names_below(spans, inference) >= {"queue", "detect", "recognize"}
    assert names_below(spans, plates_created) >= {"send lookout.plates.v1.PlatesRead"}
    assert {"INSERT tickets", "INSERT outbox"} <= names_below(spans, plates_processed)


def test_no_span_contains_a_plate_or_a_secret(played: tuple[Stack, str], collector: OtlpCollector) -> None:
    with played[0].client() as client:
        tickets = client.get("/tickets").json()["items"]
    # A plate of digits only may occur in an id by chance.
    plates = [ticket["plate_text"] for ticket in tickets if ticket["plate_text"][:1].isalpha()]
    exported = "\n".join(f"{span.name} {span.attributes}" for span in collector.spans())
    assert plates
    assert not [plate for plate in plates if plate in exported]
    assert SUPERADMIN_PASSWORD not in exported
    assert "eyJ" not in exported, "a span contains a token"


def paths_to(spans: list[ReceivedSpan], name: str) -> list[list[ReceivedSpan]]:
    """Each span of that name with its ancestors, root first; only where the root has been exported."""
    by_id = {span.span_id: span for span in spans}
    paths = []
    for span in spans:
        if span.name == name:
            path = [span]
            while path[0].parent_span_id in by_id:
                path.insert(0, by_id[path[0].parent_span_id])
            if not path[0].parent_span_id:
                paths.append(path)
    return paths


def names_below(spans: list[ReceivedSpan], parent: ReceivedSpan) -> set[str]:
    return {span.name for span in spans if span.parent_span_id == parent.span_id}


def test_no_log_line_contains_a_picture_or_a_secret(played: tuple[Stack, str]) -> None:
    lines = played[0].logs().splitlines()
    assert lines
    assert max(len(line) for line in lines) < 20_000
    assert not any("camera_pass" in line and "demo" in line for line in lines)
    assert not any("eyJ" in line for line in lines), "the log contains a token"


def test_the_api_page_lists_every_service(played: tuple[Stack, str]) -> None:
    with httpx.Client(base_url=played[0].gateway_url) as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert client.get("/docs").status_code == 200
    for path in ("/post", "/tickets", "/ocr-image", "/locations", "/token", "/users"):
        assert any(known.endswith(path) for known in paths), path


def test_ocr_image_needs_no_token_and_no_site(played: tuple[Stack, str]) -> None:
    picture = draw_car("D 71026")
    with httpx.Client(base_url=played[0].gateway_url, timeout=60) as client:
        answer = client.post("/ocr-image", files={"image": ("car.jpg", picture, "image/jpeg")})
    assert answer.status_code == 200
    assert [plate["text"] for plate in answer.json()["plates"]] == ["D71026"]


@pytest.mark.parametrize(
    ("path", "method"),
    [("/tickets", "GET"), ("/locations", "GET"), ("/users", "GET"), ("/camera-occupancy", "GET")],
)
def test_private_pages_need_a_token(played: tuple[Stack, str], path: str, method: str) -> None:
    with httpx.Client(base_url=played[0].gateway_url) as client:
        answer = client.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"index_number": "1e9"}, 422, "invalid_index_number"),
        ({"parking_area": "XXX1"}, 404, "unknown_location"),
        ({"parking_area": "NAD1"}, 404, "unknown_camera"),
        ({"parking_area": "NAD"}, 422, "invalid_parking_area"),
        ({"snapshot": "!!!"}, 400, "bad_base64"),
        ({"occupancy": 2}, 422, "invalid_occupancy"),
        ({"time": "yesterday"}, 422, "invalid_time"),
        ({"time": None, "device": None}, 400, "missing_fields"),
    ],
)
def test_an_invalid_push_is_refused_with_its_code(
    played: tuple[Stack, str], change: dict[str, Any], status: int, code: str
) -> None:
    body = parking_push(**{"parking_area": "NAD95", **change})
    with httpx.Client(base_url=played[0].gateway_url) as client:
        answer = client.post("/post", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert {error["field"] for error in problem["errors"]} == set(change)
