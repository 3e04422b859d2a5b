from collections.abc import Iterator

import pytest

from stack import Servers, Stack, distributed, embedded
from testkit.postgres import PostgresServer
from testkit.rabbitmq import RabbitMqServer
from testkit.s3 import S3Server


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Lookout, ready: in one process, or a process a service on real servers. The walk is the same."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with embedded(folder) as running:
            yield running
        return
    rabbitmq: RabbitMqServer = request.getfixturevalue("rabbitmq_server")
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    s3: S3Server = request.getfixturevalue("s3_server")
    with distributed(servers_of(rabbitmq, postgres, s3), folder) as running:
        yield running


def servers_of(rabbitmq: RabbitMqServer, postgres: PostgresServer, s3: S3Server) -> Servers:
    return Servers(
        amqp_url=rabbitmq.fresh_vhost(),
        databases={name: postgres.fresh_database() for name in ("gateway", "ingest", "tickets")},
        blobs_url=s3.fresh_bucket_url(),
        blobs_access_key=s3.access_key,
        blobs_secret_key=s3.secret_key,
    )
