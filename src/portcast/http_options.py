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
            "help": "other sites whose pages may use the WebSockets and the API, as scheme://host[:port]; "
            "the server's own origin always may"
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

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        parse_networks(self.forwarded_from, "HttpOptions.forwarded_from")
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
