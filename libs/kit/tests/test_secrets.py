import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.secrets import SealBroken, Sealer, key_in_file

KEY = "a key of some length"
OTHER = "another key of length"


@pytest.mark.parametrize("text", ["", "s3cret", "päss wörd ☂", "x" * 5000])
def test_what_is_sealed_opens_again_and_shows_nothing(text):
    sealed = Sealer(KEY, purpose="ingest").seal(text)
    assert Sealer(KEY, purpose="ingest").open(sealed) == text
    assert not text or text not in sealed
    assert sealed.isascii()


def test_the_same_text_is_sealed_differently_each_time():
    sealer = Sealer(KEY, purpose="ingest")
    assert sealer.seal("s3cret") != sealer.seal("s3cret")


def test_another_key_or_purpose_does_not_open_it():
    sealed = Sealer(KEY, purpose="ingest").seal("s3cret")
    for sealer in (Sealer(OTHER, purpose="ingest"), Sealer(KEY, purpose="tickets")):
        with pytest.raises(SealBroken):
            sealer.open(sealed)


def test_a_replaced_key_still_opens_while_it_is_listed():
    old = Sealer(OTHER, purpose="ingest").seal("s3cret")
    both = Sealer(f"{KEY}, {OTHER}", purpose="ingest")
    assert both.open(old) == "s3cret"
    assert Sealer(KEY, purpose="ingest").open(both.seal("new")) == "new"


@pytest.mark.parametrize("broken", ["", "s3cret", "s1.x.y", "s2.00000000.AAAA", "....", "s1.%s.!!!"])
def test_what_was_not_sealed_does_not_open(broken):
    name = Sealer(KEY, purpose="ingest").seal("x").split(".")[1]
    with pytest.raises(SealBroken):
        Sealer(KEY, purpose="ingest").open(broken.replace("%s", name))


def test_a_changed_character_is_noticed():
    sealer = Sealer(KEY, purpose="ingest")
    sealed = sealer.seal("s3cret")
    at = len(sealed) - 10
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
    with pytest.raises(SealBroken):
        sealer.open(changed)


@pytest.mark.parametrize("keys", ["", " , ", "short", f"{KEY},short"])
def test_a_short_key_is_refused(keys):
    with pytest.raises(ValueError, match="at least 16"):
        Sealer(keys, purpose="ingest")


def test_a_key_file_is_made_once_and_private(tmp_path):
    path = tmp_path / "state" / "ingest.key"
    key = key_in_file(path)
    assert len(key) >= 32
    assert key_in_file(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_make_the_key_file_at_once_agree_on_one_key(tmp_path):
    path = tmp_path / "deep" / "secrets.key"
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: key_in_file(path), range(32)))
    assert len(keys) == 1
    assert len(keys.pop()) > 40
    assert [found.name for found in path.parent.iterdir()] == ["secrets.key"]
    assert path.stat().st_mode & 0o077 == 0
