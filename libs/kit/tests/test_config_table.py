from typing import Any, ClassVar

import pytest
from pydantic import Field, SecretStr

from kit.config_table import config_table, config_tables
from kit.settings import DatabaseSettings, ServiceSettings


class ToySettings(ServiceSettings):
    service_name = "toy-box"
    defaults: ClassVar[dict[str, Any]] = {"http.port": 8199}
    aliases: ClassVar[dict[str, str]] = {"TOY_KEY": "key", "OLD_TOY_KEY": "key"}

    database: DatabaseSettings = Field(description="database")
    key: SecretStr = Field(SecretStr("shown-nowhere"), description="key | of the box")
    wait_s: float | None = Field(None, description="wait in seconds")
    delays_s: tuple[float, ...] = Field((0.5, 30.0), description="delays in seconds")


def rows() -> dict[str, list[str]]:
    lines = config_table(ToySettings).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize(
    ("env", "row"),
    [
        ("HTTP__PORT", ["", "integer", "`8199`", "port to listen on; 0 takes a free one"]),
        ("KEY", ["`TOY_KEY`, `OLD_TOY_KEY`", "secret", "`(hidden)`", "key \\| of the box"]),
        ("WAIT_S", ["", "number", "none", "wait in seconds"]),
        ("DELAYS_S", ["", "list of number", "`0.5,30`", "delays in seconds"]),
        ("MODE", ["`LOOKOUT_MODE`", "`embedded` or `distributed`", "`distributed`"]),
        ("DATABASE__MIGRATE_ON_START", ["", "true or false", "`true`"]),
        (
            "DATABASE__URL",
            ["`DATABASE_URL`", "secret", "required; embedded: `sqlite:///<data_dir>/toy-box.db`"],
        ),
    ],
)
def test_a_row_has_name_aliases_type_default_and_description(env: str, row: list[str]) -> None:
    assert rows()[f"`LOOKOUT_TOY_BOX__{env}`"][: len(row)] == row


def test_no_secret_and_no_path_of_this_machine_is_in_the_table() -> None:
    text = config_tables([ToySettings])
    assert text.startswith("## toy-box\n\n| Environment name |")
    assert "shown-nowhere" not in text
    assert text.endswith("|\n")


def test_a_field_without_a_description_is_refused() -> None:
    class Mute(ServiceSettings):
        service_name = "mute"
        speed: int = 1

    with pytest.raises(ValueError, match="speed has no description"):
        config_table(Mute)
