"""Who may push, as tables."""

import base64
import hashlib
import hmac
from dataclasses import replace
from ipaddress import ip_network

import pytest

from ingest.domain.errors import InvalidValue
from ingest.domain.push_access import (
    Nonces,
    PushAccess,
    PushCaller,
    PushMethod,
    RefusalReason,
    check_networks,
    refusal,
)
from ingest.domain.push_budget import Budget, PushBudgets

NOW_S = 1_770_000_000.0
BODY = b'{"event": "x"}'
LAN = (ip_network("10.1.0.0/16"),)
SECRET, KEY = "a-secret-of-enough-length", "a-key-of-enough-length"
CALLER = PushCaller("10.1.2.3", uris=("/post", "/api/v1/post"))


def decide(
    access: PushAccess,
    caller: PushCaller,
    *,
    is_required: bool = True,
    body: bytes = BODY,
    now_s: float = NOW_S,
) -> RefusalReason | None:
    return refusal(
        access,
        caller,
        body,
        is_required=is_required,
        nonces=nonces(),
        signature_tolerance_s=300,
        now_s=now_s,
    )


def nonces() -> Nonces:
    return Nonces(b"k" * 32, lifetime_s=300, most=3)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def signature(body: bytes = BODY, *, key: str = KEY, sent_at: int = int(NOW_S)) -> str:
    code = hmac.new(key.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={sent_at},v1={code}"


@pytest.mark.parametrize(
    ("access", "caller", "wanted"),
    [
        (PushAccess(), CALLER, RefusalReason.NOT_SET_UP),
        (PushAccess(networks=LAN), CALLER, None),
        (PushAccess(networks=LAN), replace(CALLER, address="::ffff:10.1.2.3"), None),
        (PushAccess(networks=LAN), replace(CALLER, address="10.2.2.3"), RefusalReason.NETWORK),
        (PushAccess(networks=LAN), replace(CALLER, address="nonsense"), RefusalReason.NETWORK),
        (PushAccess(path_secret=SECRET), CALLER, RefusalReason.NO_CREDENTIALS),
        (PushAccess(path_secret=SECRET), replace(CALLER, path_secret=SECRET), None),
        (
            PushAccess(path_secret=SECRET),
            replace(CALLER, path_secret=SECRET + "x"),
            RefusalReason.WRONG_CREDENTIALS,
        ),
        # The network is not instead of a credential, and a credential not instead of the network.
        (PushAccess(networks=LAN, path_secret=SECRET), CALLER, RefusalReason.NO_CREDENTIALS),
        (
            PushAccess(networks=LAN, path_secret=SECRET),
            replace(CALLER, address="10.2.2.3", path_secret=SECRET),
            RefusalReason.NETWORK,
        ),
        (PushAccess(networks=LAN, path_secret=SECRET), replace(CALLER, path_secret=SECRET), None),
        # Any of the credentials that are set.
        (PushAccess(path_secret=SECRET, hmac_key=KEY), replace(CALLER, signature=signature()), None),
        (
            PushAccess(path_secret=SECRET, hmac_key=KEY),
            replace(CALLER, signature=signature(key="another"), path_secret=SECRET),
            None,
        ),
        # A camera may send a secret that it was not asked for.
        (PushAccess(networks=LAN), replace(CALLER, path_secret="whatever"), None),
        (PushAccess(user="cam", password="pass"), replace(CALLER, authorization=basic("cam", "pass")), None),
        (
            PushAccess(user="cam", password="pass"),
            replace(CALLER, authorization=basic("cam", "Pass")),
            RefusalReason.WRONG_CREDENTIALS,
        ),
        (
            PushAccess(user="cam", password="pass"),
            replace(CALLER, authorization=basic("", "pass")),
            RefusalReason.WRONG_CREDENTIALS,
        ),
        (
            PushAccess(user="cam", password="pass"),
            replace(CALLER, authorization="Basic ###"),
            RefusalReason.WRONG_CREDENTIALS,
        ),
        (
            PushAccess(user="cam", password="pass"),
            replace(CALLER, authorization="Digest username"),
            RefusalReason.WRONG_CREDENTIALS,
        ),
        (
            PushAccess(user="cam", password="pass"),
            replace(CALLER, authorization="Digest username="),
            RefusalReason.WRONG_CREDENTIALS,
        ),
        (
            PushAccess(user="cam", password="pass"),
            replace(CALLER, authorization="Bearer x"),
            RefusalReason.NO_CREDENTIALS,
        ),
    ],
)
def test_what_a_camera_must_show(
    access: PushAccess, caller: PushCaller, wanted: RefusalReason | None
) -> None:
    assert decide(access, caller) is wanted
    if access.methods:
        assert decide(access, caller, is_required=False) is wanted


def test_without_requirement_a_camera_with_nothing_set_may_push() -> None:
    assert decide(PushAccess(), CALLER, is_required=False) is None


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (signature(), None),
        (signature(sent_at=int(NOW_S) - 299), None),
        (signature(sent_at=int(NOW_S) - 301), RefusalReason.STALE),
        (signature(sent_at=int(NOW_S) + 301), RefusalReason.STALE),
        (signature(b"another body"), RefusalReason.WRONG_CREDENTIALS),
        (signature().replace("v1=", "v1=0"), RefusalReason.WRONG_CREDENTIALS),
        (signature().replace(f"t={int(NOW_S)}", f"t={int(NOW_S) + 1}"), RefusalReason.WRONG_CREDENTIALS),
        ("t=²,v1=0", RefusalReason.WRONG_CREDENTIALS),
        ("nonsense", RefusalReason.WRONG_CREDENTIALS),
    ],
)
def test_signatures(header: str, wanted: RefusalReason | None) -> None:
    assert decide(PushAccess(hmac_key=KEY), replace(CALLER, signature=header)) is wanted


# RFC 7616, section 3.9.1, with its own realm: computed by hand for ours, as curl and cameras do.
def digest(
    nonce: str, *, name: str = "SHA-256", uri: str = "/post", count: str = "00000001", qop: str = "auth"
) -> str:
    def hashed(text: str) -> str:
        return (hashlib.sha256 if name == "SHA-256" else hashlib.md5)(text.encode()).hexdigest()

    middle = f"{nonce}:{count}:abc:{qop}" if qop else nonce
    code = hashed(f"{hashed('cam:lookout:pass')}:{middle}:{hashed(f'POST:{uri}')}")
    rest = f', qop={qop}, nc={count}, cnonce="abc"' if qop else ""
    return (
        f'Digest username="cam", realm="lookout", nonce="{nonce}", uri="{uri}", algorithm={name},'
        f' response="{code}"{rest}'
    )


@pytest.mark.parametrize("name", ["MD5", "SHA-256"])
@pytest.mark.parametrize("qop", ["auth", ""])
def test_a_digest_is_accepted_once_for_a_count(name: str, qop: str) -> None:
    book, access = nonces(), PushAccess(user="cam", password="pass")
    nonce = book.make(NOW_S)

    def decide_at(seconds: float, **changes: str) -> RefusalReason | None:
        caller = replace(CALLER, authorization=digest(nonce, name=name, qop=qop, **changes))
        return refusal(
            access,
            caller,
            BODY,
            is_required=True,
            nonces=book,
            signature_tolerance_s=300,
            now_s=NOW_S + seconds,
        )

    assert decide_at(1) is None
    assert decide_at(2) is RefusalReason.STALE
    if qop:
        assert decide_at(3, count="00000002") is None
        assert decide_at(4, count="0000000a") is None
        assert decide_at(301, count="0000000b") is RefusalReason.STALE
        assert decide_at(5, count="x") is RefusalReason.WRONG_CREDENTIALS
    assert decide_at(6, uri="/other") is RefusalReason.WRONG_CREDENTIALS


def test_a_nonce_that_somebody_made_up_is_not_accepted() -> None:
    book = nonces()
    nonce = book.make(NOW_S)
    assert book.is_fresh(nonce, 1, NOW_S)
    assert not book.is_fresh("z" + nonce[1:], 1, NOW_S)
    assert not book.is_fresh(f"{int(NOW_S):08x}" + "0" * 40, 1, NOW_S)
    assert not book.is_fresh("", 1, NOW_S)
    assert not Nonces(b"another" * 5, lifetime_s=300, most=3).is_fresh(nonce, 1, NOW_S)


def test_networks_are_normalised_and_checked() -> None:
    assert check_networks(["10.1.2.3/16", "192.0.2.7", " 10.1.0.0/16"]) == ("10.1.0.0/16", "192.0.2.7/32")
    with pytest.raises(InvalidValue, match="not a network"):
        check_networks(["10.1.2"])


def test_methods_are_named() -> None:
    assert PushAccess(networks=LAN, password="x").methods == (PushMethod.NETWORK, PushMethod.PASSWORD)


def test_a_budget_is_refilled_evenly_and_refusals_take_nothing() -> None:
    now = [0.0]
    budgets = PushBudgets(
        camera_events=Budget(60, 10),
        camera_bytes=Budget(6000, 10),
        address_events=Budget(0, 10),
        address_bytes=Budget(0, 10),
        monotonic=lambda: now[0],
    )
    assert [budgets.take_for_camera(1, 1000) for _ in range(6)] == [0.0] * 6
    assert budgets.take_for_camera(1, 1000) == pytest.approx(10)
    assert budgets.take_for_camera(1, 10) == pytest.approx(0.1)  # a smaller one fits earlier
    assert budgets.take_for_camera(2, 6_000) == 0  # another camera
    now[0] = 10
    assert budgets.take_for_camera(1, 1000) == 0
    assert budgets.take_for_camera(1, 1_000_000) > 0
    now[0] = 100
    assert budgets.take_for_camera(1, 1_000_000) == 0  # larger than the bucket: when that is full
    assert budgets.take_for_address("a", 10**12) == 0  # no limit


def test_a_budget_forgets_full_buckets_first() -> None:
    budget = Budget(60, 4)
    for number in range(3):
        budget.take(str(number), 60, 0)
    for number in range(50):
        budget.take(f"other {number}", 0.001, 1)
    assert budget.wait_s("0", 2, 1) > 0
