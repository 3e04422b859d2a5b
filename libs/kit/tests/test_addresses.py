from ipaddress import ip_network

import pytest

from kit.addresses import is_in_networks, limit_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_limits_count_by_address_or_network(address: str, key: str) -> None:
    assert limit_key(address) == key


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.2.3", False), ("2001:db8::1", True), ("x", False)],
)
def test_networks(address: str, is_inside: bool) -> None:
    assert is_in_networks(address, (ip_network("10.1.0.0/16"), ip_network("2001:db8::/32"))) is is_inside
