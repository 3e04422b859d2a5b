"""Encryption of secrets at rest: a database row or a backup of it is useless without the key.

Fernet (AES-128-CBC with HMAC-SHA256, of the `cryptography` package); its keys are derived by HKDF (RFC 5869) from
what the operator set. A setting may hold several keys, separated by commas: the first encrypts, all of them decrypt,
so that a key can be replaced while texts encrypted with the old one are still stored.
"""

import base64
import binascii
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kit.errors import ServiceFailed

MIN_KEY_CHARACTERS = 16

# What the releases before 0.2 wrote: "s1.<key name>.<nonce and AES-256-GCM text>". Read only; remove in 0.3.
_OLD_VERSION = "s1"
_OLD_NONCE_BYTES = 12


class DecryptionError(Exception):
    """The text was encrypted with a key that is not among ours, or has been changed since."""


class SecretBox:
    """Encrypts and decrypts short texts. Texts of one `purpose` (a service) cannot be decrypted with another's box.

    Raises:
        ValueError: no key, or one of fewer than `MIN_KEY_CHARACTERS` characters.
    """

    def __init__(self, keys: str, *, purpose: str) -> None:
        given = [key.strip() for key in keys.split(",") if key.strip()]
        if not given or any(len(key) < MIN_KEY_CHARACTERS for key in given):
            raise ValueError(f"a key for secrets has at least {MIN_KEY_CHARACTERS} characters")
        fernets = [Fernet(base64.urlsafe_b64encode(_derive(key, f"fernet {purpose}"))) for key in given]
        self._first = fernets[0]
        self._first_key, self._purpose = given[0], purpose
        self._fernet = MultiFernet(fernets)
        self._old_ciphers = {_old_name(key): AESGCM(_derive(key, f"lookout {purpose}")) for key in given}

    def derived_key(self, use: str) -> bytes:
        """32 bytes for another use, such as authenticating values; the same in every process with the same keys."""
        return _derive(self._first_key, f"{use} of {self._purpose}")

    def encrypt(self, text: str) -> str:
        """The encrypted text in printable characters. Encrypting a text twice gives two different results."""
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def decrypt(self, encrypted: str) -> str:
        """The text that was encrypted.

        Raises:
            DecryptionError: it was not encrypted with one of our keys for this purpose.
        """
        if encrypted.startswith(f"{_OLD_VERSION}."):
            return self._decrypt_old(encrypted)
        try:
            return self._fernet.decrypt(encrypted.encode()).decode()
        except InvalidToken as error:
            raise DecryptionError("encrypted with a key that is not set, or changed since") from error

    def re_encrypt(self, encrypted: str) -> str:
        """The same text encrypted with the first key; unchanged where it already is.

        Raises:
            DecryptionError: it was not encrypted with one of our keys for this purpose.
        """
        try:
            self._first.decrypt(encrypted.encode())
        except InvalidToken:
            return self.encrypt(self.decrypt(encrypted))
        return encrypted

    def _decrypt_old(self, encrypted: str) -> str:
        head, _, coded = encrypted.rpartition(".")
        cipher = self._old_ciphers.get(head.removeprefix(f"{_OLD_VERSION}."))
        if cipher is None:
            raise DecryptionError("encrypted with a key that is not set")
        try:
            data = base64.b64decode(coded, altchars=b"-_", validate=True)
            nonce, text = data[:_OLD_NONCE_BYTES], data[_OLD_NONCE_BYTES:]
            return cipher.decrypt(nonce, text, head.encode()).decode()
        except (binascii.Error, InvalidTag, ValueError) as error:
            raise DecryptionError("changed since it was encrypted") from error


def key_in_file(path: Path) -> str:
    """The key in a file that only its owner can read, created on first use. For embedded mode.

    Raises:
        OSError: the file can neither be read nor created.
        kit.errors.ServiceFailed: there is no key in it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_key(path)
    key = path.read_bytes().decode("ascii", "replace").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ServiceFailed(
            f"{path} is damaged: there is no key in it. Restore it from a backup; an rpc.token may be deleted, and is"
            " made again"
        )
    return key


def _write_key(path: Path) -> None:
    """Written completely or not at all, and synced before it is used: without the key, what it encrypted is lost."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: all use its key
            os.link(part, path)
        part.unlink()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _derive(key: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(key.encode())


def _old_name(key: str) -> str:
    """Identifies a key in the old format without revealing it."""
    return hashlib.sha256(b"name of " + key.encode()).hexdigest()[:8]
