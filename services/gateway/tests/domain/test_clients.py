import pytest

from gateway.domain.clients import Client, TrustedProxies, find_client

NOBODY = TrustedProxies()
BEHIND = TrustedProxies(("10.0.0.0/8", "fd00::/8", "192.0.2.1"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "trusted", "address", "forwarded"),
    [
        ("203.0.113.5", None, NOBODY, "203.0.113.5", "203.0.113.5"),
        ("203.0.113.5", b"1.1.1.1", NOBODY, "203.0.113.5", "203.0.113.5"),
        ("203.0.113.5", b"1.1.1.1", BEHIND, "203.0.113.5", "203.0.113.5"),
        ("10.1.1.1", b"203.0.113.5", BEHIND, "203.0.113.5", "203.0.113.5, 10.1.1.1"),
        ("10.1.1.1", b"1.1.1.1, 203.0.113.5", BEHIND, "203.0.113.5", "203.0.113.5, 10.1.1.1"),
        (
            "10.1.1.1",
            b"1.1.1.1, 203.0.113.5, 10.2.2.2",
            BEHIND,
            "203.0.113.5",
            "203.0.113.5, 10.2.2.2, 10.1.1.1",
        ),
        ("10.1.1.1", b"garbage, 10.2.2.2", BEHIND, "10.2.2.2", "10.2.2.2, 10.1.1.1"),
        ("10.1.1.1", b"garbage", BEHIND, "10.1.1.1", "10.1.1.1"),
        ("10.1.1.1", None, BEHIND, "10.1.1.1", "10.1.1.1"),
        ("10.1.1.1", b"\xff\xfe", BEHIND, "10.1.1.1", "10.1.1.1"),
        ("::ffff:10.1.1.1", b"203.0.113.5", BEHIND, "203.0.113.5", "203.0.113.5, ::ffff:10.1.1.1"),
        ("192.0.2.1", b"203.0.113.5", BEHIND, "203.0.113.5", "203.0.113.5, 192.0.2.1"),
        ("192.0.2.2", b"203.0.113.5", BEHIND, "192.0.2.2", "192.0.2.2"),
        ("unknown", b"203.0.113.5", BEHIND, "unknown", "unknown"),
    ],
)
def test_only_forwarding_headers_of_trusted_proxies_are_used(
    peer, forwarded_for, trusted, address, forwarded
):
    client = find_client(peer, "http", forwarded_for, None, trusted)
    assert (client.address, client.forwarded_for) == (address, forwarded)


@pytest.mark.parametrize(
    ("peer", "forwarded_proto", "proto"),
    [
        ("10.1.1.1", b"https", "https"),
        ("10.1.1.1", b"HTTPS", "https"),
        ("10.1.1.1", b"ftp", "http"),
        ("10.1.1.1", b"http, https", "https"),
        ("203.0.113.5", b"https", "http"),
    ],
)
def test_the_scheme_from_a_trusted_proxy(peer, forwarded_proto, proto):
    assert find_client(peer, "http", None, forwarded_proto, BEHIND).proto == proto


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("odd:thing", "odd:thing"),
    ],
)
def test_the_key_that_limits_count_by(address, key):
    assert Client(address, address, "http").limit_key == key


def test_an_invalid_network_is_refused():
    with pytest.raises(ValueError, match="does not appear"):
        TrustedProxies(("10.0.0.0/99",))
