import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest
from fastapi import APIRouter
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # ships no types
from pydantic import SecretStr

from kit.bus import Consumer, Subscription
from kit.errors import Unavailable
from kit.grpc import Rpc
from kit.health import CheckResult
from kit.service import Service, ServiceRunner
from kit.settings import GrpcSettings, HttpSettings
from testkit import eventually
from testkit.messages import ThingHappened

pytestmark = pytest.mark.integration

Build = Callable[..., Service]
Start = Callable[..., Awaitable[Any]]


class Part:
    """A resource that records what happens to it and can be unavailable for a number of starts."""

    def __init__(
        self, name: str, calls: list[str], unavailable_starts: int = 0, error: Exception | None = None
    ) -> None:
        self.name = name
        self.calls = calls
        self.unavailable_starts = unavailable_starts
        self.error = error

    async def start(self) -> None:
        if self.error is not None:
            raise self.error
        if self.unavailable_starts:
            self.unavailable_starts -= 1
            raise Unavailable(f"{self.name} is unavailable")
        self.calls.append(f"{self.name} up")

    async def stop(self) -> None:
        self.calls.append(f"{self.name} down")


class ToyBus(Part):
    async def consume(self, subscription: Subscription, _handler: Any) -> None:
        self.calls.append(f"consume {subscription.queue}")


async def handle(_message: Any, _metadata: Any) -> None:
    return None


def task_names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


def events(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    return [line for line in map(orjson.loads, log.getvalue().splitlines()) if line["event"] == event]


async def test_parts_start_in_order_and_stop_in_reverse(build: Build) -> None:
    calls: list[str] = []
    bus = ToyBus("bus", calls)

    async def migrate() -> None:
        calls.append("migrated")

    async def relay() -> None:
        calls.append("relay")
        try:
            await asyncio.Event().wait()
        finally:
            calls.append("relay ended")

    service = build(
        resources=[Part("database", calls)],
        startup_steps=[("migrations", migrate)],
        bus=bus,
        consumers=[Consumer(ThingHappened, handle)],
        background_tasks=[("relay", relay)],
    )
    await service.start()
    await eventually(lambda: "relay" in calls)
    assert (await service.health.ready()).ok
    await service.stop()
    assert calls == [
        "database up",
        "bus up",
        "migrated",
        "consume toy.thing_happened.v1",
        "relay",
        "relay ended",
        "bus down",
        "database down",
    ]


async def test_a_dependency_that_is_unavailable_delays_the_start_and_does_not_end_it(toy: Start) -> None:
    calls: list[str] = []
    database = Part("database", calls, unavailable_starts=3)

    async def migrate() -> None:
        calls.append("migrated")

    router = APIRouter()

    @router.get("/api/v1/balls")
    async def balls() -> str:
        return "red"

    started = await toy(
        router, resources=[Part("blobs", calls), database], startup_steps=[("migrations", migrate)]
    )
    refused = await started.client.get("/api/v1/balls")
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (
        503,
        "starting",
        "2",
    )
    assert (await started.client.get("/health/live")).status_code == 200
    unready = await started.client.get("/health/ready")
    assert unready.status_code == 503
    assert unready.json()["checks"]["startup"]["detail"] == "Part: database is unavailable"

    await eventually(lambda: started.service.health.refusal_reason is None)
    assert (await started.client.get("/health/ready")).status_code == 200
    assert (await started.client.get("/api/v1/balls")).json() == "red"
    assert calls == ["blobs up", "database up", "migrated"]
    assert len(started.lines("start_retried")) == 3


async def test_consumers_and_tasks_wait_for_the_migration(build: Build) -> None:
    calls: list[str] = []
    database_is_up = False
    bus = ToyBus("bus", calls)

    async def migrate() -> None:
        if not database_is_up:
            raise ConnectionRefusedError("no database")
        calls.append("migrated")

    async def relay() -> None:
        calls.append("relay")

    service = build(
        startup_steps=[("migrations", migrate)],
        bus=bus,
        consumers=[Consumer(ThingHappened, handle)],
        background_tasks=[("relay", relay)],
    )
    await service.start()
    assert calls == ["bus up"]
    assert not (await service.health.ready()).ok
    database_is_up = True
    await eventually(lambda: "relay" in calls)
    assert calls == ["bus up", "migrated", "consume toy.thing_happened.v1", "relay"]
    assert service.health.refusal_reason is None
    await service.stop()


async def test_a_start_that_waits_can_be_cancelled(build: Build) -> None:
    calls: list[str] = []
    service = build(resources=[Part("blobs", calls), Part("database", calls, unavailable_starts=10_000)])
    await service.start()
    await asyncio.wait_for(service.stop(), 10)
    assert calls == ["blobs up", "blobs down"]


async def test_an_error_that_a_retry_does_not_help_ends_the_start_and_closes_the_open_resources(
    build: Build,
) -> None:
    calls: list[str] = []
    service = build(resources=[Part("blobs", calls), Part("model", calls, error=ValueError("no such model"))])
    with pytest.raises(ValueError, match="no such model"):
        await service.start()
    assert calls == ["blobs up", "blobs down"]


async def test_a_resource_that_fails_to_close_does_not_keep_the_others_open(build: Build) -> None:
    class Stuck(Part):
        async def stop(self) -> None:
            raise RuntimeError("stuck")

    calls: list[str] = []
    log = io.StringIO()
    service = build(resources=[Part("database", calls), Stuck("bus", calls)], log=log)
    await service.start()
    await service.stop()
    assert calls == ["database up", "bus up", "database down"]
    assert "stuck" in events(log, "resource_stop_failed")[0]["exception"]


async def test_a_crashed_background_task_is_logged_counted_and_restarted(build: Build) -> None:
    runs = 0
    log = io.StringIO()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise KeyError("lost the ball")
        await asyncio.Event().wait()

    service = build(background_tasks=[("juggle", work)], log=log)
    await service.start()
    await eventually(lambda: runs == 3)
    assert (await service.health.ready()).ok
    await service.stop()
    crashes = events(log, "background_task_crashed")
    assert [line["task"] for line in crashes] == ["juggle", "juggle"]
    assert "KeyError: 'lost the ball'" in crashes[0]["exception"]
    assert b'lookout_toy_background_crashes_total{task="juggle"} 2.0' in service.metrics.render()


async def test_a_background_task_that_returns_is_not_restarted(build: Build) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1

    service = build(background_tasks=[("once", work)])
    await service.start()
    await eventually(lambda: runs == 1 and "toy:once" not in task_names())
    assert runs == 1
    await service.stop()


async def test_a_periodic_job_goes_on_after_failures_and_is_counted(build: Build) -> None:
    log = io.StringIO()
    runs = 0

    async def sweep() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise Unavailable("no database")
        if runs == 2:
            raise KeyError("lost the ball")

    service = build(log=log)
    service.every("sweep", 0.01, sweep)
    await service.start()
    await eventually(lambda: runs > 3)
    await service.stop()
    unavailable, bug = events(log, "periodic_job_failed")
    assert (unavailable["level"], unavailable["job"], unavailable["reason"]) == (
        "warning",
        "sweep",
        "no database",
    )
    assert "KeyError: 'lost the ball'" in bug["exception"]
    rendered = service.metrics.render()
    assert b'lookout_toy_periodic_job_runs_total{job="sweep",result="failed"} 2.0' in rendered
    assert b"background_crashes_total{" not in rendered


async def test_a_thread_pool_finishes_the_running_work_when_the_service_stops(build: Build) -> None:
    service = build()
    threads = service.thread_pool("work", 1)
    begun, may_end = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        may_end.wait(30)
        return "done"

    await service.start()
    running, waiting = threads.submit(work), threads.submit(work)
    await asyncio.to_thread(begun.wait, 30)
    stopping = asyncio.create_task(service.stop())
    await eventually(waiting.cancelled)
    may_end.set()
    await stopping
    assert running.result() == "done"


async def test_consumers_need_a_bus(build: Build) -> None:
    service = build(consumers=[Consumer(ThingHappened, handle)])
    with pytest.raises(ValueError, match="no bus"):
        await service.start()


def slow_router(entered: asyncio.Event, leave: asyncio.Event) -> APIRouter:
    router = APIRouter()

    @router.get("/api/v1/slow")
    async def slow() -> str:
        entered.set()
        await leave.wait()
        return "done"

    return router


async def test_a_request_in_progress_is_finished_before_the_resources_close(toy: Start) -> None:
    calls: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()
    started = await toy(slow_router(entered, leave), resources=[Part("database", calls)])
    call = asyncio.create_task(started.client.get("/api/v1/slow"))
    await entered.wait()
    stopping = asyncio.create_task(started.runner.stop())
    port = started.runner.http["toy"].port
    await eventually(lambda: not _is_open(port), message="the port is closed to new calls")
    assert started.service.health.is_draining
    assert calls == ["database up"]
    leave.set()
    assert (await call).json() == "done"
    await stopping
    assert calls == ["database up", "database down"]


async def test_a_request_that_exceeds_the_grace_period_is_aborted(toy: Start) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    http = HttpSettings(host="127.0.0.1", port=0, shutdown_grace_s=1)
    started = await toy(slow_router(entered, leave), http=http)
    call = asyncio.create_task(started.client.get("/api/v1/slow"))
    await entered.wait()
    await asyncio.wait_for(started.runner.stop(), 10)
    with pytest.raises(httpx.HTTPError):
        (await call).raise_for_status()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_taken_port_ends_the_start_before_anything_is_done(toy: Start, build: Build) -> None:
    first = await toy()
    calls: list[str] = []
    taken = HttpSettings(host="127.0.0.1", port=first.runner.http["toy"].port)
    second = ServiceRunner([build(http=taken, resources=[Part("database", calls)])])
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{taken.port}"):
        await second.start()
    assert calls == []
    assert (await first.client.get("/health/live")).status_code == 200


async def test_several_services_in_one_process_some_without_a_port(build: Build) -> None:
    calls: list[str] = []
    inner = build(name="inner", resources=[Part("inner", calls)])
    gateway = build(name="gateway", resources=[Part("gateway", calls)])
    runner = ServiceRunner([inner, gateway], listen={"gateway"})
    await runner.start()
    try:
        assert set(runner.http) == {"gateway"}
        async with httpx.AsyncClient() as client:
            assert (await client.get(runner.url("gateway") + "/health/ready")).status_code == 200
        transport = httpx.ASGITransport(inner.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inner") as client:
            assert b"lookout_inner_" in (await client.get("/metrics")).content
    finally:
        await runner.stop()
    assert calls == ["inner up", "gateway up", "gateway down", "inner down"]


async def test_grpc_listens_beside_http_and_its_health_follows_the_readiness(build: Build) -> None:
    settings = GrpcSettings(host="127.0.0.1", port=_free_port(), token=SecretStr("s"))
    is_up = True
    service = build(grpc=settings, rpcs=[Rpc("toy.Toy", lambda _server: None)])

    async def database() -> CheckResult:
        if not is_up:
            raise ConnectionError("gone")
        return CheckResult(ok=True)

    service.health.add("database", database)
    runner = ServiceRunner([service])
    await runner.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{runner.grpc['toy'].port}") as link:
            watch = health_pb2_grpc.HealthStub(link).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            is_up = False
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
    finally:
        await runner.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


GRACE_S = 2

PROGRAM = """
import asyncio, sys, time
from kit.service import Service, run
from kit.settings import ServiceSettings


class Database:
    async def start(self):
        if len(sys.argv) > 2:
            raise ValueError("invalid configuration")

    async def stop(self):
        print("database closed", flush=True)


HTTP = {"host": "127.0.0.1", "port": int(sys.argv[1]), "shutdown_grace_s": 2}


def build():
    service = Service(ToySettings(log={"format": "json"}, http=HTTP), version="1")
    service.add_resource(Database())
    app, logger = service.http_app(), service.logger

    @app.get("/api/v1/slow")
    async def slow() -> str:
        logger.info("entered")
        await asyncio.sleep(1)  # a request in progress when the signal comes
        return "done"

    @app.get("/api/v1/blocked")
    async def blocked() -> str:
        logger.info("entered")
        await asyncio.to_thread(time.sleep, 600)  # a thread cannot be cancelled

    @app.get("/api/v1/stuck")
    async def stuck() -> str:
        logger.info("entered")
        await asyncio.Event().wait()

    return [service]


class ToySettings(ServiceSettings):
    service_name = "toy"
    defaults = {"mode": "embedded"}


run(build)
"""


class Program:
    """The toy service as a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        script = folder / "toy.py"
        script.write_text(textwrap.dedent(PROGRAM))
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, script, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [line for line in self.output.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(orjson.loads, lines) if line["event"] == event]

    async def ended(self) -> int:
        await eventually(lambda: self.process.poll() is not None, 30, "the process ends")
        return self.process.returncode


@pytest.fixture
def program(tmp_path: Path) -> Any:
    started: list[Program] = []

    def start(*arguments: str) -> Program:
        started.append(Program(tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_the_process_cleanly(program: Any, number: signal.Signals) -> None:
    running = program("0")
    (listening,) = await eventually(lambda: running.lines("listening"), 30, "it listens")
    async with httpx.AsyncClient(base_url=listening["url"], timeout=120) as client:
        call = asyncio.create_task(client.get("/api/v1/slow"))
        await eventually(lambda: running.lines("entered"), 30)
        running.process.send_signal(number)
        assert (await call).json() == "done"
    assert await running.ended() == 0
    assert "database closed" in running.output.read_text()
    assert [line["event"] for line in running.lines("draining") + running.lines("stopped")] == [
        "draining",
        "stopped",
    ]


async def test_a_second_signal_ends_at_once(program: Any) -> None:
    running = program("0")
    (listening,) = await eventually(lambda: running.lines("listening"), 30, "it listens")
    async with httpx.AsyncClient(base_url=listening["url"], timeout=120) as client:
        call = asyncio.create_task(client.get("/api/v1/stuck"))
        await eventually(lambda: running.lines("entered"), 30)
        running.process.send_signal(signal.SIGTERM)
        await eventually(lambda: running.lines("draining"), 30)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 130
        with pytest.raises(httpx.HTTPError):
            (await call).raise_for_status()
    assert "\nTraceback" not in running.output.read_text()


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_blocked_thread_does_not_keep_the_process_beyond_the_grace(
    program: Any, signals: int
) -> None:
    running = program("0")
    (listening,) = await eventually(lambda: running.lines("listening"), 30, "it listens")
    async with httpx.AsyncClient(base_url=listening["url"], timeout=120) as client:
        call = asyncio.create_task(client.get("/api/v1/blocked"))
        await eventually(lambda: running.lines("entered"), 30)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        await eventually(lambda: running.lines("draining"), 30)
        if signals == 2:
            running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == (1 if signals == 1 else 130)
        assert (
            time.monotonic() - began < GRACE_S + 6
        )  # without the forced end 600; other tests use the cores too
        with pytest.raises(httpx.HTTPError):
            (await call).raise_for_status()
    [line] = running.lines("shutdown_forced")
    assert any(name.startswith(("asyncio", "uvloop")) for name in line["threads"])


async def test_a_program_that_cannot_listen_prints_one_line(program: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        running = program(str(port))
        assert await running.ended() == 1
    text = running.output.read_text()
    assert f"cannot serve: [Errno 98] cannot listen on 127.0.0.1:{port}: Address already in use" in text
    assert "Traceback" not in text


async def test_a_program_with_a_broken_resource_exits_with_an_error(program: Any) -> None:
    running = program("0", "broken")
    assert await running.ended() == 1
    (line,) = running.lines("service_start_failed")
    assert "ValueError: invalid configuration" in line["exception"]
