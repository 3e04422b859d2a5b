"""`all-in-one demo`: start Lookout as a separate process, play the scenario, print the result."""

import argparse
import asyncio
import getpass
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
from urllib.parse import urlsplit

import aiohttp
from rich.console import Console

from all_in_one.demo.play import play
from all_in_one.demo.site import ONLY_SITE, ApiError, Plan, guest_plan
from all_in_one.embedded import DEFAULT_PORT

START_TIMEOUT_S = 120.0
"""The first start compiles byte code and loads the models: half a minute on two cores."""
STOP_TIMEOUT_S = 30.0
PASSWORD_VARIABLE = "LOOKOUT_PASSWORD"  # noqa: S105 - a variable's name
ROUTED_ADDRESSES = ("192.0.2.1",)
"""An address for documentation (RFC 5737): the route to it is the one to other networks."""
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
    if options.url:
        return demo_elsewhere(options, console)
    folder: Path = options.data_dir
    stop_previous_demo(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started_s = time.monotonic()
    try:
        with running(folder, choose_port(options.port), keep=options.keep, console=console) as server:
            is_right = asyncio.run(
                sign_in_and_play(server.url, "superadmin", server.password, "", ONLY_SITE, console)
            )
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


def demo_elsewhere(options: argparse.Namespace, console: Console) -> int:
    """Play against an installation that runs already, on a site of its own; returns as `demo` does."""
    url = options.url.rstrip("/")
    started_s = time.monotonic()
    try:
        password = "" if options.token else os.environ.get(PASSWORD_VARIABLE) or asked_password(options.user)
        plan = guest_plan(options.camera_host or own_address(url))
        console.print(f"Playing against {url}; its cameras are on {plan.camera_host}.", highlight=False)
        is_right = asyncio.run(sign_in_and_play(url, options.user, password, options.token, plan, console))
    except (DemoFailed, ApiError, aiohttp.ClientError, OSError) as error:
        console.print(f"[red]The demo could not be played against {url}:[/] {error}", highlight=False)
        return 2
    took = f"{time.monotonic() - started_s:.0f} s"
    console.print(
        f"[green]Every ticket is right[/] ({took})." if is_right else "[red]Something is wrong[/], see above."
    )
    return 0 if is_right else 1


def asked_password(user: str) -> str:
    """The password, from the terminal.

    Raises:
        DemoFailed: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise DemoFailed(f"no password for {user}: set {PASSWORD_VARIABLE}, or use --token or LOOKOUT_TOKEN")
    return getpass.getpass(f"Password of {user}: ")


def own_address(url: str) -> str:
    """The address of this machine that others use: the one on the way to that URL, not loopback.

    Raises:
        DemoFailed: it has no other address than loopback.
    """
    host = urlsplit(url).hostname or ""
    for target in (host, *ROUTED_ADDRESSES):
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))  # a datagram socket sends nothing yet
            found: str = probe.getsockname()[0]
            if not found.startswith("127."):
                return found
    raise DemoFailed("this machine has no address for its cameras: give --camera-host")


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


async def sign_in_and_play(
    url: str, user: str, password: str, token: str, plan: Plan, console: Console
) -> bool:
    """Sign in, unless there is a token, and play the scenario. Returns whether the result is right."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(url, timeout=timeout) as client:
        if not token:
            async with client.post("/token", data={"username": user, "password": password}) as answer:
                if answer.status != 200:
                    raise DemoFailed(
                        f"signing in as {user} failed with status {answer.status}: {await answer.text()}"
                    )
                token = (await answer.json())["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return await play(client, console, plan)


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
