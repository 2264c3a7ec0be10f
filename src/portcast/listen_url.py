"""What one listener is told: its address, framing, topic and limits, from a URL, a TOML table or Python keywords.

All of a listener's options share one flat name space, so that ``tcp://0.0.0.0:8001?framing=lines&idle_timeout=1h``
needs no prefixes: the framing's own options, `ListenerOptions`, `TlsOptions`, `TopicOptions`, and ``framing``,
``topic``, ``name``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

from portcast.config import (
    Address,
    ListenerOptions,
    TlsOptions,
    TopicOptions,
    Value,
    check_tls,
    default_of,
    from_options,
    option_names,
    parse_listen_url,
    parse_size,
    unknown_option,
)
from portcast.errors import ConfigurationError, TopicError
from portcast.framing import Framing, OptionValue, framing_from_options, framing_options
from portcast.topics import validate_topic
from portcast.types import ListenerName

DEFAULT_FRAMING = "lines"
"""What nearly every text protocol and log source speaks, and what a person can type into ``nc``."""

_OWN = ("framing", "topic", "name")


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One listener, as configured and not yet bound.

    Attributes:
        address: where to bind.
        framing: how frames lie in its byte stream.
        name: what the user called it; None: its address, once that is known.
        topic: where a relay publishes; ``tcp/<port>`` or ``unix/<file stem>`` unless given.
        options: limits and deadlines.
        topic_options: how the topic treats slow subscribers and what is kept of it; None: nothing was said here, so
            the topic's own options apply.
        tls: what is shown to devices; without a certificate they speak plainly.
    """

    address: Address
    framing: Framing
    name: ListenerName | None
    topic: str
    options: ListenerOptions
    topic_options: TopicOptions | None
    tls: TlsOptions = field(default_factory=TlsOptions)


def listener_from_url(
    url: str,
    *,
    framing: Framing | None = None,
    topic: str | None = None,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> ListenerConfig:
    """Return the listener that a URL and keywords describe; ``8001`` alone is a whole URL.

    Args:
        url: ``PORT``, ``tcp://HOST:PORT?key=value&…``, the same with ``tls`` or ``unix:///PATH?key=value&…``.
        framing: a framing object, instead of the URL's ``framing`` and its options.
        topic: instead of the URL's.
        name: instead of the URL's.
        options: further options, as in the URL; ``idle_timeout`` may also be called ``idle_timeout_s`` here, as its
            dataclass calls it.

    Raises:
        ConfigurationError: an option is unknown, does not fit, or is given twice.
    """
    address, written = parse_listen_url(url)
    keywords = {_external(key): value for key, value in (options or {}).items()}
    keywords |= {key: value for key, value in (("topic", topic), ("name", name)) if value is not None}
    for key in keywords:
        if key in written:
            raise ConfigurationError(url, f"{key!r} is given in the URL and beside it", "give it once")
    return _listener(address, {**written, **keywords}, url, framing)


def listener_from_table(table: Mapping[str, Any], key: str) -> ListenerConfig:
    """Return the listener that a TOML table describes.

    Args:
        table: ``url`` and the same keys as in a URL, typed.
        key: names the table in errors.

    Raises:
        ConfigurationError: there is no ``url``; otherwise as `listener_from_url`.
    """
    url = table.get("url")
    if not isinstance(url, (str, int)) or isinstance(url, bool):
        raise ConfigurationError(key, "the url is missing", 'write url = "tcp://127.0.0.1:8001"')
    address, written = parse_listen_url(str(url))
    beside = {name: value for name, value in table.items() if name != "url"}
    for name in beside:
        if name in written:
            raise ConfigurationError(key, f"{name!r} is given in the url and beside it", "give it once")
    return _listener(address, {**written, **beside}, key, None)


def check_addresses(listeners: Sequence[ListenerConfig], http: Address | None = None) -> None:
    """Check that all listeners, and the HTTP server, can be bound beside each other.

    Args:
        listeners: all listeners of the process.
        http: where HTTP is served; None if that is not known.

    Raises:
        ConfigurationError: two addresses overlap (the error names both), or two listeners have one name.
    """
    for listener in listeners:
        if http is not None and listener.address.overlaps(http, is_dual_stack=True):
            raise ConfigurationError(
                f"listener {listener.address}",
                f"its port is taken by the HTTP address http://{http.host_port}",
                "give one of the two another port",
            )
    for one, other in combinations(listeners, 2):
        if one.address.overlaps(other.address):
            raise ConfigurationError(
                f"listener {other.address}",
                f"another listener is on {'the same address' if one.address == other.address else one.address}",
                "give one of the two another port" if one.address.scheme == "tcp" else "give one another path",
            )
        if one.name is not None and one.name == other.name:
            raise ConfigurationError(
                f"listener {other.address}", f"{one.address} is also named {one.name!r}", "names are unique"
            )


def check_devices_reach(listeners: Sequence[ListenerConfig], *, is_insecure: bool) -> None:
    """Check that whoever can reach a listener is meant to.

    Args:
        listeners: all listeners of the process.
        is_insecure: everybody is.

    Raises:
        ConfigurationError: others than this machine can connect, and nothing asks them who they are.
    """
    for one in listeners:
        if is_open(one) and not is_insecure and not one.options.insecure:
            raise ConfigurationError(
                f"listener {one.address}",
                "everybody who can reach it could publish, because it asks nobody who they are",
                "set device_tokens (`portcast key` makes one), or insecure=true if the network is one that you trust",
            )


def is_open(listener: ListenerConfig) -> bool:
    """Return True if others than this machine can connect, and its options do not ask them who they are."""
    asks = bool(listener.options.device_tokens) or asks_certificate(listener)
    return listener.address.scheme == "tcp" and not listener.address.is_loopback and not asks


def asks_certificate(listener: ListenerConfig) -> bool:
    """Return True if nobody connects without a certificate."""
    return bool(listener.tls.client_ca) and listener.tls.client_cert == "required"


def _external(name: str) -> str:
    """Return the written name of an option that may be given by the name of its field."""
    short = name.removesuffix("_s")
    return short if any(short in option_names(cls) for cls in (ListenerOptions, TlsOptions, TopicOptions)) else name


def _listener(address: Address, values: Mapping[str, Any], key: str, framing: Framing | None) -> ListenerConfig:
    if framing is not None and "framing" in values:
        raise ConfigurationError(key, "'framing' is given in the URL and beside it", "give it once")
    framing_name = str(values.get("framing", DEFAULT_FRAMING))
    framing_keys = _framing_keys(framing_name, key) if framing is None else []
    listener_keys, tls_keys, topic_keys = map(option_names, (ListenerOptions, TlsOptions, TopicOptions))
    known = [*_OWN, *listener_keys, *tls_keys, *topic_keys, *framing_keys]
    lists = {*framing_keys, *(n for n, f in {**listener_keys, **tls_keys}.items() if isinstance(default_of(f), tuple))}
    for name, value in values.items():
        if name not in known:
            raise unknown_option(key, name, dict.fromkeys(known))
        if isinstance(value, (list, dict) if name not in lists else dict) and name not in framing_keys:
            raise ConfigurationError(f"{key}: {name}", f"takes one value, not {value!r}")
    topic_values = _only(values, topic_keys)
    tls = from_options(TlsOptions, _only(values, tls_keys), key)
    check_tls(tls, key)
    if address.is_tls and not tls.is_enabled:
        raise ConfigurationError(key, "tls:// needs a certificate", "add cert=FILE")
    return ListenerConfig(
        replace(address, is_tls=tls.is_enabled and address.scheme == "tcp"),
        framing or _framing(framing_name, _only(values, framing_keys), key),
        _name(values, key),
        _topic(values, address, key),
        from_options(ListenerOptions, _only(values, listener_keys), key),
        from_options(TopicOptions, topic_values, key) if topic_values else None,
        tls,
    )


def _only(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _framing_keys(name: str, key: str) -> list[str]:
    try:
        return [option.name for option in framing_options(name)]
    except ConfigurationError as error:
        raise _in(key, error) from error


def _framing(name: str, values: dict[str, OptionValue], key: str) -> Framing:
    # Framings know whole numbers; a size with a unit is our own convenience.
    if isinstance(size := values.get("max_frame"), str):
        values = {**values, "max_frame": parse_size(size, f"{key}: max_frame")}
    try:
        return framing_from_options(name, values)
    except ConfigurationError as error:
        raise _in(key, error) from error


def _in(key: str, error: ConfigurationError) -> ConfigurationError:
    """Return the error of a part, naming the whole that the user wrote."""
    return ConfigurationError(f"{key}: {error.key}", error.problem, error.hint)


def _name(values: Mapping[str, Value], key: str) -> ListenerName | None:
    if "name" not in values:
        return None
    name = str(values["name"])
    if not name or not name.isprintable():
        raise ConfigurationError(f"{key}: name", f"{name!r} is not a name", "use printable text")
    return ListenerName(name)


def _topic(values: Mapping[str, Value], address: Address, key: str) -> str:
    default = f"tcp/{address.port}" if address.scheme == "tcp" else f"unix/{PurePosixPath(address.path).stem}"
    topic = str(values.get("topic", default))
    try:
        validate_topic(topic)
    except TopicError as error:
        raise ConfigurationError(f"{key}: topic", f"{topic!r}: {error.problem}") from error
    return topic
