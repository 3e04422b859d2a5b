"""Who is calling: the address that limits are counted by, behind proxies that the operator trusts."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network


class TrustedProxies:
    """The networks whose `X-Forwarded-…` headers are believed.

    Raises:
        ValueError: for a text that is no network such as 10.0.0.0/8 or 192.0.2.7.
    """

    def __init__(self, networks: tuple[str, ...] = ()) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)

    def trusts(self, address: str) -> bool:
        """Whether that peer is one of the operator's own proxies."""
        if not self._networks:
            return False
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from. `forwarded_for` is what the services behind are told."""

    address: str
    forwarded_for: str
    proto: str

    @property
    def limit_key(self) -> str:
        """What limits count by: the address, for IPv6 its /64, since one household has all of that."""
        if ":" not in self.address:
            return self.address
        parsed = _parse(self.address)
        if isinstance(parsed, IPv6Address):
            return str(IPv6Network((parsed, 64), strict=False))
        return self.address


def find_client(
    peer: str,
    proto: str,
    x_forwarded_for: bytes | None,
    x_forwarded_proto: bytes | None,
    trusted: TrustedProxies,
) -> Client:
    """The client behind a connection from `peer`.

    The chain is read from its near end, and only as far as trusted proxies vouch for it: what stands left of
    the first untrusted address is the client's own invention.
    """
    if not trusted.trusts(peer):
        return Client(peer, peer, proto)
    chain = [part.strip() for part in (x_forwarded_for or b"").decode("ascii", "replace").split(",")]
    believed: list[str] = [peer]
    for hop in reversed(chain):
        parsed = _parse(hop)
        if parsed is None:
            break
        believed.append(str(parsed))
        if not trusted.trusts(str(parsed)):
            break
    # Of several, the one that the nearest proxy added.
    said = (x_forwarded_proto or b"").split(b",")[-1].strip().lower()
    outer = said.decode() if said in {b"http", b"https"} else proto
    return Client(believed[-1], ", ".join(reversed(believed)), outer)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
