"""What the rules of a gateway are made of."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from portcast.address import Address
from portcast.api_keys import KeyTable
from portcast.centrifuge.messages import ConnectRequest, PublishRequest, RpcRequest, SendRequest, SubscribeRequest
from portcast.centrifuge_options import LEAST_SECRET_BYTES, CentrifugeOptions, check_reach, check_secrets
from portcast.config import HttpOptions
from portcast.permissions import PermissionTable
from portcast.web.failed_logins import FailedLogins
from portcast.web.sdk_access import Admission, Caller, Grant, Verdict

_logger = logging.getLogger("portcast")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The app's own functions, ready to be called; None where there is none. They answer, and never raise.

    Attributes:
        connect: takes what the token says, or an anonymous `Admission`; answers with what counts instead, None for no
            change.
        subscribe: takes what the permissions and the token give; answers likewise.
        publish: None lets it be published.
        rpc: answers with the result as JSON.
        message: takes a message.
    """

    connect: Callable[[Caller, ConnectRequest, Admission], Awaitable[Verdict[Admission | None]]] | None = None
    subscribe: Callable[[Caller, SubscribeRequest, Grant], Awaitable[Verdict[Grant | None]]] | None = None
    publish: Callable[[Caller, PublishRequest], Awaitable[Verdict[None]]] | None = None
    rpc: Callable[[Caller, RpcRequest], Awaitable[Verdict[bytes]]] | None = None
    message: Callable[[Caller, SendRequest], Awaitable[Verdict[None]]] | None = None


NO_HOOKS = Hooks()


@dataclass(frozen=True, slots=True)
class Basis:
    """What rules are made of.

    Attributes:
        options: who may connect.
        permissions: who may do what, by topic filter and namespace.
        hooks: the app's own functions.
        is_retained: tells whether a topic has history; otherwise no subscription to it recovers.
        keys: API keys.
        is_guarded: a dependency of the application looks at every request before the rules do.
        failed_logins: who has shown too much that is not valid.
    """

    options: CentrifugeOptions = field(default_factory=CentrifugeOptions)
    permissions: PermissionTable = field(default_factory=lambda: PermissionTable({}))
    hooks: Hooks = NO_HOOKS
    is_retained: Callable[[str], bool] = lambda topic: True
    keys: KeyTable = field(default_factory=lambda: KeyTable({}, {}))
    is_guarded: bool = False
    failed_logins: FailedLogins = field(default_factory=lambda: FailedLogins(HttpOptions()))

    @property
    def is_configured(self) -> bool:
        """True if something says who may subscribe."""
        hooks = self.hooks
        return bool(self.has_judge or self.permissions or hooks.subscribe)

    def check(self, http: Address | None) -> None:
        """Look at it before a start; what can be used and should not be is a line in the log.

        Args:
            http: where HTTP is bound; None if that is not known.

        Raises:
            ConfigurationError: others than this machine can connect there, and nothing says who may, or a token secret
                is too short.
        """
        if http is not None:
            check_reach(http, self.options, is_configured=self.is_configured)
            check_secrets(http, self.options)
        if self.options.has_short_secret:
            _logger.warning(
                "a secret of token_hmac_secrets is shorter than %d bytes, and can be guessed from any token",
                LEAST_SECRET_BYTES,
            )

    @property
    def has_judge(self) -> bool:
        """True if something can tell who a client is."""
        return bool(self.options.has_keys or self.keys or self.hooks.connect)
