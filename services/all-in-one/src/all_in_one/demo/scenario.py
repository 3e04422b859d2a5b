"""The demo's scenario: a morning at a car park with three cameras, and the tickets that must exist afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from all_in_one.pictures import ParkedCar

SpotKey = tuple[str, int]
"""A camera's api code and the number of a spot at that camera."""


@dataclass(frozen=True)
class Car:
    """A car: how it is drawn, and the plate text that is expected."""

    drawn: ParkedCar

    @property
    def text(self) -> str:
        """The plate without spaces; UNKNOWN if it is too dirty to be read."""
        return "UNKNOWN" if self.drawn.is_dirty else (self.drawn.plate or "").replace(" ", "")


class Kind(StrEnum):
    """What the camera's push says."""

    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True)
class Step:
    """One push of a camera.

    `arrives` and `leaves` say what really happens in the scene before the push, which a fresh picture of the camera
    shows. `expected_outcome` is the outcome that `Prefer: wait` must answer.
    """

    minute: int
    spot: SpotKey
    kind: Kind
    description: str
    expected_outcome: str
    arrives: Car | None = None
    leaves: bool = False
    is_repeat: bool = False
    is_passing: bool = False

    @property
    def offset(self) -> timedelta:
        """Time since the start of the scenario."""
        return timedelta(minutes=self.minute)


@dataclass(frozen=True)
class ExpectedTicket:
    """A ticket that must exist. Minutes count from the start of the scenario; no exit while it is open."""

    spot: SpotKey
    plate: str
    entry_minute: int
    exit_minute: int | None
    reopened: int = 0


DUBAI = Car(ParkedCar("D 71026", "ae-du", paint=0))
ABU_DHABI = Car(ParkedCar("11 48213", "ae-az", paint=1))
GERMANY = Car(ParkedCar("B MX 4821", "de", paint=3))
CALIFORNIA = Car(ParkedCar("7ABK123", "us-ca", paint=2))
BRAZIL = Car(ParkedCar("BRA2E19", "br", paint=4))
DIRTY = Car(ParkedCar("K 40317", "ae-du", paint=3, is_dirty=True))

STEPS = (
    Step(0, ("95", 1), Kind.ENTRY, "A car from Dubai parks", "opened", arrives=DUBAI),
    Step(4, ("95", 2), Kind.ENTRY, "A car from Abu Dhabi parks", "opened", arrives=ABU_DHABI),
    Step(4, ("95", 2), Kind.ENTRY, "The camera lost our answer and repeats itself", "opened", is_repeat=True),
    Step(11, ("96", 1), Kind.ENTRY, "A car from Germany parks", "opened", arrives=GERMANY),
    Step(15, ("96", 2), Kind.ENTRY, "A car parks whose plate is under mud", "opened", arrives=DIRTY),
    Step(
        21,
        ("95", 1),
        Kind.EXIT,
        "Somebody walks past: the Dubai car only seems to leave",
        "still_occupied",
    ),
    Step(30, ("95", 2), Kind.ENTRY, "The Abu Dhabi spot is triggered a second time", "ignored"),
    Step(41, ("95", 1), Kind.EXIT, "Now the Dubai car leaves", "closed", leaves=True),
    Step(44, ("95", 1), Kind.ENTRY, "A car drives past and does not stop", "ignored", is_passing=True),
    Step(46, ("97", 1), Kind.ENTRY, "A car from California parks", "opened", arrives=CALIFORNIA),
    Step(52, ("96", 1), Kind.EXIT, "The German car leaves", "closed", leaves=True),
    Step(57, ("96", 1), Kind.ENTRY, "It is back: the driver forgot the milk", "reopened", arrives=GERMANY),
    Step(66, ("96", 2), Kind.EXIT, "The car with the muddy plate leaves", "closed", leaves=True),
    Step(71, ("95", 1), Kind.ENTRY, "A car from Brazil takes the free spot", "opened", arrives=BRAZIL),
)

EXPECTED = (
    ExpectedTicket(("95", 1), DUBAI.text, 0, 41),
    ExpectedTicket(("95", 2), ABU_DHABI.text, 4, None),
    ExpectedTicket(("96", 1), GERMANY.text, 11, None, reopened=1),
    ExpectedTicket(("96", 2), DIRTY.text, 15, 66),
    ExpectedTicket(("97", 1), CALIFORNIA.text, 46, None),
    ExpectedTicket(("95", 1), BRAZIL.text, 71, None),
)

LENGTH = timedelta(minutes=75)


@dataclass(frozen=True)
class ActualTicket:
    """A ticket of the API, reduced to what is compared."""

    spot: SpotKey
    plate: str
    entry_minute: int
    exit_minute: int | None
    reopened: int


def differences(expected: tuple[ExpectedTicket, ...], actual: list[ActualTicket]) -> Iterator[str]:
    """The differences between expected and actual tickets, one message each."""
    expected_by_key = {(target.spot, target.entry_minute): target for target in expected}
    seen: set[tuple[SpotKey, int]] = set()
    for ticket in actual:
        key = (ticket.spot, ticket.entry_minute)
        where = f"camera {ticket.spot[0]} spot {ticket.spot[1]} at minute {ticket.entry_minute}"
        target = expected_by_key.get(key)
        if target is None:
            yield f"{where}: unexpected ticket for {ticket.plate}"
            continue
        if key in seen:
            yield f"{where}: a second ticket"
        seen.add(key)
        if ticket.plate != target.plate:
            yield f"{where}: the plate is {target.plate}, the ticket says {ticket.plate}"
        if ticket.exit_minute != target.exit_minute:
            yield f"{where}: exit expected at minute {target.exit_minute}, found {ticket.exit_minute}"
        if ticket.reopened != target.reopened:
            yield f"{where}: reopened {target.reopened} times, the ticket says {ticket.reopened}"
    for key, target in expected_by_key.items():
        if key not in seen:
            code, number = target.spot
            yield f"camera {code} spot {number} at minute {target.entry_minute}: no ticket for {target.plate}"
