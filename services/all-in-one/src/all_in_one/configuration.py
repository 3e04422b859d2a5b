"""The documented table of every setting, made from the settings classes."""

import argparse
from pathlib import Path

from kit.config_table import config_tables
from kit.service import installed_services

INTRODUCTION = """\
# Configuration

Every setting of every service. `make docs` writes this page from the settings classes, `make check` compares the two.
Settings are environment variables. An alias is a second name; the first name takes precedence. In embedded mode the
only alias that counts is `CORS_ORIGINS`, because one `DATABASE_URL` cannot name three databases. A service does not
start with an unknown `LOOKOUT_<SERVICE>__` name, and prints the nearest known one; nor without a required setting.
"""


def page() -> str:
    """The whole page, Markdown."""
    return INTRODUCTION + "\n" + config_tables([service.settings for service in installed_services()])


def command(options: argparse.Namespace) -> int:
    """Print the page, write it, or compare a file with it."""
    path: Path | None = options.check or options.write
    if path is None:
        print(page())
    elif options.write:
        try:
            path.write_text(page())
        except OSError as error:
            print(f"configuration: cannot write {path}: {error.strerror}")
            return 1
        print(f"configuration: written to {path}")
    elif not path.exists() or path.read_text() != page():
        print(f"configuration: {path} differs from the settings. Run: make docs")
        return 1
    else:
        print(f"configuration: {path} agrees with the settings")
    return 0
