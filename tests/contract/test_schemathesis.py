"""Requests that Schemathesis makes from the OpenAPI documents: what a document says, the running service does."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from io import StringIO
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from all_in_one.demo.play import push_step
from all_in_one.demo.scenario import STEPS
from all_in_one.demo.site import make_site
from stack import SERVICES, SUPERADMIN_PASSWORD, Stack, clean_environment, embedded

pytestmark = pytest.mark.integration

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "10"))
"""Random requests for each operation, besides those for the limits of each parameter and field."""
TIMEOUT_S = 60 + 20 * EXAMPLES


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Lookout with a site, cameras that answer, tickets, reviews and ignored triggers."""
    folder = tmp_path_factory.mktemp("contract")
    routes = folder / "routes.toml"
    packaged = files("gateway").joinpath("routes.toml").read_text()
    routes.write_text(re.sub(r'"\d+/minute"', '"1000000/minute"', packaged))
    # One client makes all requests, with many wrong passwords.
    settings = {
        "LOOKOUT_GATEWAY__PROXY__ROUTES_FILE": str(routes),
        "LOOKOUT_GATEWAY__SIGN_IN__MAX_FAILURES": "1000000",
        "LOOKOUT_GATEWAY__SIGN_IN__HASH_MEMORY_KIB": "8192",
        # The cameras of the demo have no recordings.
        "LOOKOUT_INGEST__DEVICES__CLIP_ATTEMPTS": "1",
        "LOOKOUT_LOG_LEVEL": "warning",
    }
    with embedded(folder, **settings) as running, asyncio.Runner() as runner:
        cameras = AsyncExitStack()
        runner.run(play(running, cameras))
        yield running
        runner.run(cameras.aclose())


async def play(stack: Stack, cameras: AsyncExitStack) -> None:
    """Push the events of the demo. The cameras stay on until the exit stack is closed."""
    with stack.client() as signed_in:
        headers = {"Authorization": signed_in.headers["Authorization"]}
    codes = tuple(dict.fromkeys(step.spot[0] for step in STEPS))
    console = Console(file=StringIO())
    async with aiohttp.ClientSession(stack.gateway_url, headers=headers) as client:
        site = await cameras.enter_async_context(make_site(client, codes))
        for step in STEPS:
            await push_step(client, console, site, step, datetime.now(UTC) - timedelta(hours=3))


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_the_gateway_publishes_holds(service: str, stack: Stack) -> None:
    run(f"{stack.gateway_url}/openapi.json", f"--include-tag={service}")


def run(url: str, *arguments: str) -> None:
    command = [
        str(Path(sys.executable).with_name("st")),
        f"--config-file={CONFIGURATION}",
        "run",
        url,
        f"--max-examples={EXAMPLES}",
        *arguments,
    ]
    environment = {
        **clean_environment(),
        "CONTRACT_HOOKS": str(CONFIGURATION.with_name("schemathesis_hooks.py")),
        "CONTRACT_USER": "superadmin",
        "CONTRACT_PASSWORD": SUPERADMIN_PASSWORD,
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
