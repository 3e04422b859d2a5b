"""The commands: serve, demo, configuration."""

import argparse
import os
import sys
from pathlib import Path

from all_in_one import configuration
from all_in_one.demo import command
from all_in_one.embedded import DEFAULT_PORT, build
from kit.service import run


def main(arguments: list[str] | None = None) -> None:
    """Run the command of the command line; exits with its status."""
    options = parser().parse_args(arguments)
    sys.exit(options.command(options))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="all-in-one", description="Every service of Lookout in one process.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    serve_command = commands.add_parser("serve", help="start everything, embedded, on one port")
    serve_command.add_argument(
        "--port", type=int, default=None, help=f"port of the gateway (default {DEFAULT_PORT})"
    )
    serve_command.add_argument("--data-dir", type=Path, default=default_folder(), help="folder of the data")
    serve_command.set_defaults(command=serve)

    demo = commands.add_parser("demo", help="play a morning at a car park and check every ticket")
    demo.add_argument(
        "--port", type=int, default=None, help=f"port (default {DEFAULT_PORT}, else a free one)"
    )
    demo.add_argument("--keep", action="store_true", help="leave it running afterwards")
    demo.add_argument("--data-dir", type=Path, default=Path(".demo"), help="folder, emptied at the start")
    demo.set_defaults(command=command.demo)

    table = commands.add_parser("configuration", help="the table of all settings, generated from the code")
    mode = table.add_mutually_exclusive_group()
    mode.add_argument("--write", type=Path, help="write it to that file")
    mode.add_argument("--check", type=Path, help="exit with status 1 if that file differs")
    table.set_defaults(command=configuration.command)
    return top


def default_folder() -> Path:
    """The default data folder of `serve`."""
    return Path(os.environ.get("LOOKOUT_DATA_DIR") or ".run")


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    run(lambda: build(options.data_dir, port=options.port), listen={"gateway"})
    return 0


if __name__ == "__main__":
    main()
