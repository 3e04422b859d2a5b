"""Decides which detected plates are reported: with their text, or as seen but not read and why."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from plate_ocr.domain.alphabet import ALPHABET
from plate_ocr.domain.calibration import calibrated
from plate_ocr.domain.lattice import Lattice
from plate_ocr.domain.plausibility import MIN_CHARACTERS, plausibility
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.text_decoding import DecodedText
from plate_ocr.domain.values import Box, Character, PlateReading, Slot, UnreadReason, seen_not_read

_ALTERNATIVES = 5


@dataclass(frozen=True, slots=True)
class AcceptanceOptions:
    """`min_confidence`: 0 to 1, calibrated; below it a plate is reported as seen, not read. `min_height_px`,
    `min_sharpness` (0 to 1): below them the reason is that it was too small, or too blurred. `edge_px`: a plate this
    near to the picture's edge may be cut off; it counts as read only with `min_confidence_at_edge` and
    `min_length_at_edge` characters, which few formats exceed.

    The others are scores of the detector, 0 to 1. `min_score`: below it digits without a known region are reported as
    seen, not read. `min_score_seen`: below it a candidate is not reported whose text has not `min_confidence` either.
    `min_score_implausible`: as that, for a text that no plate has, such as a badge. Where they come from:
    docs/plate-engine.md.
    """

    min_confidence: float = 0.4
    min_height_px: float = 12.0
    min_sharpness: float = 0.25
    min_score: float = 0.7
    min_score_seen: float = 0.5
    min_score_implausible: float = 0.7
    edge_px: float = 2.0
    min_confidence_at_edge: float = 0.998
    min_length_at_edge: int = 7


@dataclass(frozen=True, slots=True)
class CropReading:
    """What was read on one crop of a plate. `lattice`: what the text was decoded from."""

    reading: DecodedText
    lattice: Lattice

    @property
    def text(self) -> str:
        return self.reading.text

    @property
    def confidence(self) -> float:
        return self.reading.confidence


@dataclass(frozen=True, slots=True)
class PlateCandidate:
    """`readings`: of crops of the same plate, the one with the default margin first. `sharpness`: 0 to 1."""

    plate: PlateRows
    readings: tuple[CropReading, ...]
    sharpness: float


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Of the picture that the candidates are in."""

    width_px: int
    height_px: int


def accept_plates(
    candidates: Sequence[PlateCandidate], size: PictureSize, options: AcceptanceOptions
) -> tuple[PlateReading, ...]:
    """Plates, best first: those that were read, by confidence and height, then those that were only seen."""
    plates = [plate for one in candidates if (plate := _accept(one, size, options))]
    tallest = max((plate.height_px for plate in plates), default=1.0)
    # The nearest car is meant, not a small plate behind it whose confidence happens to be a little higher.
    return tuple(
        sorted(
            plates,
            key=lambda p: (p.is_read, p.confidence * (0.7 + 0.3 * p.height_px / max(tallest, 1e-6))),
            reverse=True,
        )
    )


def seen_among_too_many(
    plates: Sequence[PlateRows], size: PictureSize, options: AcceptanceOptions
) -> tuple[PlateReading, ...]:
    """Those that were not read because the picture has too many, highest score first."""
    return tuple(
        seen_not_read(
            box,
            UnreadReason.TOO_MANY,
            height_px=plate.height_px,
            raw_text="",
            outline=plate.outline,
            sharpness=0.0,
            confidence=plate.score,
        )
        for plate in plates
        if plate.score >= options.min_score_seen
        and _is_plate_shaped(plate)
        and (box := plate.box.clipped(size.width_px, size.height_px)).area > 0
    )


def consensus(readings: Sequence[CropReading]) -> tuple[CropReading, float]:
    """The text with the highest total confidence, in its most confident reading, and the confidence of all readings
    in it.

    Two readings that agree outweigh a single one that is a little more confident of another text; readings that
    disagree lower the confidence.

    Raises: ValueError: there is no reading.
    """
    if not readings:
        raise ValueError("there is no reading")
    confidence_by_text: dict[str, float] = defaultdict(float)
    for reading in readings:
        confidence_by_text[reading.text] += reading.confidence
    best = max(readings, key=lambda reading: (confidence_by_text[reading.text], reading.confidence))
    if len(readings) == 1:
        return best, best.confidence
    support = sum(reading.confidence * _agreement(best, reading) for reading in readings) / max(
        sum(confidence_by_text.values()), 1e-9
    )
    return best, best.confidence * (0.5 + 0.5 * support)


def _agreement(best: CropReading, other: CropReading) -> float:
    """How much of the text the other reading agrees with: all, or the number where one of them missed the code."""
    if best.text == other.text:
        return 1.0
    number = best.reading.number
    is_code_missed = not (best.reading.code and other.reading.code)
    if number and number == other.reading.number and is_code_missed:
        return len(number) / max(len(best.text), len(other.text))
    return 0.0


def _accept(candidate: PlateCandidate, size: PictureSize, options: AcceptanceOptions) -> PlateReading | None:
    plate = candidate.plate
    best, raw_confidence = consensus(candidate.readings)
    reading = best.reading
    box = plate.box.clipped(size.width_px, size.height_px)
    if box.area <= 0:
        return None
    confidence = calibrated(raw_confidence)
    plausible = plausibility(
        reading.text,
        region_confidence=reading.region_confidence if reading.region else 0.0,
        is_confident_detection=plate.score >= options.min_score,
    )
    may_be_cut = _may_be_cut_off(box, size, options) and (
        confidence < options.min_confidence_at_edge or len(reading.text) < options.min_length_at_edge
    )
    if confidence * plausible < options.min_confidence or may_be_cut:
        if (
            not _is_to_be_seen(plate, confidence, plausible, options)
            or len(reading.raw_text) < MIN_CHARACTERS
        ):
            return None
        return seen_not_read(
            box,
            _unread_reason(candidate, size, options),
            height_px=plate.height_px,
            raw_text=reading.raw_text,
            outline=plate.outline,
            sharpness=candidate.sharpness,
            confidence=plate.score,
        )
    return PlateReading(
        text=reading.text,
        raw_text=reading.raw_text,
        region=reading.region,
        code=reading.code,
        number=reading.number,
        confidence=confidence,
        characters=tuple(Character(c.text, c.confidence) for c in reading.characters),
        box=box,
        height_px=plate.height_px,
        outline=plate.outline,
        region_confidence=reading.region_confidence,
        code_confidence=reading.code_confidence if reading.code else 0.0,
        number_confidence=reading.number_confidence,
        pattern=reading.grammar,
        sharpness=candidate.sharpness,
        slots=_slots(best),
    )


def _is_to_be_seen(plate: PlateRows, confidence: float, plausible: float, options: AcceptanceOptions) -> bool:
    """Whether a plate that is not read is reported as seen. One whose text is legible always is: it must not vanish."""
    if plausible <= 0:
        return plate.score >= options.min_score_implausible and _is_plate_shaped(plate)
    is_legible = confidence >= options.min_confidence
    return is_legible or (plate.score >= options.min_score_seen and _is_plate_shaped(plate))


def _slots(reading: CropReading) -> tuple[Slot, ...]:
    """The likeliest characters for each character of the text, likeliest first, for a vote over several pictures."""
    slots = []
    for index in reading.reading.slots:
        seen = reading.lattice.slots[index]
        likeliest = seen.distribution.argsort()[::-1][:_ALTERNATIVES]
        slots.append(
            tuple(Character(ALPHABET[i], float(seen.distribution[i] * seen.presence)) for i in likeliest)
        )
    return tuple(slots)


def _unread_reason(candidate: PlateCandidate, size: PictureSize, options: AcceptanceOptions) -> UnreadReason:
    row_px = min(_row_height(row.corners) for row in candidate.plate.rows)
    if row_px < options.min_height_px:
        return UnreadReason.TOO_SMALL
    if candidate.sharpness < options.min_sharpness:
        return UnreadReason.TOO_BLURRED
    if _touches_edge(candidate.plate.box, size, options.edge_px):
        return UnreadReason.COVERED
    return UnreadReason.UNSURE


def _may_be_cut_off(box: Box, size: PictureSize, options: AcceptanceOptions) -> bool:
    """Whether the plate may continue outside the picture; not where it fills the picture, which is then a crop of
    it.
    """
    return box.width < _CROPPED_SHARE * size.width_px and _touches_edge(box, size, options.edge_px)


_CROPPED_SHARE = 0.5


def _touches_edge(box: Box, size: PictureSize, edge_px: float) -> bool:
    return (
        box.x <= edge_px
        or box.y <= edge_px
        or box.right >= size.width_px - edge_px
        or box.bottom >= size.height_px - edge_px
    )


def _is_plate_shaped(plate: PlateRows) -> bool:
    """Whether it is wider than high, as the row of every plate is."""
    height = max(plate.height_px, 1e-6)
    return plate.box.width / height >= 1.2


def _row_height(corners: Sequence[tuple[float, float]]) -> float:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    left = ((dx - ax) ** 2 + (dy - ay) ** 2) ** 0.5
    right = ((cx - bx) ** 2 + (cy - by) ** 2) ** 0.5
    return float(left + right) / 2
