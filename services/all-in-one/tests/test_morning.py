from collections.abc import Callable

import pytest

from all_in_one.demo.morning import EXPECTED, MORNING, BookedTicket, Kind, mistakes

RIGHT = [
    BookedTicket(want.place, want.plate, want.entry_minute, want.exit_minute, want.reopened)
    for want in EXPECTED
]


def without_one(books: list[BookedTicket]) -> list[BookedTicket]:
    return books[1:]


def with_a_second(books: list[BookedTicket]) -> list[BookedTicket]:
    return [*books, books[0]]


def with_a_stranger(books: list[BookedTicket]) -> list[BookedTicket]:
    return [*books, BookedTicket(("97", 2), "X1", 2, None, 0)]


def altered(**change: object) -> Callable[[list[BookedTicket]], list[BookedTicket]]:
    def alter(books: list[BookedTicket]) -> list[BookedTicket]:
        fields = {
            "place": books[0].place,
            "plate": books[0].plate,
            "entry_minute": books[0].entry_minute,
            "exit_minute": books[0].exit_minute,
            "reopened": books[0].reopened,
        }
        return [BookedTicket(**{**fields, **change}), *books[1:]]  # type: ignore[arg-type]

    return alter


def test_right_books_have_no_mistake() -> None:
    assert list(mistakes(EXPECTED, RIGHT)) == []


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (without_one, "no ticket"),
        (with_a_second, "second"),
        (with_a_stranger, "nobody expected"),
        (altered(plate="D71O26"), "the ticket says D71O26"),
        (altered(exit_minute=None), "exit"),
        (altered(reopened=1), "reopened"),
    ],
)
def test_every_mistake_is_named(harm: Callable[[list[BookedTicket]], list[BookedTicket]], word: str) -> None:
    found = list(mistakes(EXPECTED, harm(list(RIGHT))))
    assert len(found) == 1
    assert word in found[0]


def test_the_story_is_told_in_order_and_makes_sense() -> None:
    assert [step.minute for step in MORNING] == sorted(step.minute for step in MORNING)
    parked: dict[tuple[str, int], bool] = {}
    for step in MORNING:
        if step.arrives is not None:
            assert not parked.get(step.place), f"{step.story}: the spot is taken"
            parked[step.place] = True
        if step.leaves:
            assert step.kind is Kind.EXIT
            assert parked.pop(step.place), f"{step.story}: nobody stands there"
