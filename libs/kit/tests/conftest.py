"""A toy service on real listeners, for the tests of the chassis."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson
import pytest
from fastapi import APIRouter

from kit.auth import TokenVerifier
from kit.grpc import Rpc
from kit.service import Resource, Service, ServiceRunner
from kit.service.lifecycle import Step
from kit.settings import GrpcSettings, HttpSettings, LogSettings, ServiceSettings
from kit.size_limits import BodyLimit


class ToySettings(ServiceSettings):
    service_name = "toy"


class InnerSettings(ServiceSettings):
    service_name = "inner"


class GatewaySettings(ServiceSettings):
    service_name = "gateway"


SETTINGS = {cls.service_name: cls for cls in (ToySettings, InnerSettings, GatewaySettings)}


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
    mode: Literal["embedded", "distributed"] = "distributed",
    data_dir: Path = Path("unused"),
    verifier: TokenVerifier | None = None,
    body_limits: dict[str, BodyLimit] | None = None,
    log: io.StringIO | None = None,
    name: str = "toy",
    resources: Sequence[Resource] = (),
    startup_steps: Sequence[tuple[str, Step]] = (),
    background_tasks: Sequence[tuple[str, Step]] = (),
    consumers: Sequence[Any] = (),
    bus: Any = None,
    rpcs: Sequence[Rpc] = (),
) -> Service:
    settings = SETTINGS[name](
        mode=mode,
        data_dir=data_dir,
        http=http or HttpSettings(host="127.0.0.1", port=0),
        grpc=grpc or GrpcSettings(port=0),
        log=LogSettings(),
    )
    service = Service(settings, version="1.2.3", log_stream=log or io.StringIO())
    app = service.http_app(verifier=verifier, body_limits=body_limits)
    if router is not None:
        app.include_router(router)
    service.resources.extend(resources)
    service.startup_steps.extend(startup_steps)
    service.background_tasks.extend(background_tasks)
    service.consumers.extend(consumers)
    service.rpcs.extend(rpcs)
    service.bus = bus
    return service


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
    """Builds a toy service without starting it."""
    return build_toy
