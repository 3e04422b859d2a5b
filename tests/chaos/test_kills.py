"""Load with random kills, small enough for every test run; `make bench-chaos` is the large one."""

from pathlib import Path

import pytest

from load_with_kills import Broker, run_load_with_kills
from stack import BARCODE_ENGINE, Servers, distributed
from testkit.postgres import PostgresServer
from testkit.rabbitmq import rabbitmq

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.timeout(420)]


async def test_no_ticket_is_lost_or_duplicated_when_services_and_broker_are_killed(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with rabbitmq(is_private=True) as broker:
        servers = Servers(
            amqp_url=broker.fresh_vhost(),
            databases={name: postgres_server.fresh_database() for name in ("gateway", "ingest", "tickets")},
            blobs_url=f"file://{tmp_path}/blobs",
        )
        with distributed(servers, tmp_path, extra=BARCODE_ENGINE) as stack, stack.client() as client:
            outcome = await run_load_with_kills(
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
    assert outcome.is_correct, (
        f"expected {outcome.expected}, found {outcome.found}, duplicates {outcome.duplicates}, "
        f"missing {outcome.missing[:3]}, unexpected {outcome.unexpected[:3]}, kills {outcome.kills}\n"
        f"{logs[-8000:]}"
    )
