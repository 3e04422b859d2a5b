"""Broker, database and blob store are unavailable, at the start and while running; pushes are invalid."""

import base64
import io
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import barcode
from load_with_kills import barcode_push, make_site
from stack import BARCODE_ENGINE, Servers, Stack, distributed, embedded, make_stack
from testkit import pictures
from testkit.postgres import PostgresServer, postgres
from testkit.rabbitmq import RabbitMqServer, rabbitmq
from testkit.s3 import S3Server, s3
from testkit.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def database_server() -> Iterator[PostgresServer]:
    with postgres(is_private=True) as server:
        yield server


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMqServer]:
    with rabbitmq(is_private=True) as server:
        yield server


@pytest.fixture(scope="module")
def blob_server() -> Iterator[S3Server]:
    with s3(is_private=True) as server:
        yield server


@pytest.fixture
def servers(database_server: PostgresServer, broker: RabbitMqServer, blob_server: S3Server) -> Servers:
    return Servers(
        amqp_url=broker.fresh_vhost(),
        databases={name: database_server.fresh_database() for name in ("gateway", "ingest", "tickets")},
        blobs_url=blob_server.fresh_bucket_url(),
        blobs_access_key=blob_server.access_key,
        blobs_secret_key=blob_server.secret_key,
    )


def entry(plate: str, minutes_ago: int = 10, spot: int = 1) -> dict[str, Any]:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes_ago)
    return barcode_push("1", spot, at, plate)


async def wait_for_tickets(client: httpx.Client, *plates: str) -> None:
    def found() -> bool:
        rows = client.get("/tickets", params={"page_size": 100}).json()["items"]
        return sorted(row["plate_text"] for row in rows) == sorted(plates)

    await eventually(found, timeout_s=60, message=f"tickets for {plates}")


async def test_no_push_is_lost_when_the_broker_is_unavailable_at_the_start(
    servers: Servers, broker: RabbitMqServer, tmp_path: Path
) -> None:
    stack = make_stack(servers, tmp_path, extra=BARCODE_ENGINE)
    broker.stop()
    is_stopped = True
    try:
        for service in stack.services.values():
            service.start()
        stack.services["gateway"].wait_ready()
        ingest = stack.services["ingest"]
        await eventually(lambda: responds(f"{ingest.url}/health/live"), timeout_s=30)
        with stack.client() as client:
            make_site(client, 1)
            answer = client.post("/post", json=entry("START01"))
            assert answer.status_code == 200, answer.text
            ready = httpx.get(f"{ingest.url}/health/ready")
            assert not ready.json()["checks"]["bus"]["ok"], ready.text
            broker.start()
            is_stopped = False
            await wait_for_tickets(client, "START01")
    finally:
        if is_stopped:
            broker.start()
        stack.stop()


async def test_no_push_is_lost_when_the_broker_is_killed_while_running(
    servers: Servers, broker: RabbitMqServer, tmp_path: Path
) -> None:
    with distributed(servers, tmp_path, extra=BARCODE_ENGINE) as stack, stack.client() as client:
        make_site(client, 1)
        assert client.post("/post", json=entry("MID01", spot=1)).status_code == 200
        await wait_for_tickets(client, "MID01")
        broker.kill()
        try:
            assert client.post("/post", json=entry("MID02", spot=2)).status_code == 200
        finally:
            broker.start()
        await wait_for_tickets(client, "MID01", "MID02")


async def test_a_push_gets_503_while_the_database_is_unavailable_and_succeeds_later(
    servers: Servers, database_server: PostgresServer, tmp_path: Path
) -> None:
    with distributed(servers, tmp_path, extra=BARCODE_ENGINE) as stack, stack.client() as client:
        make_site(client, 1)
        body = entry("DB01")
        database_server.stop()
        try:
            answer = client.post("/post", json=body)
            assert_is_asked_to_retry(answer)
        finally:
            database_server.start()
        await eventually(lambda: client.post("/post", json=body).status_code == 200, timeout_s=30)
        await wait_for_tickets(client, "DB01")
        assert len(client.get("/camera-events").json()["items"]) == 1


async def test_a_push_gets_503_while_the_blob_store_is_unavailable_and_succeeds_later(
    servers: Servers, blob_server: S3Server, tmp_path: Path
) -> None:
    with distributed(servers, tmp_path, extra=BARCODE_ENGINE) as stack, stack.client() as client:
        make_site(client, 1)
        body = entry("BLOB01")
        blob_server.stop()
        try:
            assert_is_asked_to_retry(client.post("/post", json=body))
            assert client.get("/camera-events").json()["items"] == []
        finally:
            blob_server.start()
        await eventually(lambda: client.post("/post", json=body).status_code == 200, timeout_s=30)
        await wait_for_tickets(client, "BLOB01")


def assert_is_asked_to_retry(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


def responds(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
async def test_a_push_gets_507_on_a_full_disk_and_leaves_no_partial_data(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        with (
            embedded(folder, LOOKOUT_PLATE_OCR__ENGINE="barcode:make_engine") as stack,
            stack.client() as client,
        ):
            make_site(client, 1)
            filler = folder / "filler"
            with filler.open("wb") as file:
                try:
                    while True:
                        file.write(b"\0" * 65536)
                        file.flush()
                except OSError:
                    pass
            answer = client.post("/post", json=entry("FULL01"))
            assert answer.status_code == 507, answer.text
            assert "full" in answer.json()["detail"].lower()
            filler.unlink()
            assert client.post("/post", json=entry("FULL01")).status_code == 200
            await wait_for_tickets(client, "FULL01")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("embedded")
    with embedded(folder, LOOKOUT_PLATE_OCR__ENGINE="barcode:make_engine") as stack:
        with stack.client() as client:
            make_site(client, 1)
        yield stack


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def as_png(picture: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(file, "PNG")
    return file.getvalue()


def with_picture(picture: bytes) -> bytes:
    return json.dumps({**entry("X"), "snapshot": base64.b64encode(picture).decode()}).encode()


@pytest.mark.parametrize("size_bytes", [20_000_000, 60_000_000])
def test_a_client_that_reads_only_after_sending_gets_413(site: Stack, size_bytes: int) -> None:
    with httpx.Client(base_url=site.gateway_url, timeout=60) as client:
        answer = client.post("/post", content=b"A" * size_bytes, headers={"Connection": "close"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        pytest.param(with_picture(pictures.noise(13_000_000)), {413}, id="a 13 MB picture"),
        pytest.param(b'{"snapshot": "' + b"A" * 40_000_000 + b'"}', {413}, id="a 40 MB body"),
        pytest.param(with_picture(pictures.bomb(50_000)), {413, 422, 400}, id="a decompression bomb"),
        pytest.param(
            with_picture(pictures.truncated(as_png(barcode.draw("AB12")))), {422, 400}, id="a truncated PNG"
        ),
        pytest.param(with_picture(pictures.error_page()), {415, 422, 400}, id="an HTML page as picture"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {400, 422}, id="deeply nested JSON"),
        pytest.param(json.dumps({**entry("X"), "index_number": "1e9"}).encode(), {400, 422}, id="index 1e9"),
        pytest.param(
            json.dumps({**entry("X"), "parking_area": "QQQ77"}).encode(), {404}, id="unknown parking area"
        ),
        pytest.param(b"\xff\xfe\x00", {400}, id="not UTF-8"),
        pytest.param(b"", {401}, id="an empty body"),
    ],
)
def test_invalid_pushes_get_their_problem_code_and_memory_stays_bounded(
    site: Stack, body: bytes, statuses: set[int]
) -> None:
    process = site.services["gateway"].process
    assert process is not None
    with httpx.Client(base_url=site.gateway_url, timeout=60) as client:
        client.post("/post", content=body)
        before = resident_bytes(process.pid)
        for _ in range(5):
            answer = client.post("/post", content=body)
            assert answer.status_code in statuses, answer.text
            problem = answer.json()
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert problem["code"]
            assert problem["detail"]
    assert resident_bytes(process.pid) - before < 120_000_000
    with site.client() as client:
        assert client.get("/camera-events").json()["items"] == []
