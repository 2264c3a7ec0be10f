"""The rules of a gateway: tokens, permissions and the app's own functions, in this order.

============  ========================================================================================================
asked         decided by
============  ========================================================================================================
connect       an API key, a login, or what the application says; else its token (`portcast.web.sdk_tokens`), then
              ``on_connect``, whose `Admission` takes the token's place; then nobody is anonymous whom
              `CentrifugeOptions.anonymous` refuses (3500); 111 after too much that is not valid (`failed_logins`)
subscribe     who owns a personal channel (103); its token, of this user, channel and client (3500 otherwise); what
              the permissions say (103); then ``on_subscribe``, whose `Grant` takes the permissions' place
publish       who owns a personal channel, the permissions (103); then ``on_publish``
history,      who owns a personal channel, the permissions (103)
presence
rpc           its function; 108 if there is none
refresh       its token: of another user 3500, past already 3005: then the client connects again and gets another
sub_refresh   its token, as for subscribe; its channel is the token's
============  ========================================================================================================

A role (`portcast.api_keys`) is enough for what it gives, before permissions and functions are asked.

Where the permissions say nothing of a topic, the app's function decides: it refuses by raising. If there is none, the
defaults of `ChannelPermissions` hold; or `OPEN`, with `OPEN_DEVICES`, while *nothing is configured*: no
keys, no permissions, neither ``on_connect`` nor ``on_subscribe``. Then only this machine may connect, unless
``insecure``.

A *personal channel* ``#42`` is user 42's alone, and of roles for everything, whatever else is said. Wildcards stand for
such channels too (``#``, ``+``), so while users have personal channels a wildcard of that kind needs a token, or such a
role.

Channels that the server itself subscribes a client to, those of its token and of its `Admission`, are trusted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from starlette.requests import HTTPConnection

from portcast.address import Address
from portcast.api_keys import Identity, claimed_rights
from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.deadlines import FOREVER, Lifetime
from portcast.centrifuge.messages import (
    ConnectRequest,
    PublishRequest,
    RefreshRequest,
    RpcRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
)
from portcast.centrifuge.tokens import ConnectionClaims, SubscriptionClaims, SubscriptionOptions, SubscriptionOverride
from portcast.errors import TopicError
from portcast.permissions import (
    OPEN,
    OPEN_DEVICES,
    ChannelPermissions,
    is_left_to,
    may_subscribe,
    may_use,
    shows_personal,
)
from portcast.topics import is_wildcard, validate_filter
from portcast.web.credentials import COOKIE, Sessions, is_foreign_page, shown_token
from portcast.web.sdk_access import Admission, Answer, Caller, Grant, Question, Verdict
from portcast.web.sdk_answers import then
from portcast.web.sdk_basis import Basis
from portcast.web.sdk_tokens import Tokens

NOT_CONFIGURED = Disconnect(3507, "permission denied: nothing says who may connect from elsewhere")
"""`codes.DENIED`, with what the operator should know."""

_logger = logging.getLogger("portcast")


class Rules:
    """An `Access` made of tokens, permissions and hooks."""

    def __init__(self, basis: Basis, tokens: Tokens | None = None, unix_now: Callable[[], float] = time.time) -> None:
        """Make them.

        Args:
            basis: what they are made of.
            tokens: reads tokens; made of the options if None and they have keys.
            unix_now: returns Unix seconds.

        Raises:
            ConfigurationError: a key or file cannot be used.
            MissingDependencyError: PyJWT or cryptography is needed and not installed.
        """
        options = basis.options
        self._basis = basis
        self._hooks = basis.hooks
        self._tokens = tokens or (Tokens(options) if options.has_keys else None)
        self._unix_now = unix_now
        self.sessions = Sessions(unix_now)
        """Who has logged in on the live page."""
        self.failed_logins = basis.failed_logins
        self.is_open = not basis.is_configured
        """True while nothing says who may do what."""
        self._table = OPEN_DEVICES if self.is_open else basis.permissions
        self._otherwise = OPEN if self.is_open else ChannelPermissions()
        is_auto = options.anonymous == "auto"
        self._is_anonymous_allowed = options.anonymous == "allow" or (is_auto and not basis.has_judge)
        self._has_warned = False

    @property
    def accepts_messages(self) -> bool:
        """True if there is a function for ``send``."""
        return self._hooks.message is not None

    async def close(self) -> None:
        """Wait for what runs in the background."""
        if self._tokens is not None:
            await self._tokens.close()

    # Connecting

    def connect(self, client: str, http: HTTPConnection, request: ConnectRequest) -> Answer[Admission]:
        """Decide on a connection; see `Access.connect`."""
        basis = self._basis
        if self.is_open and not (basis.options.insecure or basis.is_guarded or _is_local(http)):
            return self._refuse_network()
        if (identity := self.identify(http, request.token)) is not None:
            return self._admitted(self._known(identity), is_known=True)
        if not (request.token or shown_token(http)):
            return self._judge(client, http, request)
        if self.failed_logins.refuses_unseen(http):
            return codes.TOO_MANY_REQUESTS
        failed = partial(self.failed_logins.failed, http, is_by_app=self._tokens is None)
        return then(self._judge(client, http, request), lambda admission: admission, failed)

    def _judge(self, client: str, http: HTTPConnection, request: ConnectRequest) -> Answer[Admission]:
        if not request.token or (self._tokens is None and self._hooks.connect is not None):
            return self._admit(client, http, request, Admission())
        if self._tokens is None:
            return codes.INVALID_TOKEN  # nobody can say whose it is, and to take it for nobody's would be a guess
        tokens = self._tokens
        return then(
            tokens.connection(request.token),
            lambda claims: self._admit(client, http, request, self._admission(tokens, claims)),
        )

    def identify(self, http: HTTPConnection, token: str = "") -> Identity | None:
        """Return who a client is if something beside a JSON Web Token says so: an API key, a login, the application.

        Args:
            http: the request; what the application says is in its ``state.portcast_identity``.
            token: of the connect command; then nothing else counts.
        """
        if token:
            return self._basis.keys.find(token)
        said = getattr(http.state, "portcast_identity", None)
        if isinstance(said, Identity):
            return said
        if shown := shown_token(http):
            return self._basis.keys.find(shown)
        if is_foreign_page(http.headers):
            return None  # a browser sends the cookie of one port of a host to all of them
        session = self.sessions.find(http.cookies.get(COOKIE, ""))
        return None if session is None else replace(session[0], expires_at=session[1])

    def _known(self, identity: Identity) -> Admission:
        ends = identity.expires_at
        lifetime = Lifetime(ends - int(self._unix_now())) if ends else FOREVER
        return Admission(identity.user, lifetime, expires_at=ends, rights=identity.rights)

    def _refuse_network(self) -> Disconnect:
        if not self._has_warned:
            self._has_warned = True
            _logger.warning("a client from the network was refused: set keys, permissions, dependencies or insecure")
        return NOT_CONFIGURED

    def _admission(self, tokens: Tokens, claims: ConnectionClaims) -> Verdict[Admission]:
        subs = claims.subs or dict.fromkeys(claims.channels, SubscriptionOptions())
        if not all(map(_is_channel, subs)):
            return codes.BAD_REQUEST
        try:
            rights = claimed_rights(claims.portcast)
        except ValueError:
            return codes.INVALID_TOKEN
        return Admission(
            user=claims.user,
            lifetime=tokens.lifetime(claims.expire_at),
            info=claims.info,
            meta=claims.meta,
            subs={channel: self._given(channel, options) for channel, options in subs.items()},
            expires_at=claims.expire_at,
            rights=rights,
        )

    def _given(self, channel: str, options: SubscriptionOptions) -> Grant:
        """Return what a server-side subscription of a token gives."""
        grant = replace(self._grant(channel), info=options.info, data=options.data)
        return self._possible(channel, _overridden(grant, options.override))

    def _admit(
        self, client: str, http: HTTPConnection, request: ConnectRequest, known: Verdict[Admission]
    ) -> Answer[Admission]:
        """Let the app have its say on what is known of a connection."""
        if isinstance(known, ReplyError | Disconnect):
            return known
        if self._hooks.connect is None:
            return self._admitted(known, is_known=bool(request.token))
        caller = Caller(client, known.user, known.info, known.meta, http, known.expires_at)
        has_token = bool(request.token) and self._tokens is not None

        def decided(said: Admission | None) -> Verdict[Admission]:
            return self._admitted(known if said is None else said, is_known=has_token or said is not None)

        return then(self._hooks.connect(caller, request, known), decided)

    def _admitted(self, admission: Admission, *, is_known: bool) -> Verdict[Admission]:
        if not is_known and not self._is_anonymous_allowed:
            return codes.INVALID_TOKEN
        if self._tokens is None and admission.lifetime.is_refreshed_by_client:
            # Nothing could judge the newer token; so it ends in time, and the client connects again.
            admission = replace(admission, lifetime=Lifetime(admission.lifetime.ttl_s))
        channel = f"#{admission.user}"
        if not (self._basis.options.personal_channel and admission.user) or channel in admission.subs:
            return admission
        if not _is_channel(channel) or is_wildcard(channel):
            return codes.BAD_REQUEST
        return replace(admission, subs={**admission.subs, channel: self._grant(channel)})

    def refresh(self, caller: Caller, request: RefreshRequest) -> Answer[Lifetime]:
        """Look at a newer token of the connection; see `Access.refresh`."""
        if self._tokens is None:
            return codes.NOT_AVAILABLE
        tokens = self._tokens

        def refreshed(claims: ConnectionClaims) -> Verdict[Lifetime]:
            return tokens.lifetime(claims.expire_at) if claims.user == caller.user else codes.INVALID_TOKEN

        # An error reply would end the client for good (centrifuge-js, `_refreshError`); a 3005 lets it come back.
        return then(
            tokens.connection(request.token),
            refreshed,
            lambda refusal: codes.CONNECTION_EXPIRED if refusal.code == codes.TOKEN_EXPIRED.code else refusal,
        )

    # Subscribing

    def subscribe(self, caller: Caller, request: SubscribeRequest) -> Answer[Grant]:
        """Decide on a subscription; see `Access.subscribe`."""
        if self._may_read(caller, request.channel):
            return self._grant(request.channel)
        if not is_left_to(caller.user, request.channel):
            return codes.PERMISSION_DENIED
        if not request.token or self._tokens is None:
            return self._subscribed(caller, request, None)
        return then(
            self._tokens.subscription(request.token),
            lambda claims: (
                codes.INVALID_TOKEN
                if not _is_for(claims, caller, request.channel)
                else self._subscribed(caller, request, claims)
            ),
        )

    def _may_read(self, caller: Caller, channel: str) -> bool:
        """Return True if the caller's role is enough; limited to topics it does not reach other users' channels."""
        shows_others = not is_left_to(caller.user, channel) or (
            self._basis.options.personal_channel and shows_personal(channel)
        )
        return caller.rights.may_read(channel) and (caller.rights.may_look or not shows_others)

    def _subscribed(
        self, caller: Caller, request: SubscribeRequest, claims: SubscriptionClaims | None
    ) -> Answer[Grant]:
        channel, has_token = request.channel, claims is not None
        if not has_token and self._basis.options.personal_channel and shows_personal(channel):
            return codes.PERMISSION_DENIED
        lines = self._lines(channel, hook=self._hooks.subscribe)
        if not all(may_subscribe(line, caller.user, channel, has_token=has_token) for line in lines):
            return codes.PERMISSION_DENIED
        grant = self._grant(channel)
        if claims is not None and self._tokens is not None:
            lifetime = self._tokens.lifetime(claims.expire_at)
            grant = replace(grant, lifetime=lifetime, info=claims.info, data=claims.data)
            grant = self._possible(channel, _overridden(grant, claims.override))
        if self._hooks.subscribe is None:
            return grant

        def decided(said: Grant | None) -> Grant:
            return grant if said is None else self._possible(channel, said)

        return then(self._hooks.subscribe(caller, request, grant), decided)

    def sub_refresh(self, caller: Caller, request: SubRefreshRequest) -> Answer[tuple[str, Lifetime]]:
        """Look at a newer token of a subscription; see `Access.sub_refresh`."""
        if self._tokens is None:
            return codes.NOT_AVAILABLE
        tokens = self._tokens

        def refreshed(claims: SubscriptionClaims) -> Verdict[tuple[str, Lifetime]]:
            if not _is_for(claims, caller, request.channel or claims.channel):
                return codes.INVALID_TOKEN
            return claims.channel, tokens.lifetime(claims.expire_at)

        return then(tokens.subscription(request.token), refreshed)

    def _grant(self, channel: str) -> Grant:
        """Return what the permissions give a subscriber, whoever it is."""
        lines = self._lines(channel)
        tells = all(line.join_leave for line in lines)
        grant = Grant(
            mode=lines[0].recover,
            has_presence=all(line.presence != "nobody" for line in lines),
            sends_join_leave=tells,
            gets_join_leave=tells,
            has_delta=all(line.delta for line in lines),
        )
        return self._possible(channel, grant)

    def _possible(self, channel: str, grant: Grant) -> Grant:
        """Return a grant without what cannot be kept."""
        if grant.mode != "none" and (is_wildcard(channel) or not self._basis.is_retained(channel)):
            grant = replace(grant, mode="none")
        if grant.lifetime.is_refreshed_by_client and self._tokens is None:
            grant = replace(grant, lifetime=Lifetime(grant.lifetime.ttl_s))
        return grant

    # Using

    def publish(self, caller: Caller, request: PublishRequest, is_subscribed: bool) -> Answer[None]:
        """Decide on a publication; see `Access.publish`."""
        if caller.rights.may_publish(request.channel) and request.channel[:1] not in ("$", "#"):
            return None
        lines = self._lines(request.channel, hook=self._hooks.publish)
        if not is_left_to(caller.user, request.channel) or not all(
            may_use(line.publish, caller.user, is_subscribed) for line in lines
        ):
            return codes.PERMISSION_DENIED
        return None if self._hooks.publish is None else self._hooks.publish(caller, request)

    def ask(self, caller: Caller, question: Question, channel: str, is_subscribed: bool) -> Verdict[None]:
        """Decide on a look at history or presence; see `Access.ask`."""
        if self._may_read(caller, channel):
            return None
        rights = [line.history if question == "history" else line.presence for line in self._lines(channel)]
        is_allowed = is_left_to(caller.user, channel) or is_subscribed
        if is_allowed and all(may_use(right, caller.user, is_subscribed) for right in rights):
            return None
        return codes.PERMISSION_DENIED

    async def rpc(self, caller: Caller, request: RpcRequest) -> Verdict[bytes]:
        """Call a method; see `Access.rpc`."""
        return codes.NOT_AVAILABLE if self._hooks.rpc is None else await self._hooks.rpc(caller, request)

    async def message(self, caller: Caller, request: SendRequest) -> Verdict[None]:
        """Take a message; see `Access.message`."""
        assert self._hooks.message is not None, "only called if messages are accepted"
        return await self._hooks.message(caller, request)

    def _lines(self, channel: str, *, hook: object = None) -> tuple[ChannelPermissions, ...]:
        """Return the permissions that must all allow something; where they say nothing, a hook decides instead."""
        match = self._table.match(channel)
        is_enough = match.is_complete or hook is not None
        return match.permissions if is_enough else (*match.permissions, self._otherwise)


def _is_channel(name: str) -> bool:
    try:
        validate_filter(name)
    except TopicError:
        return False
    return True


def _is_local(http: HTTPConnection) -> bool:
    """Return False if the client came in by an address that other machines can reach; True if that is not known."""
    host = (http.scope.get("server") or ("", None))[0]
    address = Address("tcp", host)
    return address.is_loopback or not address.is_ip


def _is_for(claims: SubscriptionClaims, caller: Caller, channel: str) -> bool:
    return (claims.user, claims.channel) == (caller.user, channel) and claims.client in ("", caller.client)


def _overridden(grant: Grant, override: SubscriptionOverride) -> Grant:
    """Return a grant with what a token says differently; positions come with every recoverable channel anyway."""
    return replace(
        grant,
        mode="stream" if override.force_recovery and grant.mode == "none" else grant.mode,
        has_presence=grant.has_presence if override.presence is None else override.presence,
        sends_join_leave=grant.sends_join_leave if override.join_leave is None else override.join_leave,
        gets_join_leave=(
            grant.gets_join_leave if override.force_push_join_leave is None else override.force_push_join_leave
        ),
    )
