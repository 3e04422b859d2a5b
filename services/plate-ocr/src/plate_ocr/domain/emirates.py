"""Plates of the United Arab Emirates: a number of one to five digits, a code, and the emirate's name.

They stand in one row or two, in three sizes, so the text detector finds them in pieces.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plate_ocr.domain.candidates import Candidate
from plate_ocr.domain.likeness import is_overlay
from plate_ocr.domain.regions import RegionWord, find_region_word
from plate_ocr.domain.values import Character, TextLine

MAX_DIGITS = 5
_WITH_LETTERS = frozenset({"ae-du", "ae-aj", "ae-uq", "ae-rk", "ae-fu"})
_WITH_NUMBERS = frozenset({"ae-az", "ae-sj"})
_LETTERS_AND_NUMBER = re.compile(r"^([A-Z]{1,2})(\d{1,5})$")
_TWO_NUMBERS = re.compile(r"^(\d{1,2})\W+(\d{1,5})$")
_LETTER_FOR_DIGIT = {"0": "O", "1": "I", "2": "Z", "5": "S", "6": "G", "8": "B"}
_MIN_CODE_CONFIDENCE = 0.55


@dataclass(frozen=True, slots=True)
class _Number:
    """The line with the number, and what else stands in it. `regions`: where such a line may come from."""

    line: TextLine
    code: str
    digits: str
    own: RegionWord | None = None
    regions: frozenset[str] = frozenset()


def emirates_plates(lines: Sequence[TextLine], *, is_close_up: bool) -> Iterator[Candidate]:
    """Numbers with the emirate's name or the code beside, above or below them.

    `is_close_up`: the picture is that of a plate, so that a number without a name is one, too.
    """
    words = {
        id(line): word
        for line in lines
        if (word := find_region_word(line.reading.printed, line.reading.text))
    }
    for line in lines:
        number = _number_in(line, words.get(id(line)))
        if number is not None and not is_overlay(line.reading):
            yield from _around(number, lines, words, is_close_up=is_close_up)


def _number_in(line: TextLine, own: RegionWord | None) -> _Number | None:
    text = line.reading.text
    if own is not None:
        is_number = own.rest_after.isdigit() and len(own.rest_after) <= MAX_DIGITS
        return _Number(line, own.rest_before, own.rest_after, own) if is_number else None
    if text.isdigit() and len(text) <= MAX_DIGITS:
        return _Number(line, "", text)
    if split := _LETTERS_AND_NUMBER.match(text):
        return _Number(line, split[1], split[2], regions=_WITH_LETTERS)
    if split := _TWO_NUMBERS.match(line.reading.printed):
        return _Number(line, split[1], split[2], regions=_WITH_NUMBERS)
    return None


def _around(
    number: _Number, lines: Sequence[TextLine], words: dict[int, RegionWord], *, is_close_up: bool
) -> Iterator[Candidate]:
    line = number.line
    parts = [other for other in lines if other is not line and _is_beside(other, line)]
    named = next((p for p in parts if id(p) in words and words[id(p)].region.startswith("ae")), None)
    word = number.own or (words[id(named)] if named else None)
    region = word.region if word else ""
    if number.regions and region not in number.regions:
        return
    digits = line.reading.characters[-len(number.digits) :]
    code_line, code = (line, number.code) if number.code else _code_beside(parts, words, named, word)
    code = _as_code(code, region)
    if region:
        likeness = 1.0
    elif is_close_up and len(number.digits) >= 2 and line.height_px >= max(p.height_px for p in lines):
        likeness = 0.8 if code else 0.6
    else:
        return
    confidence = code_line.reading.confidence if code_line else 0.0
    used = tuple(dict.fromkeys(p for p in (code_line, named, line) if p is not None))
    rows = tuple(p.reading.text for p in used if p is line or p is code_line)
    code_characters = tuple(Character(c, confidence) for c in code)
    yield Candidate(used, code_characters + digits, rows, likeness, region, len(code))


def _is_beside(other: TextLine, number: TextLine) -> bool:
    """Near enough to stand on the same plate, and not larger than its number."""
    height = number.height_px
    if other.height_px > 1.15 * height:
        return False
    box, middle = number.box, other.box.centre
    rows_apart = abs(middle.y - box.centre.y) / height
    is_left = box.x - 1.9 * height <= middle.x <= box.x + 0.2 * box.width and rows_apart <= 0.9
    is_over_or_under = box.x - 0.3 * box.width <= middle.x <= box.right and rows_apart <= 1.3
    return is_left or is_over_or_under


def _code_beside(
    parts: Sequence[TextLine], words: dict[int, RegionWord], named: TextLine | None, word: RegionWord | None
) -> tuple[TextLine | None, str]:
    """The code and its line: in the line of the emirate's name ("D DUBAI", "U.A.E B"), or by itself."""
    inside = (word.rest_before or word.rest_after) if word and named else ""
    if inside and len(inside) <= 2:
        return named, inside
    alone = [
        p
        for p in parts
        if id(p) not in words
        and len(p.reading.text) <= 2
        and p.reading.confidence >= _MIN_CODE_CONFIDENCE
        and (p.reading.text.isdigit() or p.reading.text.isalpha())
    ]
    best = max(alone, key=lambda p: p.height_px * p.reading.confidence, default=None)
    return best, best.reading.text if best else ""


def _as_code(text: str, region: str) -> str:
    """Where the codes are letters, a digit in one is the letter that looks like it."""
    if region in _WITH_LETTERS:
        return "".join(_LETTER_FOR_DIGIT.get(c, c) for c in text)
    return text
