"""How lines of text lie to each other. Sizes are told in heights of the larger line, so that scale does not matter."""

from collections.abc import Sequence

from plate_ocr.domain.values import Box, TextLine

_PAGE_NEIGHBOURS = 3
_CAPTION_SHARE = 0.045


def is_right_of(line: TextLine, left: TextLine, *, max_gap: float) -> bool:
    """On the same row, to the right, at most `max_gap` heights away. The row may lean by the slope of `left`."""
    height = max(line.height_px, left.height_px)
    a, b, _, _ = left.corners
    slope = (b.y - a.y) / (b.x - a.x) if b.x > a.x else 0.0
    expected_y = left.box.centre.y + slope * (line.box.centre.x - left.box.centre.x)
    gap = line.box.x - left.box.right
    return abs(line.box.centre.y - expected_y) <= 0.4 * height and -0.5 * height <= gap <= max_gap * height


def is_below(line: TextLine, upper: TextLine, *, max_gap: float) -> bool:
    """The next row down: columns overlap by at least half of the narrower line, rows are close."""
    height = max(line.height_px, upper.height_px)
    shared = min(line.box.right, upper.box.right) - max(line.box.x, upper.box.x)
    rows_apart = line.box.centre.y - upper.box.centre.y
    touching = (line.height_px + upper.height_px) / 2
    return (
        shared >= 0.5 * min(line.box.width, upper.box.width)
        and 0.6 * touching <= rows_apart <= touching + max_gap * height
    )


def heights_match(first: TextLine, second: TextLine, *, ratio: float) -> bool:
    return max(first.height_px, second.height_px) <= ratio * min(first.height_px, second.height_px)


def union(lines: Sequence[TextLine]) -> Box:
    return Box.around(tuple(corner for line in lines for corner in line.corners))


def is_on_a_page(line: TextLine, lines: Sequence[TextLine]) -> bool:
    """The line is one of several like it, as on a printed page, a poster or a screen full of text.

    A plate's own small print is smaller than its number, so it does not count.
    """
    alike = [other for other in lines if other is not line and heights_match(line, other, ratio=1.5)]
    near = sum(_are_close(line, other) for other in alike)
    return near >= _PAGE_NEIGHBOURS


def is_caption(line: TextLine, picture_height_px: int) -> bool:
    """Small letters along the upper or lower edge, where cameras write their name and the time.

    A plate that small and that near the edge is lost with them; it is the far end of somebody's bumper.
    """
    height = line.height_px
    is_at_edge = line.box.y <= height or line.box.bottom >= picture_height_px - height
    return is_at_edge and height <= _CAPTION_SHARE * picture_height_px


def _are_close(line: TextLine, other: TextLine) -> bool:
    height = max(line.height_px, other.height_px)
    gap_x = max(line.box.x, other.box.x) - min(line.box.right, other.box.right)
    gap_y = max(line.box.y, other.box.y) - min(line.box.bottom, other.box.bottom)
    return gap_x <= 1.5 * height and gap_y <= 1.2 * height
