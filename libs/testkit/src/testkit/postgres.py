"""A real PostgreSQL for tests, benches and scripts, brought from wherever this machine has one."""

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
    docker_answers,
    docker_image,
    free_port,
    plain_user,
    run_quietly,
    spawn,
    wait_until,
)

URL_VARIABLE = "TESTKIT_POSTGRES_URL"
IMAGE = "postgres:16-alpine"
START_TIMEOUT_S = 60
PASSWORD = "testkit"  # noqa: S105 - guards an empty server on the loopback

HOW_TO = (
    "No PostgreSQL for the tests. One of these brings it: "
    f"set {URL_VARIABLE}=postgresql://user:password@host/database (a role that may create databases); "
    "start Docker; or install the binaries (Debian, Ubuntu: apt-get install postgresql; "
    "macOS: brew install postgresql)."
)


class _Machine(Protocol):
    """What turns a server on and off."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class PostgresServer:
    """A running server. `fresh_database()` is how a test gets its own place in it."""

    def __init__(self, url: str, machine: _Machine | None) -> None:
        self.url = url
        self._machine = machine
        self._prefix = f"testkit_{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count(1)
        self._made: list[str] = []

    def fresh_database(self) -> str:
        """A new empty database; its URL (`postgresql://…`)."""
        name = f"{self._prefix}_{next(self._numbers)}"
        with self._administer() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._made.append(name)
        base, _, query = self.url.partition("?")
        return base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")

    def stop(self) -> None:
        """Shut down in order, hanging up on everyone. The data stay."""
        self._own().stop()

    def kill(self) -> None:
        """Pull the plug: what was committed must be there after `start()`."""
        self._own().kill()

    def start(self) -> None:
        """Come back at the same address with the same data. Returns when it takes connections."""
        self._own().start()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Raises: RuntimeError when it does not take connections in time."""
        wait_until(self._answers, timeout_s=START_TIMEOUT_S, what="PostgreSQL taking connections")

    def drop_made_databases(self) -> None:
        """Leave a borrowed server as it was found."""
        with suppress(psycopg.Error), self._administer() as connection:
            for name in self._made:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )

    def _answers(self) -> bool:
        try:
            with self._administer() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _administer(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=5)

    def _own(self) -> _Machine:
        if self._machine is None:
            raise RuntimeError(f"the server of {URL_VARIABLE} is not ours to stop and start")
        return self._machine


@contextmanager
def postgres(*, is_own: bool = False) -> Iterator[PostgresServer]:
    """A server for the length of the block: from the environment, else Docker, else this machine's binaries.

    With `is_own` never the one of the environment: it is going to be stopped or killed.

    Raises:
        ServerMissing: there is none of them; the text says what to do.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and not is_own:
        server = PostgresServer(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url), None)
        try:
            yield server
        finally:
            server.drop_made_databases()
        return
    if docker_answers() and docker_image(IMAGE):
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
    # Imported here: it looks for a daemon as soon as it is loaded.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port = free_port()
    container = (
        DockerContainer(IMAGE)
        .with_env("POSTGRES_PASSWORD", PASSWORD)
        .with_bind_ports(5432, port)  # fixed, so that the address outlives a restart
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
    """A private server: its own data folder, port and user, dead when this process is."""

    def __init__(self, binaries: Path, folder: Path, port: int) -> None:
        self.binaries = binaries
        self.folder = folder
        self.port = port
        self.user = plain_user()
        self._log = folder.parent / f"{folder.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        if self.user is not None:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        # Written without fsync and synced once at the end: the folder is new, there is nothing to lose yet.
        run_quietly(
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
                # Durable as in production: what survives `kill()` here survives there, and a bench is honest.
                *("-c", "fsync=on", "-c", "synchronous_commit=on"),
                *("-c", "shared_buffers=64MB", "-c", "autovacuum_naptime=5min"),
            ),
            log=self._log,
            user=self.user,
            cwd=self.folder,
            death_signal=signal.SIGQUIT,  # "immediate shutdown": takes its children along
        )
        wait_until(
            lambda: self._has_died() or accepts_connections("127.0.0.1", self.port),
            timeout_s=START_TIMEOUT_S,
            what="PostgreSQL listening",
            log=self._log,
        )
        if self._has_died():
            raise RuntimeError(f"PostgreSQL ended at once:\n{self._log.read_text(errors='replace')[-4000:]}")

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

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if how is signal.SIGKILL:
            # The whole group: a lone postmaster's death leaves backends to finish what they are at.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
        else:
            self._process.send_signal(how)
        self._process.wait(timeout=START_TIMEOUT_S)
        self._process = None
        if how is signal.SIGKILL:
            self._wait_for_orphans()

    def _wait_for_orphans(self) -> None:
        """A new postmaster refuses to start while children of the killed one still hold its shared memory."""
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
    """How many processes hold this System V shared memory segment; 0 where it cannot be told."""
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
        process.make()
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
    # Resolved: a link on the PATH points to where initdb and the libraries are.
    folders = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None
