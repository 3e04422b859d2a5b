"""Several looks at the same text become one reading."""

from collections import defaultdict
from collections.abc import Sequence

from plate_ocr.domain.values import TextReading


def agreed(looks: Sequence[TextReading]) -> TextReading:
    """The text with the most confidence behind it, in its surest look.

    Two looks that agree outweigh one that is a little surer of something else.

    Raises: ValueError: no look.
    """
    if not looks:
        raise ValueError("nothing was looked at")
    behind: dict[str, float] = defaultdict(float)
    for look in looks:
        behind[look.text] += look.confidence
    return max(looks, key=lambda look: (behind[look.text], look.confidence))
