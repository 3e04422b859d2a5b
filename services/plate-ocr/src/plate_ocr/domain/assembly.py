"""From lines of text to plates: which lines make a plate together, and which are none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plate_ocr.domain.layout import heights_match, is_below, is_on_a_page, is_right_of, union
from plate_ocr.domain.likeness import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    MIN_LIKENESS,
    is_overlay,
    is_running_text,
    likeness,
)
from plate_ocr.domain.regions import RegionWord, brazilian_town, find_region_word
from plate_ocr.domain.values import Character, PlateReading, TextLine, TextReading

_MAX_EMIRATES_DIGITS = 5
_LETTER_FOR_DIGIT = {"0": "O", "1": "I", "2": "Z", "5": "S", "6": "G", "8": "B"}
_CLOSE_UP_ROWS = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """Lines that may be a plate together, in reading order. `likeness`: 0 to 1. `rows` joins into raw_text."""

    lines: tuple[TextLine, ...]
    characters: tuple[Character, ...]
    rows: tuple[str, ...]
    likeness: float
    region: str = ""
    code_length: int = 0

    @property
    def text(self) -> str:
        """Code and number together."""
        return "".join(c.text for c in self.characters)

    @property
    def confidence(self) -> float:
        """Mean over the characters, 0 to 1."""
        return sum(c.confidence for c in self.characters) / max(len(self.characters), 1)

    @property
    def rank(self) -> float:
        """What decides between candidates that share a line."""
        return self.likeness * self.confidence


def assemble(lines: Sequence[TextLine], picture_height_px: int) -> tuple[Candidate, ...]:
    """Plates among the lines, best first; no line belongs to two. Time stamps, names, badges and pages are left out."""
    useful = [line for line in lines if line.reading.characters and not is_on_a_page(line, lines)]
    is_close_up = any(line.height_px * _CLOSE_UP_ROWS >= picture_height_px for line in useful)
    candidates = [
        *_emirates_plates(useful, is_close_up=is_close_up),
        *(_single(line, useful) for line in useful),
        *_joined(useful),
    ]
    plausible = [c for c in candidates if c.likeness >= MIN_LIKENESS]
    taken: set[int] = set()
    chosen = []
    for candidate in sorted(plausible, key=lambda c: c.rank, reverse=True):
        ids = {id(line) for line in candidate.lines}
        if not ids & taken:
            taken |= ids
            chosen.append(candidate)
    return tuple(sorted(chosen, key=lambda c: c.rank * _nearness(c, chosen), reverse=True))


def _nearness(candidate: Candidate, others: Sequence[Candidate]) -> float:
    """0.7 to 1: the car in front is meant, not a small plate behind it that happens to be a little surer."""
    tallest = max(line.height_px for other in others for line in other.lines)
    return 0.7 + 0.3 * max(line.height_px for line in candidate.lines) / max(tallest, 1.0)


def to_plate(candidate: Candidate, picture_width_px: int, picture_height_px: int) -> PlateReading:
    """The candidate as it is reported; its box ends at the picture's edges."""
    text = candidate.text
    return PlateReading(
        text=text,
        raw_text=" ".join(candidate.rows),
        region=candidate.region,
        code=text[: candidate.code_length],
        number=text[candidate.code_length :],
        confidence=candidate.confidence,
        characters=candidate.characters,
        box=union(candidate.lines).clipped(picture_width_px, picture_height_px),
    )


def _single(line: TextLine, lines: Sequence[TextLine]) -> Candidate:
    score = likeness(line.reading)
    return Candidate(
        (line,), line.reading.characters, (line.reading.text,), score, _region_beside((line,), lines)
    )


def _joined(lines: Sequence[TextLine]) -> Iterator[Candidate]:
    """Pairs that only together are a plate: two pieces of one row, or two rows."""
    pieces = [line for line in lines if _is_piece(line)]
    for first in pieces:
        for second in pieces:
            if first is second or not heights_match(first, second, ratio=1.6):
                continue
            in_a_row = is_right_of(second, first, max_gap=1.0) and heights_match(first, second, ratio=1.35)
            if not in_a_row and not is_below(second, first, max_gap=0.5):
                continue
            characters = first.reading.characters + second.reading.characters
            if not MIN_CHARACTERS <= len(characters) <= MAX_CHARACTERS:
                continue
            printed = f"{first.reading.printed} {second.reading.printed}"
            # A whole plate needs no partner: the pair has to beat its better half clearly.
            alone = max(likeness(first.reading), likeness(second.reading))
            score = 0.9 * likeness(TextReading(characters, printed))
            if score > alone:
                rows = (first.reading.text, second.reading.text)
                yield Candidate(
                    (first, second), characters, rows, score, _region_beside((first, second), lines)
                )


def _is_piece(line: TextLine) -> bool:
    reading = line.reading
    return (
        len(reading.characters) <= 5
        and reading.confidence >= 0.7
        and not is_overlay(reading)
        and not is_running_text(reading)
        and find_region_word(reading.printed, reading.text) is None
    )


def _emirates_plates(lines: Sequence[TextLine], *, is_close_up: bool) -> Iterator[Candidate]:
    """Number of one to five digits, with the emirate's word or the code beside, above or below it."""
    words = {
        id(line): word
        for line in lines
        if (word := find_region_word(line.reading.printed, line.reading.text))
    }
    for line in lines:
        own = words.get(id(line))
        digits = own.rest_after if own else line.reading.text
        if not digits.isdigit() or len(digits) > _MAX_EMIRATES_DIGITS or is_overlay(line.reading):
            continue
        yield from _emirates_plate(line, digits, own, lines, words, is_close_up=is_close_up)


def _emirates_plate(
    line: TextLine,
    digits: str,
    own: RegionWord | None,
    lines: Sequence[TextLine],
    words: dict[int, RegionWord],
    *,
    is_close_up: bool,
) -> Iterator[Candidate]:
    parts = [other for other in lines if other is not line and _is_beside(other, line)]
    named = next((p for p in parts if id(p) in words and words[id(p)].region.startswith("ae")), None)
    word = own or (words[id(named)] if named else None)
    region = word.region if word else ""
    number = line.reading.characters[-len(digits) :]
    code_line, code = _code(parts, words, named, word, region)
    if not region and not (
        is_close_up and len(digits) >= 2 and line.height_px >= max(p.height_px for p in lines)
    ):
        return
    if not region and not code:
        # Nothing names the Emirates: the number alone fills the picture, as on a crop of a plate.
        yield Candidate((line,), number, (digits,), 0.6)
        return
    confidence = code_line.reading.confidence if code_line else line.reading.confidence
    code_characters = tuple(Character(c, confidence) for c in code)
    used = tuple(dict.fromkeys(p for p in (code_line, named, line) if p is not None))
    rows = tuple(p.reading.text for p in used)
    yield Candidate(used, code_characters + number, rows, 1.0 if region else 0.8, region, len(code))


def _is_beside(other: TextLine, number: TextLine) -> bool:
    """Near enough to stand on the same plate, and not larger than its number."""
    if other.height_px > 1.15 * number.height_px:
        return False
    box, middle = number.box, other.box.centre
    reach_x, reach_y = 1.9 * number.height_px, 1.0 * number.height_px
    left_of = (
        box.x - reach_x <= middle.x <= box.x + 0.2 * box.width
        and abs(middle.y - box.centre.y) <= 0.9 * reach_y
    )
    over_or_under = (
        box.x - 0.3 * box.width <= middle.x <= box.right and abs(middle.y - box.centre.y) <= 1.3 * reach_y
    )
    return left_of or over_or_under


def _code(
    parts: Sequence[TextLine],
    words: dict[int, RegionWord],
    named: TextLine | None,
    word: RegionWord | None,
    region: str,
) -> tuple[TextLine | None, str]:
    """The code and the line it stands in; letters where the emirate's codes are letters."""
    inside = (word.rest_before or word.rest_after) if word and named else word.rest_before if word else ""
    if inside and len(inside) <= 2:
        return named, _as_code(inside, region)
    alone = [
        p
        for p in parts
        if id(p) not in words
        and len(p.reading.text) <= 2
        and p.reading.confidence >= 0.55
        and (p.reading.text.isdigit() or p.reading.text.isalpha())
    ]
    if not alone:
        return None, ""
    best = max(alone, key=lambda p: p.height_px * p.reading.confidence)
    return best, _as_code(best.reading.text, region)


def _as_code(text: str, region: str) -> str:
    """Dubai's and the northern emirates' codes are letters, Abu Dhabi's and Sharjah's numbers."""
    if region in {"ae-du", "ae-aj", "ae-uq", "ae-rk", "ae-fu"}:
        return "".join(_LETTER_FOR_DIGIT.get(c, c) for c in text)
    return text


def _region_beside(own: tuple[TextLine, ...], lines: Sequence[TextLine]) -> str:
    """Region named above or below the characters, in letters that are smaller than they are."""
    box, height = union(own), max(line.height_px for line in own)
    for line in lines:
        if line in own or line.height_px > 0.8 * height:
            continue
        middle = line.box.centre
        if not (
            box.x <= middle.x <= box.right and abs(middle.y - box.centre.y) <= box.height / 2 + 0.8 * height
        ):
            continue
        if region := brazilian_town(line.reading.printed):
            return region
        word = find_region_word(line.reading.printed, line.reading.text)
        if word and not word.region.startswith("ae"):
            return word.region
    return ""
