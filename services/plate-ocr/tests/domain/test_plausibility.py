"""Which texts can be a plate's."""

import pytest

from plate_ocr.domain.plausibility import plausibility


@pytest.mark.parametrize(
    "text",
    [
        "RK755AJ",
        "DG3C8P",
        "BRA2E19",
        "6TRJ244",
        "D71026",
        "1049338",
        "3127K",
        "MH12DE1433",
        "V69030",
        "AWD1234",
    ],
)
def test_plates(text: str) -> None:
    assert plausibility(text, region_confidence=0.0) == 1.0


@pytest.mark.parametrize(
    "text",
    ["", "A", "TDI", "320D", "4MATIC", "V8", "V12", "XDRIVE30D", "20260314", "20260314083012", "GMC", "SEAT"],
)
def test_badges_and_dates(text: str) -> None:
    assert plausibility(text, region_confidence=0.0) == 0.0


@pytest.mark.parametrize("text", ["D24", "A1", "122"])
def test_a_short_number_needs_a_region(text: str) -> None:
    assert plausibility(text, region_confidence=0.95) == 1.0
    assert 0 < plausibility(text, region_confidence=0.0) < 0.5


def test_a_time_of_day_is_not_plausible_without_a_region() -> None:
    assert 0 < plausibility("083012", region_confidence=0.0) < 0.4
    assert (
        plausibility("083012", region_confidence=0.95) == plausibility("996012", region_confidence=0.0) == 1.0
    )


def test_letters_alone_are_less_plausible() -> None:
    assert 0 < plausibility("NEILDMND", region_confidence=0.0) < 1


@pytest.mark.parametrize(
    ("text", "region_confidence", "is_confident_detection", "is_likely"),
    [
        ("3012", 0.6, False, False),
        ("3012", 0.6, True, True),
        ("3012", 0.75, False, True),
        ("D3012", 0.0, False, True),
    ],
)
def test_a_number_alone_is_plausible_with_a_region_or_a_confident_detection(
    text: str, region_confidence: float, *, is_confident_detection: bool, is_likely: bool
) -> None:
    found = plausibility(
        text, region_confidence=region_confidence, is_confident_detection=is_confident_detection
    )
    assert (found == 1.0) is is_likely
