# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""`plate-ocr read`: a line of JSON a picture, a table for people, and bad files among good ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plate_ocr.__main__ import FileRead, document, table_rows
from plate_ocr.domain.values import Box, UnreadReason, seen_not_read

from .conftest import canvas, jpeg, put_plate
from .running_service import plate

pytestmark = pytest.mark.integration

TIMEOUT_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for name, text in (("a.jpg", "RK 755AJ"), ("c.jpg", "")):
        picture = canvas(640, 480)
        if text:
            put_plate(picture, text, (150, 200))
        (made / name).write_bytes(jpeg(picture))
    (made / "b.jpg").write_bytes(b"no picture at all")
    (made / "notes.txt").write_text("not meant")
    return made


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plate_ocr", "read", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_json(folder: Path) -> None:
    done = run("--json", folder, folder / "gone.jpg")
    assert done.returncode == 1
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.jpg", "b.jpg", "c.jpg", "gone.jpg"]
    first, bad, empty, gone = rows
    (plate,) = first["plates"]
    assert list(plate)[:6] == ["text", "confidence", "box", "region", "code", "number"]
    assert plate["state"] == "read"
    assert (plate["text"], plate["number"], plate["region"]) == ("RK755AJ", "RK755AJ", "")
    assert len(plate["box"]) == 4
    assert 0 < plate["confidence"] <= 1
    assert set(first) == {"file", "plates", "seen", "elapsed_ms"}
    assert "JPEG" in bad["error"]
    assert (empty["plates"], "error" in empty) == ([], False)
    assert "No such file" in gone["error"]
    assert all(row["plates"] == [] for row in (bad, empty, gone))
    assert "2 of 4" in done.stderr


def test_a_jpeg_without_its_end_is_read_and_said_to_be_incomplete(folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((folder / "a.jpg").read_bytes()[:-2])
    done = run("--json", cut)
    (row,) = [json.loads(row) for row in done.stdout.splitlines()]
    assert (row["plates"][0]["text"], row["is_complete"]) == ("RK755AJ", False)
    assert "ends before it is complete" in run(cut).stdout


def test_table(folder: Path) -> None:
    done = run(folder / "a.jpg", folder / "c.jpg")
    assert done.returncode == 0
    head, first, second = done.stdout.splitlines()
    assert head.split()[:3] == ["file", "plate", "sure"]
    assert "RK755AJ" in first
    assert second.split()[1] == "-"
    assert done.stderr == ""


def test_regions_that_plates_may_come_from(folder: Path) -> None:
    done = run("--regions", "sk, in", folder / "a.jpg")
    assert done.returncode == 0
    assert "RK755AJ" in done.stdout
    unknown = run("--regions", "xx", folder / "a.jpg")
    assert unknown.returncode == 2
    assert "xx" in unknown.stderr


def test_the_read_command_does_not_import_the_libraries_of_the_service(folder: Path) -> None:
    """They take longer to import than everything else until the first plate."""
    code = (
        "import sys; from plate_ocr.__main__ import main; sys.argv = ['plate-ocr', 'read', sys.argv[1]]\n"
        "try: main()\n"
        "finally: print(sorted({'sqlalchemy', 'aio_pika', 'grpc', 'fastapi'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(folder / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert "RK755AJ" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def read_and_seen() -> FileRead:
    seen = seen_not_read(
        Box(10, 10, 30, 9), UnreadReason.TOO_SMALL, height_px=8.7, raw_text="4B", confidence=0.7
    )
    return FileRead(Path("a.jpg"), (seen, plate("D71026", 200, 200)), 12.0)


def test_plates_that_were_seen_and_not_read_are_listed_separately() -> None:
    shown = document(read_and_seen())
    assert [plate["text"] for plate in shown["plates"]] == ["D71026"]
    (seen,) = shown["seen"]
    assert (seen["text"], seen["raw_text"], seen["number"], seen["state"]) == ("", "4B", "", "seen_not_read")
    assert (seen["unread_reason"], seen["height_px"], seen["box"]) == ("too_small", 8.7, [10, 10, 30, 9])
    assert json.loads(json.dumps(shown)) == shown


def test_the_table_shows_plates_that_were_seen_and_not_read() -> None:
    first, second = table_rows(read_and_seen()).splitlines()
    assert first.split()[1] == "D71026"
    assert "(seen: too_small, 9 px)" in second
    assert "10,10 30x9" in second


def test_the_table_never_shows_a_confidence_of_1() -> None:
    row = table_rows(FileRead(Path("a.jpg"), (plate("D71026", 200, 200, confidence=0.999),), 12.0))
    assert row.split()[2] == "0.99"


def test_no_pictures(tmp_path: Path) -> None:
    done = run("--json", tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no pictures" in done.stderr
