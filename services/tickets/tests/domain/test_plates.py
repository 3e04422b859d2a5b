import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.domain.plates import Plate, PlateMatch, compare_plates, fold, plate_pattern

SAME, DIFFERENT, UNCLEAR = PlateMatch.SAME, PlateMatch.DIFFERENT, PlateMatch.UNCLEAR


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("A12345", "A12345", SAME),
        ("AO1234", "A01234", SAME),
        ("I7788", "17788", SAME),
        ("B8S5Z2", "88S5ZZ", SAME),
        ("A12345", "A12346", UNCLEAR),
        ("A12345", "12345", UNCLEAR),
        ("A12345", "A1234", UNCLEAR),
        ("A12345", "AX12345", UNCLEAR),
        ("", "A12345", UNCLEAR),
        ("", "", UNCLEAR),
        ("A12345", "K77310", DIFFERENT),
        ("A12345", "A12399", DIFFERENT),
        ("A12345", "A21345", DIFFERENT),
        ("A12345", "A12", UNCLEAR),
        ("A12345", "B123", DIFFERENT),
    ],
)
def test_two_plates(a: str, b: str, expected: PlateMatch) -> None:
    assert compare_plates(Plate(a), Plate(b)) is expected
    assert compare_plates(Plate(b), Plate(a)) is expected


def test_the_same_text_from_two_emirates_is_unclear() -> None:
    assert compare_plates(Plate("A12345", region="ae-du"), Plate("A12345", region="ae-aj")) is UNCLEAR
    assert compare_plates(Plate("A12345", region="ae-du"), Plate("A12345")) is SAME


@pytest.mark.parametrize(
    ("region", "city"),
    [
        ("ae-du", "DXB"),
        ("ae-az", "AUH"),
        ("ae-sj", "SHJ"),
        ("ae-aj", "AJM"),
        ("ae-uq", "UAQ"),
        ("ae-rk", "RAK"),
        ("ae-fu", "FUJ"),
        ("de", "DE"),
        ("us-ca", "US-CA"),
        ("", ""),
    ],
)
def test_city_of_a_region(region: str, city: str) -> None:
    assert Plate("A1", region=region).city == city


def test_the_number_of_a_plate_without_a_separate_one_is_its_whole_text() -> None:
    assert Plate("A12345", code="A", number="12345").full_number == "12345"
    assert Plate("BAB1234").full_number == "BAB1234"


plates = st.text("AO0I1B8S5Z2GXK79", min_size=1, max_size=8)


@given(plates, plates)
def test_comparison_is_symmetric_and_folding_idempotent(a: str, b: str) -> None:
    assert compare_plates(Plate(a), Plate(b)) is compare_plates(Plate(b), Plate(a))
    assert fold(fold(a)) == fold(a)
    assert compare_plates(Plate(a), Plate(a)) is SAME


@given(plates, st.integers(0, 7), st.sampled_from("AKX79"))
def test_one_misread_character_is_never_a_different_plate(text: str, where: int, wrong: str) -> None:
    where %= len(text)
    misread = text[:where] + wrong + text[where + 1 :]
    assert compare_plates(Plate(text), Plate(misread)) is not DIFFERENT


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("a 123-45", "A12345"),
        ("\uff21\uff11\uff12\uff13", "A123"),  # full-width
        ("\u0661\u0662\u0663\u0664", "1234"),  # Arabic-Indic
        ("\u06f4\u06f5\u06f6", "456"),  # Persian
        ("\u0967\u0968", "12"),  # Devanagari
        ("\u200f\u0661\u0662\u200e", "12"),  # with marks of the direction of writing
        ("12\u00a034\u2013A.B/C|D", "1234ABCD"),
        ("B\u00b7MW", "BMW"),
        ("12%34", "12%34"),
        ("\u00b2", "2"),
        ("\u0628 12", "\u062812"),  # a letter that plates of some countries have
    ],
)
def test_a_typed_plate_is_folded(typed: str, stored: str) -> None:
    assert plate_pattern(typed) == stored
    assert plate_pattern(stored) == stored


@pytest.mark.parametrize("typed", ["", " ", "-", "%", "_", "\\", "\u200f", "\u3000"])
def test_a_search_for_nothing_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="no letter and no digit"):
        plate_pattern(typed)


@given(st.text())
def test_no_digit_of_another_script_is_left(typed: str) -> None:
    try:
        folded = plate_pattern(typed)
    except ValueError:
        return
    assert all(character.isascii() for character in folded if character.isdecimal())
