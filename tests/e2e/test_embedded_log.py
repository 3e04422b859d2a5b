"""The log of `lookout serve`: every line names the service that wrote it."""

import json
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from all_in_one.pictures import draw_car
from stack import Stack, embedded
from testkit.pictures import parking_push

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

SERVICES = {"gateway", "ingest", "plate-ocr", "tickets"}
PROCESS = "all-in-one"
WRITER_OF = {
    "signed_in": "gateway",
    "retention_applied": "ingest",
    "engine_ready": "plate-ocr",
    "frame_read": "plate-ocr",
    "trigger decided": "tickets",
    "signal_received": PROCESS,
    "draining": PROCESS,
    "stopped": PROCESS,
}
"""Log events of one service each, by the code that writes them."""
OWNER_OF = {"/api/v1/tickets": "tickets", "/api/v1/post": "ingest", "/api/v1/ocr-image": "plate-ocr"}
OF_EVERY_SERVICE = {"service_started", "service_stopped", "listening"}


@dataclass
class Log:
    """What one run wrote: to its file, and to standard output."""

    lines: list[dict[str, Any]]
    printed: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Of a run with a push, a read, a query, a request that is no HTTP, and a stop."""
    folder = tmp_path_factory.mktemp("log")
    with embedded(folder) as stack:
        use(stack)
    written = (folder / "data" / "logs" / "lookout.log").read_text().splitlines()
    return Log(
        [json.loads(line) for line in written],
        [json.loads(line) for line in stack.logs().splitlines() if line.startswith("{")],
    )


def use(stack: Stack) -> None:
    picture = draw_car("D 71026")
    with stack.client() as client:
        for path, body in (
            ("/locations", {"name": "Nad", "code": "NAD", "time_zone": "UTC"}),
            ("/zones", {"location_id": 1, "code": "Z1"}),
            ("/poles", {"zone_id": 1, "name": "Pole 1", "code": "P1"}),
            ("/cameras", {"pole_id": 1, "name": "Camera 95", "api_code": "95", "number_of_parking": 1}),
        ):
            assert client.post(path, json=body).status_code == 201
        body = parking_push(picture=picture, parking_area="NAD95", occupancy=1)
        pushed = client.post("/post", json=body, headers={"Prefer": "wait=30"})
        assert pushed.json()["status"] == "opened", pushed.text
        assert client.get("/tickets").json()["total"] == 1
        assert client.post("/ocr-image", files={"image": picture}).status_code == 200
    port = int(stack.gateway_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"this is no HTTP\r\n\r\n")
        assert b"400" in connection.recv(100)


def test_each_line_names_the_service_whose_code_wrote_it(log: Log) -> None:
    assert {line["service"] for line in log.lines} == SERVICES | {PROCESS}
    written = {(line["event"], line["service"]) for line in log.lines if line["event"] in WRITER_OF}
    assert written == set(WRITER_OF.items())


def test_each_request_is_logged_by_the_gateway_and_the_service_that_served_it(log: Log) -> None:
    for route, owner in OWNER_OF.items():
        found = [line for line in log.of("http_request") if line["route"] == route]
        assert {(line["service"], line["path"].startswith("/api")) for line in found} == {
            ("gateway", False),
            (owner, True),
        }
        assert set(Counter(line["trace_id"] for line in found).values()) == {2}, route


def test_every_service_logs_its_start_its_listener_and_its_stop(log: Log) -> None:
    for event in OF_EVERY_SERVICE:
        assert Counter(line["service"] for line in log.of(event)) == dict.fromkeys(SERVICES, 1), event


def test_what_a_library_logs_is_of_the_service_that_uses_it(log: Log) -> None:
    """uvicorn serves the gateway alone."""
    by_library = {(line["logger"], line["service"]) for line in log.lines if "logger" in line}
    assert by_library == {("uvicorn.error", "gateway")}
    assert any("Invalid HTTP request" in line["event"] for line in log.lines)


def test_the_file_has_what_is_printed(log: Log) -> None:
    assert log.lines == log.printed
