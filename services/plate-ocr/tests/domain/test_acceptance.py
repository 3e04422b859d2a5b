"""Which plates are reported: with a text, or as seen, not read and why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.acceptance import (
    AcceptanceOptions,
    CropReading,
    PictureSize,
    PlateCandidate,
    accept_plates,
    consensus,
)
from plate_ocr.domain.calibration import calibrated
from plate_ocr.domain.lattice import Lattice
from plate_ocr.domain.plausibility import plausibility
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.text_decoding import DecodedText
from plate_ocr.domain.values import Box, Character, Detection, PlateState, UnreadReason

SIGHT = PictureSize(1280, 720)
NOTHING_ELSE = Lattice((), ())
OPTIONS = AcceptanceOptions(min_confidence=0.3)


def look(text: str, confidence: float = 0.95, region: str = "") -> CropReading:
    characters = tuple(Character(c, confidence) for c in text)
    reading = DecodedText(
        text, text, region, 0.9, "", 0.0, text, confidence, characters, confidence, "", (), "", confidence
    )
    return CropReading(reading, NOTHING_ELSE)


def seen(
    *readings: CropReading, box: Box | None = None, score: float = 0.9, sharpness: float = 0.8
) -> PlateCandidate:
    box = box or Box(400, 300, 120, 30)
    return PlateCandidate(PlateRows((Detection(box.corners(), score),)), readings, sharpness)


def test_a_sure_reading_is_reported() -> None:
    (plate,) = accept_plates([seen(look("RK755AJ"))], SIGHT, OPTIONS)
    assert (plate.text, plate.state, plate.height_px) == ("RK755AJ", PlateState.READ, 30)
    assert plate.box == Box(400, 300, 120, 30)


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (seen(look("RK755", 0.05), box=Box(400, 300, 40, 8)), UnreadReason.TOO_SMALL),
        (seen(look("RK755", 0.05), sharpness=0.1), UnreadReason.TOO_BLURRED),
        (seen(look("RK755", 0.05), box=Box(1200, 300, 90, 30)), UnreadReason.COVERED),
        (seen(look("RK755", 0.05)), UnreadReason.UNSURE),
    ],
)
def test_a_plate_that_cannot_be_read_has_a_reason(evidence: PlateCandidate, reason: UnreadReason) -> None:
    (plate,) = accept_plates([evidence], SIGHT, OPTIONS)
    assert (plate.state, plate.unread_reason, plate.text) == (PlateState.SEEN_NOT_READ, reason, "")
    assert plate.raw_text == "RK755"
    assert plate.height_px > 0


@pytest.mark.parametrize(
    ("text", "box", "confidence", "state"),
    [
        ("RK755AJ", Box(1200, 300, 90, 30), 0.95, PlateState.SEEN_NOT_READ),
        ("RK755AJ", Box(1200, 300, 90, 30), 0.99999, PlateState.READ),
        ("RK755A", Box(1200, 300, 90, 30), 0.99999, PlateState.SEEN_NOT_READ),
        ("RK755AJ", Box(-10, 300, 90, 30), 0.95, PlateState.SEEN_NOT_READ),
        ("RK755AJ", Box(1180, 300, 90, 30), 0.95, PlateState.READ),
        ("RK755AJ", Box(0, 0, 1280, 720), 0.95, PlateState.READ),
    ],
    ids=[
        "at the edge",
        "at the edge and certain",
        "at the edge, certain and short",
        "at the left edge",
        "near the edge",
        "cut out by somebody",
    ],
)
def test_a_plate_that_may_be_cut_off_needs_a_higher_confidence(
    text: str, box: Box, confidence: float, state: PlateState
) -> None:
    (plate,) = accept_plates([seen(look(text, confidence), box=box)], SIGHT, OPTIONS)
    assert plate.state is state
    assert state is PlateState.READ or plate.unread_reason is UnreadReason.COVERED


@pytest.mark.parametrize(
    "evidence",
    [
        seen(look("RK755", 0.05), score=0.45),
        seen(look("X", 0.05)),
        seen(look("TDI", 0.99), score=0.6),
        seen(look("RK755AJ"), box=Box(2000, 300, 90, 30)),
    ],
    ids=["low detector score", "no text", "a badge", "outside the picture"],
)
def test_candidates_that_are_not_reported(evidence: PlateCandidate) -> None:
    assert accept_plates([evidence], SIGHT, OPTIONS) == ()


@given(
    text=st.text("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", min_size=2, max_size=10),
    confidence=st.floats(0, 1),
    score=st.floats(0.4, 1),
    region=st.sampled_from(["", "ae", "us"]),
    x=st.floats(-50, 1270),
    width=st.floats(20, 400),
    sharpness=st.floats(0, 1),
)
def test_a_plate_that_was_found_and_is_legible_does_not_vanish(
    text: str, confidence: float, score: float, region: str, x: float, width: float, sharpness: float
) -> None:
    """It is read, or seen with the reason, however unsure the detector was."""
    box = Box(x, 300, width, width / 4)
    evidence = seen(look(text, confidence, region), box=box, score=score, sharpness=sharpness)
    plates = accept_plates([evidence], SIGHT, OPTIONS)
    is_legible = calibrated(confidence) >= OPTIONS.min_confidence
    is_badge = plausibility(text, region_confidence=0.9 if region else 0.0) == 0
    is_found = score >= (OPTIONS.min_score_implausible if is_badge else OPTIONS.min_score_seen)
    if box.clipped(1280, 720).area > 0 and (is_found or (is_legible and not is_badge)):
        (plate,) = plates
        assert plate.is_read or plate.unread_reason is not None
        assert (plate.text or plate.raw_text) == text


@pytest.mark.parametrize(
    ("score", "state"),
    [(0.45, PlateState.SEEN_NOT_READ), (0.65, PlateState.SEEN_NOT_READ), (0.75, PlateState.READ)],
)
def test_digits_without_a_region_are_read_where_the_detector_is_sure(score: float, state: PlateState) -> None:
    (plate,) = accept_plates([seen(look("55529", 0.9999), score=score)], SIGHT, AcceptanceOptions())
    assert (plate.state, plate.raw_text) == (state, "55529")


def test_the_near_car_comes_before_the_far_one_and_the_unread_last() -> None:
    near = seen(look("NEAR123", 0.9), box=Box(400, 300, 200, 60))
    far = seen(look("FAR1234", 0.93), box=Box(100, 100, 60, 14))
    unread = seen(look("B1", 0.02), box=Box(700, 300, 300, 90))
    assert [p.text for p in accept_plates([unread, far, near], SIGHT, OPTIONS)] == ["NEAR123", "FAR1234", ""]


def test_readings_that_differ_in_the_code_only_agree_on_the_number() -> None:
    def coded(code: str, confidence: float) -> CropReading:
        plain = look(code + "57656", confidence)
        return CropReading(replace(plain.reading, code=code, number="57656"), NOTHING_ELSE)

    best, confidence = consensus([coded("", 0.54), coded("10", 0.42), coded("D", 0.15)])
    _, contradicted = consensus([coded("D", 0.54), coded("O", 0.42), coded("B", 0.15)])
    _, doubted = consensus([coded("", 0.54), look("87656", 0.42), look("D1656", 0.15)])
    assert best.text == "57656"
    assert 0.49 < confidence < 0.54
    assert doubted == contradicted < 0.41


def test_two_readings_that_agree_outweigh_a_more_confident_one() -> None:
    best, confidence = consensus([look("AB123", 0.7), look("A8123", 0.8), look("AB123", 0.6)])
    assert best.text == "AB123"
    assert confidence < 0.7


def test_readings_that_all_agree_keep_the_confidence() -> None:
    assert consensus([look("AB123", 0.7), look("AB123", 0.6)]) == (look("AB123", 0.7), 0.7)


def test_no_look() -> None:
    with pytest.raises(ValueError, match="no reading"):
        consensus([])


@given(st.floats(0, 1), st.floats(0, 1))
def test_calibration_keeps_the_order_and_is_never_certain(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert 0 < calibrated(low) <= calibrated(high) < 1


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=4))
def test_a_consensus_is_never_more_confident_than_its_best_reading(confidences: list[float]) -> None:
    readings = [look("AB123", c) for c in confidences]
    best, confidence = consensus(readings)
    assert confidence <= best.confidence == max(confidences)
