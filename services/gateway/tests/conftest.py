import asyncio
import contextlib
import io
import socket

import pytest
import uvicorn

from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings.blocks import LogSettings
from testkit import eventually


class Served:
    """An application served by uvicorn in the test's event loop."""

    def __init__(self, app, *, port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        setattr(self.server, "capture_signals", contextlib.nullcontext)  # noqa: B010 - as mypy wants a method replaced
        self.task = asyncio.create_task(self.server.serve([self.socket]))

    async def stop(self):
        self.server.should_exit = True
        self.server.force_exit = True
        await self.task
        self.socket.close()


@pytest.fixture
async def serve():
    running = []

    async def start(app, *, port=0):
        served = Served(app, port=port)
        running.append(served)
        await eventually(lambda: served.server.started, interval_s=0.005)
        return served

    yield start
    for served in running:
        await served.stop()


@pytest.fixture
def log_lines():
    return io.StringIO()


@pytest.fixture
def logger(log_lines):
    return make_logger("gateway", LogSettings(level="DEBUG"), stream=log_lines)


@pytest.fixture
def metrics():
    return Metrics("gateway")


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
