"""The commands: `ingest serve`, `ingest migrate`."""

import argparse
import asyncio

from ingest.settings import IngestSettings
from ingest.wiring import NAME, build
from kit import migrations
from kit.service import run
from kit.settings import load


def main() -> None:
    """The program's entry."""
    parser = argparse.ArgumentParser(prog=NAME, description="The site and its cameras.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service until it is told to stop")
    migrate = commands.add_parser("migrate", help="bring the database up to date")
    migrate.add_argument("--revision", default="head", help="where to, up (default: head) or down (base)")
    migrate.add_argument("--down", action="store_true", help="go down to that revision")
    arguments = parser.parse_args()
    settings = load(IngestSettings)
    if arguments.command == "serve":
        run(lambda: [build(settings)])
        return
    move = migrations.downgrade if arguments.down else migrations.upgrade
    asyncio.run(move(settings.database, NAME, arguments.revision))


if __name__ == "__main__":
    main()
