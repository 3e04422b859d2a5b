# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""Which looks the finder takes, by what the ones before it saw; and plates that only a closer look shows."""

from collections.abc import Callable

import numpy as np
import pytest

from plate_ocr.adapters.row_detector import RowDetector
from plate_ocr.domain.values import Box, Detection, Picture

from .conftest import bgr, canvas, put_plate

FIRST, SECOND = 100_000, 400_000
WIDTH, HEIGHT = 1200, 800
Seen = Callable[[int], list[tuple[Box, float]]]


class Told(RowDetector):
    """A finder whose network is told what it sees: `whole` by the pixels of the look, `parts` in any closer one."""

    def __init__(self, whole: Seen, parts: list[tuple[Box, float]]) -> None:
        super().__init__(first_pass_pixels=FIRST, second_pass_pixels=SECOND)
        self.whole, self.parts = whole, parts
        self.part_seen: list[list[tuple[Box, float]]] = []
        self.looks: list[str] = []

    def _look(self, picture: Picture, max_pixels: int, min_score: float) -> tuple[Detection, ...]:
        is_whole = picture.shape[:2] == (HEIGHT, WIDTH)
        self.looks.append({FIRST: "first", SECOND: "second"}[max_pixels] if is_whole else "closer")
        parts = self.part_seen.pop(0) if self.part_seen and not is_whole else self.parts
        rows = self.whole(max_pixels) if is_whole else parts
        return tuple(Detection(box.corners(), score) for box, score in rows if score >= min_score)


def row_at(x: float, y: float = 300.0, height: float = 80.0) -> Box:
    return Box(x, y, 200, height)


def scores(found: tuple[Detection, ...]) -> list[float]:
    return sorted(row.score for row in found)


IN_PART = Box(240, 200, 200, 80)
"""Where a row of `row_at` lies in the window around it."""


@pytest.mark.parametrize(
    ("first", "second", "part", "looks", "told"),
    [
        pytest.param([0.7], [], [], ["first"], [0.7], id="sure at once"),
        pytest.param([0.7, 0.5], [], [], ["first"], [0.5, 0.7], id="one sure, one less: no more looks"),
        pytest.param([0.7, 0.3], [], [], ["first"], [0.7], id="what is below the least score is not told"),
        pytest.param([0.5], [], [0.8], ["first", "closer"], [0.8], id="confirmed closer"),
        pytest.param([0.2], [], [0.8], ["first", "closer"], [0.8], id="a weak proposal, confirmed"),
        pytest.param([0.1], [0.7], [0.8], ["first", "second"], [0.7], id="too weak to propose"),
        pytest.param([], [0.7], [], ["first", "second"], [0.7], id="nothing: the whole again, larger"),
        pytest.param([0.3], [0.7], [], ["first", "closer", "second"], [0.7], id="refuted: the whole again"),
        pytest.param(
            [], [0.3], [0.5], ["first", "second", "closer"], [0.5], id="the larger look proposes too"
        ),
        pytest.param(
            [0.5], [], [], ["first", "closer", "second"], [0.5], id="seen once only: told all the same"
        ),
        pytest.param([], [], [], ["first", "second"], [], id="nothing at all"),
    ],
)
def test_looks(
    first: list[float], second: list[float], part: list[float], looks: list[str], told: list[float]
) -> None:
    by_pixels = {FIRST: first, SECOND: second}
    finder = Told(
        lambda pixels: [(row_at(100 + 500 * i), score) for i, score in enumerate(by_pixels[pixels])],
        [(IN_PART, score) for score in part],
    )
    found = finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert finder.looks == looks
    assert scores(found) == told


def rows_at(count: int, score: float) -> list[tuple[Box, float]]:
    return [(row_at(20 + 390 * (i % 3), 60 + 350 * (i // 3), 30), score - i / 100) for i in range(count)]


def test_closer_looks_are_few_and_what_they_leave_out_is_still_told() -> None:
    # The closer looks see nothing where they look but once, and a sure large row needs none.
    rows = [(row_at(20, 60, 30), 0.95), (row_at(410, 60, 30), 0.3), (row_at(800, 60, 30), 0.2)]
    finder = Told(lambda _: rows, [])
    finder.part_seen = [[], [(Box(90, 75, 200, 30), 0.9)], []]
    found = finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert finder.looks == ["first", "closer", "closer", "closer"]
    assert scores(found) == pytest.approx([0.9, 0.95])


@pytest.mark.parametrize(
    ("x", "told"),
    [(40, [0.5, 0.9]), (0, [0.5]), (205, [0.5])],
    ids=["whole", "cut at the left", "cut at the right"],
)
def test_a_stump_of_a_neighbour_in_a_closer_look_is_no_row(x: float, told: list[float]) -> None:
    """The window around a row of 120 by 30 px is 300 wide."""
    finder = Told(lambda _: [(Box(600, 300, 120, 30), 0.5)], [])
    finder.part_seen = [[(Box(90, 75, 120, 30), 0.5), (Box(x, 10, 95, 30), 0.9)]]
    assert scores(finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))) == told


def test_what_two_closer_looks_see_is_told_once_and_two_rows_of_one_look_twice() -> None:
    finder = Told(lambda _: [(Box(600, 300, 120, 30), 0.5), (Box(640, 372, 120, 30), 0.45)], [])
    both = [(Box(90, 75, 120, 30), 0.8), (Box(90, 115, 120, 30), 0.7)]
    finder.part_seen = [both, [(Box(50, 43, 120, 30), 0.6)]]
    found = finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert finder.looks == ["first", "closer", "closer"]
    assert scores(found) == [0.7, 0.8]


def test_many_small_rows_are_looked_at_together() -> None:
    finder = Told(lambda pixels: rows_at(6, 0.9 if pixels == SECOND else 0.5), [(IN_PART, 0.9)])
    found = finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert finder.looks == ["first", "second"]
    assert scores(found) == pytest.approx([0.85, 0.86, 0.87, 0.88, 0.89, 0.9])


def test_a_sure_row_that_is_small_in_the_look_gets_its_corners_from_a_closer_one() -> None:
    finder = Told(lambda _: [(row_at(600, height=30), 0.9)], [(Box(90, 75, 200, 30), 0.7)])
    found = finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert finder.looks == ["first", "closer"]
    assert scores(found) == [0.7]


def test_a_closer_look_tells_where_in_the_whole_picture() -> None:
    finder = Told(lambda _: [(Box(600, 300, 120, 30), 0.5)], [(Box(90, 75, 120, 30), 0.9)])
    (found,) = finder.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    # The window reaches three heights of the row to its sides and two and a half above and below.
    assert (found.box.x, found.box.y) == (600, 300)


@pytest.mark.parametrize("height", [22, 16])
def test_a_small_plate_in_a_large_picture(height: int) -> None:
    """A plate of 70 px in a picture of 2560 pixels has 14 of them in the first look."""
    picture = canvas(2560, 1440)
    x, y, width, _ = put_plate(picture, "RK 755AJ", (1700, 900), height)
    rows = RowDetector().detect(bgr(picture))
    (row,) = [one for one in rows if x < one.box.centre.x < x + width and y < one.box.centre.y < y + height]
    assert row.box.width == pytest.approx(width, rel=0.35)
