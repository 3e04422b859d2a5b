"""A real RabbitMQ for tests and benches, brought from wherever this machine has one.

It has the management plugin, which makes the vhosts that keep tests apart.
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
    docker_answers,
    docker_image,
    free_port,
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
    "No RabbitMQ for the tests. One of these brings it: "
    f"set {URL_VARIABLE}=amqp://user:password@host:5672/ (an administrator; its management API is looked for "
    f"on port 15672 or at {MANAGEMENT_VARIABLE}); "
    "start Docker; or install the binaries (Debian, Ubuntu: apt-get install rabbitmq-server; "
    "macOS: brew install rabbitmq)."
)


class _Machine(Protocol):
    """What turns a server on and off."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Address:
    """Where the server's two faces are, and who may use them."""

    host: str
    port: int
    management_url: str
    user: str
    password: str

    def amqp(self, vhost: str) -> str:
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def ask(self, method: str, path: str, body: object = None, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """One call of the management API; the parsed answer, None where it has no body."""
        token = b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - http(s), by construction
            f"{self.management_url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
            text = answer.read()
        return json.loads(text) if text else None

    def answers(self) -> bool:
        """Whether both faces talk. A bare connection would not tell: Docker's proxy takes those by itself."""
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=2) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(probe.recv(1)) and self.ask("GET", "overview", timeout_s=2) is not None
        return False


class RabbitMqServer:
    """A running broker. `fresh_vhost()` is how a test gets its own place in it."""

    def __init__(self, address: _Address, machine: _Machine | None) -> None:
        self._address = address
        self._machine = machine
        self._prefix = f"testkit-{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count(1)
        self._made: list[str] = []

    @property
    def url(self) -> str:
        """The URL of a fresh vhost, another at each look."""
        return self.fresh_vhost()

    def fresh_vhost(self) -> str:
        """A new empty vhost; its URL (`amqp://…`)."""
        name = f"{self._prefix}-{next(self._numbers)}"
        self.ask("PUT", f"vhosts/{name}", {})
        self.ask("PUT", f"permissions/{name}/{quote(self._address.user, safe='')}", _ALL)
        self._made.append(name)
        return self._address.amqp(name)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API, `path` below `/api/`; for looks behind the bus's back."""
        return self._address.ask(method, path, body)

    def stop(self) -> None:
        """Shut down in order. The queues stay."""
        self._own().stop()

    def kill(self) -> None:
        """Pull the plug (`kill -9`): what was confirmed must be there after `start()`."""
        self._own().kill()

    def start(self) -> None:
        """Come back at the same address with the same queues. Returns when it takes connections."""
        self._own().start()
        self.wait_until_up()

    def restart(self) -> None:
        """Kill and come back."""
        self.kill()
        self.start()

    def wait_until_up(self) -> None:
        """Raises: RuntimeError when it does not answer in time."""
        wait_until(self._answers, timeout_s=START_TIMEOUT_S, what="RabbitMQ answering")

    def drop_made_vhosts(self) -> None:
        """Leave a borrowed server as it was found."""
        for name in self._made:
            with suppress(OSError):
                self.ask("DELETE", f"vhosts/{name}")

    def _answers(self) -> bool:
        return self._address.answers()

    def _own(self) -> _Machine:
        if self._machine is None:
            raise RuntimeError(f"the server of {URL_VARIABLE} is not ours to stop and start")
        return self._machine


_ALL = {"configure": ".*", "write": ".*", "read": ".*"}


@contextmanager
def rabbitmq(*, is_own: bool = False) -> Iterator[RabbitMqServer]:
    """A broker for the length of the block: from the environment, else Docker, else this machine's binaries.

    With `is_own` never the one of the environment: it is going to be killed.

    Raises:
        ServerMissing: there is none of them; the text says what to do.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and not is_own:
        server = RabbitMqServer(_borrowed(url), None)
        try:
            yield server
        finally:
            server.drop_made_vhosts()
        return
    if docker_answers() and docker_image(IMAGE):
        with _in_docker() as server:
            yield server
        return
    with _from_binaries(_find_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMqServer]:
    """One broker for all tests of this process, each in a fresh vhost. Not to be killed: others use it."""
    with rabbitmq() as server:
        yield server


@pytest.fixture
def own_rabbitmq_server() -> Iterator[RabbitMqServer]:
    """A broker for one test, which may kill it."""
    with rabbitmq(is_own=True) as server:
        yield server


def _borrowed(url: str) -> _Address:
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
    # Imported here: it looks for a daemon as soon as it is loaded.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port, management_port = free_port(), free_port()
    start = (
        f"rabbitmq-plugins enable --offline {' '.join(PLUGINS)} && exec docker-entrypoint.sh rabbitmq-server"
    )
    container = (
        DockerContainer(IMAGE)
        # A fixed host name, as the data folder is named after it; fixed ports, kept over a restart.
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
    """A private broker: own folder, ports, node name, cookie and port mapper; dead when this process is."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.port = free_port()
        self.management_port = free_port()
        self._binary = binary
        self._folder = folder
        self._log = folder / "server.log"
        self._mapper_port = free_port()
        self._dist_port = free_port()
        self._node = f"testkit-{secrets.token_hex(4)}@localhost"
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        (self._folder / "plugins").write_text(f"[{','.join(PLUGINS)}].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            # The figures of the management plugin cost more than the broker's own work.
            "management_agent.disable_metrics_collector = true\n"
            # Tests share the machine with others, and its memory and disk are not ours to watch.
            "vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 50MB\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
        )
        # A mapper of our own, in the foreground: the one that Erlang starts by itself outlives everything.
        self._mapper = spawn(
            (_mapper_binary(), "-port", str(self._mapper_port), "-address", "127.0.0.1"),
            log=self._folder / "epmd.log",
        )

    def start(self) -> None:
        own = {
            "HOME": str(self._folder),  # where the cookie is made
            "ERL_EPMD_PORT": str(self._mapper_port),
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
        # The broker itself and not its start script, which Debian lets only its own user run.
        self._process = spawn(
            (self._binary,),
            log=self._log,
            env={**inherited, **{key: value for key, value in own.items() if value}},
            cwd=self._folder,
        )
        process = self._process
        address = self.address()
        wait_until(
            lambda: process.poll() is not None or address.answers(),
            timeout_s=START_TIMEOUT_S,
            what="RabbitMQ starting",
            log=self._log,
        )
        if process.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended at once:\n{self._log.read_text(errors='replace')[-4000:]}")

    def address(self) -> _Address:
        management_url = f"http://127.0.0.1:{self.management_port}"
        return _Address("127.0.0.1", self.port, management_url, "guest", "guest")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if how is signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)  # its helper processes as well
        else:
            self._process.send_signal(how)
        self._process.wait(timeout=START_TIMEOUT_S)
        self._process = None


@contextmanager
def _from_binaries(binary: Path) -> Iterator[RabbitMqServer]:
    folder = Path(tempfile.mkdtemp(prefix="testkit-rabbitmq-"))
    process = _Process(binary, folder)
    try:
        process.make()
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


def _mapper_binary() -> str:
    on_path = shutil.which("epmd")
    if on_path:
        return on_path
    for place in ("/usr/lib/erlang/bin/epmd", "/opt/homebrew/bin/epmd"):
        if Path(place).exists():
            return place
    raise ServerMissing(f"RabbitMQ is here, but not Erlang's port mapper, epmd. {HOW_TO}")
