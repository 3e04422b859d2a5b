from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.parking_area import ParkingArea, parse_parking_area


@pytest.mark.parametrize("written", ["NAD95", "nad95", " NAD95 ", "NAD 95", "N A D 9 5", "Nad\t95\n"])
def test_case_and_blanks_do_not_matter(written: Any) -> None:
    assert parse_parking_area(written) == ParkingArea("NAD", "95")


def test_leading_zeros_are_part_of_the_cameras_code() -> None:
    assert parse_parking_area("NAD095") == ParkingArea("NAD", "095")


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "NAD", "95", "95NAD", "NAD95A", "NAD-95", "NAD_95", "ÑAD95", "NAD\u0669\u0665", "NAD²",
        None, 95, True, [],
        "A" * 17 + "1", "A" + "1" * 10, "NAD95\x00", "';--1",
    ],
)  # fmt: skip
def test_what_names_no_camera_is_rejected(written: Any) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        parse_parking_area(written)


@given(st.text())
def test_any_text_is_an_area_or_a_value_error(text: Any) -> None:
    try:
        area = parse_parking_area(text)
    except ValueError:
        return
    assert parse_parking_area(f"{area.location_code}{area.api_code}") == area
