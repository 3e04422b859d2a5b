"""`python -m attack [--mode embedded|distributed] [NAME …]`: run the attacks and print what held.

Everything runs on this machine, against processes that the program starts itself and stops at the end. It exits with
status 1 if something did not hold.
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console

from attack import clients, faults, pictures_through_http
from attack.checks import Attack, Check
from attack.target import Mode

ATTACKS = (
    Attack("strips", pictures_through_http.strips),
    Attack("scans", pictures_through_http.scans),
    Attack("large-calls", pictures_through_http.large_calls),
    Attack("public-reads", pictures_through_http.public_reads_without_end),
    Attack("killed-while-reading", faults.killed_while_reading),
    Attack("stop", faults.stop_in_the_worst_moment),
    Attack("clock-ahead", faults.clock_ahead, ("embedded",)),
    Attack("push-from-the-future", clients.push_from_the_future),
    Attack("flood", clients.flood),
    Attack("full-disk", clients.full_disk, ("embedded",)),
    Attack("made-up-exit", clients.made_up_exit),
    Attack("unfinished-requests", clients.unfinished_requests),
    Attack("damaged-files", faults.damaged_files, ("embedded",)),
    Attack("second-process", faults.second_process, ("embedded",)),
    Attack("taken-port", faults.taken_port, ("embedded",)),
    Attack("control-characters", clients.control_characters),
    Attack("unknown-parameters", clients.unknown_parameters),
    Attack("passwords", clients.passwords),
    Attack("forged-tokens", clients.forged_tokens),
)


def main() -> int:
    """Run the attacks that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(one.name for one in ATTACKS))
    parser.add_argument("--mode", choices=("embedded", "distributed"), default="embedded")
    options = parser.parse_args()
    if unknown := set(options.names) - {one.name for one in ATTACKS}:
        parser.error(f"no attack is named {', '.join(sorted(unknown))}")
    mode: Mode = options.mode
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    counts = {True: 0, False: 0, None: 0}
    started_s = time.monotonic()
    for attack in ATTACKS:
        if (options.names and attack.name not in options.names) or mode not in attack.modes:
            continue
        console.print(f"[bold]{attack.name}[/]  [dim]{(attack.run.__doc__ or '').strip()}[/]")
        for check in checks_of(attack, mode):
            counts[check.is_held] += 1
            mark = {True: "[green]held[/]    ", False: "[red]NOT HELD[/]", None: "[yellow]not tried[/]"}
            console.print(f"  {mark[check.is_held]} {check.what}: ", end="")
            console.print(check.detail or "nothing was seen", markup=False)
    console.print(
        f"{counts[True]} held, {counts[False]} did not hold, {counts[None]} not tried, "
        f"{mode}, {time.monotonic() - started_s:.0f} s"
    )
    return 1 if counts[False] else 0


def checks_of(attack: Attack, mode: Mode) -> list[Check]:
    """The checks of an attack; an attack that ends with an error counts as not held."""
    checks: list[Check] = []
    try:
        for check in attack.run(mode):
            checks.append(check)  # noqa: PERF402 - keeps what was found before an error
    except Exception as error:  # noqa: BLE001 - the other attacks still run
        checks.append(
            Check("the attack ran to its end", is_held=False, detail=f"{type(error).__name__}: {error}"[:600])
        )
    return checks


if __name__ == "__main__":
    sys.exit(main())
