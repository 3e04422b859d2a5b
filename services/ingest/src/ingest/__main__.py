"""The commands: `ingest serve`, `ingest migrate`."""

import sys

from ingest.settings import IngestSettings
from ingest.wiring import build
from kit.command_line import command_line


def main() -> None:
    """The program's entry point."""
    sys.exit(command_line("ingest", "The site and its cameras.", lambda: (IngestSettings, build)))


if __name__ == "__main__":
    main()
