"""Addresses of clients: what limits count by, and whether they are in a network."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def limit_key(address: str) -> str:
    """What limits count by: the address, for IPv6 its /64 network, since one client has all addresses of that."""
    parsed = parse(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def is_in_networks(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of them; False for what is no address."""
    parsed = parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def parse(address: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address. An IPv4 address that is written as IPv6 is that IPv4 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
