"""Holds every default of the design's section 8 to the options, and to the table in docs/limits.md."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from portcast.address import Address
from portcast.centrifuge.options import SessionOptions
from portcast.config import GatewayOptions, HttpOptions, ListenerOptions, TlsOptions, TopicOptions
from portcast.delivery import OutboxLimits
from portcast.devices.options import CommandOptions
from portcast.framing import LineFraming, MarkedFraming
from portcast.history import HistoryLimits
from portcast.http_socket import bind_http
from portcast.observability.log import WINDOW_S
from portcast.runtime.bind import bound_socket
from portcast.runtime.limits import connection_budget
from portcast.runtime.listener import DESCRIPTOR_PAUSE_S
from portcast.server import server_config
from portcast.settings import DEFAULT_HTTP, Settings
from portcast.topics import validate_filter, validate_topic
from portcast.web.subscribe import MAX_FILTERS, MAX_REPLAY

KIB, MIB = 1024, 1024 * 1024
GATEWAY, LISTENER, HTTP, TLS = GatewayOptions(), ListenerOptions(), HttpOptions(), TlsOptions()
OUTBOX, HISTORY, TOPIC, COMMANDS = OutboxLimits(), HistoryLimits(), TopicOptions(), CommandOptions()
SESSION = SessionOptions("portcast", validate_filter, validate_topic)


def _on_sockets(*names: str) -> tuple[int, ...]:
    """Return the options of TCP that listeners and HTTP both have; they must be the same."""
    found = set()
    for bound in (bound_socket(Address("tcp", "127.0.0.1", 0), 1024), bind_http(Address("tcp", "127.0.0.1", 0))):
        with bound:
            found.add(tuple(bound.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names))
    (options,) = found
    return options


@dataclass(frozen=True)
class Default:
    """One row.

    Attributes:
        said: as the design writes it.
        wanted: the same as numbers.
        found: what the options really have; a function for what sockets have.
    """

    said: str
    wanted: object
    found: object


def _config() -> object:
    async def app(scope: object, receive: object, send: object) -> None: ...

    return server_config(app, HTTP).h11_max_incomplete_event_size


DEFAULTS = {
    "bind": Default(
        "127.0.0.1", {"127.0.0.1"}, {DEFAULT_HTTP.host, *(one.address.host for one in Settings().listeners)}
    ),
    "backlog": Default("1024", 1024, LISTENER.backlog),
    "max connections": Default(
        "min(10 000, 80 % of the descriptor limit - 256)",
        (0, 563, 10_000),
        (GATEWAY.max_connections, connection_budget(1024), connection_budget(1_048_576)),
    ),
    "max per address": Default("off", (0, 0), (LISTENER.max_per_address, HTTP.max_per_address)),
    "wrong keys and tokens per address": Default(
        "60 in 60 s", (60, 60), (HTTP.max_failed_logins, HTTP.failed_login_window_s)
    ),
    "pause without descriptors": Default("100 ms, one log line per 5 s", (0.1, 5), (DESCRIPTOR_PAUSE_S, WINDOW_S)),
    "TLS handshake, goodbye": Default("5 s, 3 s", (5, 3), (TLS.handshake_timeout_s, TLS.shutdown_timeout_s)),
    "PROXY header": Default("off, 5 s", ((), 5), (LISTENER.proxy, LISTENER.proxy_timeout_s)),
    "first frame, each frame": Default(
        "30 s, 30 s", (30, 30), (LISTENER.first_frame_timeout_s, LISTENER.frame_timeout_s)
    ),
    "HTTP request": Default("10 s, head 64 KiB", (10, 64 * KIB), (HTTP.request_timeout_s, _config())),
    "WebSocket message in": Default("64 KiB, deflate off", (64 * KIB, False), (HTTP.max_message_bytes, HTTP.deflate)),
    "patience": Default("0.5 s", 0.5, TOPIC.patience_s),
    "subscriptions per client": Default("128", {128}, {SESSION.max_subscriptions, MAX_FILTERS}),
    "recovery": Default("300 publications per round", 300, MAX_REPLAY),
    "command timeout, lifetime, queue": Default(
        "10 s, 24 h, 100", (10, 86_400, 100), (COMMANDS.timeout_s, COMMANDS.lifetime_s, COMMANDS.max_queued)
    ),
    "read idle timeout": Default("300 s", 300, LISTENER.idle_timeout_s),
    "keepalive": Default(
        "60 s, 15 s, 4", (60, 15, 4), partial(_on_sockets, "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    ),
    "TCP_USER_TIMEOUT": Default("30 s", (30_000,), partial(_on_sockets, "TCP_USER_TIMEOUT")),
    "write timeout": Default("30 s", (30, 30), (LISTENER.write_timeout_s, HTTP.write_timeout_s)),
    "max frame": Default(
        "64 KiB (MLLP 1 MiB)", (64 * KIB, MIB), (LineFraming().max_frame, MarkedFraming.mllp().max_frame)
    ),
    "bad frames in a row": Default("5", 5, LISTENER.bad_frames),
    "inbox per connection": Default("64 messages", 64, LISTENER.inbox),
    "outbox, soft": Default(
        "256 KiB or 512 messages for 2 s",
        (256 * KIB, 512, 2),
        (OUTBOX.soft_bytes, OUTBOX.soft_messages, OUTBOX.soft_for_s),
    ),
    "outbox, hard": Default(
        "1 MiB or 1024 messages or 10 s",
        (MIB, 1024, 10),
        (OUTBOX.hard_bytes, OUTBOX.hard_messages, OUTBOX.hard_age_s),
    ),
    "ping, pong": Default("25 s, 8 s", (25, 8), (HTTP.ping_interval_s, HTTP.ping_timeout_s)),
    "flush duty": Default("0.5", 0.5, GATEWAY.flush_duty),
    "history": Default(
        "100 publications, 300 s, 1 MiB per topic, 64 MiB in all",
        (100, 300, MIB, 64 * MIB),
        (HISTORY.publications, HISTORY.age_s, HISTORY.topic_bytes, HISTORY.total_bytes),
    ),
    "drain": Default("15 s", 15, GATEWAY.drain_timeout_s),
    "global buffer budget": Default("256 MiB", 256 * MIB, GATEWAY.buffer_budget_bytes),
}


@pytest.mark.row(22)
@pytest.mark.parametrize("name", DEFAULTS)
def test_each_default_is_the_designs(name: str) -> None:
    """Safe as installed: nobody must write an option to be protected."""
    found = DEFAULTS[name].found
    assert (found() if isinstance(found, partial) else found) == DEFAULTS[name].wanted


def test_the_page_has_the_same_table() -> None:
    """What users read is what they get."""
    page = (Path(__file__).parents[1] / "docs" / "limits.md").read_text("utf-8")
    table = page.partition("## All defaults\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!setting|---)(.+?) \| (.+?) \|", table, re.MULTILINE)
    assert dict(rows) == {name: one.said for name, one in DEFAULTS.items()}
