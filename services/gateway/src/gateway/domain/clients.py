"""The client's address, which rate limits count by, found behind proxies that the operator trusts."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network


class TrustedProxies:
    """The networks whose `X-Forwarded-…` headers are trusted.

    Raises:
        ValueError: for a text that is not a network like 10.0.0.0/8 or 192.0.2.7.
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
    """Where a request came from. `forwarded_for` is the X-Forwarded-For that the services get."""

    address: str
    forwarded_for: str
    proto: str

    @property
    def limit_key(self) -> str:
        """What limits count by: the address, for IPv6 its /64 network, since one client has all addresses of that."""
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

    X-Forwarded-For is read from its right end, up to the first address that is not a trusted proxy: the client can
    write anything to the left of that.
    """
    if not trusted.trusts(peer):
        return Client(peer, peer, proto)
    chain = [part.strip() for part in (x_forwarded_for or b"").decode("ascii", "replace").split(",")]
    hops: list[str] = [peer]
    for hop in reversed(chain):
        parsed = _parse(hop)
        if parsed is None:
            break
        hops.append(str(parsed))
        if not trusted.trusts(str(parsed)):
            break
    # Of several values, the last one was added by the nearest proxy.
    last_proto = (x_forwarded_proto or b"").split(b",")[-1].strip().lower()
    proto = last_proto.decode() if last_proto in {b"http", b"https"} else proto
    return Client(hops[-1], ", ".join(reversed(hops)), proto)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
