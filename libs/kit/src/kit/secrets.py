"""Secrets at rest: what a database row or its backup shows is useless without the key.

AES-256-GCM (NIST SP 800-38D) with a random nonce per text; the key is drawn from what the operator set by
HKDF (RFC 5869). A setting may hold several keys, separated by commas: the first seals, all of them open, so
that a key can be replaced while texts sealed with the old one are still about.
"""

import base64
import binascii
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_KEY_CHARACTERS = 16

_VERSION = "s1"
_NONCE_BYTES = 12
_KEY_NAME_CHARACTERS = 8


class SealBroken(Exception):  # noqa: N818 - it reads as what is the matter
    """The text was sealed with a key that is not among ours, or somebody has changed it."""


class Sealer:
    """Seals and opens short texts. `purpose` keeps the texts of one service from being opened as another's.

    Raises:
        ValueError: no key, or one of fewer than `MIN_KEY_CHARACTERS` characters.
    """

    def __init__(self, keys: str, *, purpose: str) -> None:
        given = [key.strip() for key in keys.split(",") if key.strip()]
        if not given or any(len(key) < MIN_KEY_CHARACTERS for key in given):
            raise ValueError(f"a key for secrets has at least {MIN_KEY_CHARACTERS} characters")
        self._ciphers = {_name(key): AESGCM(_derive(key, purpose)) for key in given}
        self._first = _name(given[0])

    def seal(self, text: str) -> str:
        """The text encrypted, in printable characters. Twice the same text gives two different ones."""
        nonce = os.urandom(_NONCE_BYTES)
        head = f"{_VERSION}.{self._first}"
        sealed = nonce + self._ciphers[self._first].encrypt(nonce, text.encode(), head.encode())
        return f"{head}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str) -> str:
        """What was sealed.

        Raises:
            SealBroken: it was not sealed here with one of our keys.
        """
        head, _, coded = sealed.rpartition(".")
        version, _, name = head.partition(".")
        cipher = self._ciphers.get(name)
        if version != _VERSION or cipher is None:
            raise SealBroken("sealed with a key that is not set")
        try:
            data = base64.b64decode(coded, altchars=b"-_", validate=True)
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], head.encode()).decode()
        except (binascii.Error, InvalidTag, ValueError) as error:
            raise SealBroken("not sealed here, or changed since") from error


def key_in_file(path: Path) -> str:
    """The key kept in a file that only its owner reads; made on first use. For embedded mode.

    Raises:
        OSError: the file can be neither read nor made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_key(path)
    return path.read_text(encoding="ascii").strip()


def _write_key(path: Path) -> None:
    """Whole or not at all, and durable before anything is sealed with it: a lost key loses what it sealed."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was quicker, and its key is everybody's
            os.link(part, path)
        part.unlink()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _derive(key: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"lookout {purpose}".encode()).derive(
        key.encode()
    )


def _name(key: str) -> str:
    """Tells keys apart without telling anything about them."""
    return hashlib.sha256(b"name of " + key.encode()).hexdigest()[:_KEY_NAME_CHARACTERS]
