"""Who may push for a camera: what is asked, and whether a request has it. Pure: keys and times are given.

Digest is that of RFC 7616 (and of RFC 2069 without `qop`, which old firmware uses), with MD5 and SHA-256; Basic that of
RFC 7617.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.request import parse_http_list, parse_keqv_list

from ingest.domain.errors import InvalidValue

Network = IPv4Network | IPv6Network

REALM = "lookout"
SIGNATURE_HEADER = "X-Lookout-Signature"
MOST_NETWORKS = 64
MIN_SECRET_CHARS = 16
_DIGESTS = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_TIME_CHARS, _RANDOM_CHARS, _MAC_CHARS = 8, 16, 24


class PushMethod(StrEnum):
    """A way in which a camera shows that it may push."""

    NETWORK = "network"
    PATH_SECRET = "path_secret"  # noqa: S105 - the name of a method
    PASSWORD = "password"  # noqa: S105 - as above
    SIGNATURE = "signature"


class RefusalReason(StrEnum):
    """Why a push was refused."""

    UNKNOWN_CAMERA = "unknown_camera"
    NOT_SET_UP = "not_set_up"
    NETWORK = "network"
    NO_CREDENTIALS = "no_credentials"
    WRONG_CREDENTIALS = "wrong_credentials"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class PushAccess:
    """What a camera's pushes must have: an address of one of the networks if there are any, and one of the other
    credentials if any is set. Nothing set: anybody may push for it, unless the settings require authentication.
    """

    networks: tuple[Network, ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    path_secret: str = field(default="", repr=False)
    hmac_key: str = field(default="", repr=False)

    @property
    def methods(self) -> tuple[PushMethod, ...]:
        """Those that are set."""
        return tuple(
            method
            for method, value in (
                (PushMethod.NETWORK, self.networks),
                (PushMethod.PATH_SECRET, self.path_secret),
                (PushMethod.PASSWORD, self.password),
                (PushMethod.SIGNATURE, self.hmac_key),
            )
            if value
        )


@dataclass(frozen=True, slots=True)
class PushCaller:
    """What a request shows of its sender. `address`: as the gateway saw it; `uri`: the paths by which it may have
    been sent here.
    """

    address: str
    method: str = "POST"
    uris: tuple[str, ...] = ()
    authorization: str = field(default="", repr=False)
    path_secret: str = field(default="", repr=False)
    signature: str = field(default="", repr=False)


class Nonces:
    """Digest nonces, which need no memory: their time, and a code that only this service can make.

    `key`: the same in every replica. A nonce with a count that is not above the last one seen is a repeat; that memory
    is of this process, for the `most` latest nonces.
    """

    def __init__(self, key: bytes, *, lifetime_s: float, most: int) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._most = most
        self._last_counts: dict[str, int] = {}

    def make(self, now_s: float) -> str:
        """A new nonce."""
        head = f"{int(now_s):0{_TIME_CHARS}x}{secrets.token_hex(_RANDOM_CHARS // 2)}"
        return head + self._code(head)

    def is_fresh(self, nonce: str, count: int, now_s: float) -> bool:
        """Whether it is one of ours, not too old, and used for the first time with that count."""
        head, code = nonce[: _TIME_CHARS + _RANDOM_CHARS], nonce[_TIME_CHARS + _RANDOM_CHARS :]
        if not hmac.compare_digest(code.encode(), self._code(head).encode()):
            return False
        if not 0 <= now_s - int(head[:_TIME_CHARS], 16) <= self._lifetime_s:
            return False
        if count <= self._last_counts.get(nonce, 0):
            return False
        self._last_counts.pop(nonce, None)
        self._last_counts[nonce] = count
        if len(self._last_counts) > self._most:
            del self._last_counts[next(iter(self._last_counts))]
        return True

    def _code(self, head: str) -> str:
        return hmac.new(self._key, head.encode(), hashlib.sha256).hexdigest()[:_MAC_CHARS]


def refusal(
    access: PushAccess,
    caller: PushCaller,
    body: bytes,
    *,
    is_required: bool,
    nonces: Nonces,
    signature_tolerance_s: float,
    now_s: float,
) -> RefusalReason | None:
    """Why the push is refused; None where it may be accepted."""
    methods = access.methods
    if not methods:
        return RefusalReason.NOT_SET_UP if is_required else None
    if access.networks and not is_in_networks(caller.address, access.networks):
        return RefusalReason.NETWORK
    if methods == (PushMethod.NETWORK,):
        return None
    results = []
    if access.path_secret and caller.path_secret:
        results.append(_check(is_same(caller.path_secret, access.path_secret)))
    if access.hmac_key and caller.signature:
        results.append(
            check_signature(
                caller.signature, access.hmac_key, body, tolerance_s=signature_tolerance_s, now_s=now_s
            )
        )
    if access.password and caller.authorization:
        results.append(_check_authorization(access, caller, nonces, now_s))
    if None in results:
        return None
    return results[0] if results else RefusalReason.NO_CREDENTIALS


def check_networks(values: Sequence[str]) -> tuple[str, ...]:
    """The networks in their normal form.

    Raises:
        InvalidValue: one is not a network or an address.
    """
    found = []
    for value in values:
        try:
            found.append(str(ip_network(value.strip(), strict=False)))
        except ValueError as error:
            raise InvalidValue(f"{value!r} is not a network like 10.0.0.0/8 or 192.0.2.7") from error
    return tuple(dict.fromkeys(found))


def is_in_networks(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of them; an IPv4 address that is written as IPv6 counts as IPv4."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def challenges(nonce: str, *, is_stale: bool) -> tuple[str, ...]:
    """The values of `WWW-Authenticate`, the strongest first (RFC 7616, 3.7)."""
    stale = ", stale=true" if is_stale else ""
    digests = [
        f'Digest realm="{REALM}", qop="auth", algorithm={name}, nonce="{nonce}"{stale}'
        for name in ("SHA-256", "MD5")
    ]
    return (*digests, f'Basic realm="{REALM}", charset="UTF-8"')


def check_signature(
    header: str, key: str, body: bytes, *, tolerance_s: float, now_s: float
) -> RefusalReason | None:
    """Whether `t=<seconds since the epoch>,v1=<hexadecimal HMAC-SHA256 of "<t>." and the body>` holds."""
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    sent_at = parts.get("t", "")
    if not sent_at.isascii() or not sent_at.isdecimal() or len(sent_at) > 12:
        return RefusalReason.WRONG_CREDENTIALS
    wanted = hmac.new(key.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not is_same(parts.get("v1", "").lower(), wanted):
        return RefusalReason.WRONG_CREDENTIALS
    return None if abs(now_s - int(sent_at)) <= tolerance_s else RefusalReason.STALE


def is_same(given: str, wanted: str) -> bool:
    """Compared in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _check_authorization(
    access: PushAccess, caller: PushCaller, nonces: Nonces, now_s: float
) -> RefusalReason | None:
    scheme, _, rest = caller.authorization.partition(" ")
    if scheme.lower() == "basic":
        return _check(_is_basic_right(rest.strip(), access))
    if scheme.lower() != "digest":
        return RefusalReason.NO_CREDENTIALS
    try:
        given = parse_keqv_list(parse_http_list(rest))
    except (ValueError, IndexError):  # the latter for a name without a value
        return RefusalReason.WRONG_CREDENTIALS
    return _check_digest(given, access, caller, nonces, now_s)


def _is_basic_right(coded: str, access: PushAccess) -> bool:
    try:
        user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return is_same(user, access.user) & is_same(password, access.password)


def _check_digest(
    given: Mapping[str, str], access: PushAccess, caller: PushCaller, nonces: Nonces, now_s: float
) -> RefusalReason | None:
    digest = _DIGESTS.get(given.get("algorithm", "MD5").upper())
    uri, nonce, qop = given.get("uri", ""), given.get("nonce", ""), given.get("qop", "")
    is_ours = uri.partition("?")[0] in caller.uris and given.get("realm") == REALM
    if digest is None or not is_ours or qop not in {"", "auth"}:
        return RefusalReason.WRONG_CREDENTIALS

    def hashed(text: str) -> str:
        return digest(text.encode()).hexdigest()

    count_text = given.get("nc", "") if qop else "1"
    middle = f"{nonce}:{count_text}:{given.get('cnonce', '')}:{qop}" if qop else nonce
    wanted = hashed(
        f"{hashed(f'{access.user}:{REALM}:{access.password}')}:{middle}:{hashed(f'{caller.method}:{uri}')}"
    )
    is_right = is_same(given.get("response", "").lower(), wanted) & is_same(
        given.get("username", ""), access.user
    )
    if not is_right:
        return RefusalReason.WRONG_CREDENTIALS
    try:
        count = int(count_text, 16)
        is_fresh = nonces.is_fresh(nonce, count, now_s)
    except ValueError:
        return RefusalReason.WRONG_CREDENTIALS
    return None if is_fresh else RefusalReason.STALE


def _check(is_right: bool) -> RefusalReason | None:
    return None if is_right else RefusalReason.WRONG_CREDENTIALS
