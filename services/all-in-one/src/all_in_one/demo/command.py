"""`all-in-one demo`: start Lookout as a separate process, play the scenario, print the result."""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console

from all_in_one.demo.play import play
from all_in_one.demo.site import ApiError
from all_in_one.embedded import DEFAULT_PORT

START_TIMEOUT_S = 120.0
"""The first start compiles byte code and loads the models: half a minute on two cores."""
STOP_TIMEOUT_S = 30.0
PLAIN_WIDTH = 110
"""Characters a line if the output is not a terminal."""


class DemoFailed(Exception):  # noqa: N818 - named after what happened, as kit's errors are
    """The demo could not be played; the message says why and where to look."""


@dataclass(frozen=True)
class Server:
    """The running Lookout: its address, the superadmin's password, its process and its log."""

    url: str
    password: str
    process: subprocess.Popen[bytes]
    log: Path


def demo(options: argparse.Namespace) -> int:
    """Returns 0 if every ticket is right, 1 if one is wrong, 2 if the demo could not be played."""
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    folder: Path = options.data_dir
    stop_previous_demo(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started_s = time.monotonic()
    try:
        with running(folder, choose_port(options.port), keep=options.keep, console=console) as server:
            is_right = asyncio.run(sign_in_and_play(server, console))
            console.print()
            if is_right:
                console.print(
                    f"[green]Every ticket is right[/] ({time.monotonic() - started_s:.0f} s in all). "
                    f"Log: {server.log}. Next: [bold]make run[/] starts it for good, "
                    "README.md says how to add your cameras."
                )
            else:
                console.print(f"[red]Something is wrong[/], see above. Log: {server.log}")
            if options.keep:
                print_next_steps(console, server, folder)
            return 0 if is_right else 1
    except (DemoFailed, ApiError, aiohttp.ClientError, TimeoutError) as error:
        console.print(f"[red]The demo could not be played:[/] {error}")
        return 2


@contextmanager
def running(folder: Path, port: int, *, keep: bool, console: Console) -> Iterator[Server]:
    """Lookout, started and ready. It is stopped at the end, unless `keep` is set."""
    password = secrets.token_urlsafe(12)
    log = folder / "lookout.log"
    environment = {**os.environ, "LOOKOUT_GATEWAY__SUPERADMIN_PASSWORD": password}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this program with fixed arguments
            [sys.executable, "-m", "all_in_one", "serve", "--port", str(port), "--data-dir", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    pid_file(folder).write_text(f"{process.pid}\n")
    server = Server(f"http://localhost:{port}", password, process, log)
    is_over = False
    try:
        with console.status(f"Starting Lookout, embedded, on {server.url} (log: {log}) ..."):
            asyncio.run(wait_ready(server))
        console.print(f"Lookout runs on {server.url}, one process, nothing but Python packages.")
        yield server
        is_over = True
    finally:
        if not (keep and is_over):
            stop(process)
            pid_file(folder).unlink(missing_ok=True)


async def wait_ready(server: Server) -> None:
    """Wait until every service is ready.

    Raises:
        DemoFailed: it ended, or took longer than START_TIMEOUT_S.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    answer = "no answer"
    timeout = aiohttp.ClientTimeout(total=2)
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise DemoFailed(
                f"it ended during its start with exit status {server.process.returncode}; "
                f"the last lines of {server.log}:\n" + tail(server.log)
            )
        with suppress(aiohttp.ClientError, TimeoutError):
            async with aiohttp.request("GET", f"{server.url}/health/ready", timeout=timeout) as response:
                answer = await response.text()
                if response.status == 200 and all_ready(answer):
                    return
        await asyncio.sleep(0.1)
    raise DemoFailed(f"it was not ready after {START_TIMEOUT_S:.0f} s: {answer}; log: {server.log}")


def all_ready(answer: str) -> bool:
    """Whether the services behind the gateway are ready too; the gateway is ready without them."""
    return all(check.get("ok", True) for check in json.loads(answer).get("checks", {}).values())


async def sign_in_and_play(server: Server, console: Console) -> bool:
    """Sign in as superadmin and play the scenario. Returns whether the result is right."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(server.url, timeout=timeout) as client:
        credentials = {"username": "superadmin", "password": server.password}
        async with client.post("/token", data=credentials) as answer:
            if answer.status != 200:
                raise DemoFailed(
                    f"signing in as superadmin failed with status {answer.status}: {await answer.text()}"
                )
            client.headers["Authorization"] = f"Bearer {(await answer.json())['access_token']}"
        return await play(client, console)


def print_next_steps(console: Console, server: Server, folder: Path) -> None:
    """Print how to use and stop the Lookout that keeps running."""
    console.print(
        f"It stays on {server.url} (API page: {server.url}/docs). Sign in as superadmin, "
        f"password {server.password}. Stop it with: kill $(cat {pid_file(folder)})",
        highlight=False,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL after STOP_TIMEOUT_S."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop_previous_demo(folder: Path) -> None:
    """Stop a demo that was kept running: its folder is about to be emptied."""
    with suppress(OSError, ValueError):
        pid = int(pid_file(folder).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"all_in_one" not in command:  # the process id now belongs to another program
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)


def pid_file(folder: Path) -> Path:
    """The file with the process id of a demo that was kept running."""
    return folder / "pid"


def choose_port(requested: int | None) -> int:
    """The requested port; else the default port if it is free; else any free port."""
    if requested is not None:
        return requested
    for port in (DEFAULT_PORT, 0):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise DemoFailed("no free TCP port on 127.0.0.1")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
