# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""The text that recognizer and grammar make most likely: look-alikes, codes, regions, and only recognized
characters."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.adapters.grammars import load_grammars
from plate_ocr.domain.alphabet import ALPHABET, LOOK_ALIKES, index_of
from plate_ocr.domain.compiled_grammars import compile_grammars
from plate_ocr.domain.lattice import Boundary, Lattice, Slot
from plate_ocr.domain.slot_subsets import MAX_SUBSETS, subsets_of
from plate_ocr.domain.text_decoding import PLAUSIBLE, PLAUSIBLE_ALIKE, DecodedText, decode_text

from .rows import Frame, plate

GRAMMARS = load_grammars()
ALL = compile_grammars(GRAMMARS)
SURE = 0.95


def read(*rows: str | list[str | Frame], region: str = "", only: list[str] | None = None) -> DecodedText:
    prior = {region: SURE, "": 1 - SURE} if region else {}
    known = ALL if only is None else compile_grammars(GRAMMARS, only)
    return decode_text(plate(*rows), known, region_prior=prior)


def either(first: str, second: str, share: float = 0.6) -> Frame:
    return {first: share, second: 0.99 - share}


@pytest.mark.parametrize(
    ("region", "spikes", "text"),
    [
        ("sk", ["R", "K", either("O", "0", 0.8), *"99AN"], "RK099AN"),
        ("sk", ["R", "K", *"707", either("4", "A", 0.7), "C"], "RK707AC"),
        ("br", ["J", either("0", "O"), *"G9221"], "JOG9221"),
        ("br", [*"JOG", either("I", "1"), *"221"], "JOG1221"),
        ("br", [either("8", "B"), *"RA2E19"], "BRA2E19"),
        ("br", [*"BRA", either("Z", "2"), *"E19"], "BRA2E19"),
        ("uk", ["A", "B", either("S", "5"), "1", *"CDE"], "AB51CDE"),
        ("uk", [*"AB12", either("2", "Z"), *"DE"], "AB12ZDE"),
        ("us-ca", [either("Z", "2"), *"ABC123"], "2ABC123"),
        ("us-mo", ["C", "H", either("O", "0"), "P", either("B", "8"), "Y"], "CH0P8Y"),
        ("ae-du", [either("0", "D"), "-", *"71026"], "D71026"),
        ("ae-du", [either("0", "Q"), "-", *"71423"], "Q71423"),
        ("ae-du", ["D", "-", "7", "1", either("D", "0"), "2", "6"], "D71026"),
        ("ae-az", ["1", either("D", "0"), "-", *"49539"], "1049539"),
        ("in", [*"MH12", either("0", "D"), *"E1433"], "MH12DE1433"),
        ("in", [*"MH", either("I", "1"), *"2DE1433"], "MH12DE1433"),
        ("de", [*"BAB1", either("I", "1"), "3"], "BAB113"),
        ("es", [either("I", "1"), *"234BCD"], "1234BCD"),
    ],
)
def test_the_position_settles_look_alikes(region: str, spikes: list[str | Frame], text: str) -> None:
    found = read(spikes, region=region)
    assert (found.text, found.region) == (text, region)
    assert found.confidence > 0.9
    assert found.raw_text != text
    assert found.raw_text.replace(" ", "") in {found.runner_up, found.raw_text}


@pytest.mark.parametrize(
    ("region", "spikes"),
    [
        ("sk", ["R", "K", "A", *"99AN"]),  # A does not look like a digit that would fit
        ("br", [*"JOG", "E", *"221"]),
        ("de", [*"1234567"]),
        ("ae-az", ["B", "-", *"49539"]),
    ],
)
def test_a_plate_is_not_forced_into_a_grammar(region: str, spikes: list[str | Frame]) -> None:
    found = read(spikes, region=region)
    assert found.text == "".join(s for s in spikes if s != "-")
    assert not found.grammar.startswith(region)


def test_a_certain_character_is_kept() -> None:
    found = read(["R", "K", {"O": 0.9995, "0": 0.0002}, *"99AN"], region="sk")
    assert found.text == "RKO99AN"


@pytest.mark.parametrize(
    ("rows", "region", "parts"),
    [
        ((["D", "-", *"71026"],), "ae-du", ("D71026", "D", "71026")),
        ((["A", "A", "-", *"7"],), "ae-du", ("AA7", "AA", "7")),
        ((["1", "0", "-", *"49539"],), "ae-az", ("1049539", "10", "49539")),
        ((["5", "0", "-", *"1"],), "ae-az", ("501", "50", "1")),
        ((["1", "-", *"12345"],), "ae-az", ("112345", "1", "12345")),
        ((["1", "1", "-", *"2345"],), "ae-az", ("112345", "11", "2345")),
        (("11", "2345"), "ae-az", ("112345", "11", "2345")),
        (("3", "12345"), "ae-sj", ("312345", "3", "12345")),
        (("12345", "3"), "ae-sj", ("312345", "3", "12345")),
        (("10053", "B"), "ae-fu", ("B10053", "B", "10053")),
        (("B", "10053"), "ae-fu", ("B10053", "B", "10053")),
        (("1049539",), "ae-az", ("1049539", "10", "49539")),  # 1 and 049539 would be six digits
        (("B10053",), "ae-fu", ("B10053", "B", "10053")),  # the split is between letters and digits
        (("112345",), "ae-az", ("112345", "", "112345")),  # 1 12345 or 11 2345: ambiguous
        (("71026",), "ae-du", ("71026", "", "71026")),
        ((["7", "-", *"12345"],), "kw", ("712345", "7", "12345")),
        ((["1", "2", "3", "4", "-", *"AB"],), "om", ("1234AB", "AB", "1234")),
        ((["1", "2", "3", "4", "-", *"ABD"],), "sa", ("1234ABD", "", "1234ABD")),
        (("RK755AJ",), "sk", ("RK755AJ", "", "RK755AJ")),
    ],
)
def test_code_and_number(
    rows: tuple[str | list[str | Frame], ...], region: str, parts: tuple[str, str, str]
) -> None:
    found = read(*rows, region=region)
    assert (found.text, found.code, found.number) == parts
    assert found.region == region
    if found.code:
        assert found.code_confidence > 0.9
        assert found.number_confidence > 0.9
    else:
        assert found.code_confidence <= 0.5


def test_rows_of_the_raw_reading_are_joined_by_a_blank() -> None:
    found = read("10053", "B", region="ae-fu")
    assert (found.raw_text, found.text) == ("10053 B", "B10053")
    assert "".join(c.text for c in found.characters) == found.text
    assert found.slots == (5, 0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "prior_region", "region"),
    [
        ("RK755AJ", "", ""),  # half of Europe
        ("RK755AJ", "sk", "sk"),
        ("AKS4329", "", ""),  # a dozen states, and Brazil
        ("AKS4329", "us", "us"),  # the country is known, the state is not
        ("AKS4329", "us-ny", "us-ny"),
        ("AKS4329", "br", "br"),
        ("D71026", "ae", "ae"),
        ("D71026", "ae-du", "ae-du"),
        ("MH12DE1433", "", "in"),  # no other country has such plates
        ("22BH1234AA", "", "in"),
        ("QQQ", "sk", "us"),
    ],
)
def test_a_region_is_returned_only_with_evidence(text: str, prior_region: str, region: str) -> None:
    found = read(text, region=prior_region)
    assert found.text == text
    if text != "QQQ":
        assert found.region == region
    assert (found.region_confidence >= 0.5) == bool(found.region)


def test_the_code_is_known_without_the_emirate() -> None:
    found = read(["D", "-", *"71026"], region="ae")
    assert (found.region, found.code, found.number) == ("ae", "D", "71026")


def test_the_regions_of_a_location_are_the_only_ones() -> None:
    assert read("AKS4329", only=["br"]).region == "br"
    assert read("RK755AJ", only=["ae"]).region == ""


def test_a_letter_of_the_country_band_is_excluded() -> None:
    found = read([{"F": 0.6, "_": 0.39}, *"AB123CD"], region="fr")
    assert (found.text, found.raw_text, found.region) == ("AB123CD", "FAB123CD", "fr")


def test_a_character_that_blank_nearly_hides_is_included() -> None:
    found = read([*"JOG9", {"_": 0.7, "2": 0.28}, *"21"], region="br")
    assert (found.text, found.raw_text) == ("JOG9221", "JOG921")
    assert found.confidence < 0.99


def test_a_split_glyph_is_one_character() -> None:
    lattice = plate("JOG", "9221")
    torn = Slot(lattice.slots[0].distribution, 0.5, 0, 0.1, is_greedy=True)
    slots = (torn, *lattice.slots)
    boundaries = (Boundary(0, is_row_break=False), *lattice.boundaries)
    found = decode_text(Lattice(slots, boundaries), ALL, region_prior={"br": SURE})
    assert (found.text, found.slots) == ("JOG9221", (1, 2, 3, 4, 5, 6, 7))


def test_an_ambiguous_character_gives_a_runner_up() -> None:
    found = read([*"JOG922", either("3", "7", 0.55)], region="br")
    assert (found.text, found.runner_up) == ("JOG9223", "JOG9227")
    assert found.confidence == pytest.approx(0.55, abs=0.03)
    assert found.margin == pytest.approx(0.1, abs=0.05)
    assert found.characters[-1].confidence == pytest.approx(0.55, abs=0.03)
    assert min(c.confidence for c in found.characters[:-1]) > 0.95


def test_a_look_alike_decided_by_the_position_is_certain() -> None:
    found = read(["J", either("0", "O", 0.7), *"G9221"], region="br")
    assert found.characters[1].text == "O"
    assert found.characters[1].confidence > 0.9


@pytest.mark.parametrize("text", ["", "A", "ABCDEFGHIJKLMNOP", "1234567890123"])
def test_a_text_that_no_grammar_fits_is_the_raw_reading(text: str) -> None:
    found = read(text, only=["br"])
    assert (found.text, found.raw_text, found.region, found.grammar, found.code) == (text, text, "", "", "")
    assert found.number == text
    assert found.slots == tuple(range(len(text)))


def test_regions_that_are_not_enabled_are_not_reported() -> None:
    assert read("AB12345", region="dk", only=["br"]).region == ""


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    """Plates with doubtful characters, weak slots, gaps and rows, around texts that real grammars match."""
    text = draw(
        st.sampled_from(["RK755AJ", "D71026", "JOG9221", "1049539", "AB12CDE", "MH12DE1433", "XQ", "7"])
    )
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    slots, row = [], 0
    for place, character in enumerate(text):
        doubt = random.choice([0.0, 0.05, 0.4])
        distribution = random.dirichlet(np.full(36, 0.1)) * doubt
        alike = np.flatnonzero(LOOK_ALIKES[index_of(character)])
        distribution[random.choice(alike)] += (1 - doubt) * 0.5
        distribution[index_of(character)] += (1 - doubt) * 0.5
        row += int(place > 0 and random.random() < 0.1)
        presence = float(random.choice([0.999, 0.9, 0.3]))
        slots.append(
            Slot(distribution / distribution.sum(), presence, row, place / len(text), presence >= 0.5)
        )
    boundaries = [
        Boundary(1.0, is_row_break=True)
        if left.row != right.row
        else Boundary(float(random.choice([0, 0, 0.5, 1])), is_row_break=False)
        for left, right in pairwise(slots)
    ]
    return Lattice(tuple(slots), tuple(boundaries))


priors = st.sampled_from(
    [{}, {"sk": 0.9}, {"ae-du": 0.7, "ae-az": 0.2}, {"us": 0.5, "br": 0.4, "": 0.1}, {"nowhere": 1.0}]
)


@given(lattices(), priors)
def test_only_recognized_characters_are_decoded(lattice: Lattice, prior: dict[str, float]) -> None:
    found = decode_text(lattice, ALL, region_prior=prior)
    assert len(found.slots) == len(found.text) == len(found.characters)
    assert len(set(found.slots)) == len(found.slots)
    for index, character in zip(found.slots, found.text, strict=True):
        distribution = lattice.slots[index].distribution
        top, taken = int(distribution.argmax()), index_of(character)
        share = distribution[taken]
        assert taken == top or share >= PLAUSIBLE or (LOOK_ALIKES[top, taken] and share >= PLAUSIBLE_ALIKE)


@given(lattices(), priors)
def test_a_decoded_text_is_consistent(lattice: Lattice, prior: dict[str, float]) -> None:
    found = decode_text(lattice, ALL, region_prior=prior)
    assert found == decode_text(lattice, ALL, region_prior=prior)
    assert found.raw_text == lattice.raw
    assert "".join(c.text for c in found.characters) == found.text
    assert sorted(found.code + found.number) == sorted(found.text)
    assert found.text in {found.code + found.number, found.number + found.code}
    assert set(found.text) <= set(ALPHABET)
    assert found.runner_up != found.text or not found.text
    values = [
        found.confidence,
        found.region_confidence,
        found.code_confidence,
        found.number_confidence,
        found.margin,
    ]
    assert all(0 <= value <= 1 for value in [*values, *(c.confidence for c in found.characters)])
    assert found.margin <= found.confidence + 1e-9


@given(lattices())
def test_subsets_are_bounded_and_sorted(lattice: Lattice) -> None:
    found, share = subsets_of(lattice, range(1, 13))
    assert len(found) <= MAX_SUBSETS
    assert 0 <= share <= 1 + 1e-9
    assert [s.log_presence for s in found] == sorted((s.log_presence for s in found), reverse=True)
    for subset in found:
        assert subset.slots == tuple(sorted(set(subset.slots)))
        assert len(subset.cuts) == len(subset.row_breaks) == len(subset.slots) - 1
