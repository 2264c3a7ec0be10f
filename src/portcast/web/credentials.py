"""What a request shows to say who it is, and the sessions of people who logged in on the live page.

=============================================  =====================================================================
shown                                          for
=============================================  =====================================================================
``Authorization: Bearer TOKEN``                programs: an API key, or a JSON Web Token (RFC 6750 §2.1)
``X-Api-Key: KEY``                             programs: an API key
``Sec-WebSocket-Protocol: portcast, portcast.  web pages, whose WebSockets cannot set headers; the server answers with
bearer.TOKEN``                                 the first of the two, so that the token does not come back
cookie ``portcast_session``                    people: made by ``POST /session``, HttpOnly, SameSite=Strict
=============================================  =====================================================================

Never the URL: it is logged by servers and proxies, kept by browsers and sent on as referrer (RFC 6750 §5.3).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from secrets import token_urlsafe

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from portcast.api_keys import Identity

COOKIE = "portcast_session"
SUBPROTOCOL = "portcast"
BEARER_SUBPROTOCOL = "portcast.bearer."

SESSION_S = 12 * 3600
"""How long a login lasts: a working day."""

MOST_SESSIONS = 1000
"""Kept at a time; the oldest goes. Only who has a valid key makes any."""

MAX_BYTES = 8192
"""Longest credential that is looked at, as of tokens (`portcast.centrifuge.tokens.MAX_TOKEN_BYTES`)."""


def shown_token(http: HTTPConnection) -> str:
    """Return the API key or token that a request shows; empty for none. A cookie is another matter."""
    headers = http.headers
    if key := headers.get("x-api-key", ""):
        return key[:MAX_BYTES]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()[:MAX_BYTES]
    for offered in http.scope.get("subprotocols") or ():
        if offered.startswith(BEARER_SUBPROTOCOL):
            return str(offered[len(BEARER_SUBPROTOCOL) :])[:MAX_BYTES]
    return ""


def shows_cookie_only(http: HTTPConnection) -> bool:
    """Return True if a cookie is all that says who it is: then a foreign page may be behind the request."""
    return COOKIE in http.cookies and not shown_token(http)


def answered_subprotocol(http: HTTPConnection) -> dict[str, str]:
    """Return what ``websocket.accept`` says of the subprotocol (RFC 6455 §4.2.2): never one that holds a token."""
    return {"subprotocol": SUBPROTOCOL} if SUBPROTOCOL in (http.scope.get("subprotocols") or ()) else {}


def is_foreign_page(headers: Headers) -> bool:
    """Return True if a browser says that a page of another site asks (Fetch Metadata, ``Sec-Fetch-Site``)."""
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


class Sessions:
    """Who has logged in, by the digest of the cookie's value: what leaks from memory or a dump logs nobody in."""

    def __init__(self, unix_now: Callable[[], float]) -> None:
        self._unix_now = unix_now
        self._sessions: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, identity: Identity) -> tuple[str, int]:
        """Return the value of a new cookie and the seconds for which it counts: `SESSION_S`, or until a token ends."""
        now = self._unix_now()
        ends = now + SESSION_S if not identity.expires_at else min(now + SESSION_S, identity.expires_at)
        value = token_urlsafe(32)
        while len(self._sessions) >= MOST_SESSIONS:
            self._sessions.popitem(last=False)
        self._sessions[_digest(value)] = (ends, identity)
        return value, max(0, int(ends - now))

    def find(self, value: str) -> tuple[Identity, int] | None:
        """Return whose session a cookie's value is and when it ends, Unix seconds; None if there is none."""
        digest = _digest(value)
        found = self._sessions.get(digest)
        if found is None:
            return None
        ends, identity = found
        if ends <= self._unix_now():
            del self._sessions[digest]
            return None
        return identity, int(ends)

    def close(self, value: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(value), None)


def _digest(value: str) -> bytes:
    # Looked up by digest, so the time that a lookup takes says nothing of the values that count.
    return sha256(value.encode("utf-8", "surrogatepass")).digest()
