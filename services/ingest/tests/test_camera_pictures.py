import pytest

from ingest.domain.errors import ErrorKind, FieldProblem, InputError
from ingest.domain.geometry import Size
from ingest.handlers.pictures import read_header
from kit.picture_limits import PictureLimits
from testkit.pictures import bomb, error_page, solid, truncated

LIMIT = 40_000_000


def test_the_header_of_a_picture() -> None:
    header = read_header(solid(64, 48), limits=PictureLimits(max_pixels=LIMIT))
    assert (header.content_type, header.suffix, header.size) == ("image/jpeg", "jpg", Size(64, 48))


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (error_page(), ErrorKind.INVALID, "not_a_picture"),
        (bomb(0), ErrorKind.INVALID, "not_a_picture"),
        (truncated(solid(64, 48)), ErrorKind.INVALID, "picture_truncated"),
        (bomb(50_000), ErrorKind.TOO_LARGE, "picture_too_large_pixels"),
    ],
)
def test_an_error_names_the_field_and_its_code(data: bytes, kind: ErrorKind, code: str) -> None:
    with pytest.raises(InputError) as raised:
        read_header(data, limits=PictureLimits(max_pixels=LIMIT), field="picture")
    assert (raised.value.kind, raised.value.code) == (kind, code)
    [problem] = raised.value.fields
    assert problem == FieldProblem("picture", raised.value.detail.removeprefix("the picture "))
