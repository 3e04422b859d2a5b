"""From lines of text to plates: which lines make a plate together, and which are none."""

from collections.abc import Iterator, Sequence

from plate_ocr.domain.candidates import Candidate
from plate_ocr.domain.emirates import emirates_plates
from plate_ocr.domain.layout import heights_match, is_below, is_caption, is_on_a_page, is_right_of, union
from plate_ocr.domain.likeness import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    MIN_LIKENESS,
    is_overlay,
    is_running_text,
    likeness,
)
from plate_ocr.domain.regions import brazilian_town, find_region_word
from plate_ocr.domain.values import PlateReading, TextLine, TextReading

_CLOSE_UP_ROWS = 6


def assemble(lines: Sequence[TextLine], picture_height_px: int) -> tuple[Candidate, ...]:
    """Plates among the lines, best first; no line belongs to two. Stamps, names, badges and pages are left out."""
    useful = [
        line
        for line in lines
        if line.reading.characters
        and not is_caption(line, picture_height_px)
        and not is_on_a_page(line, lines)
    ]
    is_close_up = any(line.height_px * _CLOSE_UP_ROWS >= picture_height_px for line in useful)
    candidates = [
        *emirates_plates(useful, is_close_up=is_close_up),
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
            score = likeness(TextReading(characters, printed))
            if score > alone or (in_a_row and score == alone):
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
