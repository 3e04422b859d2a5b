"""A connection to RabbitMQ that is opened again when it is lost, and publishing on it.

aio-pika's "robust" connection is not used: it restores channels while consumers still have deliveries of the old
one, whose acknowledgements then fail or acknowledge another message. Here a lost connection ends everything that
used it, and the next one starts again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from yarl import URL

from kit.bus.failure import HeldBack, Unroutable
from kit.bus.handling import reason_of
from kit.bus.rabbitmq_wire import Outgoing
from kit.errors import Unavailable
from kit.logging import Logger
from kit.settings import BusSettings

T = TypeVar("T")

FAULTS = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, EOFError)
"""What aio-pika and aiormq raise when the broker or the network fails."""

_FIRST_BACKOFF_S = 0.1
_RETRY_AFTER_S = 5


class LinkLost(ConnectionError):  # noqa: N818 - it reads as what happened
    """The connection ended while something waited for an answer on it."""


async def answered(call: Awaitable[T]) -> T:
    """Wait for the broker's answer.

    aiormq cancels whoever waits on a connection that closes. Unless this task itself was cancelled, that is turned
    into an error.

    Raises:
        LinkLost: the connection ended.
    """
    try:
        return await call
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LinkLost("the connection ended") from error


class Link:
    """Keeps one connection open. `on_up` sets it up (a failure there counts as a lost connection)."""

    def __init__(
        self,
        name: str,
        settings: BusSettings,
        logger: Logger,
        on_up: Callable[[AbstractConnection], Awaitable[None]] | None = None,
        on_down: Callable[[], None] | None = None,
        connection_type: Callable[[URL], AbstractConnection] = aio_pika.Connection,
    ) -> None:
        self.failure = "not connected yet"
        self._logged_failure = ""
        self._name = name
        self._settings = settings
        self._logger = logger
        self._on_up = on_up
        self._on_down = on_down
        self._connection_type = connection_type
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._renewal = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether it can be used now."""
        return self._up.is_set()

    def start(self) -> None:
        """Connect in the background, and again whenever it is lost."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Close, and connect no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._close()

    def renew(self) -> None:
        """Close and connect again, after a failure on the connection."""
        self._up.clear()
        self._lost.set()
        self._renewal.set()

    async def connection(self) -> AbstractConnection:
        """The connection, waiting for it as long as a publish may take.

        Raises:
            kit.errors.Unavailable: it did not come up.
        """
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                await self._up.wait()
        except TimeoutError:
            raise Unavailable(
                f"the broker cannot be reached: {self.failure}",
                code="bus_unavailable",
                retry_after_s=_RETRY_AFTER_S,
            ) from None
        assert self._connection is not None
        return self._connection

    async def next_connection(self) -> AbstractConnection:
        """The connection, waiting for it for as long as it takes."""
        while self._connection is None or not self._up.is_set():
            await self._up.wait()
        return self._connection

    def is_current(self, connection: AbstractConnection) -> bool:
        """Whether that connection is up, and not one before it."""
        return self._up.is_set() and connection is self._connection

    async def until_lost(self) -> None:
        """Wait for the end of the present connection."""
        await self._lost.wait()

    def _on_closed(self, _sender: object, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self.failure = reason_of(error)
        self.renew()

    async def _run(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                await self._come_up()
                backoff_s = _FIRST_BACKOFF_S
                await self._renewal.wait()
                self.failure = self.failure or "the connection ended"
            except FAULTS as error:
                self.failure = reason_of(error)
            except Exception as error:  # without this the link would never reconnect
                self.failure = reason_of(error)
                self._logger.exception("the bus link failed", link=self._name)
            self._up.clear()
            self._lost.set()
            if self._on_down is not None:
                self._on_down()
            await self._close()
            self._log_failure()
            await asyncio.sleep(random.uniform(0.5, 1.0) * backoff_s)  # noqa: S311 - spreading load
            backoff_s = min(backoff_s * 2, self._settings.reconnect_max_s)

    def _log_failure(self) -> None:
        """Log each kind of failure once: the attempts that follow fail in the same way."""
        if self.failure != self._logged_failure:
            self._logged_failure = self.failure
            self._logger.warning("no connection to the broker", link=self._name, error=self.failure)

    async def _come_up(self) -> None:
        self._renewal.clear()
        url = URL(self._settings.url).update_query(
            name=f"lookout {self._name}", heartbeat=str(self._settings.heartbeat_s)
        )
        # Not `aio_pika.connect`: a connection that failed has to be closed here as well (see `_close`), and that
        # function keeps it to itself.
        self._connection = self._connection_type(url)
        async with asyncio.timeout(self._settings.connect_timeout_s):
            await answered(self._connection.connect())
        self._connection.close_callbacks.add(self._on_closed)
        if self._on_up is not None:
            await answered(self._on_up(self._connection))
        self.failure = self._logged_failure = ""
        self._lost = asyncio.Event()
        self._up.set()
        self._logger.info("connected to the broker", link=self._name)

    async def _close(self) -> None:
        if self._connection is None:
            return
        # `answered` passes on the cancellation by `stop()`, which then closes the connection itself.
        with suppress(*FAULTS):
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await answered(self._connection.close())
        # A connection that is not closed when it is deleted starts a coroutine that is never awaited
        # if the garbage collector runs in another thread. The second call completes what failed above.
        await self._connection.close()
        self._connection = None


@asynccontextmanager
async def channel_on(
    connection: AbstractConnection, *, is_confirming: bool = False
) -> AsyncIterator[Channel]:
    """A channel for the length of the block.

    The underlying one: aio-pika's own waits for the socket at every publish, and adds a layer to deliveries.

    Raises:
        LinkLost: the connection was closed meanwhile.
    """
    try:
        channel = connection.channel(publisher_confirms=is_confirming, on_return_raises=is_confirming)
        await answered(channel.initialize())
    except RuntimeError as error:
        # What aio-pika and aiormq raise for a connection that this process has closed already.
        raise LinkLost(f"the connection is closed: {error}") from error
    try:
        underlying = await channel.get_underlay_channel()
        assert isinstance(underlying, Channel)
        yield underlying
    finally:
        with suppress(*FAULTS):
            await answered(channel.close())


class Publisher:
    """Publishes with confirms, on a channel of its own."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.browsing = asyncio.Lock()
        """Held while this process browses a queue: the lock on the broker only excludes other connections."""

    async def publish(self, message: Outgoing) -> None:
        """Publish and wait for the confirm.

        Raises:
            Unroutable: returned, as no queue is bound.
            kit.errors.Unavailable: refused, or the connection ended first.
        """
        try:
            await answered(
                self.channel.basic_publish(
                    message.body,
                    exchange=message.exchange,
                    routing_key=message.routing_key,
                    properties=message.properties,
                    mandatory=message.is_mandatory,
                    wait=False,
                )
            )
        except PublishError:
            raise Unroutable(f"no queue is bound for {message.routing_key}") from None
        except DeliveryError as error:
            raise Unavailable(f"the broker refused: {error}", code="bus_refused") from error
        except FAULTS as error:
            raise Unavailable(f"not confirmed: {reason_of(error)}", code="bus_unavailable") from error

    async def publish_in_order(
        self, messages: Sequence[Outgoing], keys: Sequence[str], timeout_s: float
    ) -> list[Exception | None]:
        """Publish those of one key one after the other, the keys concurrently; see `Bus.publish_many`."""
        results: list[Exception | None] = [
            Unavailable("not confirmed in time", code="bus_timeout", retry_after_s=_RETRY_AFTER_S)
        ] * len(messages)
        chains: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            chains.setdefault(key, []).append(index)
        tasks = [
            asyncio.create_task(self._publish_chain(messages, chain, results)) for chain in chains.values()
        ]
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return results

    async def _publish_chain(
        self, messages: Sequence[Outgoing], chain: list[int], results: list[Exception | None]
    ) -> None:
        for position, index in enumerate(chain):
            try:
                await self.publish(messages[index])
            except (Unroutable, Unavailable) as error:
                results[index] = error
                for later in chain[position + 1 :]:
                    results[later] = HeldBack("an earlier event of its partition key was not published")
                return
            results[index] = None
