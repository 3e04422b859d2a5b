"""Starts a whole service on real sockets, with its bus, the events it publishes and access tokens for its routes."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import grpc
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from jwt.algorithms import OKPAlgorithm

from kit.auth import ALGORITHM, StaticJwks
from kit.bus import Bus, Delivery, Event, EventSource, Subscription, event_type, open_bus
from kit.grpc import local_channel
from kit.ids import uuid7
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.service import Service, ServiceRunner, Shared
from kit.settings import BusSettings, LogSettings, ServiceSettings, read
from testkit.clock import ManualClock

M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=ServiceSettings)

TOKEN_LIFETIME_S = 10**9
"""Longer than any test advances its clock."""


class TokenIssuer:
    """Signs access tokens with a generated key; `jwks` has the public key."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._key = Ed25519PrivateKey.generate()
        public = OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks = StaticJwks({"keys": [{**public, "kid": "test", "use": "sig", "alg": ALGORITHM}]})

    def token(self, *permissions: str, username: str = "tester") -> str:
        """A token of a user with those permissions, valid from the clock's current time."""
        now = int(self._clock.now().timestamp())
        claims = {
            "sub": username,
            "uid": 1,
            "roles": [],
            "permissions": list(permissions),
            "jti": str(uuid7()),
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
            "iss": "lookout",
            "aud": "lookout",
            "typ": "access",
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": "test"})

    def headers(self, *permissions: str) -> dict[str, str]:
        """The `Authorization` header with such a token."""
        return {"Authorization": f"Bearer {self.token(*permissions)}"}


@dataclass(kw_only=True)
class RunningService(Generic[S]):
    """A started service. `http`: a client without a token; `events`: received events of the subscriptions, in order."""

    settings: S
    service: Service
    runner: ServiceRunner
    bus: Bus
    clock: ManualClock
    tokens: TokenIssuer
    http: httpx.AsyncClient
    events: list[Event] = field(default_factory=list)

    async def publish(self, message: Message, *, scope: Sequence[str], times: int = 1) -> None:
        """Publish an event to it; `times`: deliveries of the very same event."""
        source = EventSource("test", type(message))
        event = source.event(
            message, scope=scope, partition_key="test", occurred_at=self.clock.now(), correlation_id="test"
        )
        for _ in range(times):
            await self.bus.publish(event)

    def received(self, message_class: type[M]) -> list[M]:
        """The messages of that type among `events`."""
        name = message_class.DESCRIPTOR.full_name
        return [event.parse(message_class) for event in self.events if event.type == name]

    def channel(self, *, token: str | None = None) -> grpc.aio.Channel:
        """A channel to its gRPC listener, with the right token unless another is given. The caller closes it."""
        return local_channel(self.settings, self.service.name, token=token)


@asynccontextmanager
async def running_embedded(
    build: Callable[[S, Shared], Service],
    settings_class: type[S],
    folder: Path,
    *,
    clock: ManualClock,
    subscribed: Sequence[type[Message]] = (),
) -> AsyncIterator[RunningService[S]]:
    """The service in embedded mode on a free port, with all its data in `folder`; see `running_service`."""
    settings = read(
        settings_class, environ={}, defaults={"mode": "embedded", "data_dir": str(folder), "http.port": 0}
    )
    subscriptions = [Subscription.to(event_type(message_class), "test") for message_class in subscribed]
    bus = BusSettings(url=f"sqlite:///{folder}/bus.db")
    async with running_service(build, settings, bus, clock=clock, subscriptions=subscriptions) as running:
        yield running


@asynccontextmanager
async def running_service(
    build: Callable[[S, Shared], Service],
    settings: S,
    bus_settings: BusSettings,
    *,
    clock: ManualClock,
    subscriptions: Sequence[Subscription] = (),
) -> AsyncIterator[RunningService[S]]:
    """The service that `build` makes of embedded settings, on a bus with the test's own subscriptions."""
    tokens = TokenIssuer(clock)
    logger = make_logger("test", LogSettings(level="WARNING", format="console"))
    bus = open_bus(bus_settings, logger=logger, metrics=Metrics("test"), clock=clock, app_id="test")
    await bus.start()
    events: list[Event] = []

    async def record(delivery: Delivery) -> None:
        events.append(delivery.event)

    for subscription in subscriptions:
        await bus.consume(subscription, record)
    service = build(settings, Shared(clock=clock, bus=bus, jwks=tokens.jwks))
    runner = ServiceRunner([service])
    await runner.start()
    try:
        async with httpx.AsyncClient(base_url=runner.url(service.name), timeout=60) as http:
            yield RunningService(
                settings=settings,
                service=service,
                runner=runner,
                bus=bus,
                clock=clock,
                tokens=tokens,
                http=http,
                events=events,
            )
    finally:
        await bus.stop()  # before the service, as its own bus would: running handlers need its database
        await runner.stop()
