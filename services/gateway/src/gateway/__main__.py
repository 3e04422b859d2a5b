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
            asyncio.run(_reset_password(settings, arguments.username, _read_password(settings)))
    except LookoutError as error:
        raise SystemExit(f"{NAME}: {error}") from None
    except (RouteTableError, tomllib.TOMLDecodeError) as error:
        raise SystemExit(f"{NAME}: the route table has faults:\n{error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=NAME, description="The one door: sign-in, users and routing.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service until it is told to stop")
    migrate = commands.add_parser("migrate", help="bring the database up to date")
    migrate.add_argument("--revision", default="head", help="where to, up (default: head) or down (base)")
    migrate.add_argument("--down", action="store_true", help="go down to that revision")
    commands.add_parser("rotate-keys", help="make a new signing key; the old one stays until its tokens end")
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


def _read_password(settings: GatewaySettings) -> str:
    """Never from the command line, where other users of the machine can see it."""
    if sys.stdin.isatty():
        password = getpass.getpass("New password: ")
        if getpass.getpass("Once more: ") != password:
            raise SystemExit(f"{NAME}: the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\n")
    shortest, longest = settings.sign_in.min_password_chars, settings.sign_in.max_password_chars
    if not shortest <= len(password) <= longest:
        raise SystemExit(f"{NAME}: a password has {shortest} to {longest} characters")
    return password


if __name__ == "__main__":
    main()
