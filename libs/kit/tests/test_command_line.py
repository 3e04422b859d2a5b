import argparse
from pathlib import Path
from typing import Any

import pytest

from kit.command_line import Command, command_line


def unused_wiring() -> Any:
    raise AssertionError("a command of the service's own needs no wiring")


def test_a_services_own_command_gets_its_arguments_and_returns_the_status() -> None:
    seen: list[Path] = []

    def count(options: argparse.Namespace) -> int:
        seen.extend(options.files)
        return 3

    command = Command(
        name="count",
        help="count files",
        add_arguments=lambda parser: parser.add_argument("files", nargs="+", type=Path),
        run=count,
    )
    arguments = ["count", "a", "b"]
    assert command_line("toy", "A toy.", unused_wiring, commands=(command,), arguments=arguments) == 3
    assert seen == [Path("a"), Path("b")]


@pytest.mark.parametrize("has_migrations", [True, False])
def test_a_service_without_a_database_has_no_migrate_command(
    capsys: pytest.CaptureFixture[str], has_migrations: bool
) -> None:
    with pytest.raises(SystemExit) as end:
        command_line("toy", "A toy.", unused_wiring, has_migrations=has_migrations, arguments=["--help"])
    assert end.value.code == 0
    assert ("migrate" in capsys.readouterr().out) is has_migrations
