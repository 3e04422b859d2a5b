import pytest

from gateway.domain.paths import UnsafePathError, clean_path


@pytest.mark.parametrize(
    ("raw_path", "decoded", "raw"),
    [
        (b"/", (), ()),
        (b"/tickets", (b"tickets",), (b"tickets",)),
        (b"/tickets/", (b"tickets",), (b"tickets",)),
        (b"/tickets/12/image", (b"tickets", b"12", b"image"), (b"tickets", b"12", b"image")),
        (b"/%74ickets", (b"tickets",), (b"%74ickets",)),
        (b"/camera-occupancy/a%20b", (b"camera-occupancy", b"a b"), (b"camera-occupancy", b"a%20b")),
        (b"/x/%D9%85", (b"x", "م".encode()), (b"x", b"%D9%85")),
        (b"/x/%252e%252e", (b"x", b"%2e%2e"), (b"x", b"%252e%252e")),
        (b"/x/...", (b"x", b"..."), (b"x", b"...")),
    ],
)
def test_a_path_is_split_and_decoded_once(raw_path, decoded, raw):
    path = clean_path(raw_path)
    assert (path.decoded, path.raw) == (decoded, raw)


@pytest.mark.parametrize(
    "raw_path",
    [
        b"",
        b"tickets",
        b"//",
        b"//tickets",
        b"/tickets//1",
        b"/tickets/..",
        b"/tickets/../users",
        b"/./users",
        b"/tickets/%2e%2e/users",
        b"/tickets/%2E./users",
        b"/tickets/.%2e",
        b"/tickets/..%2fusers",
        b"/tickets%2f1",
        b"/tickets%2F1",
        b"/tickets\\1",
        b"/tickets/%5c..",
        b"/tickets/%00",
        b"/tickets/%0d%0aX:1",
        b"/tickets/%7f",
        b"/tickets/%",
        b"/tickets/%4",
        b"/tickets/%zz",
        b"/tickets/%c0%af",
        b"/tickets/%ff",
        b"/tickets/\xd9\x85",
        b"http://other/tickets",
    ],
)
def test_ambiguous_paths_are_refused(raw_path):
    with pytest.raises(UnsafePathError):
        clean_path(raw_path)
