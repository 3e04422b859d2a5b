"""10,000 events while services and broker are killed at random ten times, and the tickets that result."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import Figure, publish
from load_with_kills import Broker, Killable, Outcome, run_load_with_kills
from stack import BARCODE_ENGINE, Servers, distributed
from testkit.postgres import postgres
from testkit.rabbitmq import rabbitmq

EVENTS = int(os.environ.get("BENCH_CHAOS_EVENTS", "10000"))
KILLS = int(os.environ.get("BENCH_CHAOS_KILLS", "10"))


def measure(events: int, kills: int, seed: int) -> Outcome:
    """Run on private servers, because the broker is killed."""
    with TemporaryDirectory() as name, postgres() as database, rabbitmq(is_private=True) as broker:
        folder = Path(name)
        servers = Servers(
            amqp_url=broker.fresh_vhost(),
            databases={service: database.fresh_database() for service in ("gateway", "ingest", "tickets")},
            blobs_url=f"file://{folder}/blobs",
        )
        with distributed(servers, folder, extra=BARCODE_ENGINE) as stack, stack.client() as client:
            targets: list[Killable] = [*stack.services.values(), Broker(broker)]
            return asyncio.run(
                run_load_with_kills(
                    stack.gateway_url,
                    client,
                    targets,
                    events=events,
                    kills=kills,
                    seed=seed,
                    print_line=lambda line: print(f"  {line}", flush=True),
                )
            )


def main() -> None:
    outcome = measure(EVENTS, KILLS, seed=int.from_bytes(os.urandom(4)))
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
