"""The commands: `gateway serve`, `gateway migrate`, `gateway rotate-keys`, `gateway reset-password`."""

import argparse
import asyncio
import getpass
import sys
import tomllib

from gateway.domain.routes import RouteTableError
from gateway.settings import GatewaySettings
from gateway.wiring import NAME, build, reset_password, rotate_keys
from kit import migrations
from kit.errors import LookoutError
from kit.service import run
from kit.settings import load


def main() -> None:
    """The program's entry."""
    arguments = _parser().parse_args()
    settings = load(GatewaySettings)
    try:
        if arguments.command == "serve":
            run(lambda: [build(settings)])
        elif arguments.command == "migrate":
            move = migrations.downgrade if arguments.down else migrations.upgrade
            asyncio.run(move(settings.database, NAME, arguments.revision))
        elif arguments.command == "rotate-keys":
            asyncio.run(_rotate_keys(settings))
        else:
            asyncio.run(_reset_password(settings, arguments.username, _read_password()))
    except LookoutError as error:
        raise SystemExit(f"{NAME}: {error}") from None
    except (RouteTableError, tomllib.TOMLDecodeError) as error:
        raise SystemExit(f"{NAME}: the route table has faults:\n{error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=NAME, description="Sign-in, users and routing: the API gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service until SIGTERM or SIGINT")
    migrate = commands.add_parser("migrate", help="upgrade the database schema")
    migrate.add_argument(
        "--revision", default="head", help="the target revision (default: head; base with --down)"
    )
    migrate.add_argument("--down", action="store_true", help="downgrade to that revision")
    commands.add_parser(
        "rotate-keys", help="create a new signing key; the old one stays until its tokens expire"
    )
    reset = commands.add_parser(
        "reset-password", help="set a user's password, read from the terminal or from standard input"
    )
    reset.add_argument("username")
    return parser


async def _rotate_keys(settings: GatewaySettings) -> None:
    db, command = rotate_keys(settings)
    try:
        kid, signs_from = await command()
    finally:
        await db.stop()
    sys.stdout.write(f"The key {kid} signs from {signs_from:%Y-%m-%d %H:%M:%S} UTC.\n")


async def _reset_password(settings: GatewaySettings, username: str, password: str) -> None:
    db, command = reset_password(settings)
    try:
        await command(username, password)
    finally:
        await db.stop()
    sys.stdout.write(f"The password of {username} is set, and the user is signed out everywhere.\n")


def _read_password() -> str:
    """From the terminal or standard input: other users of the machine can see a command line."""
    if sys.stdin.isatty():
        password = getpass.getpass("New password: ")
        if getpass.getpass("Once more: ") != password:
            raise SystemExit(f"{NAME}: the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    return password


if __name__ == "__main__":
    main()
