import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.domain.plates import Likeness, Plate, fold, likeness

SAME, DIFFERENT, UNCLEAR = Likeness.SAME, Likeness.DIFFERENT, Likeness.UNCLEAR


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
def test_two_readings(a: str, b: str, expected: Likeness) -> None:
    assert likeness(Plate(a), Plate(b)) is expected
    assert likeness(Plate(b), Plate(a)) is expected


def test_the_same_text_from_two_emirates_is_not_called_the_same_car() -> None:
    assert likeness(Plate("A12345", region="ae-du"), Plate("A12345", region="ae-aj")) is UNCLEAR
    assert likeness(Plate("A12345", region="ae-du"), Plate("A12345")) is SAME


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


def test_a_plate_without_a_number_of_its_own_is_its_whole_text() -> None:
    assert Plate("A12345", code="A", number="12345").full_number == "12345"
    assert Plate("BAB1234").full_number == "BAB1234"


plates = st.text("AO0I1B8S5Z2GXK79", min_size=1, max_size=8)


@given(plates, plates)
def test_likeness_is_symmetric_and_folding_is_stable(a: str, b: str) -> None:
    assert likeness(Plate(a), Plate(b)) is likeness(Plate(b), Plate(a))
    assert fold(fold(a)) == fold(a)
    assert likeness(Plate(a), Plate(a)) is SAME


@given(plates, st.integers(0, 7), st.sampled_from("AKX79"))
def test_one_misread_character_never_makes_another_car(text: str, where: int, wrong: str) -> None:
    where %= len(text)
    misread = text[:where] + wrong + text[where + 1 :]
    assert likeness(Plate(text), Plate(misread)) is not DIFFERENT
