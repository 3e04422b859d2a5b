# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Which passes the row detector makes, by the results of those before; and plates that only a zoomed pass finds."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.adapters.row_detector import RowDetector
from plate_ocr.adapters.row_network import RowNetwork, input_parts, input_size
from plate_ocr.domain.values import Box, Detection, Picture

from .conftest import bgr, canvas, put_plate

FIRST, SECOND = 100_000, 400_000
WIDTH, HEIGHT = 1200, 800
Rows = Callable[[int], list[tuple[Box, float]]]


class FakeNetwork:
    """Detects `whole` by the pixels of the pass in the whole picture, and `parts` in every zoomed part; `part_rows`: of
    the parts one after the other, where they differ.
    """

    def __init__(self, whole: Rows, parts: list[tuple[Box, float]]) -> None:
        self.whole, self.parts = whole, parts
        self.part_rows: list[list[tuple[Box, float]]] = []
        self.passes: list[str] = []

    def detect(self, picture: Picture, max_pixels: int, min_score: float) -> tuple[Detection, ...]:
        is_whole = picture.shape[:2] == (HEIGHT, WIDTH)
        self.passes.append({FIRST: "first", SECOND: "second"}[max_pixels] if is_whole else "zoom")
        parts = self.part_rows.pop(0) if self.part_rows and not is_whole else self.parts
        rows = self.whole(max_pixels) if is_whole else parts
        return tuple(Detection(box.corners(), score) for box, score in rows if score >= min_score)


def detected(network: FakeNetwork) -> tuple[Detection, ...]:
    detector = RowDetector(network, first_pass_pixels=FIRST, second_pass_pixels=SECOND)
    return detector.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def row_at(x: float, y: float = 300.0, height: float = 80.0) -> Box:
    return Box(x, y, 200, height)


def scores(found: tuple[Detection, ...]) -> list[float]:
    return sorted(row.score for row in found)


IN_PART = Box(240, 200, 200, 80)
"""Where a row of `row_at` is in the zoomed part around it."""


@pytest.mark.parametrize(
    ("first", "second", "part", "passes", "expected"),
    [
        pytest.param([0.7], [], [], ["first"], [0.7], id="certain in the first pass"),
        pytest.param([0.7, 0.5], [], [], ["first"], [0.5, 0.7], id="the best is certain: no further pass"),
        pytest.param([0.7, 0.3], [], [], ["first"], [0.7], id="below the minimum score"),
        pytest.param([0.5], [], [0.8], ["first", "zoom"], [0.8], id="confirmed by a zoomed pass"),
        pytest.param([0.2], [], [0.8], ["first", "zoom"], [0.8], id="a weak proposal, confirmed"),
        pytest.param([0.1], [0.7], [0.8], ["first", "second"], [0.7], id="too weak to propose"),
        pytest.param(
            [], [0.7], [], ["first", "second"], [0.7], id="nothing: the whole picture again, larger"
        ),
        pytest.param(
            [0.3], [0.7], [], ["first", "zoom", "second"], [0.7], id="not confirmed: the whole picture again"
        ),
        pytest.param([], [0.3], [0.5], ["first", "second", "zoom"], [0.5], id="the second pass proposes too"),
        pytest.param(
            [0.5], [], [], ["first", "zoom", "second"], [0.5], id="never confirmed: returned all the same"
        ),
        pytest.param([], [], [], ["first", "second"], [], id="nothing at all"),
    ],
)
def test_passes(
    first: list[float], second: list[float], part: list[float], passes: list[str], expected: list[float]
) -> None:
    by_pixels = {FIRST: first, SECOND: second}
    network = FakeNetwork(
        lambda pixels: [(row_at(100 + 500 * i), score) for i, score in enumerate(by_pixels[pixels])],
        [(IN_PART, score) for score in part],
    )
    found = detected(network)
    assert network.passes == passes
    assert scores(found) == expected


def rows_at(count: int, score: float) -> list[tuple[Box, float]]:
    return [(row_at(20 + 390 * (i % 3), 60 + 350 * (i // 3), 30), score - i / 100) for i in range(count)]


def test_zoomed_passes_are_limited_and_a_certain_row_is_kept_without_one() -> None:
    # Only one of the zoomed passes finds a row, and the certain row needs none.
    rows = [(row_at(20, 60, 30), 0.95), (row_at(410, 60, 30), 0.3), (row_at(800, 60, 30), 0.2)]
    network = FakeNetwork(lambda _: rows, [])
    network.part_rows = [[], [(Box(90, 75, 200, 30), 0.9)], []]
    found = detected(network)
    assert network.passes == ["first", "zoom", "zoom", "zoom"]
    assert scores(found) == pytest.approx([0.9, 0.95])


@pytest.mark.parametrize(
    ("x", "expected"),
    [(40, [0.5, 0.9]), (0, [0.5]), (205, [0.5])],
    ids=["whole", "cut at the left", "cut at the right"],
)
def test_a_cut_off_neighbour_in_a_zoomed_part_is_not_a_row(x: float, expected: list[float]) -> None:
    """The part around a row of 120 by 30 px is 300 wide."""
    network = FakeNetwork(lambda _: [(Box(600, 300, 120, 30), 0.5)], [])
    network.part_rows = [[(Box(90, 75, 120, 30), 0.5), (Box(x, 10, 95, 30), 0.9)]]
    assert scores(detected(network)) == expected


def test_a_row_in_two_zoomed_parts_is_returned_once_and_two_rows_of_one_part_twice() -> None:
    network = FakeNetwork(lambda _: [(Box(600, 300, 120, 30), 0.5), (Box(640, 372, 120, 30), 0.45)], [])
    both = [(Box(90, 75, 120, 30), 0.8), (Box(90, 115, 120, 30), 0.7)]
    network.part_rows = [both, [(Box(50, 43, 120, 30), 0.6)]]
    found = detected(network)
    assert network.passes == ["first", "zoom", "zoom"]
    assert scores(found) == [0.7, 0.8]


def test_many_small_rows_are_detected_in_one_larger_pass() -> None:
    network = FakeNetwork(lambda pixels: rows_at(6, 0.9 if pixels == SECOND else 0.5), [(IN_PART, 0.9)])
    found = detected(network)
    assert network.passes == ["first", "second"]
    assert scores(found) == pytest.approx([0.85, 0.86, 0.87, 0.88, 0.89, 0.9])


def test_a_certain_row_that_is_small_gets_its_corners_from_a_zoomed_pass() -> None:
    network = FakeNetwork(lambda _: [(row_at(600, height=30), 0.9)], [(Box(90, 75, 200, 30), 0.7)])
    found = detected(network)
    assert network.passes == ["first", "zoom"]
    assert scores(found) == [0.7]


def test_rows_of_a_zoomed_part_are_in_coordinates_of_the_whole_picture() -> None:
    network = FakeNetwork(lambda _: [(Box(600, 300, 120, 30), 0.5)], [(Box(90, 75, 120, 30), 0.9)])
    (found,) = detected(network)
    # The part extends three heights of the row to its sides and two and a half above and below.
    assert (found.box.x, found.box.y) == (600, 300)


@pytest.mark.parametrize("height", [22, 16])
def test_a_small_plate_in_a_large_picture(height: int) -> None:
    """A plate of 70 px in a picture of 2560 pixels has 14 of them in the first pass."""
    picture = canvas(2560, 1440)
    x, y, width, _ = put_plate(picture, "RK 755AJ", (1700, 900), height)
    rows = RowDetector(RowNetwork()).detect(bgr(picture))
    (row,) = [one for one in rows if x < one.box.centre.x < x + width and y < one.box.centre.y < y + height]
    assert row.box.width == pytest.approx(width, rel=0.35)


@given(st.integers(1, 1_000_000), st.integers(1, 1_000_000), st.sampled_from([1, 5000, 150_000, 700_000]))
def test_the_input_of_the_network_is_bounded_for_every_aspect(
    width: int, height: int, max_pixels: int
) -> None:
    net_width, net_height = input_size(width, height, max_pixels)
    assert net_width % 32 == net_height % 32 == 0
    assert min(net_width, net_height) >= 32
    assert net_width * net_height <= max(1.1 * max_pixels, 32 * 32)


@given(st.integers(1, 400), st.integers(1, 400))
def test_the_parts_of_a_large_input_are_small_and_cover_it(longer: int, shorter: int) -> None:
    longer_px, shorter_px = 32 * max(longer, shorter), 32 * min(longer, shorter)
    parts = input_parts(longer_px, shorter_px)
    assert [part.first for part in parts] == [0, *(part.last for part in parts[:-1])]
    assert parts[-1].last == longer_px
    for part in parts:
        assert 0 <= part.start <= part.first < part.last <= part.stop <= longer_px
        assert part.start % 32 == part.stop % 32 == 0
        assert part.start in {0, part.first - 96}
        assert part.stop in {longer_px, part.last + 96} or longer_px - part.last < 96
        assert (part.stop - part.start) * shorter_px <= 480_000 or part.last - part.first <= 2 * 96
    if longer_px * shorter_px <= 480_000:
        assert len(parts) == 1


@pytest.mark.parametrize("size", [(1280, 800), (800, 1280)])
def test_a_plate_between_two_parts_of_the_input_is_detected_whole(size: tuple[int, int]) -> None:
    """The parts of both inputs meet where the plate is."""
    width, height = size
    picture = canvas(width, height)
    put_plate(picture, "RK 755AJ", (width // 2 - 70, height // 2 - 14), 28)
    (row,) = RowNetwork().detect(bgr(picture), 700_000, 0.4)
    (whole,) = RowNetwork().detect(bgr(picture), 450_000, 0.4)
    assert row.box.width == pytest.approx(whole.box.width, rel=0.1)
    assert row.box.centre.x == pytest.approx(whole.box.centre.x, abs=4)


SIZES = [((1280, 720), (512, 288)), ((1920, 1080), (512, 288)), ((300, 100), (288, 96))]


@pytest.mark.parametrize(("size", "expected"), SIZES)
def test_the_input_of_the_network_keeps_the_aspect(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert input_size(*size, 150_000) == expected
