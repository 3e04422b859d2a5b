"""A real S3 server for tests: MinIO if Docker is available, else moto's server as a separate process."""

import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from testkit.processes import (
    accepts_connections,
    free_port,
    has_docker_image,
    is_docker_available,
    spawn,
    wait_until,
)

ENDPOINT_VARIABLE = "TESTKIT_S3_ENDPOINT"
IMAGE = "minio/minio:latest"
ACCESS_KEY = "testkit"
SECRET_KEY = "testkit-secret"  # noqa: S105 - protects an empty server on the loopback
START_TIMEOUT_S = 60


class _Control(Protocol):
    """Starts and stops a server."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class S3Server:
    """A running server. Each test uses its own bucket, from `fresh_bucket_url()`."""

    def __init__(self, endpoint: str, control: _Control | None, access_key: str, secret_key: str) -> None:
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key
        self._control = control

    def fresh_bucket_url(self) -> str:
        """`s3://host:port/bucket` of a bucket that does not exist yet; the blob store creates it."""
        return f"s3://{self.endpoint}/testkit-{uuid.uuid4().hex[:12]}"

    def stop(self) -> None:
        """Stop it. moto's server loses all objects with that."""
        self._required_control().stop()

    def start(self) -> None:
        """Start it at the same address. Returns when it accepts connections."""
        self._required_control().start()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Raises: RuntimeError it does not accept connections in time."""
        host, _, port = self.endpoint.rpartition(":")
        wait_until(
            lambda: accepts_connections(host, int(port)),
            timeout_s=START_TIMEOUT_S,
            what="S3 accepting connections",
        )

    def _required_control(self) -> _Control:
        if self._control is None:
            raise RuntimeError(
                f"the server of {ENDPOINT_VARIABLE} cannot be stopped or started by tests: use a private one"
            )
        return self._control


@contextmanager
def s3(*, is_private: bool = False) -> Iterator[S3Server]:
    """A server for the length of the block.

    `TESTKIT_S3_ENDPOINT=host:port` names a running server (with `TESTKIT_S3_ACCESS_KEY` and
    `TESTKIT_S3_SECRET_KEY`). With `is_private` always a new one, which may be stopped.
    """
    endpoint = os.environ.get(ENDPOINT_VARIABLE)
    if endpoint and not is_private:
        access_key = os.environ.get("TESTKIT_S3_ACCESS_KEY", ACCESS_KEY)
        yield S3Server(endpoint, None, access_key, os.environ.get("TESTKIT_S3_SECRET_KEY", SECRET_KEY))
        return
    port = free_port()
    control = _Container(port) if is_docker_available() and has_docker_image(IMAGE) else _Moto(port)
    server = S3Server(f"127.0.0.1:{port}", control, ACCESS_KEY, SECRET_KEY)
    try:
        server.start()
        yield server
    finally:
        control.remove()


class _Moto:
    """A separate process, so that stopping it closes its port and connections."""

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
        # Imported here: the import already looks for a Docker daemon.
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415

        self._container = (
            DockerContainer(IMAGE)
            .with_command("server /data")
            .with_env("MINIO_ROOT_USER", ACCESS_KEY)
            .with_env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .with_bind_ports(9000, port)  # fixed, so that a restart keeps the address
        )
        self._is_created = False

    def start(self) -> None:
        if self._is_created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._is_created = True

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=10)

    def remove(self) -> None:
        if self._is_created:
            self._container.stop()
