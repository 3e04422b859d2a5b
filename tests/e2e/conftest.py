from collections.abc import Iterator

import pytest

from stack import SERVICES, Servers, Stack, distributed, embedded
from testkit.otlp import OtlpCollector, otlp_collector
from testkit.postgres import PostgresServer
from testkit.rabbitmq import RabbitMqServer
from testkit.s3 import S3Server


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpCollector]:
    """The collector to which the services of `stack` export their spans."""
    with otlp_collector() as running:
        yield running


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, collector: OtlpCollector
) -> Iterator[Stack]:
    """Lookout, ready: embedded in one process, or a process per service on real servers. The tests are the same."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with embedded(folder, LOOKOUT_TRACING_OTLP_ENDPOINT=collector.endpoint) as running:
            yield running
        return
    rabbitmq: RabbitMqServer = request.getfixturevalue("rabbitmq_server")
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    s3: S3Server = request.getfixturevalue("s3_server")
    extra = {name: {"TRACING__OTLP_ENDPOINT": collector.endpoint} for name in SERVICES}
    with distributed(servers_of(rabbitmq, postgres, s3), folder, extra=extra) as running:
        yield running


def servers_of(rabbitmq: RabbitMqServer, postgres: PostgresServer, s3: S3Server) -> Servers:
    return Servers(
        amqp_url=rabbitmq.fresh_vhost(),
        databases={name: postgres.fresh_database() for name in ("gateway", "ingest", "tickets")},
        blobs_url=s3.fresh_bucket_url(),
        blobs_access_key=s3.access_key,
        blobs_secret_key=s3.secret_key,
    )
