"""The commands: `ingest serve`, `ingest migrate`, `ingest re-encrypt-secrets`, `ingest accept-clock`."""

import argparse
import asyncio
import sys

from ingest.settings import IngestSettings
from ingest.wiring import SECRET_COLUMNS, accept_clock_now, build
from kit.command_line import Command, command_line
from kit.errors import LookoutError
from kit.settings import load


def main() -> None:
    """The program's entry point."""
    accept_clock = Command(
        name="accept-clock",
        help="let retention believe the clock, after it has warned that the clock is ahead",
        run=_accept_clock,
    )
    sys.exit(
        command_line(
            "ingest",
            "The site and its cameras.",
            lambda: (IngestSettings, build),
            commands=(accept_clock,),
            secret_columns=SECRET_COLUMNS,
        )
    )


def _accept_clock(_options: argparse.Namespace) -> int:
    try:
        now = asyncio.run(accept_clock_now(load(IngestSettings)))
    except LookoutError as error:
        sys.exit(f"ingest: {error}")
    sys.stdout.write(
        f"Retention measures ages against the clock again, which shows {now:%Y-%m-%d %H:%M:%S} UTC.\n"
    )
    return 0


if __name__ == "__main__":
    main()
