"""Detects the rows of plates in a picture: the network on the whole picture scaled down, then on parts of it at full
size.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from plate_ocr.adapters.crops import Cutout, cut_out
from plate_ocr.adapters.row_network import MAX_UPSCALE
from plate_ocr.domain.engines import PlateDetector
from plate_ocr.domain.values import Box, Detection, Picture, Point

_MAX_ZOOMS = 3
_MAX_ZOOM_PIXELS = 70_000
_MIN_SHARP_ROW_PX = 22.0
"""Height of a row in the scaled picture, below which its corners are too coarse to read it by."""
_ZOOM_ROW_PX = 28
"""The height that a row has in a zoomed part, where the picture has as many pixels."""
_ZOOM_ALONG, _ZOOM_ACROSS = 3.0, 2.5
"""Margin of a zoomed part around a row, in its heights."""
_PLATE_MARGIN = 0.3
_PLATE_PIXELS = 40_000


class RowPass(Protocol):
    """One pass of a network that detects rows."""

    def detect(self, picture: Picture, max_pixels: int, min_score: float) -> tuple[Detection, ...]:
        """Rows with at least that score in the picture, scaled down to `max_pixels`."""
        ...


class RowDetector:
    """A `PlateDetector`: a pass over the whole picture; unless the best row is certain and large there, passes over the
    parts around the best proposals at full size; where these find nothing, both again with a larger picture.

    `first_pass_pixels`, `second_pass_pixels`: width times height of the whole picture in the two rounds.
    `proposal_score`: 0 to 1, from which a row's surroundings are zoomed. `min_score`: of a row that is returned.
    `certain_score`: from which a row needs no further pass.
    """

    def __init__(
        self,
        network: RowPass,
        *,
        first_pass_pixels: int = 150_000,
        second_pass_pixels: int = 700_000,
        proposal_score: float = 0.15,
        min_score: float = 0.4,
        certain_score: float = 0.6,
    ) -> None:
        self._network = network
        self._pass_pixels = (first_pass_pixels, second_pass_pixels)
        self._proposal_score, self._min_score, self._certain_score = proposal_score, min_score, certain_score

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        """Rows of plates, in no order. `corners` clockwise from the top left of the row as it is read."""
        found: tuple[Detection, ...] = ()
        for pixels in self._pass_pixels:
            proposed = self._network.detect(picture, pixels, self._proposal_score)
            seen = tuple(row for row in proposed if row.score >= self._min_score)
            if not _is_larger(picture, pixels):
                return seen or found
            scale = (pixels / (picture.shape[0] * picture.shape[1])) ** 0.5
            uncertain = [
                row
                for row in seen
                if row.score < self._certain_score or _height_of(row) * scale < _MIN_SHARP_ROW_PX
            ]
            found = seen or found
            if len(uncertain) > _MAX_ZOOMS:
                continue  # a car park full of small plates: one larger pass costs less than many zoomed ones
            if seen and max(seen, key=lambda row: row.score) not in uncertain:
                return seen
            zoomed_rows, zoomed = self._zoom(picture, proposed)
            if zoomed_rows:
                # An uncertain row that the zoomed pass did not confirm is not returned.
                others = (row for row in seen if row.score >= self._certain_score or row not in zoomed)
                return (
                    *zoomed_rows,
                    *(row for row in others if not any(_do_overlap(row, one) for one in zoomed_rows)),
                )
        return found

    def detect_once(self, picture: Picture, max_pixels: int) -> tuple[Detection, ...]:
        """Rows in one pass over the picture."""
        return self._network.detect(picture, max_pixels, self._min_score)

    def _zoom(
        self, picture: Picture, proposed: Sequence[Detection]
    ) -> tuple[list[Detection], list[Detection]]:
        """The rows in the parts around the best proposals, a row of two parts once; and these proposals."""
        found: list[Detection] = []
        zoomed: list[Detection] = []
        for row in sorted(proposed, key=lambda d: d.score, reverse=True):
            if len(zoomed) == _MAX_ZOOMS:
                break
            height = _height_of(row)
            part = cut_out(picture, _around(row, height), margin=0)
            if part is None or any(_contains_centre(other.box, row) for other in found):
                continue
            zoomed.append(row)
            scale = min(_ZOOM_ROW_PX / height, MAX_UPSCALE)
            pixels = round(part.picture.shape[0] * part.picture.shape[1] * scale**2)
            rows = self.detect_once(part.picture, min(pixels, _MAX_ZOOM_PIXELS))
            moved = [_to_picture(one, part) for one in rows if not _is_cut(one, part, picture)]
            found += [one for one in moved if not any(_contains_centre(other.box, one) for other in found)]
        return found, zoomed


class RowsInDetectedPlates:
    """A `PlateDetector`: the rows in the plates that another detector finds, such as an operator's own, which
    detects plates only.
    """

    def __init__(self, plates: PlateDetector, rows: RowDetector) -> None:
        self._plates, self._rows = plates, rows

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        """The plate itself where no row is found in it."""
        found: list[Detection] = []
        for plate in self._plates.detect(picture):
            part = cut_out(picture, plate.box, margin=_PLATE_MARGIN)
            rows = self._rows.detect_once(part.picture, _PLATE_PIXELS) if part else ()
            if part and rows:
                found += [replace(_to_picture(row, part), score=plate.score) for row in rows]
            else:
                found.append(plate)
        return tuple(found)


def _is_larger(picture: Picture, pixels: int) -> bool:
    """By so much that another pass sees more."""
    return bool(picture.shape[0] * picture.shape[1] > 1.3 * pixels)


def _is_cut(row: Detection, part: Cutout, picture: Picture) -> bool:
    """Whether the row continues outside the part: a fragment of a neighbour, which would be read as a whole plate."""
    (height, width), box = part.picture.shape[:2], row.box
    return bool(
        (box.x <= 1 and part.left > 0)
        or (box.y <= 1 and part.top > 0)
        or (box.right >= width - 1 and part.left + width < picture.shape[1])
        or (box.bottom >= height - 1 and part.top + height < picture.shape[0])
    )


def _height_of(row: Detection) -> float:
    a, b, c, d = row.corners
    return max((math.dist((a.x, a.y), (d.x, d.y)) + math.dist((b.x, b.y), (c.x, c.y))) / 2, 1.0)


def _around(row: Detection, height: float) -> Box:
    """A part with as much of the surroundings as the network was trained with."""
    box = row.box
    along, across = _ZOOM_ALONG * height, _ZOOM_ACROSS * height
    return Box(box.x - along, box.y - across, box.width + 2 * along, box.height + 2 * across)


def _to_picture(row: Detection, part: Cutout) -> Detection:
    """The row in the coordinates of the whole picture."""
    return replace(row, corners=tuple(Point(p.x + part.left, p.y + part.top) for p in row.corners))


def _contains_centre(box: Box, row: Detection) -> bool:
    centre = row.box.centre
    return box.x <= centre.x <= box.right and box.y <= centre.y <= box.bottom


def _do_overlap(row: Detection, other: Detection) -> bool:
    return _contains_centre(row.box, other) or _contains_centre(other.box, row)
