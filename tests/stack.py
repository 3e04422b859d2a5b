"""The services as processes on real servers, for the tests and benchmarks that cross services."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
from cryptography.fernet import Fernet

from kit.grpc import channel, socket_path
from kit.service import installed_services
from kit.settings import GrpcSettings
from kit.settings.service import leaves
from service_list import service_list
from testkit.processes import free_port, spawn, wait_until

SERVICES = tuple(service.name for service in service_list())
KNOWN_NAMES = frozenset(leaf.env for service in installed_services() for leaf in leaves(service.settings))
SUPERADMIN_PASSWORD = "correct horse battery staple"

BARCODE_ENGINE: Mapping[str, Mapping[str, str]] = {"plate-ocr": {"ENGINE": "barcode:make_engine"}}
"""Reads plates that are drawn as blocks in a millisecond, for tests with thousands of events; see barcode.py."""


@dataclass
class ServiceProcess:
    """A service as a process. `kill` sends SIGKILL; `start` starts it again, as a supervisor would."""

    name: str
    environment: Mapping[str, str]
    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    def start(self) -> None:
        self.process = spawn(
            [sys.executable, "-m", self.module, "serve"],
            env={**clean_environment(), "PYTHONPATH": str(Path(__file__).parent), **self.environment},
            log=self.log,
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM, then SIGKILL after `timeout_s`. Returns the exit status, -9 after SIGKILL."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        return False

    def wait_ready(self, timeout_s: float = 60) -> None:
        wait_until(self.is_ready_or_dead, timeout_s=timeout_s, what=f"{self.name} being ready", log=self.log)
        if self.process is not None and self.process.poll() is not None:
            msg = f"{self.name} ended during its start with exit status {self.process.returncode}:\n{self.tail()}"
            raise RuntimeError(msg)

    def is_ready_or_dead(self) -> bool:
        return (self.process is not None and self.process.poll() is not None) or self.is_ready()

    def processor_s(self) -> float:
        """Processor time used so far, user and system, in seconds."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def clean_environment() -> dict[str, str]:
    """The process's environment without the settings of Lookout that the developer may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT")}


@dataclass
class Stack:
    """The running services. HTTP clients use `gateway_url` only.

    `grpc_targets`: where each service serves gRPC. `grpc_token_source`: the token that it expects, or the file with it.
    """

    services: dict[str, ServiceProcess] = field(default_factory=dict)
    grpc_targets: dict[str, str] = field(default_factory=dict)
    grpc_token_source: str | Path = ""

    @property
    def gateway_url(self) -> str:
        return self.services["gateway"].url

    def start(self) -> None:
        for service in self.services.values():
            service.start()
        for service in self.services.values():
            service.wait_ready()

    def stop(self) -> None:
        for service in self.services.values():
            service.stop()

    def logs(self) -> str:
        return "\n".join(service.log.read_text(errors="replace") for service in self.services.values())

    def channel(self, service: str, *, token: str | None = None) -> grpc.aio.Channel:
        """A channel to a service's gRPC listener, with the right token unless another is given."""
        if token is None:
            source = self.grpc_token_source
            token = source.read_text().strip() if isinstance(source, Path) else source
        return channel(self.grpc_targets[service], GrpcSettings(), token=token)

    def client(self) -> httpx.Client:
        """An HTTP client of the gateway, signed in as superadmin."""
        credentials = {"username": "superadmin", "password": SUPERADMIN_PASSWORD}
        answer = httpx.post(f"{self.gateway_url}/token", data=credentials, timeout=60)
        answer.raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=self.gateway_url, timeout=60, headers=headers)


@dataclass(frozen=True)
class Servers:
    """Addresses of the servers that the services need. `databases` is per service; plate-ocr has none."""

    amqp_url: str
    databases: Mapping[str, str]
    blobs_url: str
    blobs_access_key: str = ""
    blobs_secret_key: str = ""


@contextmanager
def distributed(
    servers: Servers,
    folder: Path,
    *,
    services: tuple[str, ...] = SERVICES,
    extra: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Stack]:
    """Start the services, wait until each is ready, and stop them at the end."""
    stack = make_stack(servers, folder, services=services, extra=extra)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def make_stack(
    servers: Servers,
    folder: Path,
    *,
    services: tuple[str, ...] = SERVICES,
    extra: Mapping[str, Mapping[str, str]] | None = None,
) -> Stack:
    """The services, not started. `extra`: settings by service, with names without LOOKOUT_<SERVICE>__."""
    ports = {name: free_port() for name in services}
    secrets_key = Fernet.generate_key().decode()
    grpc_token = secrets.token_urlsafe(24)
    stack = Stack(grpc_token_source=grpc_token)
    for name in services:
        grpc_port = free_port()
        stack.grpc_targets[name] = f"127.0.0.1:{grpc_port}"
        blocks: dict[str, str] = {
            "MODE": "distributed",
            "LOG__LEVEL": "info",
            "HTTP__HOST": "127.0.0.1",
            "HTTP__PORT": str(ports[name]),
            "BUS__URL": servers.amqp_url,
            "GRPC__HOST": "127.0.0.1",
            "GRPC__PORT": str(grpc_port),
            "GRPC__TOKEN": grpc_token,
            "AUTH__JWKS_URL": f"http://127.0.0.1:{ports.get('gateway', 1)}/.well-known/jwks.json",
            "BLOBS__URL": servers.blobs_url,
            "BLOBS__ACCESS_KEY": servers.blobs_access_key,
            "BLOBS__SECRET_KEY": servers.blobs_secret_key,
            "SECRETS_KEY": secrets_key,
            "SUPERADMIN_PASSWORD": SUPERADMIN_PASSWORD,
            "UPSTREAMS__URLS": json.dumps(
                {other: f"http://127.0.0.1:{ports[other]}" for other in services if other != "gateway"}
            ),
            "DEVICES__IS_LOOPBACK_ALLOWED": "true",
            **NO_PUSH_BUDGETS,
        }
        if name in servers.databases:
            blocks["DATABASE__URL"] = servers.databases[name]
        blocks = {key: value for key, value in blocks.items() if is_known(name, key)}
        blocks.update((extra or {}).get(name, {}))
        prefix = f"LOOKOUT_{name.upper().replace('-', '_')}__"
        stack.services[name] = ServiceProcess(
            name=name,
            environment={prefix + key: value for key, value in blocks.items() if value},
            url=f"http://127.0.0.1:{ports[name]}",
            log=folder / f"{name}.log",
        )
    return stack


# All cameras of a test push from one address, as fast as they can.
NO_PUSH_BUDGETS = {
    f"PUSH__{what}_PER_MINUTE": "0"
    for what in ("CAMERA_EVENTS", "CAMERA_BYTES", "ADDRESS_EVENTS", "ADDRESS_BYTES")
}


def is_known(service: str, key: str) -> bool:
    """Whether the service has that setting: it does not start with an unknown one."""
    if key.startswith("GRPC"):
        return service != "gateway"  # every service has the block; the gateway serves no gRPC
    return f"LOOKOUT_{service.replace('-', '_').upper()}__{key}" in KNOWN_NAMES


@contextmanager
def embedded(folder: Path, **extra: str) -> Iterator[Stack]:
    """Every service in one process, as `make run` starts it. `extra`: environment variables."""
    port, data_dir = free_port(), folder / "data"
    running = ServiceProcess(
        name="all-in-one",
        environment={
            "LOOKOUT_DATA_DIR": str(data_dir),
            "LOOKOUT_LOG_FORMAT": "json",
            "LOOKOUT_GATEWAY__HTTP__PORT": str(port),
            "LOOKOUT_GATEWAY__SUPERADMIN_PASSWORD": SUPERADMIN_PASSWORD,
            **{f"LOOKOUT_INGEST__{name}": value for name, value in NO_PUSH_BUDGETS.items()},
            **extra,
        },
        url=f"http://127.0.0.1:{port}",
        log=folder / "all-in-one.log",
    )
    # The sockets of a data folder with a long path are behind a symbolic link, which exists after the start.
    stack = Stack({"gateway": running}, grpc_token_source=data_dir / "rpc.token")
    try:
        stack.start()
        for name in SERVICES:
            stack.grpc_targets[name] = f"unix:{socket_path(data_dir, name)}"
        yield stack
    finally:
        stack.stop()
