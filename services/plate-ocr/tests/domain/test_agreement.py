# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
import pytest

from plate_ocr.domain.agreement import agreed

from .lines import reading


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        ([("AB123", 0.8)], "AB123"),
        ([("AB123", 0.8), ("AB128", 0.9)], "AB128"),
        ([("AB123", 0.7), ("AB128", 0.9), ("AB123", 0.6)], "AB123"),
        ([("", 0.0), ("AB123", 0.2)], "AB123"),
    ],
)
def test_looks_that_agree_outweigh_one(looks: list[tuple[str, float]], text: str) -> None:
    assert agreed([reading(*look) for look in looks]).text == text


def test_the_surest_look_of_the_text_counts() -> None:
    assert agreed([reading("AB1", 0.6), reading("AB1", 0.9)]).confidence == pytest.approx(0.9)


def test_no_look() -> None:
    with pytest.raises(ValueError, match="nothing"):
        agreed([])
