"""The commands `gateway serve`, `migrate`, `re-encrypt-secrets`, `rotate-keys` and `reset-password`."""

import argparse
import asyncio
import getpass
import sys
import tomllib

from gateway.domain.routes import RouteTableError
from gateway.settings import GatewaySettings
from gateway.wiring import NAME, SECRET_COLUMNS, build, reset_password, rotate_keys
from kit.command_line import Command, command_line
from kit.errors import LookoutError
from kit.settings import load


def main() -> None:
    """The program's entry point."""
    commands = (
        Command(
            name="rotate-keys",
            help="create a new signing key; the old one stays until its tokens expire",
            run=lambda _options: asyncio.run(_rotate_keys()),
        ),
        Command(
            name="reset-password",
            help="set a user's password, read from the terminal or from standard input",
            add_arguments=_add_username,
            run=lambda options: asyncio.run(_reset_password(options.username)),
        ),
    )
    description = "Sign-in, users and routing: the API gateway."
    try:
        sys.exit(
            command_line(
                NAME,
                description,
                lambda: (GatewaySettings, build),
                commands=commands,
                secret_columns=SECRET_COLUMNS,
            )
        )
    except LookoutError as error:
        sys.exit(f"{NAME}: {error}")
    except (RouteTableError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"{NAME}: the route table has faults:\n{error}")


def _add_username(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("username")


async def _rotate_keys() -> int:
    db, command = rotate_keys(load(GatewaySettings))
    try:
        kid, signs_from = await command()
    finally:
        await db.stop()
    sys.stdout.write(f"The key {kid} signs from {signs_from:%Y-%m-%d %H:%M:%S} UTC.\n")
    return 0


async def _reset_password(username: str) -> int:
    db, command = reset_password(load(GatewaySettings))
    password = _read_password()
    try:
        await command(username, password)
    finally:
        await db.stop()
    sys.stdout.write(f"The password of {username} is set, and the user is signed out everywhere.\n")
    return 0


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
