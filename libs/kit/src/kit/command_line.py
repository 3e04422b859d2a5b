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
    has_migrations: bool = True,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse `arguments` (None: those of the process), do what they say, return the exit status.

    `wiring` returns the settings class and the function that builds the service; it may import them only then.

    Raises:
        SystemExit: with a message where settings are wrong, a port is taken or a dependency is unavailable.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subparsers.add_parser("serve", help="run the service until it gets a signal")
    if has_migrations:
        migrate = subparsers.add_parser("migrate", help="bring the database's schema up to date")
        migrate.add_argument(
            "--revision", default="head", help="target revision (default: head; `base` with --down)"
        )
        migrate.add_argument("--down", action="store_true", help="downgrade to that revision")
    for command in commands:
        command.add_arguments(subparsers.add_parser(command.name, help=command.help))
    options = parser.parse_args(arguments)
    for command in commands:
        if command.name == options.command:
            return command.run(options)
    _serve_or_migrate(name, wiring, options)
    return 0


def _serve_or_migrate(name: str, wiring: Callable[[], tuple[Any, Any]], options: argparse.Namespace) -> None:
    import asyncio  # noqa: PLC0415 - see the module's docstring

    from kit import migrations  # noqa: PLC0415
    from kit.errors import LookoutError  # noqa: PLC0415
    from kit.service import run  # noqa: PLC0415
    from kit.settings import load  # noqa: PLC0415

    settings_class, build = wiring()
    settings = load(settings_class)
    try:
        if options.command == "serve":
            run(lambda: [build(settings)])
        else:
            move = migrations.downgrade if options.down else migrations.upgrade
            asyncio.run(move(settings.database, name.replace("-", "_"), options.revision))
    except LookoutError as error:
        sys.exit(f"{name}: {error}")
