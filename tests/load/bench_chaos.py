"""10,000 events with every service and the broker killed at random ten times: are the books right?"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import Figure, publish
from stack import FAST_READER, Servers, distributed
from storm import Killable, Outcome, storm
from testkit.postgres import postgres
from testkit.rabbitmq import RabbitMqServer, rabbitmq

EVENTS = int(os.environ.get("BENCH_CHAOS_EVENTS", "10000"))
KILLS = int(os.environ.get("BENCH_CHAOS_KILLS", "10"))


@dataclass
class Broker:
    """The broker as one of those that get killed."""

    server: RabbitMqServer
    name: str = "broker"

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()


def run_storm(events: int, kills: int, seed: int) -> Outcome:
    """On servers of its own, since one of them is killed."""
    with TemporaryDirectory() as name, postgres() as database, rabbitmq(is_private=True) as broker:
        folder = Path(name)
        servers = Servers(
            amqp_url=broker.fresh_vhost(),
            databases={service: database.fresh_database() for service in ("gateway", "ingest", "tickets")},
            blobs_url=f"file://{folder}/blobs",
        )
        with distributed(servers, folder, extra=FAST_READER) as stack, stack.client() as client:
            targets: list[Killable] = [*stack.services.values(), Broker(broker)]
            return asyncio.run(
                storm(
                    stack.gateway_url,
                    client,
                    targets,
                    events=events,
                    kills=kills,
                    seed=seed,
                    tell=lambda line: print(f"  {line}", flush=True),
                )
            )


def main() -> None:
    outcome = run_storm(EVENTS, KILLS, seed=int.from_bytes(os.urandom(4)))
    figures = [
        Figure("tickets_expected", outcome.expected, "tickets"),
        Figure("tickets_found", outcome.found, "tickets", goal=f"= {outcome.expected}"),
        Figure("duplicates", outcome.duplicates, "tickets", goal="0"),
        Figure("missing", len(outcome.missing), "tickets", goal="0"),
        Figure("wrong", len(outcome.unexpected), "tickets", goal="0"),
        Figure("events_per_s", outcome.events / outcome.elapsed_s, "events/s"),
        Figure("drained_after", outcome.drained_s, "s"),
        Figure("repeats", outcome.repeats, "posts"),
    ]
    kills = ", ".join(f"{name} {count}" for name, count in sorted(outcome.kills.items()))
    publish("chaos", figures, [f"{outcome.events} events; killed with kill -9: {kills}"])


if __name__ == "__main__":
    main()
