"""A real RabbitMQ for tests and benchmarks: external, in Docker, or from installed binaries.

It has the management plugin, through which each test gets its own vhost.
"""

import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import pytest

from testkit.processes import (
    ServerMissing,
    apt_install,
    free_port,
    has_docker_image,
    is_docker_available,
    spawn,
    wait_until,
)

URL_VARIABLE = "TESTKIT_RABBITMQ_URL"
MANAGEMENT_VARIABLE = "TESTKIT_RABBITMQ_MANAGEMENT_URL"
IMAGE = "rabbitmq:4-management"
PLUGINS = ("rabbitmq_management",)
START_TIMEOUT_S = 90
ANSWER_TIMEOUT_S = 20

HOW_TO = (
    "No RabbitMQ for the tests. Do one of these: "
    f"set {URL_VARIABLE}=amqp://user:password@host:5672/ (an administrator; the management API is expected "
    f"on port 15672 or at the URL in {MANAGEMENT_VARIABLE}); "
    "start Docker; or install the binaries (Debian, Ubuntu: apt-get install rabbitmq-server; "
    "macOS: brew install rabbitmq)."
)


class _Control(Protocol):
    """Starts and stops a server."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Address:
    """AMQP and management addresses of a server, with its administrator's credentials."""

    host: str
    port: int
    management_url: str
    user: str
    password: str

    def amqp(self, vhost: str) -> str:
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def call_management_api(
        self, method: str, path: str, body: object = None, *, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> Any:
        """Call the management API. Returns the parsed response, None if it has no body."""
        token = b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - always http or https
            f"{self.management_url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - as above
            text = response.read()
        return json.loads(text) if text else None

    def is_responding(self) -> bool:
        """Whether AMQP and the management API respond.

        Connecting alone is not enough: Docker's proxy accepts connections by itself.
        """
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=2) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return (
                bool(probe.recv(1)) and self.call_management_api("GET", "overview", timeout_s=2) is not None
            )
        return False


class RabbitMqServer:
    """A running broker. Each test uses its own vhost, from `fresh_vhost()`."""

    def __init__(self, address: _Address, control: _Control | None) -> None:
        self._address = address
        self._control = control
        self._prefix = f"testkit-{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count(1)
        self._created: list[str] = []

    @property
    def url(self) -> str:
        """The URL of a fresh vhost, a new one at each access."""
        return self.fresh_vhost()

    def fresh_vhost(self) -> str:
        """Create an empty vhost; returns its URL (`amqp://…`)."""
        name = f"{self._prefix}-{next(self._numbers)}"
        self.call_management_api("PUT", f"vhosts/{name}", {})
        self.call_management_api(
            "PUT", f"permissions/{name}/{quote(self._address.user, safe='')}", _ALL_PERMISSIONS
        )
        self._created.append(name)
        return self._address.amqp(name)

    @property
    def management_url(self) -> str:
        """Where the management API is, without `/api/`."""
        return self._address.management_url

    def call_management_api(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API, `path` below `/api/`, to check the broker independently of the bus."""
        return self._address.call_management_api(method, path, body)

    def stop(self) -> None:
        """Shut down cleanly. The queues are kept."""
        self._required_control().stop()

    def kill(self) -> None:
        """SIGKILL: what was confirmed must be there after `start()`."""
        self._required_control().kill()

    def start(self) -> None:
        """Start it at the same address with the same queues. Returns when it accepts connections."""
        self._required_control().start()
        self.wait_until_up()

    def restart(self) -> None:
        """Kill and start."""
        self.kill()
        self.start()

    def wait_until_up(self) -> None:
        """Raises: RuntimeError it does not respond in time."""
        wait_until(self._is_responding, timeout_s=START_TIMEOUT_S, what="RabbitMQ responding")

    def drop_created_vhosts(self) -> None:
        """Remove from an external server what the tests created."""
        for name in self._created:
            with suppress(OSError):
                self.call_management_api("DELETE", f"vhosts/{name}")

    def _is_responding(self) -> bool:
        return self._address.is_responding()

    def _required_control(self) -> _Control:
        if self._control is None:
            raise RuntimeError(
                f"the server of {URL_VARIABLE} cannot be stopped or started by tests: use a private one"
            )
        return self._control


_ALL_PERMISSIONS = {"configure": ".*", "write": ".*", "read": ".*"}


@contextmanager
def rabbitmq(*, is_private: bool = False) -> Iterator[RabbitMqServer]:
    """A broker for the length of the block: from the environment, else Docker, else installed binaries.

    With `is_private` always a new one, which may be killed.

    Raises:
        ServerMissing: none of them is available; the message says what to do.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and not is_private:
        server = RabbitMqServer(_address_from(url), None)
        try:
            yield server
        finally:
            server.drop_created_vhosts()
        return
    if is_docker_available() and has_docker_image(IMAGE):
        with _in_docker() as server:
            yield server
        return
    with _from_binaries(_find_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMqServer]:
    """One broker for all tests of this process, each in a fresh vhost. Tests must not stop it."""
    with rabbitmq() as server:
        yield server


@pytest.fixture
def private_rabbitmq_server() -> Iterator[RabbitMqServer]:
    """A broker for one test, which may kill it."""
    with rabbitmq(is_private=True) as server:
        yield server


def _address_from(url: str) -> _Address:
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    return _Address(
        host,
        parts.port or 5672,
        os.environ.get(MANAGEMENT_VARIABLE, f"http://{host}:15672").rstrip("/"),
        unquote(parts.username or "guest"),
        unquote(parts.password or "guest"),
    )


class _Container:
    def __init__(self, container: Any) -> None:
        self._container = container

    def start(self) -> None:
        self._container.start()

    def stop(self) -> None:
        self._container.stop(timeout=30)

    def kill(self) -> None:
        self._container.kill()


@contextmanager
def _in_docker() -> Iterator[RabbitMqServer]:
    # Imported here: the import already looks for a Docker daemon.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port, management_port = free_port(), free_port()
    start = (
        f"rabbitmq-plugins enable --offline {' '.join(PLUGINS)} && exec docker-entrypoint.sh rabbitmq-server"
    )
    container = (
        DockerContainer(IMAGE)
        # Fixed host name: the data folder is named after it. Fixed ports: a restart keeps the address.
        .with_kwargs(hostname="testkit")
        .with_env("RABBITMQ_DEFAULT_USER", "testkit")
        .with_env("RABBITMQ_DEFAULT_PASS", "testkit")
        .with_command(["bash", "-c", start])
        .with_bind_ports(5672, port)
        .with_bind_ports(15672, management_port)
    )
    with container:
        host = container.get_container_host_ip()
        address = _Address(host, port, f"http://{host}:{management_port}", "testkit", "testkit")
        server = RabbitMqServer(address, _Container(container.get_wrapped_container()))
        server.wait_until_up()
        yield server


class _Process:
    """A private broker with its own folder, ports, node name, cookie and epmd. It ends when this process ends."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.port = free_port()
        self.management_port = free_port()
        self._binary = binary
        self._folder = folder
        self._log = folder / "server.log"
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._node = f"testkit-{secrets.token_hex(4)}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        (self._folder / "plugins").write_text(f"[{','.join(PLUGINS)}].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            # The management plugin's statistics would cost more than the broker's work itself.
            "management_agent.disable_metrics_collector = true\n"
            # Other programs use the machine as well, so the broker's own limits of memory and disk do not apply.
            "vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 50MB\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
        )
        # A private epmd in the foreground: the one that Erlang starts by itself would outlive the tests.
        self._epmd = spawn(
            (_epmd_binary(), "-port", str(self._epmd_port), "-address", "127.0.0.1"),
            log=self._folder / "epmd.log",
        )

    def start(self) -> None:
        variables = {
            "HOME": str(self._folder),  # where the cookie is created
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "",
            "RABBITMQ_NODE_PORT": "",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RABBITMQ_")}
        # The broker itself, not Debian's start script, which only runs as root or rabbitmq.
        self._process = spawn(
            (self._binary,),
            log=self._log,
            env={**inherited, **{key: value for key, value in variables.items() if value}},
            cwd=self._folder,
        )
        process = self._process
        address = self.address()
        wait_until(
            lambda: process.poll() is not None or address.is_responding(),
            timeout_s=START_TIMEOUT_S,
            what="RabbitMQ starting",
            log=self._log,
        )
        if process.poll() is not None:
            raise RuntimeError(
                f"RabbitMQ ended right after its start; its log:\n{self._log.read_text(errors='replace')[-4000:]}"
            )

    def address(self) -> _Address:
        management_url = f"http://127.0.0.1:{self.management_port}"
        return _Address("127.0.0.1", self.port, management_url, "guest", "guest")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None:
            return
        if with_signal is signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, with_signal)  # the Erlang VM's child processes as well
        else:
            self._process.send_signal(with_signal)
        self._process.wait(timeout=START_TIMEOUT_S)
        self._process = None


@contextmanager
def _from_binaries(binary: Path) -> Iterator[RabbitMqServer]:
    folder = Path(tempfile.mkdtemp(prefix="testkit-rabbitmq-"))
    process = _Process(binary, folder)
    try:
        process.create()
        process.start()
        server = RabbitMqServer(process.address(), process)
        server.wait_until_up()
        yield server
    finally:
        process.remove()


def _find_binary() -> Path:
    for attempt in range(2):
        found = _installed_binary()
        if found is not None:
            return found
        if attempt == 0 and not apt_install("rabbitmq-server"):
            break
    raise ServerMissing(HOW_TO)


def _installed_binary() -> Path | None:
    debian = sorted(Path("/usr/lib/rabbitmq").glob("lib/*/sbin/rabbitmq-server"))
    if debian:
        return debian[-1]
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path).resolve() if on_path else None


def _epmd_binary() -> str:
    on_path = shutil.which("epmd")
    if on_path:
        return on_path
    for path in ("/usr/lib/erlang/bin/epmd", "/opt/homebrew/bin/epmd"):
        if Path(path).exists():
            return path
    raise ServerMissing(f"RabbitMQ is installed, but Erlang's port mapper (epmd) was not found. {HOW_TO}")
