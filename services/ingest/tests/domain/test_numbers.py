import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.numbers import decimal_number, whole_number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, 12),
        ("12", 12),
        (" 12 ", 12),
        ("\t12\r\n", 12),
        ("+12", 12),
        ("012", 12),
        (12.0, 12),
        ("12.0", 12),
    ],
)
def test_whole_numbers_that_firmware_writes(value: Any, expected: Any) -> None:
    assert whole_number(value, low=0, high=100) == expected


@pytest.mark.parametrize(
    "value",
    [
        "1e9", "1e1", "NaN", "nan", "Infinity", "1.5", 1.5, -1, "-1", 101, "101",
        True, False, None, [], [1], {},
        "", " ", "1 2", "12a", "0x1f", "1_000", "१२", "\uff11\uff12", "²", math.nan, math.inf, -math.inf,
        10**400, -(10**400), "9" * 400, b"12", "12,0", "1.50", "--1", "12\x00",
    ],
)  # fmt: skip
def test_invalid_whole_numbers_are_rejected(value: Any) -> None:
    with pytest.raises(ValueError, match=r"must (be a|lie)"):
        whole_number(value, low=0, high=100)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), ("1.5", 1.5), (" -3 ", -3.0), (7, 7.0), ("+0.25", 0.25), ("007.5", 7.5)],
)
def test_decimal_numbers(value: Any, expected: Any) -> None:
    assert decimal_number(value, low=-10, high=10) == expected


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        "nan",
        "inf",
        "1e1",
        10**400,
        11,
        "10.5",
        -10.01,
        True,
        None,
        [],
        "",
        ".",
        "1.",
    ],
)
def test_invalid_decimal_numbers_are_rejected(value: Any) -> None:
    with pytest.raises(ValueError, match=r"must (be|lie)"):
        decimal_number(value, low=-10, high=10)


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())
    )
)
def test_anything_is_a_number_within_the_bounds_or_a_value_error(value: Any) -> None:
    for parse in (whole_number, decimal_number):
        try:
            number = parse(value, low=-5, high=5)
        except ValueError:
            continue
        assert -5 <= number <= 5


@given(st.integers(0, 10**6))
def test_every_notation_of_a_number_means_the_same(number: Any) -> None:
    notations = [number, str(number), f" {number} ", float(number), f"{number}.0", f"+{number}"]
    assert {whole_number(value, low=0, high=10**6) for value in notations} == {number}
