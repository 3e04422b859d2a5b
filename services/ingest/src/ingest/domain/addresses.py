"""Addresses at which a camera may be called.

An operator enters the address, and most cameras have a private one, so private addresses are allowed. Rejected are
addresses of this machine or of the cloud provider: loopback, link-local (it includes the metadata services), multicast
and the unspecified address.
"""

import ipaddress
import re
from dataclasses import dataclass

from ingest.domain.errors import InvalidValue

_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
HTTP_PORT = 80

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Cloud metadata services outside the link-local ranges: Alibaba Cloud; AWS over IPv6.
_METADATA = frozenset({ipaddress.ip_address("100.100.100.200"), ipaddress.ip_address("fd00:ec2::254")})


@dataclass(frozen=True, slots=True)
class Address:
    """Host (name or IP address, without brackets) and port."""

    host: str
    port: int

    @property
    def written(self) -> str:
        """As in a URL; port 80 is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTP_PORT else f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `10.1.2.3`, `10.1.2.3:8080`, `[fd00::1]:8080`, `fd00::1` or `cam-1.site.local`.

    Raises:
        InvalidValue: with the reason.
    """
    try:
        return Address(str(ipaddress.ip_address(text)), HTTP_PORT)
    except ValueError:
        pass
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", text)
    if bracketed is not None:
        try:
            host = str(ipaddress.IPv6Address(bracketed[1]))
        except ValueError as error:
            raise InvalidValue("must be an IP address or a host name, with or without a port") from error
        return Address(host, _port(bracketed[2]))
    host, colon, port = text.partition(":")
    # "10.1.2" or "10.1.2.3.4" is a mistyped IP address; resolvers read some of them as a different one.
    is_mistyped = re.fullmatch(r"[0-9.]+", host) is not None and not _is_ip(host)
    if is_mistyped or not (_HOST.fullmatch(host) or _is_ip(host)):
        raise InvalidValue("must be an IP address or a host name, with or without a port")
    return Address(host, _port(port if colon else None))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(text: str | None) -> int:
    if text is None:
        return HTTP_PORT
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65_535:
        raise InvalidValue("the port must lie between 1 and 65535")
    return int(text)


def rejection_reason(address: IpAddress, *, is_loopback_allowed: bool) -> str | None:
    """Why the address may not be called; None if it may."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return rejection_reason(mapped, is_loopback_allowed=is_loopback_allowed)
    if address.is_loopback:
        return None if is_loopback_allowed else "its address is one of this machine"
    if address.is_link_local or address in _METADATA:
        return "its address is link-local, as those of cloud metadata services"
    if address.is_multicast or address.is_unspecified:
        return "its address is not that of a single device"
    # 240.0.0.0/4 and the broadcast address; IPv6 keeps most of its space reserved and unrouted.
    if address.is_reserved:
        return "its address is reserved"
    return None
