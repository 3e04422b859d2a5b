"""The commands: `ingest serve`, `ingest migrate`, `ingest re-encrypt-secrets`."""

import sys

from ingest.settings import IngestSettings
from ingest.wiring import SECRET_COLUMNS, build
from kit.command_line import command_line


def main() -> None:
    """The program's entry point."""
    sys.exit(
        command_line(
            "ingest",
            "The site and its cameras.",
            lambda: (IngestSettings, build),
            secret_columns=SECRET_COLUMNS,
        )
    )


if __name__ == "__main__":
    main()
