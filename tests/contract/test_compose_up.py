"""What `make up` checks before it changes anything."""

from dataclasses import replace

import pytest

from compose_up import Facts, problems_of, stopped_since, variables_of, version_of

GOOD = Facts(
    compose_version=(2, 26, 1), secrets={"POSTGRES_PASSWORD": "c2f1b9a07d5e"}, postgres_password="right"
)


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, []),
        ({"port_state": "ours"}, []),
        (
            {"docker_error": "permission denied", "has_buildx": False},
            ["Docker cannot be used: permission denied"],
        ),
        ({"compose_version": None, "has_buildx": False}, ["no compose plugin"]),
        ({"compose_version": (2, 16, 0)}, ["2.16.0; 2.17 or newer"]),
        ({"has_buildx": False}, ["no buildx"]),
        ({"compose_error": "unknown key x"}, ["unknown key x"]),
        ({"port": 8080, "port_state": "taken"}, ["Another program uses port 8080"]),
        ({"secrets": {"A_KEY": "", "B_TOKEN": "  "}}, ["A_KEY is empty", "B_TOKEN is empty"]),
        ({"secrets": {"A_KEY": "changeme"}}, ["A_KEY in .env is a default"]),
        ({"secrets": {"A_KEY": "please-change-me-now"}}, ["A_KEY in .env is a default"]),
        ({"secrets": {"A_KEY": "<your key>"}}, ["A_KEY in .env is a default"]),
        ({"secrets": {"A_KEY": "xxxxxxxxxxxx"}}, ["A_KEY in .env is a default"]),
        ({"secrets": {"A_KEY": "minioadmin"}}, ["A_KEY in .env is a default"]),
        ({"secrets": {"A_KEY": "Password"}}, ["A_KEY in .env is a default"]),
        ({"secrets": {"A_KEY": "kJ8#q"}}, ["A_KEY in .env has 5 characters"]),
        ({"secrets": {"A_KEY": "adminkJ8#qlookout"}}, []),
        (
            {"postgres_password": "wrong"},
            ["POSTGRES_PASSWORD in .env is not the password that PostgreSQL has"],
        ),
        ({"rabbitmq_password": "wrong"}, ["RABBITMQ_PASSWORD in .env is not the password that RabbitMQ has"]),
        ({"missing_images": ("lookout/gateway:1",)}, ["no image lookout/gateway:1"]),
        ({"has_buildx": False, "port_state": "taken"}, ["no buildx", "Another program"]),
    ],
)
def test_what_stands_in_the_way_of_a_start(changes: dict[str, object], problems: list[str]) -> None:
    found = problems_of(replace(GOOD, **changes))  # type: ignore[arg-type] # the table's values
    assert len(found) == len(problems), found
    for part, problem in zip(problems, found, strict=True):
        assert part in problem
        assert "hunter" not in problem


@pytest.mark.parametrize(
    ("text", "version"),
    [("2.26.1-4\n", (2, 26, 1)), ("v2.17", (2, 17)), ("2.17.0", (2, 17, 0)), ("dev", None), ("", None)],
)
def test_the_version_of_the_plugin(text: str, version: tuple[int, ...] | None) -> None:
    assert version_of(text) == version


def test_the_variables_of_a_file() -> None:
    text = "# A=1\nA=one two\n B = 2\nC='three'\nD=\"\"\nE=a=b\nlower=x\n"
    assert variables_of(text) == {"A": "one two", "C": "three", "D": "", "E": "a=b"}


@pytest.mark.parametrize(
    ("before", "now", "stopped"),
    [
        ({"gateway"}, {"gateway": "running"}, []),
        ({"gateway", "ingest"}, {"gateway": "created", "ingest": "exited"}, ["gateway", "ingest"]),
        ({"gateway"}, {"gateway": "restarting", "ingest": "created"}, []),
        ({"gateway"}, {}, []),
    ],
)
def test_what_ran_before_and_does_not_now_is_started_again(
    before: set[str], now: dict[str, str], stopped: list[str]
) -> None:
    assert stopped_since(before, now) == stopped
