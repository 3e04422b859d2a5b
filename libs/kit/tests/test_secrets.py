import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.errors import ServiceFailed
from kit.secrets import DecryptionError, SecretBox, key_in_file

KEY = "a key of some length"
OTHER = "another key of length"


@pytest.mark.parametrize("text", ["", "s3cret", "päss wörd ☂", "x" * 5000])
def test_an_encrypted_text_decrypts_again_and_is_unreadable(text):
    encrypted = SecretBox(KEY, purpose="ingest").encrypt(text)
    assert SecretBox(KEY, purpose="ingest").decrypt(encrypted) == text
    assert not text or text not in encrypted
    assert encrypted.isascii()


def test_the_same_text_is_encrypted_differently_each_time():
    box = SecretBox(KEY, purpose="ingest")
    assert box.encrypt("s3cret") != box.encrypt("s3cret")


def test_another_key_or_purpose_does_not_decrypt_it():
    encrypted = SecretBox(KEY, purpose="ingest").encrypt("s3cret")
    for box in (SecretBox(OTHER, purpose="ingest"), SecretBox(KEY, purpose="tickets")):
        with pytest.raises(DecryptionError):
            box.decrypt(encrypted)


def test_a_replaced_key_still_decrypts_while_it_is_listed():
    old = SecretBox(OTHER, purpose="ingest").encrypt("s3cret")
    both = SecretBox(f"{KEY}, {OTHER}", purpose="ingest")
    assert both.decrypt(old) == "s3cret"
    assert SecretBox(KEY, purpose="ingest").decrypt(both.encrypt("new")) == "new"


def test_a_text_of_an_old_key_is_encrypted_with_the_first_key_once():
    old = SecretBox(OTHER, purpose="ingest").encrypt("s3cret")
    both = SecretBox(f"{KEY}, {OTHER}", purpose="ingest")
    renewed = both.re_encrypt(old)
    assert SecretBox(KEY, purpose="ingest").decrypt(renewed) == "s3cret"
    assert both.re_encrypt(renewed) == renewed
    with pytest.raises(DecryptionError):
        SecretBox(KEY, purpose="ingest").re_encrypt(old)


def test_a_text_of_the_format_before_fernet_is_encrypted_anew():
    renewed = SecretBox(f"{OTHER},{KEY}", purpose="ingest").re_encrypt(OLD_FORMAT)
    assert SecretBox(OTHER, purpose="ingest").decrypt(renewed) == "päss wörd ☂"


OLD_FORMAT = "s1.ec3b4ec0.Qvj0GI8f-qu5JAtxYG841qag1KXAMkMPp6GKuYySwTtVDSbPMksJ1whoCg=="


def test_a_text_of_the_format_before_fernet_is_still_decrypted():
    assert SecretBox(f"{OTHER},{KEY}", purpose="ingest").decrypt(OLD_FORMAT) == "päss wörd ☂"
    for box in (SecretBox(OTHER, purpose="ingest"), SecretBox(KEY, purpose="tickets")):
        with pytest.raises(DecryptionError):
            box.decrypt(OLD_FORMAT)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "s3cret",
        "ä",
        "s1.x.y",
        "s2.00000000.AAAA",
        "....",
        OLD_FORMAT[:12] + "!!!",
        OLD_FORMAT[:-8],
        "gAAAAA==",
    ],
)
def test_decrypting_plain_text_is_an_error(broken):
    with pytest.raises(DecryptionError):
        SecretBox(KEY, purpose="ingest").decrypt(broken)


def test_a_changed_character_is_detected():
    box = SecretBox(KEY, purpose="ingest")
    encrypted = box.encrypt("s3cret")
    at = len(encrypted) - 10
    changed = encrypted[:at] + ("A" if encrypted[at] != "A" else "B") + encrypted[at + 1 :]
    with pytest.raises(DecryptionError):
        box.decrypt(changed)


@pytest.mark.parametrize("keys", ["", " , ", "short", f"{KEY},short"])
def test_a_short_key_is_refused(keys):
    with pytest.raises(ValueError, match="at least 16"):
        SecretBox(keys, purpose="ingest")


def test_a_key_file_is_made_once_and_private(tmp_path):
    path = tmp_path / "state" / "ingest.key"
    key = key_in_file(path)
    assert len(key) >= 32
    assert key_in_file(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b" \n", bytes(range(256))], ids=["empty", "blank", "bytes"])
def test_a_key_file_without_a_key_is_refused(tmp_path, content):
    path = tmp_path / "rpc.token"
    path.write_bytes(content)
    with pytest.raises(ServiceFailed, match=r"rpc\.token is damaged: there is no key"):
        key_in_file(path)


def test_processes_that_make_the_key_file_at_once_agree_on_one_key(tmp_path):
    path = tmp_path / "deep" / "secrets.key"
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: key_in_file(path), range(32)))
    assert len(keys) == 1
    assert len(keys.pop()) > 40
    assert [found.name for found in path.parent.iterdir()] == ["secrets.key"]
    assert path.stat().st_mode & 0o077 == 0
