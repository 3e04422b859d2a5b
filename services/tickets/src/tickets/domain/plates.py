"""A plate as it was read, and the question whether two readings are of one car."""

from dataclasses import dataclass
from enum import Enum

# The plate_city values that parking portals use; the regions are the contract's ISO 3166-2 codes.
EMIRATE_CITIES = {
    "ae-du": "DXB",
    "ae-az": "AUH",
    "ae-sj": "SHJ",
    "ae-aj": "AJM",
    "ae-uq": "UAQ",
    "ae-rk": "RAK",
    "ae-fu": "FUJ",
}

UNKNOWN = "UNKNOWN"

# Characters that a reader takes for one another at a parking camera's distance. Folding serves only the
# question "is it the same car"; what is stored and shown is always the reading itself.
_FOLD = str.maketrans("OQDILZSGB", "000112568")


@dataclass(frozen=True, slots=True)
class Picture:
    """A blob; sizes are 0 when its maker did not say."""

    key: str
    content_type: str = ""
    size_bytes: int = 0
    sha256: str = ""
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True, slots=True)
class Character:
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Plate:
    """`confidence` is 0 to 1; `box_px` is x, y, width, height in the picture it was read in."""

    text: str
    region: str = ""
    code: str = ""
    number: str = ""
    confidence: float = 0.0
    characters: tuple[Character, ...] = ()
    box_px: tuple[float, float, float, float] | None = None
    crop: Picture | None = None
    raw_text: str = ""

    @property
    def full_number(self) -> str:
        """The number; the whole text where the plate has no number of its own."""
        return self.number or self.text

    @property
    def city(self) -> str:
        """As operators name it: an emirate's short name, else the region in upper case."""
        return EMIRATE_CITIES.get(self.region, self.region.upper())


class Likeness(Enum):
    SAME = "same"
    DIFFERENT = "different"
    # The readings contradict each other no more than one bad reading of one plate would.
    UNCLEAR = "unclear"


def fold(text: str) -> str:
    """`text` with the characters that are easily mistaken for one another made equal."""
    return "".join(c for c in text.upper() if c.isalnum()).translate(_FOLD)


def likeness(a: Plate, b: Plate) -> Likeness:
    """Whether two readings are of one plate.

    DIFFERENT needs two characters' worth of contradiction, and is not claimed where one reading may be a part
    of the other (a code that was not seen). The cost is accepted: two cars whose plates differ in a single
    character stay UNCLEAR, and the caller then keeps things as they are.
    """
    first, second = fold(a.text), fold(b.text)
    if not first or not second:
        return Likeness.UNCLEAR
    if first == second:
        regions_differ = bool(a.region and b.region and a.region != b.region)
        return Likeness.UNCLEAR if regions_differ else Likeness.SAME
    if first in second or second in first:
        return Likeness.UNCLEAR
    return Likeness.UNCLEAR if _is_within_one_edit(first, second) else Likeness.DIFFERENT


def _is_within_one_edit(a: str, b: str) -> bool:
    """For unequal strings: one substitution, insertion or deletion apart."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    if len(a) == len(b):
        return a[start + 1 :] == b[start + 1 :]
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[start + 1 :] == shorter[start:]
