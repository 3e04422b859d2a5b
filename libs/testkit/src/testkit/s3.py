"""A real S3 server for tests: MinIO in Docker where that runs, else moto's, in a process of its own."""

import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from testkit.processes import accepts_connections, docker_answers, docker_image, free_port, spawn, wait_until

ENDPOINT_VARIABLE = "TESTKIT_S3_ENDPOINT"
IMAGE = "minio/minio:latest"
ACCESS_KEY = "testkit"
SECRET_KEY = "testkit-secret"  # noqa: S105 - guards an empty server on the loopback
START_TIMEOUT_S = 60


class _Machine(Protocol):
    """What turns a server on and off."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class S3Server:
    """A running server. `fresh_bucket_url()` is how a test gets its own place in it."""

    def __init__(self, endpoint: str, machine: _Machine | None, access_key: str, secret_key: str) -> None:
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key
        self._machine = machine

    def fresh_bucket_url(self) -> str:
        """`s3://host:port/bucket` of a bucket that does not exist yet: the store makes it."""
        return f"s3://{self.endpoint}/testkit-{uuid.uuid4().hex[:12]}"

    def stop(self) -> None:
        """Go away. moto's server forgets everything with that."""
        self._own().stop()

    def start(self) -> None:
        """Come back at the same address. Returns when it takes connections."""
        self._own().start()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Raises: RuntimeError when it does not take connections in time."""
        host, _, port = self.endpoint.rpartition(":")
        wait_until(
            lambda: accepts_connections(host, int(port)),
            timeout_s=START_TIMEOUT_S,
            what="S3 taking connections",
        )

    def _own(self) -> _Machine:
        if self._machine is None:
            raise RuntimeError(f"the server of {ENDPOINT_VARIABLE} is not ours to stop and start")
        return self._machine


@contextmanager
def s3(*, is_own: bool = False) -> Iterator[S3Server]:
    """A server for the length of the block.

    `TESTKIT_S3_ENDPOINT=host:port` names one that runs already (with `TESTKIT_S3_ACCESS_KEY` and
    `TESTKIT_S3_SECRET_KEY`). With `is_own` never that one: it is going to be stopped.
    """
    endpoint = os.environ.get(ENDPOINT_VARIABLE)
    if endpoint and not is_own:
        access_key = os.environ.get("TESTKIT_S3_ACCESS_KEY", ACCESS_KEY)
        yield S3Server(endpoint, None, access_key, os.environ.get("TESTKIT_S3_SECRET_KEY", SECRET_KEY))
        return
    port = free_port()
    machine = _Container(port) if docker_answers() and docker_image(IMAGE) else _Moto(port)
    server = S3Server(f"127.0.0.1:{port}", machine, ACCESS_KEY, SECRET_KEY)
    try:
        server.start()
        yield server
    finally:
        machine.remove()


class _Moto:
    """In a process of its own: stopping it is a real server going away."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._process: Any = None
        handle, name = tempfile.mkstemp(prefix="testkit-s3-", suffix=".log")
        os.close(handle)
        self._log = Path(name)

    def start(self) -> None:
        self._process = spawn(
            (sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)),
            log=self._log,
            env={**os.environ, "MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "true", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.stop()
        self._log.unlink(missing_ok=True)


class _Container:
    def __init__(self, port: int) -> None:
        # Imported here: it looks for a daemon as soon as it is loaded.
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415

        self._container = (
            DockerContainer(IMAGE)
            .with_command("server /data")
            .with_env("MINIO_ROOT_USER", ACCESS_KEY)
            .with_env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .with_bind_ports(9000, port)  # fixed, so that the address outlives a restart
        )
        self._is_made = False

    def start(self) -> None:
        if self._is_made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._is_made = True

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=10)

    def remove(self) -> None:
        if self._is_made:
            self._container.stop()
