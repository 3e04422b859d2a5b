"""A toy service on real listeners, for the tests of the chassis."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import hypothesis
import orjson
import pytest
from fastapi import APIRouter

from kit.auth import TokenVerifier
from kit.clock import SystemClock
from kit.health import Health
from kit.http import create_app
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.service import Service, ServiceRunner
from kit.settings import GrpcSettings, HttpSettings, LogSettings, ServiceSettings

# How fast data is drawn depends on what else the machine does; that is no property of the code under test.
hypothesis.settings.register_profile(
    "busy-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy-machine")


class ToySettings(ServiceSettings):
    service_name = "toy"


@dataclass
class Toy:
    service: Service
    runner: ServiceRunner
    client: httpx.AsyncClient
    log: io.StringIO

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [orjson.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


def build_toy(
    router: APIRouter | None = None,
    *,
    http: HttpSettings | None = None,
    grpc: GrpcSettings | None = None,
    verifier: TokenVerifier | None = None,
    body_limits: dict[str, int] | None = None,
    log: io.StringIO | None = None,
    name: str = "toy",
    **parts: Any,
) -> Service:
    settings = ToySettings(
        mode="embedded",
        http=http or HttpSettings(host="127.0.0.1", port=0),
        grpc=grpc or GrpcSettings(port=0),
    )
    logger = make_logger(name, LogSettings(), stream=log or io.StringIO())
    metrics, health, clock = Metrics(name), Health(), SystemClock()
    app = create_app(
        name,
        "1.2.3",
        settings=settings.http,
        logger=logger,
        metrics=metrics,
        health=health,
        verifier=verifier,
        clock=clock,
        body_limits=body_limits,
    )
    if router is not None:
        app.include_router(router)
    return Service(
        name=name,
        version="1.2.3",
        settings=settings,
        logger=logger,
        metrics=metrics,
        health=health,
        clock=clock,
        app=app,
        **parts,
    )


@pytest.fixture
async def toy() -> AsyncIterator[Callable[..., Awaitable[Toy]]]:
    """Starts a toy service on free ports; all are stopped at the end."""
    started: list[Toy] = []

    async def start(router: APIRouter | None = None, **parts: Any) -> Toy:
        log = io.StringIO()
        service = build_toy(router, log=log, **parts)
        runner = ServiceRunner([service])
        await runner.start()
        client = httpx.AsyncClient(base_url=runner.url("toy"), timeout=20)
        started.append(Toy(service, runner, client, log))
        return started[-1]

    yield start
    for each in started:
        await each.client.aclose()
        await each.runner.stop()


@pytest.fixture
def build() -> Callable[..., Service]:
    """Puts a toy service together and does not start it."""
    return build_toy
