"""The command line of a service: `serve`, `migrate`, and the service's own commands.

Imports little by itself: the libraries of a service (bus, database, HTTP, gRPC) take two seconds to load, and a
command such as `--help` or one that reads a file does without them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Column

    from kit.service import Service
    from kit.settings import ServiceSettings

S = TypeVar("S", bound="ServiceSettings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of the service's own. `run` gets the parsed arguments and returns the exit status."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], object] = lambda _parser: None


def command_line(
    name: str,
    description: str,
    wiring: "Callable[[], tuple[type[S], Callable[[S], Service]]]",
    *,
    commands: Sequence[Command] = (),
    secret_columns: "Sequence[Column[str]]" = (),
    has_migrations: bool = True,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse `arguments` (None: those of the process), do what they say, return the exit status.

    `wiring` returns the settings class and the function that builds the service; it may import them only then.
    `secret_columns` contain encrypted secrets; a service that has some has the command `re-encrypt-secrets`, and its
    settings are `SecretsSettings`.

    Raises:
        SystemExit: with a message where settings are wrong, a port is taken or a dependency is unavailable.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subparsers.add_parser("serve", help="run the service until it gets a signal")
    if has_migrations:
        migrate = subparsers.add_parser("migrate", help="bring the database's schema up to date")
        migrate.add_argument(
            "--revision",
            help="target revision (default: head); with --down it must be named, `base` is no table",
        )
        migrate.add_argument("--down", action="store_true", help="downgrade to that revision: data is lost")
        migrate.add_argument("--yes", action="store_true", help="do not ask before a downgrade")
    if secret_columns:
        subparsers.add_parser(
            "re-encrypt-secrets", help="encrypt stored secrets with the first key of secrets_key"
        )
    for command in commands:
        command.add_arguments(subparsers.add_parser(command.name, help=command.help))
    options = parser.parse_args(arguments)
    if options.command == "migrate" and has_migrations and options.down and not options.revision:
        parser.error("--down needs --revision: the revision to go back to, or base, which drops every table")
    for command in commands:
        if command.name == options.command:
            return command.run(options)
    _run_common(name, wiring, secret_columns, options)
    return 0


def _run_common(
    name: str,
    wiring: Callable[[], tuple[Any, Any]],
    secret_columns: "Sequence[Column[str]]",
    options: argparse.Namespace,
) -> None:
    import asyncio  # noqa: PLC0415 - see the module's docstring

    from kit.errors import LookoutError, ServiceFailed  # noqa: PLC0415
    from kit.secrets import DecryptionError  # noqa: PLC0415
    from kit.service import run  # noqa: PLC0415
    from kit.settings import load  # noqa: PLC0415

    settings_class, build = wiring()
    settings = load(settings_class)
    try:
        if options.command == "serve":
            run(lambda: [build(settings)])
        elif options.command == "re-encrypt-secrets":
            changed = asyncio.run(_re_encrypt(settings, secret_columns))
            sys.stdout.write(f"{changed} secrets encrypted with the first key.\n")
        else:
            asyncio.run(_migrate(name, settings.database, options))
    except (LookoutError, DecryptionError, ServiceFailed) as error:
        sys.exit(f"{name}: {error}")


async def _migrate(name: str, database: Any, options: argparse.Namespace) -> None:
    from kit import migrations  # noqa: PLC0415 - see the module's docstring
    from kit.errors import Conflict  # noqa: PLC0415

    package = name.replace("-", "_")
    if not options.down:
        await migrations.upgrade(database, package, options.revision or "head")
        return
    before = await migrations.current(database, package)
    if users := await migrations.users_of(database, name):
        raise Conflict(f"{name} is running ({users} connections to its database): stop it before a downgrade")
    what = (
        "every table is dropped"
        if options.revision == "base"
        else "what the later revisions added is dropped"
    )
    question = (
        f"Downgrade {name} from revision {before} to {options.revision}; {what} with its data. Type yes: "
    )
    if not options.yes and not _is_confirmed(question):
        raise Conflict("nothing was changed: --yes downgrades without asking")
    await migrations.downgrade(database, package, options.revision)
    sys.stdout.write(f"{name}: downgraded to revision {options.revision}.\n")


def _is_confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "yes"


async def _re_encrypt(settings: Any, columns: "Sequence[Column[str]]") -> int:
    from kit.db import Database  # noqa: PLC0415 - see the module's docstring
    from kit.service import open_secret_box  # noqa: PLC0415
    from kit.stored_secrets import re_encrypt  # noqa: PLC0415

    db = Database(settings.database, settings.service_name)
    await db.start()
    try:
        return await re_encrypt(db, open_secret_box(settings), columns)
    finally:
        await db.stop()
