"""From the looks at a plate to what is said of it: its text, or that it was seen and could not be read, and why."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from plate_ocr.domain.alphabet import ALPHABET
from plate_ocr.domain.calibration import calibrated
from plate_ocr.domain.lattice import Lattice
from plate_ocr.domain.plausibility import plausibility
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.text_decoding import DecodedText
from plate_ocr.domain.values import Box, Character, PlateReading, Slot, UnreadReason, seen_not_read

_ALTERNATIVES = 5


@dataclass(frozen=True, slots=True)
class AcceptanceOptions:
    """`min_confidence`: 0 to 1, calibrated, below it a plate is only seen. `min_height_px`: of its characters, below
    it a plate that is not read was too small. `min_sharpness`: 0 to 1, below it too blurred. `min_score`: 0 to 1, the
    finder's, below it what cannot be read is not even called a plate. `edge_px`: a plate that near to the picture's
    edge may go on beyond it; it is read only with `min_confidence_at_edge` and `min_length_at_edge` characters:
    few formats have more of them.
    """

    min_confidence: float = 0.4
    min_height_px: float = 12.0
    min_sharpness: float = 0.25
    min_score: float = 0.7
    edge_px: float = 2.0
    min_confidence_at_edge: float = 0.998
    min_length_at_edge: int = 7


@dataclass(frozen=True, slots=True)
class CropReading:
    """One view of a plate, as its grammar reads it. `lattice`: what the reading was chosen from."""

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
    """`looks`: at the same plate, the usual view first. `sharpness`: 0 to 1."""

    plate: PlateRows
    looks: tuple[CropReading, ...]
    sharpness: float


@dataclass(frozen=True, slots=True)
class PictureSize:
    """The picture's size."""

    width_px: int
    height_px: int


def accept_plates(
    evidence: Sequence[PlateCandidate], sight: PictureSize, options: AcceptanceOptions
) -> tuple[PlateReading, ...]:
    """Plates, best first: those that were read by how sure and near they are, then those that were only seen."""
    plates = [plate for one in evidence if (plate := _judged(one, sight, options))]
    tallest = max((plate.height_px for plate in plates), default=1.0)
    # The car in front is meant, not a small plate behind it that happens to be a little surer.
    return tuple(
        sorted(
            plates,
            key=lambda p: (p.is_read, p.confidence * (0.7 + 0.3 * p.height_px / max(tallest, 1e-6))),
            reverse=True,
        )
    )


def consensus(looks: Sequence[CropReading]) -> tuple[CropReading, float]:
    """The text with most confidence behind it, in its surest look, and how sure all looks together are of it.

    Two looks that agree outweigh one that is a little surer of something else; looks that disagree leave doubt.

    Raises: ValueError: no look.
    """
    if not looks:
        raise ValueError("nothing was looked at")
    behind: dict[str, float] = defaultdict(float)
    for look in looks:
        behind[look.text] += look.confidence
    best = max(looks, key=lambda look: (behind[look.text], look.confidence))
    if len(looks) == 1:
        return best, best.confidence
    support = sum(look.confidence * _shared(best, look) for look in looks) / max(sum(behind.values()), 1e-9)
    return best, best.confidence * (0.5 + 0.5 * support)


def _shared(best: CropReading, other: CropReading) -> float:
    """How much of the text the other look agrees with: all, or the number where one of them missed the code."""
    if best.text == other.text:
        return 1.0
    number = best.reading.number
    is_code_missed = not (best.reading.code and other.reading.code)
    if number and number == other.reading.number and is_code_missed:
        return len(number) / max(len(best.text), len(other.text))
    return 0.0


def _judged(evidence: PlateCandidate, sight: PictureSize, options: AcceptanceOptions) -> PlateReading | None:
    plate = evidence.plate
    best, raw_confidence = consensus(evidence.looks)
    look = best.reading
    box = plate.box.clipped(sight.width_px, sight.height_px)
    if box.area <= 0:
        return None
    confidence = calibrated(raw_confidence)
    fits = plausibility(
        look.text,
        region_confidence=look.region_confidence if look.region else 0.0,
        is_confident_detection=plate.score >= options.min_score,
    )
    may_be_cut = _goes_on_beyond(box, sight, options) and (
        confidence < options.min_confidence_at_edge or len(look.text) < options.min_length_at_edge
    )
    if confidence * fits < options.min_confidence or may_be_cut:
        if plate.score < options.min_score or not _has_shape(plate) or len(look.raw_text) < 2:
            return None
        return seen_not_read(
            box,
            _why(evidence, sight, options),
            height_px=plate.height_px,
            raw_text=look.raw_text,
            outline=plate.outline,
            sharpness=evidence.sharpness,
            confidence=plate.score,
        )
    return PlateReading(
        text=look.text,
        raw_text=look.raw_text,
        region=look.region,
        code=look.code,
        number=look.number,
        confidence=confidence,
        characters=tuple(Character(c.text, c.confidence) for c in look.characters),
        box=box,
        height_px=plate.height_px,
        outline=plate.outline,
        region_confidence=look.region_confidence,
        code_confidence=look.code_confidence if look.code else 0.0,
        number_confidence=look.number_confidence,
        pattern=look.grammar,
        sharpness=evidence.sharpness,
        slots=_slots(best),
    )


def _slots(look: CropReading) -> tuple[Slot, ...]:
    """What each character of the text might have been, likeliest first, for a vote over several pictures."""
    slots = []
    for index in look.reading.slots:
        seen = look.lattice.slots[index]
        likeliest = seen.distribution.argsort()[::-1][:_ALTERNATIVES]
        slots.append(
            tuple(Character(ALPHABET[i], float(seen.distribution[i] * seen.presence)) for i in likeliest)
        )
    return tuple(slots)


def _why(evidence: PlateCandidate, sight: PictureSize, options: AcceptanceOptions) -> UnreadReason:
    row_px = min(_row_height(row.corners) for row in evidence.plate.rows)
    if row_px < options.min_height_px:
        return UnreadReason.TOO_SMALL
    if evidence.sharpness < options.min_sharpness:
        return UnreadReason.TOO_BLURRED
    if _touches_edge(evidence.plate.box, sight, options.edge_px):
        return UnreadReason.COVERED
    return UnreadReason.UNSURE


def _goes_on_beyond(box: Box, sight: PictureSize, options: AcceptanceOptions) -> bool:
    """Maybe. A plate that fills the picture was cut out by somebody."""
    return box.width < _CUT_OUT * sight.width_px and _touches_edge(box, sight, options.edge_px)


_CUT_OUT = 0.5


def _touches_edge(box: Box, sight: PictureSize, edge_px: float) -> bool:
    return (
        box.x <= edge_px
        or box.y <= edge_px
        or box.right >= sight.width_px - edge_px
        or box.bottom >= sight.height_px - edge_px
    )


def _has_shape(plate: PlateRows) -> bool:
    """Wider than high, as every plate's row is."""
    height = max(plate.height_px, 1e-6)
    return plate.box.width / height >= 1.2


def _row_height(corners: Sequence[tuple[float, float]]) -> float:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    left = ((dx - ax) ** 2 + (dy - ay) ** 2) ** 0.5
    right = ((cx - bx) ** 2 + (cy - by) ** 2) ** 0.5
    return float(left + right) / 2
