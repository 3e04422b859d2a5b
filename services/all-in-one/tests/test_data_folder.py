"""One process at a time, and no start without what was there."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from all_in_one import data_folder
from kit.service import ServiceFailed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a database and a key, as after a start."""
    with sqlite3.connect(tmp_path / "tickets.db") as db:
        db.execute("CREATE TABLE tickets (number INTEGER PRIMARY KEY, plate TEXT)")
        db.executemany("INSERT INTO tickets (plate) VALUES (?)", [("D" * 100,)] * 2000)
    db.close()
    (tmp_path / "gateway.key").write_text("a key of enough length\n")
    (tmp_path / "notes.txt").write_text("not ours")
    data_folder.record(tmp_path)
    return tmp_path


def test_an_unchanged_folder_and_a_new_one_are_right(folder: Path, tmp_path: Path) -> None:
    data_folder.check(folder)
    (folder / "notes.txt").unlink()
    (folder / "new.db").write_bytes(b"made after the last start")
    data_folder.check(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    data_folder.check(empty)


def overwrite_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192:40_960] = os.urandom(32_768)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "fault"),
    [
        ("tickets.db", Path.unlink, "is missing"),
        ("tickets.db", lambda path: path.write_bytes(b""), "is empty"),
        ("tickets.db", lambda path: path.write_bytes(os.urandom(9000)), "not an SQLite database"),
        ("tickets.db", overwrite_the_middle, "is damaged"),
        ("gateway.key", Path.unlink, "is missing"),
        ("gateway.key", lambda path: path.write_text("another key of enough length"), "not the key"),
    ],
)
def test_a_fault_names_the_file_and_what_to_do(
    folder: Path, name: str, damage: Callable[[Path], object], fault: str
) -> None:
    damage(folder / name)
    with pytest.raises(ServiceFailed) as failed:
        data_folder.check(folder)
    text = str(failed.value)
    assert text.startswith(str(folder / name))
    assert fault in text
    assert f"its entry in {folder / 'contents.json'}" in text
    assert "\n" not in text
    assert "key of enough" not in (folder / "contents.json").read_text()


def test_a_damaged_record_is_a_fault(folder: Path) -> None:
    (folder / "contents.json").write_text("[")
    with pytest.raises(ServiceFailed, match=r"contents\.json is damaged"):
        data_folder.check(folder)


def test_a_second_process_is_refused_until_the_first_ends(folder: Path) -> None:
    held = data_folder.lock(folder)
    with pytest.raises(ServiceFailed, match=f"{folder} is in use by another process .pid {os.getpid()}."):
        data_folder.lock(folder)
    os.close(held)
    os.close(data_folder.lock(folder))
