"""The options of the HTTP side; see `portcast.config`, from which they are imported."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from portcast.address import parse_networks
from portcast.errors import ConfigurationError
from portcast.option_values import Checked


@dataclass(frozen=True, slots=True)
class HttpOptions(Checked):
    """The HTTP side: live page, WebSockets, events and API."""

    allowed_origins: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "other sites whose pages may open WebSockets, use an SDK and publish, as scheme://host[:port]; "
            "answers of /api and /events stay unreadable to them; the server's own origin always may"
        },
    )
    allowed_hosts: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "further names by which browsers may call this server, such as gate.example or *.example; bound "
            "to loopback its own names are checked, otherwise only if this is set; * checks nothing"
        },
    )
    max_message_bytes: int = field(
        default=65_536, metadata={"help": "largest WebSocket message or HTTP body accepted", "minimum": 1}
    )
    max_connections: int = field(
        default=0,
        metadata={
            "help": "HTTP connections and WebSockets at a time, further ones are reset; 0 = what devices leave of the "
            "descriptor limit, at most 10 000; under `portcast serve` only",
            "minimum": 0,
        },
    )
    max_per_address: int = field(
        default=0,
        metadata={
            "help": "the same from one IPv4 address or one IPv6 /64; 0 = no limit; not for proxies in forwarded_from; "
            "under `portcast serve` only",
            "minimum": 0,
        },
    )
    connect_rate: float = field(
        default=0.0,
        metadata={
            "help": "connections per second of one IPv4 address or one IPv6 /64, as many at once, further ones are "
            "reset; 0 = no limit; not for proxies in forwarded_from; under `portcast serve` only",
            "minimum": 0,
            "maximum": 1_000_000,
        },
    )
    max_subscribers: int = field(
        default=0,
        metadata={
            "help": "WebSockets and event streams that follow topics at a time; 0 = nine tenths of max_connections",
            "minimum": 0,
        },
    )
    max_subscribers_per_address: int = field(
        default=0,
        metadata={"help": "the same from one IPv4 address or one IPv6 /64; 0 = no limit", "minimum": 0},
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata={"help": "networks of clients, such as 10.0.0.0/8 or 2001:db8::/32; none = all"},
    )
    deny: tuple[str, ...] = field(
        default=(), metadata={"help": "networks whose clients are refused, even if they are in allow"}
    )
    message_rate: float = field(
        default=1000.0,
        metadata={
            "help": "messages or commands per second of one client; then an SDK client is not read for a while, or "
            "gets 3013 where that cannot be, and a client of /ws gets 1008; 0 = no limit",
            "minimum": 0,
            "maximum": 1_000_000_000,
        },
    )
    rate_bytes: int = field(
        default=1_048_576,
        metadata={"help": "bytes per second of one client, as message_rate; 0 = no limit", "minimum": 0},
    )
    max_failed_logins: int = field(
        default=60,
        metadata={
            "help": "keys and tokens that are not valid, of one IPv4 address or one IPv6 /64 within "
            "failed_login_window; then more of them get 429, and its tokens are not looked at until one is forgotten, "
            "while API keys and logins count as before; 0 = no limit",
            "minimum": 0,
        },
    )
    failed_login_window_s: float = field(
        default=60.0,
        metadata={"help": "in which max_failed_logins are forgotten, one after the other", "minimum": 1},
    )
    request_timeout_s: float = field(
        default=10.0,
        metadata={
            "help": "from the beginning of a request (its head has 64 KiB at most) to the end of its body, absolute; "
            "0 = no deadline; under `portcast serve` only",
            "minimum": 0,
        },
    )
    write_timeout_s: float = field(
        default=30.0,
        metadata={
            "help": "for a client to take the rest of a response, then abort; 0 = no deadline; under `portcast serve` "
            "only",
            "minimum": 0,
        },
    )
    forwarded_from: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "networks of proxies, such as 10.0.0.0/8, whose X-Forwarded-For and -Proto are believed; "
            "under `portcast serve` only"
        },
    )
    deflate: bool = field(
        default=False,
        metadata={
            "help": "compress WebSocket messages for clients that offer permessage-deflate; each is compressed once "
            "for all of them, which saves traffic and costs processor time; under `portcast serve` only"
        },
    )
    ping_interval_s: float = field(default=25.0, metadata={"help": "between pings to a client", "minimum": 0.1})
    ping_timeout_s: float = field(default=8.0, metadata={"help": "for the pong", "minimum": 0.1})

    @property
    def rates(self) -> tuple[float, float] | None:
        """Messages and bytes per second of one client, 0 for no limit; None if neither has one."""
        return (self.message_rate, self.rate_bytes) if self.message_rate or self.rate_bytes else None

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        parse_networks(self.forwarded_from, "HttpOptions.forwarded_from")
        parse_networks(self.allow, "HttpOptions.allow")
        parse_networks(self.deny, "HttpOptions.deny")
        for origin in self.allowed_origins:
            _check_origin(origin)
        for host in self.allowed_hosts:
            if not re.fullmatch(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\]", host):
                raise ConfigurationError(
                    "HttpOptions.allowed_hosts",
                    f"{host!r} is not a name",
                    "write gate.example, without scheme and port",
                )


def _check_origin(origin: str) -> None:
    try:
        parts = urlsplit(origin)
        is_right = parts.scheme in {"http", "https"} and origin == f"{parts.scheme}://{parts.netloc}" and parts.hostname
        _ = parts.port
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigurationError(
            "HttpOptions.allowed_origins", f"{origin!r} is not an origin", "write scheme://host or scheme://host:port"
        )
