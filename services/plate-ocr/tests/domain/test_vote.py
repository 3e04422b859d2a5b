"""The vote over a track: the text, the confidence, and the evidence."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.values import Box, Character, PlateReading, PlateState, UnreadReason, seen_not_read
from plate_ocr.domain.vote import (
    FULL_HEIGHT_PX,
    MAX_CONFIDENCE,
    MIN_AGREEING,
    Look,
    Vote,
    similarity,
    vote,
)


def reading(
    text: str, confidence: float = 0.9, height: float = 30, sharpness: float = 0.5, region: str = ""
) -> PlateReading:
    return PlateReading(
        text=text,
        raw_text=text,
        region=region,
        code="",
        number=text,
        confidence=confidence,
        characters=tuple(Character(c, confidence) for c in text),
        box=Box(10, 10, height * 4, height),
        height_px=height,
        sharpness=sharpness,
    )


def looks(*texts: str, **more: Any) -> list[Look]:
    return [Look(f"f{n:02}", reading(text, **more)) for n, text in enumerate(texts)]


def unread(frame: str = "u", height: float = 9) -> Look:
    return Look(frame, seen_not_read(Box(0, 0, 30, height), UnreadReason.TOO_SMALL, height_px=height))


LOOKS = st.lists(
    st.builds(
        reading,
        st.text("AB81", min_size=1, max_size=5),
        st.floats(0.05, 1.0),
        st.floats(4, 90),
        st.floats(0, 1),
        st.sampled_from(["", "ae-du", "ae-az"]),
    ),
    min_size=1,
    max_size=7,
).map(lambda readings: [Look(f"f{n}", one) for n, one in enumerate(readings)])


@given(LOOKS, st.randoms())
def test_the_order_of_the_looks_changes_nothing(given_looks: list[Look], random) -> None:
    mixed = list(given_looks)
    random.shuffle(mixed)
    assert vote(mixed) == vote(given_looks)


@given(LOOKS, st.floats(0.05, 1.0), st.floats(4, 90), st.floats(0, 1))
def test_one_more_look_that_agrees(
    given_looks: list[Look], confidence: float, height: float, sharpness: float
) -> None:
    before = vote(given_looks)
    more = Look("more", reading(before.reading.text, confidence, height, sharpness))
    after = vote([*given_looks, more])
    assert after.reading.text == before.reading.text
    assert after.reading.confidence >= before.reading.confidence - 1e-12
    assert after.agreeing == before.agreeing + 1
    assert not after.is_composed


@given(LOOKS)
def test_the_evidence_is_a_frame_of_the_track_that_shows_the_text(given_looks: list[Look]) -> None:
    made = vote(given_looks)
    assert made.evidence in given_looks
    assert made.reading.box == made.evidence.reading.box
    assert made.is_composed == (made.evidence.text != made.reading.text)
    assert made.agreeing == sum(look.text == made.reading.text for look in given_looks)
    assert made.is_composed == (made.agreeing == 0)
    assert (made.reading.state is PlateState.READ) == (made.agreeing >= MIN_AGREEING)
    assert 0 <= made.reading.confidence <= MAX_CONFIDENCE < 1
    assert "".join(c.text for c in made.reading.characters) == made.reading.text
    if made.is_composed:
        assert len({look.text for look in given_looks}) == len(given_looks)


@given(
    st.text("AB81", min_size=1, max_size=6),
    st.text("AB81", min_size=1, max_size=6),
    st.floats(0.05, 1.0),
    st.floats(4, 90),
)
def test_two_that_agree_beat_one_of_equal_weight(
    agreed: str, other: str, confidence: float, height: float
) -> None:
    made = vote(looks(agreed, other, agreed, confidence=confidence, height=height))
    assert made.reading.text == agreed


@given(st.lists(st.sampled_from(["AB1", "AB8", "8B1", "A81"]), min_size=1, max_size=6), st.floats(0.05, 1))
def test_one_that_disagrees_never_raises_the_confidence(texts: list[str], confidence: float) -> None:
    given_looks = looks(*texts)
    before = vote(given_looks)
    after = vote([*given_looks, Look("more", reading("XXX", confidence))])
    if after.reading.text == before.reading.text:
        assert after.reading.confidence <= before.reading.confidence + 1e-12


@given(st.floats(0.01, 0.999))
def test_a_single_look(confidence: float) -> None:
    made = vote([unread(), *looks("D71026", confidence=confidence)])
    assert (made.reading.state, made.agreeing, made.looks) == (PlateState.SINGLE_LOOK, 1, 2)
    assert made.reading.confidence == pytest.approx(confidence)
    assert made.evidence.frame == "f00"


@given(st.floats(6, 40), st.floats(1.3, 3), st.booleans())
def test_the_taller_or_sharper_look_counts_more(height: float, times: float, is_tall: bool) -> None:
    better: dict[str, Any] = (
        {"height": min(height * times, FULL_HEIGHT_PX)} if is_tall else {"sharpness": 0.3 * times}
    )
    worse: dict[str, Any] = {"height": height} if is_tall else {"sharpness": 0.3}
    first, second = Look("a", reading("A71026", **better)), Look("b", reading("B71026", **worse))
    assert first.weight > second.weight
    assert vote([first, second]).evidence is first
    assert vote(
        [Look("a", reading("B71026", **worse)), Look("b", reading("A71026", **better))]
    ).reading.text == ("A71026")


@pytest.mark.parametrize(
    ("texts", "winner", "state", "is_composed"),
    [
        (["D71026"], "D71026", PlateState.SINGLE_LOOK, False),
        (["D71026", "D71026"], "D71026", PlateState.READ, False),
        (["D71026", "D71028", "D71026"], "D71026", PlateState.READ, False),
        # The first character is missing in most looks, two have the whole plate.
        (["71026", "D71026", "71026", "D71026", "D7102"], "D71026", PlateState.READ, False),
        # A look that misread a bolt as a 1 at the end still votes.
        (["AB12345", "AB1234", "AB1234"], "AB1234", PlateState.READ, False),
        (["XB1234", "AX1234", "AB1X34"], "AB1234", PlateState.SINGLE_LOOK, True),
    ],
)
def test_the_winning_text(texts: list[str], winner: str, state: PlateState, is_composed: bool) -> None:
    made = vote(looks(*texts))
    assert (made.reading.text, made.reading.state, made.is_composed) == (winner, state, is_composed)
    assert made.looks == len(texts)


def test_a_text_with_a_character_that_only_one_look_has_is_not_composed() -> None:
    """Composed only where two looks support each position."""
    given_looks = looks("XY1", "ZY2", "XQ3")
    made = vote(given_looks)
    assert not made.is_composed
    assert made.reading.text in {look.text for look in given_looks}
    assert made.reading.state is PlateState.SINGLE_LOOK


def test_a_composed_text_shows_the_nearest_frame_and_claims_no_code() -> None:
    given_looks = looks("XB1234", "AX1234", "AB1X34")
    given_looks[1] = replace(
        given_looks[1], reading=replace(given_looks[1].reading, code="A", number="X1234")
    )
    made = vote(given_looks)
    assert (made.reading.code, made.reading.number, made.agreeing) == ("", "AB1234", 0)
    assert similarity(made.evidence.text, "AB1234") == max(
        similarity(look.text, "AB1234") for look in given_looks
    )


def test_a_near_sharp_look_outweighs_two_far_ones() -> None:
    far = looks("D71028", "D71028", height=9, sharpness=0.1, confidence=0.5)
    near = Look("near", reading("D71026", 0.97, 45, 0.9))
    assert vote([*far, near]).reading.text == "D71026"
    assert vote([*far, near]).reading.state is PlateState.SINGLE_LOOK


def test_the_alternatives_of_a_slot_vote() -> None:
    """Three looks are undecided between 8 and B; B is second in each, and the fourth look is certain of it."""
    texts = ["8A", "BA", "8A"]
    slots = ((Character("8", 0.4), Character("B", 0.39)), (Character("A", 0.9),))
    undecided = [
        Look(
            f"f{n}",
            replace(reading(t, 0.4), slots=slots, characters=(Character("8", 0.4), Character("A", 0.9))),
        )
        for n, t in enumerate(texts)
        if t == "8A"
    ]
    made = vote([*undecided, Look("certain", reading("BA", 0.9))])
    assert made.reading.text == "BA"


def test_looks_without_a_text() -> None:
    tall = unread("tall", 14)
    made = vote([unread("a", 8), tall, unread("b", 9)])
    assert (made.reading.state, made.reading.text, made.reading.unread_reason) == (
        PlateState.SEEN_NOT_READ,
        "",
        UnreadReason.TOO_SMALL,
    )
    assert (made.evidence, made.looks, made.agreeing, made.is_composed) == (tall, 3, 0, False)


def test_the_region_comes_from_the_looks_that_read_the_text() -> None:
    readings = [
        reading("D71026", 0.9),
        reading("D71026", 0.9),
        reading("D71026", 0.8, region="ae-du"),
        reading("D71026", 0.7, region="ae-az"),
        reading("K1", 0.99, region="ae-sj"),
    ]
    made = vote([Look(f"f{n}", one) for n, one in enumerate(readings)])
    assert (made.reading.region, made.evidence.frame, made.agreeing) == ("ae-du", "f2", 4)


def test_the_same_frame_twice_confirms_nothing() -> None:
    (look,) = looks("D71026")
    assert vote([look, look]).reading.state is PlateState.SINGLE_LOOK


def test_more_agreeing_looks_raise_the_confidence_below_1() -> None:
    confidences = [vote(looks(*["D71026"] * n, confidence=0.8)).reading.confidence for n in range(1, 40)]
    assert confidences == sorted(confidences)
    assert confidences[0] == pytest.approx(0.8)
    assert confidences[2] > 0.85
    assert confidences[-1] < 1
    made: Vote = vote(looks("D71026", "D71026", "D71028", confidence=0.8))
    assert made.reading.confidence < 0.65


def test_no_look() -> None:
    with pytest.raises(ValueError, match="at least one look"):
        vote([])


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("", "", 1),
        ("A1", "A1", 1),
        ("", "A1", 0),
        ("AB12", "AB13", 0.75),
        ("AB12", "B12", 0.75),
        ("AB", "12", 0),
    ],
)
def test_similarity(first: str, second: str, alike: float) -> None:
    assert similarity(first, second) == similarity(second, first) == alike
