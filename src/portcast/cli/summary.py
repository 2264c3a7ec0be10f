"""What a gateway is, in a few lines: the block that ``serve`` prints and the report of ``check``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from portcast import __version__
from portcast.api_keys import ApiKey
from portcast.cli.options import shown_text, value_text
from portcast.config import Address, ListenerOptions, TlsOptions, TopicOptions, default_of, option_names
from portcast.framing import Framing, describe
from portcast.listen_url import ListenerConfig
from portcast.observability import escape
from portcast.permissions import ChannelPermissions
from portcast.posture_view import Finding
from portcast.settings import OPTIONS, Settings


class ListenerView(Protocol):
    """What is shown of a running listener."""

    @property
    def address(self) -> Address:
        """Where it is bound."""
        ...

    @property
    def framing(self) -> Framing:
        """How it cuts frames."""
        ...

    @property
    def target(self) -> str:
        """Where frames go: ``topic logs``."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may use.

    Attributes:
        descriptors: the limit of open files, raised as far as it goes.
        connections: device connections at a time.
        drain_timeout_s: from the stop signal to the end.
    """

    descriptors: int
    connections: int
    drain_timeout_s: float


def start_block(http: Address, listeners: Sequence[ListenerView], limits: Limits, *, asks_nobody: bool = True) -> str:
    """Return the block that says what is running, without a last line break.

    Args:
        http: where HTTP is served.
        listeners: bound.
        limits: of the process.
        asks_nobody: nothing says who may do what over HTTP.
    """
    url = page_url(http)
    rows = [(item.address.url, f"{describe(item.framing)} → {item.target}") for item in listeners]
    lines = [f"portcast {__version__}", *_labelled("live page", [url])]
    lines += _labelled("devices", list(_columns(rows)) or ["no listener: no device can connect"])
    lines += _labelled("limits", [limits_text(limits)])
    if asks_nobody and not http.is_loopback:
        lines += _labelled("caution", [f"{http_url(http)} is open to the network and asks nobody for a password"])
    # Our own commands speak to listeners without TLS.
    tcp = next((it.address for it in listeners if it.address.scheme == "tcp" and not it.address.is_tls), None)
    if tcp is not None:
        lines += _labelled("try", _suggestions(connectable(tcp), url))
    return "\n".join([*lines, "Press Ctrl-C to stop."])


def program() -> str:
    """Return what to type for ``portcast``, as it was called: ``.venv/bin/portcast`` off the PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m portcast"
    found = shutil.which("portcast")
    is_on_path = found is not None and Path(found).absolute() == called.absolute()
    return "portcast" if is_on_path or called.name != "portcast" else str(called)


def _suggestions(tcp: Address, url: str) -> list[str]:
    """Return commands that work as they stand; arguments that are the default are left out."""
    device = "" if (tcp.host, tcp.port) == ("127.0.0.1", 8001) else f" {tcp.host_port}"
    gateway = "" if url == "http://127.0.0.1:8000/" else f" --url {url.rstrip('/')}"
    return [
        f"echo hello | {program()} send {tcp.host_port if device else tcp.port}",
        f"{program()} simulate{device}",
        f"{program()} tail{gateway}",
    ]


def limits_text(limits: Limits) -> str:
    """Return the process's limits in one line."""
    return (
        f"{limits.connections} device connections, {limits.descriptors} file descriptors, "
        f"drain within {value_text('drain_timeout_s', limits.drain_timeout_s)}"
    )


def connectable(address: Address) -> Address:
    """Return an address that a client on this machine can connect to: a wildcard is turned into loopback."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host)  # noqa: S104 - compared, not bound
    return replace(address, host=loopback) if loopback else address


def page_url(http: Address) -> str:
    """Return the URL of the live page, for a browser on this machine."""
    return f"{http_url(connectable(http))}/"


def http_url(http: Address) -> str:
    """Return where HTTP is served, as a URL without a path."""
    return f"{'https' if http.is_tls else 'http'}://{http.host_port}"


def settings_report(settings: Settings, limits: Limits) -> str:
    """Return every effective setting, one per line; those that are not the default are marked ``*``."""
    lines = [f"http       {http_url(settings.http)}", f"limits     {limits_text(limits)}", ""]
    if not settings.listeners:
        lines += ["listener   none: no device can connect", ""]
    for listener in settings.listeners:
        lines.append(f"listener   {listener.address}")
        lines += _rows(_listener_rows(listener))
        lines.append("")
    for topic_filter, options in settings.topics.items():
        lines.append(f"topics     {topic_filter}")
        lines += _rows(_dataclass_rows(options))
        lines.append("")
    for key, permissions in settings.permissions.items():
        lines.append(f"permissions {key}")
        lines += _rows(_dataclass_rows(permissions))
        lines.append("")
    for name, api_key in settings.keys.items():
        lines.append(f"key        {name}")
        lines += _rows(_dataclass_rows(api_key))
        lines.append("")
    table = ""
    for option in OPTIONS:
        if option.section.table != table:
            lines += [""] if table else []
            table = option.section.table
            lines.append(f"[{table}]")
        value = getattr(getattr(settings, option.section.attribute), option.field.name)
        lines += _rows([(option.name, shown_text(option.field, value), value != default_of(option.field))])
    return escape_lines(lines)


def posture_report(findings: Sequence[Finding]) -> str:
    """Return what is open, to whom and with which limits, one sentence a line, the worst ones marked."""
    lines = ["security"]
    lines += [f"  {one.level:8} {one.subject}: {one.sentence}" for one in findings]
    dangers = sum(one.level == "danger" for one in findings)
    lines.append(f"  {dangers or 'no'} {'danger' if dangers == 1 else 'dangers'}")
    return escape_lines(lines)


def escape_lines(lines: Iterable[str]) -> str:
    """Return lines of text as one, each safe to print."""
    return "\n".join(map(escape, lines))


def _listener_rows(listener: ListenerConfig) -> Iterator[tuple[str, str, bool]]:
    if listener.name is not None:
        yield "name", listener.name, True
    yield "framing", describe(listener.framing), False
    yield "topic", listener.topic, False
    yield from _dataclass_rows(listener.options)
    if listener.tls.is_enabled:
        yield from _dataclass_rows(listener.tls)
    if listener.topic_options is not None:
        yield from _dataclass_rows(listener.topic_options)


def _dataclass_rows(
    options: ListenerOptions | TlsOptions | TopicOptions | ChannelPermissions | ApiKey,
) -> Iterator[tuple[str, str, bool]]:
    for name, f in option_names(type(options)).items():
        value = getattr(options, f.name)
        yield name, shown_text(f, value), value != default_of(f)


def _rows(rows: Iterable[tuple[str, str, bool]]) -> list[str]:
    return [f"  {'*' if is_changed else ' '} {name:20} {value}" for name, value, is_changed in rows]


def _labelled(label: str, lines: Sequence[str]) -> list[str]:
    return [f"  {label if number == 0 else '':10} {line}" for number, line in enumerate(lines)]


def _columns(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max((len(first) for first, _ in rows), default=0)
    for first, second in rows:
        yield f"{first:{width}}  {second}"
