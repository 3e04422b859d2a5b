"""Plates as they were read, and whether two reads may be of the same plate."""

import unicodedata
from dataclasses import dataclass
from enum import Enum

# The plate_city values that parking portals use, by region as in `lookout.common.v1.Plate`.
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

# What people write between the parts of a plate: white space, dashes, and characters without a width (marks of the
# direction of writing, which are copied along with Arabic text).
_SEPARATOR_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Pd"})
_SEPARATORS = frozenset("./|·•")

# Characters that OCR confuses at the distance of a parking camera. Folded texts are compared and never stored or shown.
_FOLD = str.maketrans("OQDILZSGB", "000112568")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in the blob store. Sizes are 0 where the sender did not give them."""

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
    """`confidence` is 0 to 1; `box_px` is x, y, width, height in pixels of the picture that it was read in."""

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
        """The number, or the whole text of a plate that has no separate number."""
        return self.number or self.text

    @property
    def city(self) -> str:
        """An emirate's short name as portals use it, else the region in upper case."""
        return EMIRATE_CITIES.get(self.region, self.region.upper())


class PlateMatch(Enum):
    SAME = "same"
    DIFFERENT = "different"
    # The texts differ by no more than one misread character or a missing part.
    UNCLEAR = "unclear"


def plate_pattern(text: str) -> str:
    """A plate, or a part of one, as plates are stored: upper case, ASCII digits, no separators.

    Full-width letters and digits and the digits of other scripts (Arabic-Indic, Persian, …) become ASCII.

    Raises:
        ValueError: nothing is left that a plate could contain.
    """
    folded = "".join(
        str(unicodedata.decimal(character, character))
        for character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(character) not in _SEPARATOR_CATEGORIES and character not in _SEPARATORS
    ).upper()
    if not any(character.isalnum() for character in folded):
        raise ValueError("has no letter and no digit")
    return folded


def fold(text: str) -> str:
    """`text` in upper case, letters and digits only, with characters that OCR confuses replaced by one of them."""
    return "".join(c for c in text.upper() if c.isalnum()).translate(_FOLD)


def compare_plates(a: Plate, b: Plate) -> PlateMatch:
    """Whether two reads are of the same plate.

    DIFFERENT needs a difference of at least two characters, and is never returned where one text contains the other
    (the code may not have been visible). Two cars whose plates differ in a single character are therefore UNCLEAR, and
    callers treat them as possibly the same.
    """
    first, second = fold(a.text), fold(b.text)
    if not first or not second:
        return PlateMatch.UNCLEAR
    if first == second:
        is_other_region = bool(a.region and b.region and a.region != b.region)
        return PlateMatch.UNCLEAR if is_other_region else PlateMatch.SAME
    if first in second or second in first:
        return PlateMatch.UNCLEAR
    return PlateMatch.UNCLEAR if _is_within_one_edit(first, second) else PlateMatch.DIFFERENT


def _is_within_one_edit(a: str, b: str) -> bool:
    """Whether unequal strings differ by one substitution, insertion or deletion."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    if len(a) == len(b):
        return a[start + 1 :] == b[start + 1 :]
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[start + 1 :] == shorter[start:]
