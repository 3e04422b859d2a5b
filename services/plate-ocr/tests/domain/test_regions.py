# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""Words that name a region, also when misread; and nothing invented."""

import pytest

from plate_ocr.domain.regions import RegionWord, brazilian_town, find_region_word, region_of_word

from .lines import reading


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("DUBAI", "ae-du"), ("DUBRI", "ae-du"), ("DUGAI", "ae-du"), ("OUPHI", "ae-du"), ("UAEAD", "ae-az"),
        ("UAERD", "ae-az"), ("ABUDHABI", "ae-az"), ("ABADHABI", "ae-az"), ("SHARJAH", "ae-sj"), ("RAK", "ae-rk"),
        ("TEXAS", "us-tx"), ("CALIFORNIA", "us-ca"), ("CALIFORNSA", "us-ca"), ("NEWYORK", "us-ny"), ("BRASIL", "br"),
        ("UAE", "ae"), ("DUBLIN", ""), ("TAXI", ""), ("FORD", ""), ("BAR", ""), ("PENSKE", ""), ("", ""), ("D", ""),
    ],
)  # fmt: skip
def test_words(text: str, region: str) -> None:
    assert region_of_word(text) == region


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ("DUBAI", RegionWord("ae-du", "", "")),
        ("D DUBAI", RegionWord("ae-du", "D", "")),
        ("D DUBRI 71026", RegionWord("ae-du", "D", "71026")),
        ("DUBAI31641", RegionWord("ae-du", "", "31641")),
        ("U.A.E B", RegionWord("ae", "", "B")),
        ("U.A.E.A.D", RegionWord("ae-az", "", "")),
        ("RK-755AJ", None),
        ("71026", None),
        ("TEXAS 1234", None),
        ("", None),
    ],
)
def test_words_in_lines(printed: str, found: RegionWord | None) -> None:
    assert find_region_word(printed, reading(printed).text) == found


@pytest.mark.parametrize(
    ("printed", "region"),
    [
        ("BA-SALVADOR", "br-ba"), ("BA-SALYADOR", "br-ba"), ("MG-BELO HORIZONTE", "br-mg"), ("XX-SALVADOR", ""),
        ("BA-1234", ""), ("SALVADOR", ""), ("", ""), ("BA-", ""),
    ],
)  # fmt: skip
def test_brazilian_towns(printed: str, region: str) -> None:
    assert brazilian_town(printed) == region
