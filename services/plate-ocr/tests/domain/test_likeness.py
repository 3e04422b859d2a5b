# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""What looks like a plate and what does not, by the text alone."""

from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.likeness import MIN_LIKENESS, is_overlay, is_running_text, likeness

from .lines import reading


@pytest.mark.parametrize(
    "printed",
    [
        "RK-755AJ", "DG3:C8P", "UF2 V5S", "JOG·9221", "BRA2E19", "6TRJ244", "D 71026", "AB12 CDE", "1049338", "78188",
        "W-053011", "BZM:22-27", "2T4:0211", "3127K", "133GZD", "R10 7555", "MH 12 DE 1433", "123-45-678", "CKO-AIF",
    ],
)  # fmt: skip
def test_plates(printed: str) -> None:
    expected = len(reading(printed).text) <= 8
    assert (likeness(reading(printed)) >= MIN_LIKENESS) is expected


@pytest.mark.parametrize(
    "printed",
    [
        "2014-06-16 06:46:42", "2014-05-02", "06:11:40", "2014-05-", "06:26144", "07128114", "16/06/2014", "6:46 PM",
        "14-JUN-2014", "2014", "1998", "314-845-5900", "647-0604", "1-800-GO-PENSKE", "GoPenske.com", "www.sw722.de",
        "CHEVROLET", "EXPLORER", "TEXAS", "NEW YORK", "BA-SALVADOR", "THE EMPIRE STATE", "Jeep", "Special Savings",
        "TDI", "2.0 TDI", "V6", "4X4", "4MATIC", "HB20", "XC60", "316i", "320D", "16V", "SK", "G1", "", "A", "·:-",
        "©SW722", "02月 2224", "Household & Business Rentals", "ABCDEFGHIJ12",
    ],
)  # fmt: skip
def test_no_plates(printed: str) -> None:
    assert likeness(reading(printed)) < MIN_LIKENESS


def test_more_turns_between_letters_and_digits_are_less_likely() -> None:
    assert likeness(reading("ABC123")) > likeness(reading("A1B2C3"))


@given(st.text(max_size=30))
def test_any_text_gets_a_likeness(printed: str) -> None:
    assert 0 <= likeness(reading(printed)) <= 1


@given(
    st.dates(date(1970, 1, 1), date(2099, 12, 31)),
    st.times(),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%H:%M:%S", "%d/%m/%Y", "%d.%m.%Y"]),
)
def test_no_time_stamp_is_a_plate(day: date, hour: time, layout: str) -> None:
    printed = format(datetime.combine(day, hour, UTC), layout)
    assert likeness(reading(printed)) < MIN_LIKENESS
    assert is_overlay(reading(printed)) or len(reading(printed).text) > 8


def test_small_letters_are_running_text() -> None:
    assert is_running_text(reading("Californsa"))
    assert not is_running_text(reading("RK-755Aj"))
    assert not is_running_text(reading("cosx123"))
