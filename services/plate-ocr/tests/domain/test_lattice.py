# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""From frames to slots: spikes and their tails, spikes that blank nearly hides, gaps and rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.alphabet import (
    ALPHABET,
    BLANK,
    CLASS_COUNT,
    LOOK_ALIKES,
    SEPARATOR,
    RowPosterior,
    index_of,
)
from plate_ocr.domain.lattice import Lattice, build_lattice

from .rows import Frame, frames, plate

BLANK_FRAME: Frame = {"_": 0.999}


def tops(lattice: Lattice) -> str:
    return "".join(slot.top for slot in lattice.slots)


def test_the_classes_are_in_the_order_of_the_recognizer() -> None:
    assert (len(ALPHABET), BLANK, SEPARATOR, CLASS_COUNT) == (36, 0, 37, 38)
    assert (index_of("0"), index_of("A"), index_of("Z")) == (0, 10, 35)


def test_look_alikes() -> None:
    assert (LOOK_ALIKES == LOOK_ALIKES.T).all()
    assert LOOK_ALIKES.diagonal().all()
    for pair in ("O0", "I1", "B8", "S5", "Z2", "D0", "G6", "Q0"):
        assert LOOK_ALIKES[index_of(pair[0]), index_of(pair[1])]
    assert not LOOK_ALIKES[index_of("A"), index_of("8")]


def test_repeated_frames_are_one_character_and_a_blank_makes_them_two() -> None:
    one = frames(BLANK_FRAME, {"7": 0.9}, {"7": 0.99}, {"7": 0.9}, BLANK_FRAME)
    two = frames(BLANK_FRAME, {"7": 0.9}, BLANK_FRAME, {"7": 0.9}, BLANK_FRAME)
    assert build_lattice([one]).raw == "7"
    assert build_lattice([two]).raw == "77"


def test_a_slot_holds_what_its_spike_leaves_open() -> None:
    (slot,) = build_lattice([frames(BLANK_FRAME, {"B": 0.5, "8": 0.3, "_": 0.2}, BLANK_FRAME)]).slots
    assert slot.top == "B"
    assert slot.distribution[index_of("B")] == pytest.approx(0.625, abs=0.01)
    assert slot.distribution[index_of("8")] == pytest.approx(0.375, abs=0.01)
    assert slot.presence == pytest.approx(0.8, abs=0.01)
    assert (slot.row, slot.is_greedy) == (0, True)
    assert slot.x == pytest.approx(0.5)


def test_a_spike_that_blank_nearly_hides_may_be_a_character() -> None:
    lattice = plate(["A", {"_": 0.75, "7": 0.2}, "B", {"_": 0.95, "1": 0.04}, "C"])
    assert lattice.raw == "ABC"
    assert tops(lattice) == "A7BC"
    assert [slot.is_greedy for slot in lattice.slots] == [True, False, True, True]
    assert lattice.slots[1].presence == pytest.approx(0.25, abs=0.01)


def test_the_tail_of_a_spike_is_not_a_character() -> None:
    feet = frames(BLANK_FRAME, {"_": 0.7, "A": 0.3}, {"A": 0.99}, {"_": 0.6, "A": 0.4}, BLANK_FRAME)
    assert tops(build_lattice([feet])) == "A"


def test_look_alikes_that_touch_may_be_one_glyph() -> None:
    torn = build_lattice([frames(BLANK_FRAME, {"B": 0.6, "8": 0.4}, {"8": 0.55, "B": 0.45}, BLANK_FRAME)])
    assert torn.raw == "B8"
    assert [slot.presence for slot in torn.slots] == [pytest.approx(1, abs=0.01), 0.5]
    two = build_lattice([frames(BLANK_FRAME, {"O": 0.99}, {"0": 0.98}, BLANK_FRAME)])
    assert min(slot.presence for slot in two.slots) > 0.97


def test_gaps_and_rows_become_boundaries() -> None:
    lattice = plate(["D", "-", "7", "1"], ["2", {"_": 0.7, "-": 0.3}, "3"])
    assert lattice.raw == "D71 23"
    assert [b.is_row_break for b in lattice.boundaries] == [False, False, True, False]
    assert [b.probability for b in lattice.boundaries] == pytest.approx([1, 0, 1, 0.3], abs=0.02)


def test_a_gap_at_the_edge_is_ignored() -> None:
    assert plate(["-", "D", "7", "-"]).boundaries[0].probability < 0.01


@pytest.mark.parametrize("rows", [[], [frames()], [frames(), frames(BLANK_FRAME)]])
def test_nothing_seen(rows: list[RowPosterior]) -> None:
    lattice = build_lattice(rows)
    assert (lattice.raw, lattice.slots, lattice.boundaries) == ("", (), ())


def test_an_empty_row_between_two_is_ignored() -> None:
    lattice = build_lattice([*(frames(BLANK_FRAME, {c: 0.99}) for c in "A"), frames(), frames({"B": 0.99})])
    assert lattice.raw == "A B"
    assert len(lattice.boundaries) == 1


@pytest.mark.parametrize("shape", [(5, CLASS_COUNT - 1), (CLASS_COUNT,)])
def test_shapes_are_checked(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="38"):
        build_lattice([np.zeros(shape, np.float32)])


@st.composite
def posteriors(draw: st.DrawFn) -> RowPosterior:
    count = draw(st.integers(0, 24))
    seed = draw(st.integers(0, 2**32 - 1))
    sharpness = draw(st.sampled_from([0.5, 3.0, 8.0]))
    logits = np.random.default_rng(seed).normal(0, sharpness, (count, CLASS_COUNT))
    logits[:, BLANK] += draw(st.sampled_from([0.0, 4.0]))
    values = np.exp(logits - logits.max(axis=1, keepdims=True)) if count else logits
    shares = values / values.sum(axis=1, keepdims=True)
    return np.asarray(shares, np.float32)


@given(st.lists(posteriors(), max_size=3))
def test_any_posterior_gives_a_consistent_lattice(rows: list[RowPosterior]) -> None:
    lattice = build_lattice(rows)
    assert len(lattice.boundaries) == max(len(lattice.slots) - 1, 0)
    assert [(s.row, s.x) for s in lattice.slots] == sorted((s.row, s.x) for s in lattice.slots)
    for slot in lattice.slots:
        assert slot.distribution.sum() == pytest.approx(1)
        assert 0 <= slot.presence <= 1
    for left, right, boundary in zip(lattice.slots, lattice.slots[1:], lattice.boundaries, strict=False):
        assert boundary.is_row_break == (left.row != right.row)
        assert 0 <= boundary.probability <= 1


@given(posteriors())
def test_the_raw_reading_is_the_greedy_one(posterior: RowPosterior) -> None:
    best = posterior.argmax(axis=1).tolist()
    starts = [b for before, b in zip([BLANK, *best], best, strict=False) if b != before]
    expected = "".join(ALPHABET[b - 1] for b in starts if b not in {BLANK, SEPARATOR})
    assert build_lattice([posterior]).raw == expected
