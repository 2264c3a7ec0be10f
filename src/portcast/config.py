"""Every option of Portcast, declared once.

One frozen dataclass per concern. The command line, the TOML file, the environment and the reference page are
generated from the fields below and their metadata (``help``, ``minimum``, ``maximum``), so a default is written in
exactly one place. Users write the field's name without its unit suffix: ``idle_timeout_s`` is ``idle_timeout=60`` in
a URL. Durations are seconds and may carry a unit (``500ms``, ``5m``); sizes (``…_bytes``) are bytes and may too
(``64KiB``). Values built in Python are held to the same ranges as written ones.

Framings declare their own options in `portcast.framing`; history in `portcast.history`; the outbox in
`portcast.delivery`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from portcast.address import Address, parse_address, parse_listen_url, parse_networks
from portcast.delivery import SlowConsumer
from portcast.errors import ConfigurationError
from portcast.http_options import HttpOptions
from portcast.option_values import (
    MOST_SECONDS,
    Checked,
    Value,
    convert,
    default_of,
    external_name,
    from_options,
    option_names,
    parse_size,
    type_of,
    units_of,
    unknown_option,
)
from portcast.recorder import parse_range

__all__ = [
    "DEFAULT_LISTEN",
    "MOST_SECONDS",
    "Address",
    "GatewayOptions",
    "HttpOptions",
    "ListenerOptions",
    "LogOptions",
    "SlowConsumer",
    "TlsOptions",
    "TopicOptions",
    "Value",
    "convert",
    "default_of",
    "external_name",
    "from_options",
    "option_names",
    "parse_address",
    "parse_listen_url",
    "parse_size",
    "type_of",
    "units_of",
    "unknown_option",
]

DEFAULT_LISTEN = ("8001", "8002", "8003")
"""The tutorial's three ports."""


@dataclass(frozen=True, slots=True)
class TlsOptions(Checked):
    """TLS on one address, 1.2 and up; without a certificate there is none."""

    cert: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "PEM file with the certificate and those that lead to its authority; of several the one is shown "
            "that has the name that the client asks for, the first to all others; none = no TLS"
        },
    )
    cert_key: tuple[str, ...] = field(
        default=(),
        metadata={"help": "PEM file with the key of each certificate, not encrypted; none = it is in the same file"},
    )
    client_ca: str = field(
        default="",
        metadata={
            "help": "PEM file with the authorities of clients, which then show a certificate; empty = nobody does"
        },
    )
    client_cert: Literal["required", "optional"] = field(
        default="required", metadata={"help": "with a client_ca, what happens to clients that have no certificate"}
    )
    handshake_timeout_s: float = field(
        default=5.0, metadata={"help": "for the TLS handshake, absolute", "minimum": 0.1, "maximum": 3600}
    )
    shutdown_timeout_s: float = field(
        default=3.0,
        metadata={
            "help": "for the peer to answer our end of TLS once all is sent, then abort; 0 = at once",
            "minimum": 0,
        },
    )

    @property
    def is_enabled(self) -> bool:
        """True if there is a certificate."""
        return bool(self.cert)


def check_tls(options: TlsOptions, key: str) -> None:
    """Check that the options of TLS fit each other; the files are not looked at.

    Args:
        options: all of them.
        key: what to name in errors, such as the URL or the TOML table.

    Raises:
        ConfigurationError: there are keys or authorities without a certificate, or not as many keys as certificates.
    """
    if not options.cert and (options.cert_key or options.client_ca):
        raise ConfigurationError(key, "the certificate is missing", "add cert=FILE")
    if options.cert_key and len(options.cert_key) != len(options.cert):
        raise ConfigurationError(
            key, f"{len(options.cert)} certificates and {len(options.cert_key)} keys", "name one key for each"
        )


@dataclass(frozen=True, slots=True)
class ListenerOptions(Checked):
    """Limits and deadlines of one listener and its connections."""

    backlog: int = field(
        default=1024,
        metadata={"help": "connections that the kernel holds until they are accepted", "minimum": 1, "maximum": 65_535},
    )
    max_connections: int = field(
        default=0,
        metadata={"help": "connections at a time, then accepting pauses; 0 = the process's budget", "minimum": 0},
    )
    max_per_address: int = field(
        default=0,
        metadata={
            "help": "connections at a time of one IPv4 address or one IPv6 /64, further ones are reset; 0 = no limit",
            "minimum": 0,
        },
    )
    connect_rate: float = field(
        default=0.0,
        metadata={
            "help": "connections per second of one IPv4 address or one IPv6 /64, as many at once, further ones are "
            "reset; 0 = no limit",
            "minimum": 0,
            "maximum": 1_000_000,
        },
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata={"help": "networks that may connect, such as 10.0.0.0/8 or 2001:db8::/32; none = all"},
    )
    deny: tuple[str, ...] = field(
        default=(), metadata={"help": "networks that may not connect, even if they are in allow"}
    )
    message_rate: float = field(
        default=0.0,
        metadata={
            "help": "frames per second of one connection or device, then reading from it pauses; 0 = no limit",
            "minimum": 0,
            "maximum": 1_000_000_000,
        },
    )
    rate_bytes: int = field(
        default=0,
        metadata={
            "help": "bytes per second of one connection or device, then reading from it pauses; 0 = no limit",
            "minimum": 0,
        },
    )
    handler_timeout_s: float = field(
        default=0.0,
        metadata={
            "help": "for the handler of one message, which is cancelled then and counts as failed; 0 = no deadline",
            "minimum": 0,
        },
    )
    first_frame_timeout_s: float = field(
        default=30.0,
        metadata={"help": "from accept to the first whole frame, absolute; 0 = no deadline", "minimum": 0},
    )
    frame_timeout_s: float = field(
        default=30.0,
        metadata={
            "help": "from the beginning of a frame to its end, absolute; 0 = no deadline",
            "minimum": 0,
        },
    )
    authentication_timeout_s: float = field(
        default=10.0,
        metadata={
            "help": "from accept until the device has shown who it is, absolute, where the listener asks; "
            "0 = no deadline",
            "minimum": 0,
        },
    )
    device_tokens: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata={
            "help": "the first frame of a connection must be one of these tokens, as sha256:HEX (`portcast key` makes "
            "one) or env:NAME; none = devices show nothing",
            "is_secret": True,
        },
    )
    insecure: bool = field(
        default=False,
        metadata={
            "help": "take devices from the network that show nothing; otherwise `portcast serve` refuses to start"
        },
    )
    idle_timeout_s: float = field(
        default=300.0, metadata={"help": "without receiving anything; 0 = no deadline", "minimum": 0}
    )
    write_timeout_s: float = field(
        default=30.0,
        metadata={"help": "for the device to take what was sent to it, then abort; 0 = no deadline", "minimum": 0},
    )
    bad_frames: int = field(
        default=5, metadata={"help": "frames in a row that the codec refuses, then close; 0 = never", "minimum": 0}
    )
    allow_http: bool = field(
        default=False,
        metadata={
            "help": "take a connection that begins with an HTTP request line as any other; otherwise it is closed, "
            "because any web page can make a browser send one"
        },
    )
    proxy: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "networks of proxies, such as 10.0.0.0/8, or unix for a Unix socket: connections come from there "
            "only and begin with a PROXY header; none = a header is data like any other"
        },
    )
    proxy_timeout_s: float = field(
        default=5.0, metadata={"help": "for the PROXY header, absolute", "minimum": 0.1, "maximum": 3600}
    )
    inbox: int = field(
        default=64,
        metadata={"help": "frames that wait for the handler, then reading from the device stops", "minimum": 1},
    )
    write_buffer_bytes: int = field(
        default=65_536,
        metadata={"help": "bytes waiting to be sent to the device, then send() waits", "minimum": 1024},
    )
    redact: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "bytes of each frame that the flight recorder must not keep, as START:STOP, in:START:STOP or "
            "out:START:STOP, from 0, negative from the end"
        },
    )

    def __post_init__(self) -> None:
        # By name: a dataclass with slots is a new class, which the zero-argument super() does not know.
        Checked.__post_init__(self)
        for text in self.redact:
            try:
                parse_range(text)
            except ValueError as error:
                raise ConfigurationError("ListenerOptions.redact", str(error)) from error
        parse_networks([one for one in self.proxy if one != "unix"], "ListenerOptions.proxy")
        parse_networks(self.allow, "ListenerOptions.allow")
        parse_networks(self.deny, "ListenerOptions.deny")


@dataclass(frozen=True, slots=True)
class TopicOptions(Checked):
    """How a topic treats subscribers that cannot keep up (design: slow consumers), and what is kept of it.

    ``history`` and ``history_age_s`` take the place of `portcast.history.HistoryLimits.publications` and ``age_s``
    where they are not None; its other limits hold for every topic. 0 in one of them keeps nothing of the topic.
    """

    patience_s: float = field(
        default=0.5,
        metadata={"help": "how long a slow subscriber may hold the publishers of a topic", "minimum": 0},
    )
    slow_consumer: SlowConsumer = field(
        default="auto",
        metadata={
            "help": "what happens to a subscriber past its patience; auto = catch_up where there is history, "
            "else disconnect"
        },
    )
    key: str = field(
        default="",
        metadata={"help": "top-level JSON field that tells publications apart for latest_per_key; empty = the topic"},
    )
    history: int | None = field(
        default=None,
        metadata={"help": "newest publications kept, 0 = none; empty = as [history] says", "minimum": 0},
    )
    history_age_s: float | None = field(
        default=None,
        metadata={"help": "how long a publication is kept, 0 = not at all; empty = as [history] says", "minimum": 0},
    )


@dataclass(frozen=True, slots=True)
class GatewayOptions(Checked):
    """Limits of the whole process."""

    max_connections: int = field(
        default=0,
        metadata={
            "help": "device connections at a time; 0 = min(10 000, 80 % of the descriptor limit - 256)",
            "minimum": 0,
        },
    )
    flush_duty: float = field(
        default=0.5,
        metadata={"help": "largest share of the loop spent in flushing to subscribers", "minimum": 0.01, "maximum": 1},
    )
    buffer_budget_bytes: int = field(
        default=268_435_456,
        metadata={
            "help": "bytes waiting for all subscribers together, then the worst is removed",
            "minimum": 1_048_576,
        },
    )
    memory_limit_bytes: int = field(
        default=0,
        metadata={
            "help": "resident memory of the process, above which devices are not read and newcomers are refused; 0 = "
            "80 % of what its control group or the machine has",
            "minimum": 0,
        },
    )
    block_limit_s: float = field(
        default=0.5,
        metadata={
            "help": "how long a handler may hold up the event loop before a watchdog thread reports it with its stack; "
            "0 = no watchdog",
            "minimum": 0,
        },
    )
    drain_timeout_s: float = field(
        default=15.0, metadata={"help": "from the stop signal to the last abort", "minimum": 0}
    )
    # At about 300 bytes each beside the values, 30 MB.
    store_keys: int = field(
        default=100_000,
        metadata={"help": "values that the store of the application may hold, then it refuses more", "minimum": 1},
    )
    state_dir: str = field(
        default="",
        metadata={
            "help": "directory that keeps history and its positions from an orderly stop to the next start; "
            "none = a stop forgets them"
        },
    )


@dataclass(frozen=True, slots=True)
class LogOptions(Checked):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata={"help": "least severe line that is written"}
    )
    format: Literal["text", "json"] = field(default="text", metadata={"help": "key=value lines, or one object a line"})
