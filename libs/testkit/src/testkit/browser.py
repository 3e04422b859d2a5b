"""Where a Chromium for tests of pages is; Playwright drives it. Playwright's own download would need another host."""

import os
import shutil

from testkit.processes import ServerMissing, apt_install

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-gpu")
"""As root, which a container often is, Chromium starts only without its sandbox; pages under test are our own."""


def chromium_path() -> str:
    """The program: from `TESTKIT_CHROMIUM`, else on the PATH, else Debian's package, installed as root.

    Raises:
        ServerMissing: there is none, and none could be installed.
    """
    given = os.environ.get("TESTKIT_CHROMIUM")
    if given:
        return given
    found = _installed()
    if found is None and apt_install("chromium"):
        found = _installed()
    if found is None:
        raise ServerMissing(
            "a Chromium is needed: install it (Debian: apt-get install chromium) or set TESTKIT_CHROMIUM to its path"
        )
    return found


def _installed() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)
