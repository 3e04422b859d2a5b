"""One middleware at a time: a scope as uvicorn makes it, the next application, and the messages that come back."""

import pytest

from gateway.domain.clients import Client
from gateway.domain.rate_limits import RateLimit
from gateway.domain.routes import BodyLimit, Match, Route
from gateway.http.middleware.context import SCOPE_KEY, RequestContext


class Call:
    """One request. `sent` are the messages to the client; `seen` is the scope that reached the next application."""

    def __init__(self):
        self.sent = []
        self.seen = None
        self.context = RequestContext(Client("192.0.2.7", "192.0.2.7", "http"))

    def scope(self, path="/echo", *, kind="http", method="GET", headers=(), **changes):
        scope = {
            "type": kind,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "scheme": "http",
            "client": ("192.0.2.7", 1234),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            SCOPE_KEY: self.context,
        }
        return {**scope, **changes}

    def on_route(self, **changes):
        """Let the path check have found a route."""
        route = Route(
            **{
                "service": "echo",
                "target": (b"api", b"v1", b"echo"),
                "is_public": True,
                "rate_limit": RateLimit("plenty", 1000, 1.0),
                "timeout_s": 5.0,
                "body_limit": BodyLimit(1000, "A_SETTING"),
                **changes,
            }
        )
        self.context.match = Match(route, b"/api/v1/echo")

    async def next(self, scope, receive, send):
        """The application behind the middleware: reads the body and responds with 200."""
        self.seen = scope
        while scope["type"] == "http" and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return self.sent[0]["headers"]


def body_of(*chunks):
    """A `receive` that delivers the chunks, and then the client's disconnect."""
    left = [
        {"type": "http.request", "body": chunk, "more_body": position < len(chunks)}
        for position, chunk in enumerate(chunks, start=1)
    ]

    async def receive():
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive


@pytest.fixture
def call():
    return Call()


@pytest.fixture
def body():
    return body_of
