"""Asks the rules for ``/ws``, ``/events`` and ``/api``: the same rules as for SDK clients, in the words of HTTP.

Everything that such a client may do follows from who it is (`Rules.connect`) and from what the rules say of topics:

====================================  =================================================================================
asked                                 allowed if
====================================  =================================================================================
to follow topics                      it may subscribe to each filter
to replay, to read or list history    besides, it may read their history, as a subscriber
to publish                            it may publish
to see devices, connections, …        its role says so (`Rights.may_look`)
to command, approve, close            its role says so (`Rights.may_change`)
to read what is recorded              the same, although it changes nothing
====================================  =================================================================================

While nothing is configured, everybody whom `Rules.connect` lets in may do all of it; so may everybody behind a guard of
the application, whose dependency has decided, unless it says less (``request.state.portcast_identity``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from inspect import isawaitable
from math import ceil
from typing import Literal, TypeVar

from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection

from portcast.api_keys import ALL_RIGHTS, Identity
from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.messages import ConnectRequest, PublishRequest, SubscribeRequest
from portcast.events import CredentialsRefused, Emit
from portcast.web.credentials import shown_token, shows_cookie_only
from portcast.web.origin import is_allowed_origin
from portcast.web.peer import peer_of
from portcast.web.sdk_access import Admission, Answer, Caller, Verdict
from portcast.web.sdk_rules import NOT_CONFIGURED, Rules
from portcast.web.sdk_tokens import NOT_YET_VALID
from portcast.web.subscribe import or_unavailable

T = TypeVar("T")

RulesOf = Callable[[], Rules]
"""Returns the rules of the running gateway; raises `RuntimeError` before start and after stop."""

CLIENT = "http"
"""The id of such clients towards hooks: they have no connection of the protocol."""

_UNKNOWN = {"www-authenticate": 'Bearer realm="portcast"'}


class HttpAccess:
    """See the theory on top of the module. Its methods raise `HTTPException` (400, 401, 403, 429, 503)."""

    def __init__(
        self,
        rules: RulesOf,
        allowed_origins: Iterable[str] = (),
        *,
        is_guarded: bool = False,
        emit: Emit = lambda event: None,
    ) -> None:
        """Make it.

        Args:
            rules: asked for each request.
            allowed_origins: see `portcast.config.HttpOptions`.
            is_guarded: dependencies of the application look at each request first.
            emit: is told of keys and tokens that are not valid.
        """
        self._emit = emit
        self.rules = or_unavailable(rules)
        """Returns the rules of the running gateway."""
        self._allowed_origins = tuple(allowed_origins)
        self._is_guarded = is_guarded

    async def caller(self, http: HTTPConnection) -> Caller:
        """Return who asks."""
        rules = self.rules()
        if self._is_guarded:
            said = getattr(http.state, "portcast_identity", None)
            identity = said if isinstance(said, Identity) else Identity(role="operator")
            return Caller(CLIENT, identity.user, b"", {}, http, identity.expires_at, identity.rights)
        admission = await self._admission(rules, http, shown_token(http), "request")
        rights = ALL_RIGHTS if rules.is_open else admission.rights
        return Caller(CLIENT, admission.user, admission.info, admission.meta, http, admission.expires_at, rights)

    async def may_follow(self, http: HTTPConnection, filters: Iterable[str], *, replays: bool) -> Caller:
        """Check that a client may follow topics, and replay history of them; return who it is."""
        caller = await self.caller(http)
        for one in filters:
            await self._may_subscribe(caller, one)
            if replays:
                self._may_read(caller, one)
        return caller

    async def may_read(self, http: HTTPConnection, filters: Iterable[str]) -> None:
        """Check that a client may read the history of topics or of all topics of filters."""
        await self.may_follow(http, filters, replays=True)

    async def may_publish(self, request: Request, topic: str, payload: bytes) -> None:
        """Check that a client may publish."""
        caller = await self.caller(request)
        verdict = await _now(self.rules().publish(caller, PublishRequest(topic, payload), is_subscribed=False))
        self._check(caller, verdict)

    async def look(self, request: Request) -> None:
        """Check that a client may see devices, connections and listeners; a dependency of such routes."""
        caller = await self.caller(request)
        if not caller.rights.may_look:
            raise self._refusal(caller, "needs a key or token whose role is reader or operator, for all topics")

    async def inspect(self, request: Request) -> None:
        """Check that a client may see what is for operators alone; a dependency of routes that change nothing.

        Browsers send no ``Origin`` with a GET of the page's own, so here a cookie may come without one. A foreign page
        is shown no answer, and what says that it is one gets none.
        """
        if not is_allowed_origin(request, self._allowed_origins):
            raise HTTPException(403, "origin not allowed")
        await self._may_change(request)

    async def change(self, request: Request) -> None:
        """Check that a client may command, approve and close, and that no foreign page asks; a dependency of routes."""
        self.check_origin(request)
        await self._may_change(request)

    async def _may_change(self, request: Request) -> None:
        caller = await self.caller(request)
        if not caller.rights.may_change:
            raise self._refusal(caller, "needs a key or token whose role is operator, for all topics")

    def check_origin(self, request: Request) -> None:
        """Check that no page of a foreign origin is behind a request that changes something.

        Browsers send ``Origin`` with each of these, so a cookie without it comes from none, or from one that is broken.
        """
        is_allowed = is_allowed_origin(request, self._allowed_origins)
        if not is_allowed or (shows_cookie_only(request) and "origin" not in request.headers):
            raise HTTPException(403, "origin not allowed")

    async def _may_subscribe(self, caller: Caller, channel: str) -> None:
        self._check(caller, await _now(self.rules().subscribe(caller, SubscribeRequest(channel=channel))))

    def _may_read(self, caller: Caller, channel: str) -> None:
        # Whoever may subscribe could do so, and would be a subscriber.
        self._check(caller, self.rules().ask(caller, "history", channel, is_subscribed=True))

    async def log_in(self, request: Request, shown: str) -> Identity:
        """Return whose a key or token is."""
        admission = await self._admission(self.rules(), request, shown, "login")
        return Identity(admission.user, admission.rights.role, admission.rights.topics, admission.expires_at)

    async def _admission(
        self, rules: Rules, http: HTTPConnection, shown: str, reason: Literal["login", "request"]
    ) -> Admission:
        verdict = await _now(rules.connect(CLIENT, http, ConnectRequest(token=shown)))
        if isinstance(verdict, Admission) and verdict.lifetime.is_over:
            verdict = codes.TOKEN_EXPIRED
        if isinstance(verdict, Admission):
            return verdict
        if verdict is codes.TOO_MANY_REQUESTS:
            self._emit(CredentialsRefused(peer_of(http.scope), "throttled"))
            wait_s = max(1, ceil(rules.failed_logins.wait_s(http)))
            headers = {"retry-after": str(wait_s)}
            raise HTTPException(429, f"too many keys or tokens that are not valid; wait {wait_s} s", headers=headers)
        if verdict in (codes.INVALID_TOKEN, codes.TOKEN_EXPIRED, NOT_YET_VALID):
            if shown:
                self._emit(CredentialsRefused(peer_of(http.scope), reason))
            raise HTTPException(401, _sentence(verdict), headers=_UNKNOWN)
        raise _as_http(verdict)

    def _check(self, caller: Caller, verdict: object) -> None:
        if verdict is codes.PERMISSION_DENIED:
            raise self._refusal(caller, "permission denied")
        if isinstance(verdict, ReplyError | Disconnect):
            raise _as_http(verdict)

    def _refusal(self, caller: Caller, sentence: str) -> HTTPException:
        # Who has shown nothing may show something; who has gets no other answer.
        if caller.user or caller.rights.role != "client" or shown_token(caller.http):
            return HTTPException(403, sentence)
        return HTTPException(401, f"log in or show a key: {sentence}", headers=_UNKNOWN)


def left_s(caller: Caller) -> float | None:
    """Return for how many seconds what a caller has shown counts; None for ever."""
    return caller.expires_at - time.time() if caller.expires_at else None


async def _now(answer: Answer[T]) -> Verdict[T]:
    return await answer if isawaitable(answer) else answer


def _sentence(verdict: ReplyError | Disconnect) -> str:
    if verdict is codes.INVALID_TOKEN:
        return "log in or show a key: no valid key or token came with the request"
    return verdict.message if isinstance(verdict, ReplyError) else verdict.reason


def _as_http(verdict: ReplyError | Disconnect) -> HTTPException:
    if verdict is NOT_CONFIGURED:
        return HTTPException(403, "nothing says who may connect from elsewhere; see docs/access.md")
    if isinstance(verdict, ReplyError) and 400 <= verdict.code <= 599:  # an app's HTTPException
        return HTTPException(verdict.code, verdict.message)
    if isinstance(verdict, ReplyError) and verdict.temporary:
        return HTTPException(503, "it cannot be decided now; try again", headers={"retry-after": "1"})
    if verdict.code == codes.BAD_REQUEST.code:
        return HTTPException(400, _sentence(verdict))
    return HTTPException(403, _sentence(verdict))
