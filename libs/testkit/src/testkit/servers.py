"""Real servers as context managers, for benchmarks and scripts as well as for the fixtures.

`with testkit.servers.postgres() as server: url = server.fresh_database()`

`python -m testkit.servers --prepare` starts and stops each once and looks for a Chromium, which installs what is
missing, and prints the result: what is missing is reported before the tests and not by the first test that fails.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from testkit import postgres as _postgres
from testkit import rabbitmq as _rabbitmq
from testkit import s3 as _s3
from testkit.browser import chromium_path
from testkit.postgres import PostgresServer, postgres
from testkit.processes import ServerMissing
from testkit.rabbitmq import RabbitMqServer, rabbitmq
from testkit.s3 import S3Server, s3

__all__ = ["PostgresServer", "RabbitMqServer", "S3Server", "ServerMissing", "postgres", "rabbitmq", "s3"]

_KINDS: tuple[tuple[str, Callable[[], AbstractContextManager[object]], str], ...] = (
    ("RabbitMQ", rabbitmq, _rabbitmq.URL_VARIABLE),
    ("PostgreSQL", postgres, _postgres.URL_VARIABLE),
    ("S3", s3, _s3.ENDPOINT_VARIABLE),
)


def prepare() -> int:
    """Start and stop each server. Returns 0, or 1 after an error message for each that is missing."""
    missing = 0
    for name, server, variable in _KINDS:
        started_s = time.monotonic()
        try:
            with server():
                took_s = time.monotonic() - started_s
        except ServerMissing as error:
            print(f"{name}: {error}", file=sys.stderr)
            missing += 1
            continue
        source = f"the server of {variable}" if os.environ.get(variable) else "a private server"
        print(f"{name}: {source}, started in {took_s:.1f} s")
    try:
        print(f"Chromium: {chromium_path()}")
    except ServerMissing as error:
        print(f"Chromium: {error}", file=sys.stderr)
        missing += 1
    return 1 if missing else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m testkit.servers", description="Servers for the tests.")
    parser.add_argument("--prepare", action="store_true", required=True, help="install what is missing")
    parser.parse_args()
    sys.exit(prepare())
