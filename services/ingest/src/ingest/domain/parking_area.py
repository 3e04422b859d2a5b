"""`parking_area` in a push: the location's letters, then the camera's digits, as in NAD95."""

import re
from dataclasses import dataclass

from ingest.domain.errors import InvalidValue

LOCATION_CODE = re.compile(r"[A-Z]{1,16}")
API_CODE = re.compile(r"[0-9]{1,9}")
_AREA = re.compile(r"([A-Z]{1,16})([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class ParkingArea:
    """Which camera of which location."""

    location_code: str
    api_code: str

    @property
    def name(self) -> str:
        """As a push writes it."""
        return f"{self.location_code}{self.api_code}"


def parse_parking_area(value: object) -> ParkingArea:
    """Letters and digits, in either case, blanks anywhere.

    Raises:
        InvalidValue: with the reason.
    """
    if not isinstance(value, str):
        raise InvalidValue("must be letters and digits, as in NAD95")
    match = _AREA.fullmatch("".join(value.split()).upper()) if value.isascii() else None
    if match is None:
        raise InvalidValue("must be letters and digits, as in NAD95")
    return ParkingArea(match[1], match[2])
