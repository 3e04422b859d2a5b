"""A RabbitMQ user for each service, with the rights that the bus needs and no more.

A service may declare and read what begins with its own name, publish to the events' exchange under its own areas,
and bind its queues to the areas that it subscribes to. Exchange and catalogue are made here, since a right to declare
them would be one to delete them. Source: rabbitmq.com/docs/access-control, its table of AMQP methods and rights.

What AMQP cannot limit: retries and dead letters go through the default exchange, and the right to that is one for
every queue of the virtual host. A service cannot read another one's queue, but can publish into it by its name.
"""

import base64
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

from kit.bus.topology import catalogue_queue, events_exchange
from kit.errors import Forbidden, Unavailable
from kit.settings import BusSettings

CALL_TIMEOUT_S = 10.0
_POLL_S = 1.0
_NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """A service on the broker. Areas are the first words of routing keys, such as `parcels`."""

    name: str
    password: str = field(repr=False)
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rights:
    """Regular expressions over names of exchanges and queues, as RabbitMQ matches them."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicRights:
    """Regular expressions over the routing keys that may be published, and the keys of bindings."""

    write: str
    read: str


def rights_of(user: BrokerUser, exchange: str) -> Rights:
    """What the user may declare or delete, publish to, and read."""
    own = rf"{re.escape(user.name)}\..*"
    events = re.escape(exchange)
    # The lock of a browse, and the queue that is declared and deleted at once: see rabbitmq_browse and rabbitmq_admin.
    return Rights(
        configure=rf"^({own}|{events}\.catalogue\.look|lookout\.last\..*)$",
        write=rf"^({own}|{events}|amq\.default)$",
        read=rf"^({own}|{events}|{events}\.catalogue)$",
    )


def topic_rights_of(user: BrokerUser) -> TopicRights:
    """What the user may publish, and what its queues may be bound to."""
    # RabbitMQ 4 checks the second routing key as well, the slot.
    write = (
        [*(rf"{re.escape(area)}\..*" for area in user.publishes), r"slot\.[0-9]+"] if user.publishes else []
    )
    read = [rf"{re.escape(area)}\..*" for area in user.subscribes]
    return TopicRights(_any_of(write), _any_of(read))


def _any_of(patterns: Sequence[str]) -> str:
    return f"^({'|'.join(patterns)})$" if patterns else _NOTHING


class BrokerAccounts:
    """Sets up users through the management API, as an administrator. `url`: such as `http://rabbitmq:15672`."""

    def __init__(self, url: str, user: str, password: str, *, vhost: str = "/") -> None:
        self._url = url.rstrip("/")
        self._user = user
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._vhost = urllib.parse.quote(vhost, safe="")

    def set_up(self, users: Sequence[BrokerUser], settings: BusSettings) -> None:
        """Make exchange, catalogue and users, or give them the rights and passwords that they shall have.

        It can be repeated, and changes only what differs. A connection that is open keeps its old password.

        Raises:
            kit.errors.Forbidden: the broker refuses the administrator.
            kit.errors.Unavailable: it does not answer, or refuses a call.
        """
        exchange, catalogue = events_exchange(settings), catalogue_queue(settings)
        self._put(
            f"exchanges/{self._vhost}/{_quoted(exchange.name)}", {"type": exchange.kind, "durable": True}
        )
        self._put(
            f"queues/{self._vhost}/{_quoted(catalogue.name)}",
            {"durable": True, "arguments": dict(catalogue.arguments)},
        )
        for user in users:
            name = _quoted(user.name)
            self._put(f"users/{name}", {"password": user.password, "tags": ""})
            topics = {"exchange": exchange.name, **asdict(topic_rights_of(user))}
            # The topics first: a user without an entry for an exchange may use every topic of it.
            self._put(f"topic-permissions/{self._vhost}/{name}", topics)
            self._put(f"permissions/{self._vhost}/{name}", asdict(rights_of(user, exchange.name)))

    def wait(self, timeout_s: float) -> None:
        """Wait until the management API answers.

        Raises:
            kit.errors.Forbidden: the broker refuses the administrator.
            kit.errors.Unavailable: it does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._call("GET", "whoami")
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def _put(self, path: str, body: dict[str, Any]) -> None:
        self._call("PUT", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        request = urllib.request.Request(  # noqa: S310 - the operator's own URL
            f"{self._url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as response:  # noqa: S310 - as above
                response.read()
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace")[:500]
            if error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise Forbidden(
                    f"RabbitMQ at {self._url} refuses the administrator {self._user}: the password is not the one that"
                    " the broker has, or the user lacks the tag administrator"
                ) from error
            raise Unavailable(f"RabbitMQ refuses {method} {path} ({error.code}): {reason}") from error
        except OSError as error:
            raise Unavailable(f"RabbitMQ's management API at {self._url} does not answer: {error}") from error


def users_of(document: str, passwords: dict[str, str]) -> list[BrokerUser]:
    """The users of a JSON document such as `{"shop": {"publishes": ["parcels"], "subscribes": []}}`.

    `passwords`: by the service's name as a part of a variable, such as `PARCEL_SHOP`.

    Raises:
        ValueError: it has another form, or a password is missing.
    """
    try:
        parsed = json.loads(document)
        users = [
            BrokerUser(
                name,
                passwords.get(name.replace("-", "_").upper(), ""),
                tuple(map(str, entry.get("publishes", ()))),
                tuple(map(str, entry.get("subscribes", ()))),
            )
            for name, entry in parsed.items()
        ]
    except (ValueError, AttributeError, TypeError):
        raise ValueError(
            'write JSON such as {"shop": {"publishes": ["parcels"], "subscribes": []}}'
        ) from None
    for user in users:
        if not user.password:
            raise ValueError(f"{user.name.replace('-', '_').upper()}_RABBITMQ_PASSWORD is not set")
    return users


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
