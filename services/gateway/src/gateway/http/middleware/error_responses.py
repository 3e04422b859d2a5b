"""Errors of all inner middlewares, of the services and of the gateway itself, as problems (RFC 9457)."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.middleware.context import Header, context_of
from gateway.metrics import GatewayMetrics
from kit.errors import LookoutError
from kit.logging import Logger
from kit.problems import MEDIA_TYPE, Problem, problem_of

POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1


class ErrorResponses:
    """Answers a `LookoutError` with its problem, or breaks off a response that has begun."""

    def __init__(self, app: ASGIApp, *, logger: Logger, metrics: GatewayMetrics) -> None:
        self._app = app
        self._logger = logger
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket."""
        try:
            await self._app(scope, receive, send)
        except LookoutError as error:
            self._metrics.refused.labels(error.code).inc()
            if context_of(scope).is_response_started:
                # Returning without the end of the response makes the server close the connection, so that the
                # client sees an incomplete response and not a short one.
                self._logger.warning("response_broken_off", code=error.code, detail=error.detail)
            elif scope["type"] == "http":
                await _send_problem(problem_of(error), "http.response", send)
            elif "websocket.http.response" in scope.get("extensions", {}):
                await _send_problem(problem_of(error), "websocket.http.response", send)
            else:
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.code})


async def _send_problem(problem: Problem, message_type: str, send: Send) -> None:
    body = problem.body()
    headers: list[Header] = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": f"{message_type}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{message_type}.body", "body": body, "more_body": False})
