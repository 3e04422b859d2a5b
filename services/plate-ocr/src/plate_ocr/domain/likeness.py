"""Does a line of text look like a plate? Judged by the text alone."""

import re
from itertools import pairwise

from plate_ocr.domain.values import TextReading

MIN_LIKENESS = 0.5
"""From here on a line is reported as a plate on its own."""

MIN_CHARACTERS = 4
MAX_CHARACTERS = 8

_SEPARATORS = r"[-=.:/ ·±]"
_TIME_STAMPS = (
    re.compile(rf"^\d{{4}}{_SEPARATORS}\d{{1,2}}({_SEPARATORS}|$)"),
    re.compile(rf"^\d{{1,2}}{_SEPARATORS}\d{{1,2}}{_SEPARATORS}\d{{2,4}}$"),
    re.compile(r"^\d{1,2}[:.]\d{2}(\D|$)"),
    re.compile(r"^\d{2}:\d"),
    re.compile(r"^\d{1,2}\s?(AM|PM)$", re.IGNORECASE),
    re.compile(
        r"^\d{1,2}[-. ]?(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[-. ]?(\d{2}|\d{4})$", re.IGNORECASE
    ),
)
_PHONE = re.compile(r"^\+?(\d[-. ])?(\(?\d{3}\)?[-. ])?\d{3}[-. ]\d{4}$")
_ADDRESS = re.compile(r"(www|https?|\.(com|net|org|ae|de|co)\b|@)", re.IGNORECASE)
_TWO_GROUPS = re.compile(r"^[A-Z]{3}[-=·. ][A-Z]{3}$")
_DIGIT_GROUPS = re.compile(r"^[\dOIl .·-]+$")
_MARKS = frozenset("©®™")
_EIGHT_DIGITS = re.compile(r"^\d{3}-\d{2}-\d{3}$")  # Israel; any other eight digits are a torn date or time

# Letters whose small form is another shape than the capital: the recogniser does not mix these up.
_PLAINLY_SMALL = frozenset("abdefghijlmnqrty")

# Engines, trims and models that stand on tailgates in plate-like capitals (own list).
_BADGES = re.compile(
    r"^(\d\.\d.*|[1-9]\d{0,2}(I|D|CI|CDI|TDI|TSI|TFSI|HDI|DCI|CRDI|KW|HP|MPH|KMH|L|T)"
    r"|(TDI|TSI|GTI|GTD|HDI|DCI|CDI|CRDI|TFSI|FSI|V6|V8|V10|V12|AWD|4WD|2WD|4X4|4MATIC|XDRIVE|QUATTRO|TURBO|HYBRID|DIESEL)\d*"
    r"|\d{1,2}(V|VALVE)|16V|[VWX][68]|XDRIVE\d+[DI]|[SEXQ]?DRIVE\d*|(HB|XC|RAV|CX|HR|CR|MX|IX|GLK|CLK|SLK)\d{1,3}(TURBO)?)$"
)


def likeness(reading: TextReading) -> float:
    """0 (no plate) to 1 (nothing speaks against it). How sure the characters are does not enter.

    The figures behind the steps are ordinal: they rank candidates of one picture and decide at `MIN_LIKENESS`.
    """
    text, printed = reading.text, reading.printed
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS or is_running_text(reading) or is_overlay(reading):
        return 0.0
    digits = sum(c.isdigit() for c in text)
    if digits == 0:
        # Vanity plates without a digit exist; so does every word on every car, and those are far more. Two groups
        # with an O or an I in them are mostly a 0 or a 1 that the recogniser took for its look-alike.
        return 0.6 if _TWO_GROUPS.match(printed) and set(text) & {"O", "I"} else 0.1
    if _BADGES.match(text) or _BADGES.match(printed.upper()):
        return 0.2
    if digits == len(text):
        return _likeness_of_digits(text, printed)
    score = 0.5 if len(text) == MIN_CHARACTERS else 1.0
    if digits == 1 and len(text) >= 6 and not text[-1].isdigit() and not text[0].isdigit():
        score *= 0.8  # one digit inside a word is mostly a misread letter
    return score * (1.0, 1.0, 1.0, 1.0, 0.9, 0.6, 0.3, 0.3)[_alternations(text)]


def is_overlay(reading: TextReading) -> bool:
    """A date, a time, a telephone number or a web address, whole or torn."""
    printed = reading.printed.strip()
    text = reading.text
    if text.isdigit():
        if len(text) >= 8 and not _EIGHT_DIGITS.match(printed):
            return True
        if _PHONE.match(printed) or not _DIGIT_GROUPS.match(printed):
            return True
    if _ADDRESS.search(printed) or _MARKS & set(printed):
        return True
    return any(pattern.match(printed) for pattern in _TIME_STAMPS)


def is_running_text(reading: TextReading) -> bool:
    """Small letters: plates carry capitals. A few are forgiven, as torn and dirty capitals look like them."""
    letters = [c for c in reading.printed if c.isalpha() and c.isascii()]
    small = sum(c in _PLAINLY_SMALL for c in letters)
    return bool(letters) and small / len(letters) > 0.34


def _likeness_of_digits(text: str, printed: str) -> float:
    if len(text) == 4:
        return 0.3 if text[:2] in {"19", "20"} else 0.4
    return 0.5 if " " in printed else 0.7


def _alternations(text: str) -> int:
    """How often letters and digits take turns."""
    return min(sum(a.isdigit() != b.isdigit() for a, b in pairwise(text)), 7)
