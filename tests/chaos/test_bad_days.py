"""Broker, database and blob store go away, at the start and in mid-run; cameras send what none should."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import barcode
from stack import FAST_READER, Servers, Stack, distributed, embedded, make_stack
from storm import make_site, report
from testkit import pictures
from testkit.postgres import PostgresServer, postgres
from testkit.rabbitmq import RabbitMqServer, rabbitmq
from testkit.s3 import S3Server, s3
from testkit.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def postgres_of_ours() -> Iterator[PostgresServer]:
    with postgres(is_private=True) as server:
        yield server


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMqServer]:
    with rabbitmq(is_private=True) as server:
        yield server


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with s3(is_private=True) as server:
        yield server


@pytest.fixture
def servers(postgres_of_ours: PostgresServer, broker: RabbitMqServer, store: S3Server) -> Servers:
    return Servers(
        amqp_url=broker.fresh_vhost(),
        databases={name: postgres_of_ours.fresh_database() for name in ("gateway", "ingest", "tickets")},
        blobs_url=store.fresh_bucket_url(),
        blobs_access_key=store.access_key,
        blobs_secret_key=store.secret_key,
    )


def entry(plate: str, minutes_ago: int = 10, spot: int = 1) -> dict[str, Any]:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes_ago)
    return report("1", spot, at, plate)


async def tickets_for(client: httpx.Client, *plates: str) -> None:
    def found() -> bool:
        rows = client.get("/tickets", params={"page_size": 100}).json()["items"]
        return sorted(row["plate_text"] for row in rows) == sorted(plates)

    await eventually(found, timeout_s=60, message=f"tickets for {plates}")


async def test_a_broker_that_is_away_at_the_start_costs_nothing(
    servers: Servers, broker: RabbitMqServer, tmp_path: Path
) -> None:
    stack = make_stack(servers, tmp_path, extra=FAST_READER)
    broker.stop()
    is_away = True
    try:
        for service in stack.services.values():
            service.start()
        stack.services["gateway"].wait_ready()
        ingest = stack.services["ingest"]
        await eventually(lambda: answers(f"{ingest.url}/health/live"), timeout_s=30)
        with stack.client() as client:
            make_site(client, 1)
            answer = client.post("/post", json=entry("AWAY01"))
            assert answer.status_code == 200, answer.text
            ready = httpx.get(f"{ingest.url}/health/ready")
            assert not ready.json()["checks"]["bus"]["ok"], ready.text
            broker.start()
            is_away = False
            await tickets_for(client, "AWAY01")
    finally:
        if is_away:
            broker.start()
        stack.stop()


async def test_a_broker_that_goes_away_in_mid_run_costs_nothing(
    servers: Servers, broker: RabbitMqServer, tmp_path: Path
) -> None:
    with distributed(servers, tmp_path, extra=FAST_READER) as stack, stack.client() as client:
        make_site(client, 1)
        assert client.post("/post", json=entry("MID01", spot=1)).status_code == 200
        await tickets_for(client, "MID01")
        broker.kill()
        try:
            assert client.post("/post", json=entry("MID02", spot=2)).status_code == 200
        finally:
            broker.start()
        await tickets_for(client, "MID01", "MID02")


async def test_without_its_database_ingest_asks_the_camera_to_come_again(
    servers: Servers, postgres_of_ours: PostgresServer, tmp_path: Path
) -> None:
    with distributed(servers, tmp_path, extra=FAST_READER) as stack, stack.client() as client:
        make_site(client, 1)
        body = entry("DB01")
        postgres_of_ours.stop()
        try:
            answer = client.post("/post", json=body)
            assert_come_again(answer)
        finally:
            postgres_of_ours.start()
        await eventually(lambda: client.post("/post", json=body).status_code == 200, timeout_s=30)
        await tickets_for(client, "DB01")
        assert len(client.get("/camera-events").json()["items"]) == 1


async def test_without_the_blob_store_ingest_asks_the_camera_to_come_again(
    servers: Servers, store: S3Server, tmp_path: Path
) -> None:
    with distributed(servers, tmp_path, extra=FAST_READER) as stack, stack.client() as client:
        make_site(client, 1)
        body = entry("BLOB01")
        store.stop()
        try:
            assert_come_again(client.post("/post", json=body))
            assert client.get("/camera-events").json()["items"] == []
        finally:
            store.start()
        await eventually(lambda: client.post("/post", json=body).status_code == 200, timeout_s=30)
        await tickets_for(client, "BLOB01")


def assert_come_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of its own can only be mounted by root")
async def test_a_full_disk_is_said_clearly_and_nothing_is_half_written(tmp_path: Path) -> None:
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
            await tickets_for(client, "FULL01")
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


def with_picture(picture: bytes) -> bytes:
    return json.dumps({**entry("X"), "snapshot": base64.b64encode(picture).decode()}).encode()


@pytest.mark.parametrize("size_bytes", [9_000_000, 40_000_000])
def test_who_reads_no_answer_before_all_is_sent_still_gets_it(site: Stack, size_bytes: int) -> None:
    with httpx.Client(base_url=site.gateway_url, timeout=60) as client:
        answer = client.post("/post", content=b"A" * size_bytes, headers={"Connection": "close"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        pytest.param(with_picture(pictures.noise(10_000_000)), {413, 422, 400}, id="a 10 MB picture"),
        pytest.param(b'{"snapshot": "' + b"A" * 40_000_000 + b'"}', {413}, id="a 40 MB body"),
        pytest.param(with_picture(pictures.bomb(50_000)), {413, 422, 400}, id="a bomb of 50,000 px squared"),
        pytest.param(
            with_picture(pictures.truncated(barcode.draw("AB12"))), {422, 400}, id="a truncated JPEG"
        ),
        pytest.param(with_picture(pictures.error_page()), {415, 422, 400}, id="no picture"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {400, 422}, id="deep JSON"),
        pytest.param(json.dumps({**entry("X"), "index_number": "1e9"}).encode(), {400, 422}, id="index 1e9"),
        pytest.param(json.dumps({**entry("X"), "parking_area": "QQQ77"}).encode(), {404}, id="wrong area"),
        pytest.param(b"\xff\xfe\x00", {400}, id="bytes"),
        pytest.param(b"", {400}, id="nothing"),
    ],
)
def test_nonsense_gets_its_own_answer_and_memory_stays_bounded(
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
