# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""From lines to plates: pieces joined, names and stamps left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.assembly import assemble, to_plate
from plate_ocr.domain.values import PlateReading, TextLine

from .lines import line


def plates(*lines: TextLine, height: int = 720) -> list[PlateReading]:
    return [to_plate(candidate, 1280, height) for candidate in assemble(lines, height)]


def texts(*lines: TextLine, height: int = 720) -> list[str]:
    return [plate.text for plate in plates(*lines, height=height)]


def test_the_plate_and_not_the_rest() -> None:
    stamp = line("2014-05-02 06:40:17", 0, 0, 18)
    dealer = line("DOMINION", 446, 480, 25)
    state, slogan = line("New York", 360, 375, 12), line("EMPIRE STATE", 350, 430, 10)
    assert texts(stamp, dealer, state, line("EAZ-6913", 340, 390, 34), slogan) == ["EAZ6913"]


def test_a_region_named_above() -> None:
    (plate,) = plates(line("TEXAS", 120, 82, 14), line("CGT-2069", 100, 100, 40))
    assert (plate.text, plate.region, plate.code, plate.number) == ("CGT2069", "us-tx", "", "CGT2069")


def test_a_region_named_on_another_car_does_not_count() -> None:
    (plate,) = plates(line("TEXAS", 700, 82, 14), line("CGT-2069", 100, 100, 40))
    assert plate.region == ""


def test_pieces_of_one_row() -> None:
    (plate,) = plates(line("RK", 100, 100, 40, 55), line("755AJ", 175, 102, 40, 130))
    assert (plate.text, plate.raw_text) == ("RK755AJ", "RK 755AJ")
    assert (plate.box.x, plate.box.right) == (100, 305)


def test_two_rows_in_reading_order() -> None:
    (plate,) = plates(line("1234", 100, 148, 44, 110), line("ABC", 110, 100, 44, 90))
    assert (plate.text, plate.raw_text) == ("ABC1234", "ABC 1234")


@pytest.mark.parametrize(
    "second", [line("755AJ", 400, 102, 40), line("755AJ", 175, 300, 40), line("755AJ", 175, 102, 90)]
)
def test_pieces_apart_stay_apart(second: TextLine) -> None:
    assert "RK755AJ" not in texts(line("RK", 100, 100, 40, 55), second)


def test_dubai_in_one_row() -> None:
    (plate,) = plates(
        line("D", 20, 40, 50, 30), line("DUBAI", 60, 62, 24, 58), line("71026", 136, 30, 60, 160)
    )
    assert (plate.region, plate.code, plate.number, plate.text) == ("ae-du", "D", "71026", "D71026")
    assert plate.raw_text == "D 71026"


def test_a_digit_in_dubais_code_is_a_letter() -> None:
    (plate,) = plates(line("0", 20, 40, 50, 30), line("DUBAI", 60, 62, 24, 58), line("24", 136, 30, 60, 60))
    assert (plate.code, plate.number, plate.raw_text) == ("O", "24", "0 24")


def test_abu_dhabi() -> None:
    (plate,) = plates(
        line("10", 20, 40, 50, 40), line("U.A.E.A.D", 70, 70, 20, 60), line("49539", 146, 32, 59, 148)
    )
    assert (plate.region, plate.code, plate.number) == ("ae-az", "10", "49539")


def test_code_and_number_in_one_line_with_the_emirate_beside() -> None:
    (plate,) = plates(line("D71026", 516, 486, 55, 249), line("DUBAI", 626, 481, 15, 38))
    assert (plate.region, plate.code, plate.number) == ("ae-du", "D", "71026")


def test_the_emirates_name_run_into_the_number() -> None:
    (plate,) = plates(line("S", 27, 43, 48, 31), line("DUBRI1832", 55, 27, 60, 209))
    assert (plate.region, plate.code, plate.number) == ("ae-du", "S", "1832")


def test_no_region_is_invented() -> None:
    (plate,) = plates(line("D71026", 516, 486, 55, 249))
    assert (plate.text, plate.region, plate.code, plate.number) == ("D71026", "", "", "D71026")


def test_a_number_alone_is_a_plate_only_where_it_fills_the_picture() -> None:
    assert texts(line("4666", 50, 40, 54), height=120) == ["4666"]
    assert texts(line("4666", 50, 40, 54), height=720) == []


def test_the_nearer_car_first() -> None:
    far, near = (
        line("PYA 2979", 270, 240, 18, confidence=1.0),
        line("JOG-9221", 527, 590, 63, confidence=0.97),
    )
    assert texts(far, near) == ["JOG9221", "PYA2979"]


def test_a_page_of_codes_is_no_car_park() -> None:
    page = [line(f"AB{i}{j}3 CD", 100 + 190 * j, 60 + 50 * i, 36, 170) for i in range(8) for j in range(4)]
    assert texts(*page) == []


def test_thirty_plates() -> None:
    park = [line(f"AB{i}{j}3 CD", 40 + 200 * j, 40 + 140 * i, 36, 130) for i in range(5) for j in range(6)]
    assert len(texts(*park)) == 30


somewhere = st.floats(-50, 1300)
lines_of_anything = st.builds(
    line, st.text(max_size=12), somewhere, somewhere, st.floats(4, 200), st.floats(4, 900), st.floats(0, 1)
)


@given(st.lists(lines_of_anything, max_size=12), st.integers(1, 2000))
def test_whatever_was_detected(lines: list[TextLine], height: int) -> None:
    candidates = assemble(lines, height)
    used = [id(one) for candidate in candidates for one in candidate.lines]
    assert len(used) == len(set(used))
    for candidate in candidates:
        plate = to_plate(candidate, 1280, height)
        assert plate.code + plate.number == plate.text
        assert plate.text == "".join(c.text for c in plate.characters)
        assert plate.text.isascii()
        assert 0 <= plate.confidence <= 1
        assert 0 <= plate.box.x <= plate.box.right <= 1280
