"""The documented table of every setting, made from the settings classes."""

import argparse
from pathlib import Path

from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from kit.config_table import config_tables
from plate_ocr.settings import PlateOcrSettings
from tickets.settings import TicketsSettings

INTRODUCTION = """\
# Configuration

Every setting of every service, from the settings classes: `make docs` writes this page, `make check` holds it
against the code. Settings are environment variables. An alias is a second name, and loses against the first.
All in one process heeds only the alias `CORS_ORIGINS`: one `DATABASE_URL` cannot stand for three databases.
A misspelt `LOOKOUT_<SERVICE>__` name stops the service, and it says the nearest name it knows; so does a
missing required one.
"""


def page() -> str:
    """The whole page, Markdown."""
    return (
        INTRODUCTION
        + "\n"
        + config_tables((GatewaySettings, IngestSettings, PlateOcrSettings, TicketsSettings))
    )


def command(options: argparse.Namespace) -> int:
    """Print the page, write it, or hold a file against it."""
    path: Path | None = options.check or options.write
    if path is None:
        print(page())
    elif options.write:
        path.write_text(page())
        print(f"configuration: written to {path}")
    elif not path.exists() or path.read_text() != page():
        print(f"configuration: {path} is not what the settings say. Run: make docs")
        return 1
    else:
        print(f"configuration: {path} is what the settings say")
    return 0
