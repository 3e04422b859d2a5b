"""The commands: serve, demo, push, doctor, read, dead-letters, configuration."""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from all_in_one import configuration, doctor, push
from all_in_one.demo import command
from all_in_one.embedded import DEFAULT_PORT, build
from kit.service import run

NAMES = ("lookout", "all-in-one")
"""The programs' names: the second is that of earlier releases."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command of the command line; exits with its status."""
    options, rest = parser().parse_known_args(arguments)
    if rest and not isinstance(options.command, partial):
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    sys.exit(options.command(options))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog=Path(sys.argv[0]).name if Path(sys.argv[0]).name in NAMES else NAMES[0],
        description="Lookout in one process: start it, try it, look after it. The services have commands of their own.",
    )
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
    demo.add_argument(
        "--url", default="", help="play against the Lookout at that URL, on a new site, and start none"
    )
    demo.add_argument(
        "--user", default="superadmin", help="with --url: who signs in; password: LOOKOUT_PASSWORD"
    )
    demo.add_argument(
        "--token",
        default=os.environ.get("LOOKOUT_TOKEN", ""),
        help="with --url: in place of signing in (LOOKOUT_TOKEN)",
    )
    demo.add_argument(
        "--camera-host",
        default="",
        help="with --url: address of this machine under which Lookout reaches the cameras",
    )
    demo.set_defaults(command=command.demo)

    push_command = commands.add_parser(
        "push", help="send pictures as a camera does, and say what became of them"
    )
    push.add_arguments(push_command)
    push_command.set_defaults(command=push.push)

    doctor_command = commands.add_parser(
        "doctor", help="what is wrong, and what to do; status 1 where anything is"
    )
    doctor.add_arguments(doctor_command)
    doctor_command.set_defaults(command=doctor.doctor)

    for name, module, first, text in (
        ("read", "plate_ocr", ("read",), "read plates in pictures; nothing else is needed"),
        (
            "dead-letters",
            "kit",
            ("dead-letters",),
            "messages that could not be handled: list, show, replay, discard",
        ),
    ):
        other = commands.add_parser(name, help=text, add_help=False)
        other.set_defaults(command=partial(run_program, module, first))

    table = commands.add_parser("configuration", help="the table of all settings, generated from the code")
    mode = table.add_mutually_exclusive_group()
    mode.add_argument("--write", type=Path, help="write it to that file")
    mode.add_argument("--check", type=Path, help="exit with status 1 if that file differs")
    table.set_defaults(command=configuration.command)
    return top


def run_program(module: str, first: tuple[str, ...], options: argparse.Namespace) -> int:
    """Run a command of another package with the arguments behind its name."""
    command = [sys.executable, "-m", module, *first, *options.rest]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - one of our own programs


def default_folder() -> Path:
    """The default data folder of `serve`."""
    return Path(os.environ.get("LOOKOUT_DATA_DIR") or ".run")


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    run(lambda: build(options.data_dir, port=options.port), listen={"gateway"})
    return 0


if __name__ == "__main__":
    main()
