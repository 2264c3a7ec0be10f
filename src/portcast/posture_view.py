"""What the checks of `portcast.posture` look at, what they say, and whom an address or a network means."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import HTTPConnection

from portcast.address import Address
from portcast.api_keys import ALL_RIGHTS
from portcast.centrifuge.messages import ConnectRequest
from portcast.config import HttpOptions, ListenerOptions
from portcast.settings import Settings
from portcast.web.sdk_access import Admission, Caller
from portcast.web.sdk_rules import Rules

Level = Literal["ok", "note", "warning", "danger"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "danger")
"""From harmless to dangerous."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is the case.

    Attributes:
        level: how bad it is.
        subject: what it is about: ``http``, ``listener tcp://0.0.0.0:8001``, ``key dashboard``.
        sentence: for people.
    """

    level: Level
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class View:
    """What the checks look at.

    Attributes:
        settings: merged and valid.
        rules: made of them.
        connections: device connections at a time.
        http_connections: the same for HTTP, WebSockets among them.
    """

    settings: Settings
    rules: Rules
    connections: int
    http_connections: int

    stranger: Caller | None = field(init=False)
    """Who shows nothing and comes in by the HTTP address; None if that is refused."""

    def __post_init__(self) -> None:
        host = self.settings.http.host
        scope = {"type": "http", "headers": [], "server": (host, self.settings.http.port), "state": {}}
        http = HTTPConnection(scope)
        admission = self.rules.connect("check", http, ConnectRequest())
        caller = None
        if isinstance(admission, Admission):
            rights = ALL_RIGHTS if self.rules.is_open else admission.rights
            caller = Caller("check", admission.user, b"", {}, http, rights=rights)
        object.__setattr__(self, "stranger", caller)

    @property
    def is_public(self) -> bool:
        """True if others than this machine can reach HTTP: by its address, or through a proxy in front."""
        return not self.settings.http.is_loopback or bool(self.settings.http_options.forwarded_from)

    @property
    def shows_certificate(self) -> bool:
        """True if HTTP is for those alone who show a certificate."""
        tls = self.settings.http_tls
        return bool(tls.client_ca) and tls.client_cert == "required"


Check = Callable[[View], Iterable[Finding]]


def at_most(limits: Mapping[str, float]) -> str:
    """Return limits in words, those that are 0 left out: "" if all are."""
    return ", ".join(f"{most:g} {what}" for what, most in limits.items() if most)


def named_networks(subject: str, options: HttpOptions | ListenerOptions) -> Iterator[Finding]:
    """Say which networks are let in and which are not, where some are named."""
    for name in ("allow", "deny"):
        if networks := getattr(options, name):
            yield Finding("ok", subject, f"{name}: {', '.join(networks)}")


def everybody_at(address: Address) -> str:
    """Return who can connect to an address that is not loopback."""
    if is_private(address):
        return f"everybody in the network of {address.host}"
    return "everybody who can reach this machine"


def is_private(address: Address) -> bool:
    """Return True if an address is one of a private network, and no wildcard."""
    try:
        found = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return found.is_private and not found.is_unspecified


def is_some(networks: Sequence[str]) -> bool:
    """Return True if networks are named, and they are not everybody."""
    return bool(networks) and not is_everybody(networks)


def is_everybody(networks: Sequence[str]) -> bool:
    """Return True if one of the networks is all addresses."""
    return any(one.endswith("/0") for one in networks)
