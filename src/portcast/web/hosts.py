"""Which names a request may call this server by.

A page of ``http://evil.example`` whose name its owner lets point to 127.0.0.1 (DNS rebinding) is of one origin with a
gateway on this machine: ``Origin`` and ``Host`` agree, and the browser lets it read everything. Only ``Host`` gives it
away: a browser sends the name that the user's page has. Programs that are not browsers may send what they like; a
request without ``Host`` (HTTP/1.0) comes from no browser and passes.

Starlette's ``TrustedHostMiddleware`` does not fit: it cuts IPv6 addresses at their first colon, knows no networks such
as 127.0.0.0/8, and its answer does not say what to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, HTTPException, WebSocketException
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from portcast.address import Address
from portcast.web.transports import Receive, Scope, Send

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MISDIRECTED = 421
"""RFC 9110 §15.5.20: the request was not meant for this server."""
CLOSE_POLICY = 1008
"""RFC 6455 §7.4.1; before the handshake it is a 403."""


@dataclass(frozen=True, slots=True)
class HostRule:
    """Decides by the ``Host`` of a request.

    Attributes:
        allowed: names and addresses without a port; ``*.example.com`` is every name below, ``*`` every name.
        is_loopback: the server is bound to this machine's own addresses, so that its names are checked even when
            ``allowed`` is empty.
    """

    allowed: Sequence[str]
    is_loopback: bool

    @property
    def is_active(self) -> bool:
        """False if every name may pass."""
        return "*" not in self.allowed and (self.is_loopback or bool(self.allowed))

    def refusal(self, headers: Headers) -> str:
        """Return why a request is refused, and what to do, in one line; empty if it may pass."""
        if self.is_active:
            for value in headers.getlist("host"):
                name = _name(value)
                if not self._is_allowed(name):
                    shown = ascii(name[:80])
                    return f"this server is not called {shown}; if it should be, add the name to http.allowed_hosts"
        return ""

    def _is_allowed(self, name: str) -> bool:
        # RFC 6761 §6.3: names below localhost are never looked up elsewhere.
        if name.endswith(".localhost") or Address("tcp", name).is_loopback:
            return True
        return any(name == one or (one[:2] == "*." and name.endswith(one[1:])) for one in map(_name, self.allowed))


def _name(host: str) -> str:
    """Return the name or address in ``HOST[:PORT]``, lower case, without brackets and without DNS's final dot."""
    if host.startswith("[") and "]" in host:
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


class HostCheck:
    """An ASGI application that passes on what may come in: HTTP gets 421 and a line, a WebSocket no handshake."""

    def __init__(self, app: AsgiApp, rule: HostRule) -> None:
        self._app = app
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        refusal = self._rule.refusal(Headers(raw=scope["headers"])) if scope["type"] != "lifespan" else ""
        if not refusal:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": CLOSE_POLICY, "reason": "host not allowed"})
        else:
            body = f"{refusal}\n".encode()
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"connection", b"close"),
            ]
            await send({"type": "http.response.start", "status": MISDIRECTED, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def host_dependency(rule: HostRule) -> Callable[[HTTPConnection], Awaitable[None]]:
    """Return the same check as a FastAPI dependency, for a gateway inside an application of any names."""

    async def check_host(connection: HTTPConnection) -> None:
        refusal = rule.refusal(connection.headers)
        if refusal and connection.scope["type"] == "websocket":
            raise WebSocketException(CLOSE_POLICY, "host not allowed")
        if refusal:
            raise HTTPException(MISDIRECTED, refusal)

    return check_host


def host_guards(hosts: Sequence[str]) -> list[Any]:
    """Return the dependencies of a gateway inside an application: `host_dependency` where names are given, or none."""
    return [Depends(host_dependency(HostRule(hosts, is_loopback=False)))] if hosts else []
