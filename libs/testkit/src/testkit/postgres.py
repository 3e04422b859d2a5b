"""A real PostgreSQL for tests, benchmarks and scripts: external, in Docker, or from installed binaries."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from testkit.processes import (
    ServerMissing,
    accepts_connections,
    apt_install,
    free_port,
    has_docker_image,
    is_docker_available,
    run_command,
    spawn,
    unprivileged_user,
    wait_until,
)

URL_VARIABLE = "TESTKIT_POSTGRES_URL"
IMAGE = "postgres:16-alpine"
START_TIMEOUT_S = 60
PASSWORD = "testkit"  # noqa: S105 - protects an empty server on the loopback

HOW_TO = (
    "No PostgreSQL for the tests. Do one of these: "
    f"set {URL_VARIABLE}=postgresql://user:password@host/database (a role that may create databases); "
    "start Docker; or install the binaries (Debian, Ubuntu: apt-get install postgresql; "
    "macOS: brew install postgresql)."
)


class _Control(Protocol):
    """Starts and stops a server."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class PostgresServer:
    """A running server. Each test uses its own database, from `fresh_database()`."""

    def __init__(self, url: str, control: _Control | None) -> None:
        self.url = url
        self._control = control
        self._prefix = f"testkit_{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count(1)
        self._created: list[str] = []

    def fresh_database(self) -> str:
        """Create an empty database; returns its URL (`postgresql://…`)."""
        name = f"{self._prefix}_{next(self._numbers)}"
        with self._connect_as_admin() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._created.append(name)
        base, _, query = self.url.partition("?")
        return base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")

    def stop(self) -> None:
        """Shut down cleanly and close all connections. The data are kept."""
        self._required_control().stop()

    def kill(self) -> None:
        """SIGKILL: what was committed must be there after `start()`."""
        self._required_control().kill()

    def start(self) -> None:
        """Start it at the same address with the same data. Returns when it accepts connections."""
        self._required_control().start()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Raises: RuntimeError it does not accept connections in time."""
        wait_until(self._is_responding, timeout_s=START_TIMEOUT_S, what="PostgreSQL accepting connections")

    def drop_created_databases(self) -> None:
        """Remove from an external server what the tests created."""
        with suppress(psycopg.Error), self._connect_as_admin() as connection:
            for name in self._created:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )

    def _is_responding(self) -> bool:
        try:
            with self._connect_as_admin() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _connect_as_admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=5)

    def _required_control(self) -> _Control:
        if self._control is None:
            raise RuntimeError(
                f"the server of {URL_VARIABLE} cannot be stopped or started by tests: use a private one"
            )
        return self._control


@contextmanager
def postgres(*, is_private: bool = False) -> Iterator[PostgresServer]:
    """A server for the length of the block: from the environment, else Docker, else installed binaries.

    With `is_private` always a new one, which may be stopped and killed.

    Raises:
        ServerMissing: none of them is available; the message says what to do.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and not is_private:
        server = PostgresServer(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url), None)
        try:
            yield server
        finally:
            server.drop_created_databases()
        return
    if is_docker_available() and has_docker_image(IMAGE):
        with _in_docker() as server:
            yield server
        return
    with _from_binaries(_find_binaries()) as server:
        yield server


class _Container:
    def __init__(self, container: Any) -> None:
        self._container = container

    def start(self) -> None:
        self._container.start()

    def stop(self) -> None:
        self._container.stop(timeout=20)

    def kill(self) -> None:
        self._container.kill()


@contextmanager
def _in_docker() -> Iterator[PostgresServer]:
    # Imported here: the import already looks for a Docker daemon.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port = free_port()
    container = (
        DockerContainer(IMAGE)
        .with_env("POSTGRES_PASSWORD", PASSWORD)
        .with_bind_ports(5432, port)  # fixed, so that a restart keeps the address
    )
    with container:
        host = container.get_container_host_ip()
        server = PostgresServer(
            f"postgresql://postgres:{PASSWORD}@{host}:{port}/postgres",
            _Container(container.get_wrapped_container()),
        )
        server.wait_until_up()
        yield server


class _Process:
    """A private server with its own data folder and port. It ends when this process ends."""

    def __init__(self, binaries: Path, folder: Path, port: int) -> None:
        self.binaries = binaries
        self.folder = folder
        self.port = port
        self.user = unprivileged_user()
        self._log = folder.parent / f"{folder.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        if self.user is not None:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        # Without fsync, which is faster: the folder is new and contains nothing that could be lost.
        run_command(
            (
                self.binaries / "initdb",
                *("-D", self.folder / "data", "-U", "postgres", "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ),
            timeout_s=START_TIMEOUT_S,
            user=self.user,
        )

    def start(self) -> None:
        self._process = spawn(
            (
                self.binaries / "postgres",
                *("-D", self.folder / "data", "-p", str(self.port), "-k", self.folder),
                *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
                # Durable as in production, so that tests of `kill()` and benchmarks measure what production does.
                *("-c", "fsync=on", "-c", "synchronous_commit=on"),
                *("-c", "shared_buffers=64MB", "-c", "autovacuum_naptime=5min"),
            ),
            log=self._log,
            user=self.user,
            cwd=self.folder,
            death_signal=signal.SIGQUIT,  # "immediate shutdown": it ends its children as well
        )
        wait_until(
            lambda: self._has_died() or accepts_connections("127.0.0.1", self.port),
            timeout_s=START_TIMEOUT_S,
            what="PostgreSQL listening",
            log=self._log,
        )
        if self._has_died():
            raise RuntimeError(
                f"PostgreSQL ended right after its start; its log:\n{self._log.read_text(errors='replace')[-4000:]}"
            )

    def stop(self) -> None:
        self._end(signal.SIGINT)  # "fast shutdown"

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._log.unlink(missing_ok=True)

    def _has_died(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None:
            return
        if with_signal is signal.SIGKILL:
            # The whole process group: backends continue for a while after the postmaster's death.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, with_signal)
        else:
            self._process.send_signal(with_signal)
        self._process.wait(timeout=START_TIMEOUT_S)
        self._process = None
        if with_signal is signal.SIGKILL:
            self._wait_for_orphans()

    def _wait_for_orphans(self) -> None:
        """Wait for the killed server's children: a new postmaster does not start while they use the shared memory."""
        try:
            segment = (self.folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
        except (OSError, IndexError):
            return
        wait_until(
            lambda: _attached(segment) == 0,
            timeout_s=START_TIMEOUT_S,
            what="the killed server's children ending",
        )


def _attached(segment: str) -> int:
    """How many processes are attached to this System V shared memory segment; 0 where that is not known."""
    with suppress(OSError):
        for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == segment:
                return int(fields[6])
    return 0


@contextmanager
def _from_binaries(binaries: Path) -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="testkit-postgres-"))
    process = _Process(binaries, folder, free_port())
    try:
        process.create()
        process.start()
        server = PostgresServer(f"postgresql://postgres@127.0.0.1:{process.port}/postgres", process)
        server.wait_until_up()
        yield server
    finally:
        process.remove()


def _find_binaries() -> Path:
    for attempt in range(2):
        found = _installed_binaries()
        if found is not None:
            return found
        if attempt == 0 and not apt_install("postgresql"):
            break
    raise ServerMissing(HOW_TO)


def _installed_binaries() -> Path | None:
    def version(folder: Path) -> int:
        return int(re.sub(r"\D.*", "", folder.parent.name) or 0)

    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)
    on_path = shutil.which("postgres")
    # Resolved, because initdb and the libraries are where a link on the PATH points to.
    folders = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None
