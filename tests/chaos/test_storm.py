"""A small storm in every run of the tests; `make bench-chaos` is the large one."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stack import FAST_READER, Servers, distributed
from storm import storm
from testkit.postgres import PostgresServer
from testkit.rabbitmq import RabbitMqServer, rabbitmq

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.timeout(420)]


@dataclass
class Broker:
    server: RabbitMqServer
    name: str = "broker"

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()


async def test_nothing_is_lost_or_doubled_when_everything_is_killed(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with rabbitmq(is_private=True) as broker:
        servers = Servers(
            amqp_url=broker.fresh_vhost(),
            databases={name: postgres_server.fresh_database() for name in ("gateway", "ingest", "tickets")},
            blobs_url=f"file://{tmp_path}/blobs",
        )
        with distributed(servers, tmp_path, extra=FAST_READER) as stack, stack.client() as client:
            outcome = await storm(
                stack.gateway_url,
                client,
                [*stack.services.values(), Broker(broker)],
                events=600,
                kills=5,
                cameras=8,
                drain_s=90,
            )
            logs = stack.logs()
    assert sum(outcome.kills.values()) == 5
    assert outcome.is_right, (
        f"expected {outcome.expected}, found {outcome.found}, duplicates {outcome.duplicates}, "
        f"missing {outcome.missing[:3]}, unexpected {outcome.unexpected[:3]}, kills {outcome.kills}\n"
        f"{logs[-8000:]}"
    )
