"""Who may call which method: the tokens that a server accepts, each with the name of its caller."""

import hmac

from kit.errors import Forbidden, Unauthenticated
from kit.settings.blocks import GrpcCaller, GrpcSettings, tokens_of

ANY_SERVICE = "service"
"""The name of whoever has the token that is shared by all services."""


class Callers:
    """Decides on each call. Everything that is not allowed by name is refused."""

    def __init__(self, callers: dict[str, GrpcCaller] | None, shared: tuple[str, ...]) -> None:
        self._callers = callers or {}
        self._names = {
            f"Bearer {token}".encode(): name
            for name, caller in self._callers.items()
            for token in tokens_of(caller.token)
        }
        self._shared = frozenset(f"Bearer {token}".encode() for token in shared)

    def caller_of(self, authorization: str) -> str:
        """The name of the caller.

        Raises:
            kit.errors.Unauthenticated: no caller has that token.
        """
        sent = authorization.encode()
        found = ""
        # Every token is compared, in constant time each, so that the time says nothing about them.
        for expected, name in [*self._names.items(), *((token, ANY_SERVICE) for token in self._shared)]:
            if hmac.compare_digest(sent, expected):
                found = name
        if not found:
            raise Unauthenticated(
                "This needs the token of a service that may call.", code="service_token_invalid"
            )
        return found

    def require(self, name: str, method: str) -> None:
        """Refuse a method (`package.Service/Method`) that is not in the caller's list.

        Raises:
            kit.errors.Forbidden: it is not.
        """
        caller = self._callers.get(name)
        if caller is not None and not caller.may_call(method):
            raise Forbidden(
                f"{name} may not call {method}: it is not among its methods in grpc.callers.",
                code="method_not_allowed",
            )


def callers_of(settings: GrpcSettings, token: str | None = None) -> Callers | None:
    """What a server with these settings accepts; None: it asks for no token.

    `token`: the one of an embedded process, accepted for every method; None: the settings'. Named callers take the
    place of the latter, which the service then only sends.
    """
    if settings.callers is not None:
        return Callers(settings.callers, (token,) if token else ())
    shared = tokens_of(settings.token) if token is None else (token,) if token else ()
    return Callers(None, shared) if shared else None
