from collections.abc import Callable

import pytest

from all_in_one.demo.scenario import EXPECTED, STEPS, ActualTicket, Kind, differences

EXPECTED_TICKETS = [
    ActualTicket(
        ticket.spot,
        ticket.plate,
        ticket.entry_minute,
        ticket.exit_minute,
        ticket.reopened,
    )
    for ticket in EXPECTED
]


def without_one(tickets: list[ActualTicket]) -> list[ActualTicket]:
    return tickets[1:]


def with_a_second(tickets: list[ActualTicket]) -> list[ActualTicket]:
    return [*tickets, tickets[0]]


def with_an_unexpected_one(tickets: list[ActualTicket]) -> list[ActualTicket]:
    return [*tickets, ActualTicket(("97", 2), "X1", 2, None, 0)]


def altered(**fields: object) -> Callable[[list[ActualTicket]], list[ActualTicket]]:
    def alter(tickets: list[ActualTicket]) -> list[ActualTicket]:
        unchanged = {
            "spot": tickets[0].spot,
            "plate": tickets[0].plate,
            "entry_minute": tickets[0].entry_minute,
            "exit_minute": tickets[0].exit_minute,
            "reopened": tickets[0].reopened,
        }
        return [ActualTicket(**{**unchanged, **fields}), *tickets[1:]]  # type: ignore[arg-type]

    return alter


def test_expected_tickets_have_no_differences() -> None:
    assert list(differences(EXPECTED, EXPECTED_TICKETS)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_one, "no ticket"),
        (with_a_second, "second"),
        (with_an_unexpected_one, "unexpected ticket"),
        (altered(plate="D71O26"), "the ticket says D71O26"),
        (altered(exit_minute=None), "exit"),
        (altered(reopened=1), "reopened"),
    ],
)
def test_every_difference_is_found(
    change: Callable[[list[ActualTicket]], list[ActualTicket]], message: str
) -> None:
    found = list(differences(EXPECTED, change(list(EXPECTED_TICKETS))))
    assert len(found) == 1
    assert message in found[0]


def test_steps_are_in_order_and_cars_only_leave_spots_they_are_in() -> None:
    assert [step.minute for step in STEPS] == sorted(step.minute for step in STEPS)
    parked: dict[tuple[str, int], bool] = {}
    for step in STEPS:
        if step.arrives is not None:
            assert not parked.get(step.spot), f"{step.description}: the spot is occupied"
            parked[step.spot] = True
        if step.leaves:
            assert step.kind is Kind.EXIT
            assert parked.pop(step.spot), f"{step.description}: the spot is free"
