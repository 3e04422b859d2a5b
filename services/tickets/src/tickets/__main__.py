"""The commands: `tickets serve`, `tickets migrate`."""

import sys

from kit.command_line import command_line
from tickets.settings import TicketsSettings
from tickets.wiring import build


def main() -> None:
    """The program's entry point."""
    description = "Parking sessions, occupancy, manual reviews."
    sys.exit(command_line("tickets", description, lambda: (TicketsSettings, build)))


if __name__ == "__main__":
    main()
