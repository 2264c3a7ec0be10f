"""The settings of ``portcast serve``, from every place where they can be written.

Weakest first: the defaults in the dataclasses, the TOML file, the environment, the command line. A list of listeners
replaces a weaker list as a whole, any other option replaces the same option only. Everything that can be found out
without binding a socket is checked here, so that a mistake is reported before anything starts.

The names that users write are derived, never listed: `OPTIONS` holds each option once, with its TOML key, its
environment variable and its command line flag.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from portcast.api_keys import ApiKey
from portcast.centrifuge_options import CentrifugeOptions, check_reach
from portcast.config import (
    DEFAULT_LISTEN,
    Address,
    GatewayOptions,
    HttpOptions,
    LogOptions,
    TlsOptions,
    TopicOptions,
    check_tls,
    convert,
    from_options,
    option_names,
    parse_address,
    unknown_option,
)
from portcast.delivery import OutboxLimits
from portcast.device_table import devices_from_table
from portcast.errors import ConfigurationError
from portcast.history import HistoryLimits
from portcast.listen_url import (
    ListenerConfig,
    check_addresses,
    check_devices_reach,
    listener_from_table,
    listener_from_url,
)
from portcast.permissions import ChannelPermissions, check_key
from portcast.recorder import RecorderOptions
from portcast.runtime import DeviceSettings

D = TypeVar("D", TopicOptions, ChannelPermissions, ApiKey)

DEFAULT_HTTP = Address("tcp", "127.0.0.1", 8000)
"""Where HTTP is served: uvicorn's and FastAPI's default."""

ENVIRONMENT_PREFIX = "PORTCAST_"

CONFIG_VARIABLE = "PORTCAST_CONFIG"
"""Names the TOML file when the command line does not."""

TOKEN_VARIABLE = "PORTCAST_TOKEN"  # noqa: S105 - a name
"""Is for `portcast tail`, `devices` and `command`, and no setting of a gateway."""

DEVICE_TOKEN_VARIABLE = "PORTCAST_DEVICE_TOKEN"  # noqa: S105 - a name
"""Is for `portcast send` alone: what is for device ports, often in clear, is never the key of the HTTP side."""

# Docker links and Kubernetes put variables into every container beside a service named "portcast" or "portcast-…".
# They are not meant for us; PORTCAST_PORT=tcp://10.0.0.1:80 is told from a user's mistake by its value.
_SERVICE_LINK = re.compile(
    r"PORTCAST_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.+)?)=.*"
    r"|PORTCAST_(.+_)?PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that ``portcast serve`` is told.

    Attributes:
        http: where the HTTP server is bound; always TCP.
        listeners: what devices connect to.
        gateway: limits of the process.
        outbox: limits of each subscriber.
        history: what is kept of each topic.
        http_options: the HTTP side.
        http_tls: what is shown to HTTP clients; without a certificate they speak plainly.
        log: what is logged.
        centrifuge: who may connect over the Centrifuge protocol.
        recorder: what is recorded of devices, and how much of it is kept.
        devices: takeover, unknown and announced devices, commands; for listeners that say who a device is.
        topics: options by topic filter or namespace; the first that matches a topic wins.
        permissions: who may do what, by topic filter or namespace; the first that matches a topic wins.
        keys: API keys by name.
    """

    http: Address = DEFAULT_HTTP
    listeners: tuple[ListenerConfig, ...] = field(
        default_factory=lambda: tuple(listener_from_url(url) for url in DEFAULT_LISTEN)
    )
    gateway: GatewayOptions = field(default_factory=GatewayOptions)
    outbox: OutboxLimits = field(default_factory=OutboxLimits)
    history: HistoryLimits = field(default_factory=HistoryLimits)
    http_options: HttpOptions = field(default_factory=HttpOptions)
    http_tls: TlsOptions = field(default_factory=TlsOptions)
    log: LogOptions = field(default_factory=LogOptions)
    centrifuge: CentrifugeOptions = field(default_factory=CentrifugeOptions)
    recorder: RecorderOptions = field(default_factory=RecorderOptions)
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    topics: Mapping[str, TopicOptions] = field(default_factory=dict)
    permissions: Mapping[str, ChannelPermissions] = field(default_factory=dict)
    keys: Mapping[str, ApiKey] = field(default_factory=dict)

    @property
    def is_configured(self) -> bool:
        """True if something says who may do what over HTTP."""
        return bool(self.centrifuge.has_keys or self.permissions or self.keys)


@dataclass(frozen=True, slots=True)
class Section:
    """One options dataclass inside `Settings`.

    Attributes:
        table: its TOML table.
        attribute: its field of `Settings`.
        cls: the dataclass.
        prefix: what its environment variables and flags begin with; empty where the names say enough.
    """

    table: str
    attribute: str
    cls: type[Any]
    prefix: str


SECTIONS = (
    Section("gateway", "gateway", GatewayOptions, ""),
    Section("http", "http_options", HttpOptions, "http_"),
    Section("http", "http_tls", TlsOptions, "http_"),
    Section("outbox", "outbox", OutboxLimits, "outbox_"),
    Section("history", "history", HistoryLimits, "history_"),
    Section("log", "log", LogOptions, "log_"),
    Section("centrifuge", "centrifuge", CentrifugeOptions, ""),
    Section("recorder", "recorder", RecorderOptions, "recorder_"),
)
"""The tables of the file that hold options of the process, in the order in which they are documented."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one section, under all its names."""

    section: Section
    name: str
    """As in the TOML table, without its unit: ``drain_timeout``."""
    field: Field[Any]

    @property
    def parameter(self) -> str:
        """The name on the command line, as Python writes it: ``history_publications``."""
        return self.section.prefix + self.name

    @property
    def flag(self) -> str:
        """The name on the command line: ``--history-publications``."""
        return "--" + self.parameter.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable: ``PORTCAST_HISTORY_PUBLICATIONS``."""
        return ENVIRONMENT_PREFIX + self.parameter.upper()


OPTIONS = tuple(
    Option(section, name, option) for section in SECTIONS for name, option in option_names(section.cls).items()
)
"""Every option that is not a listener, an address or a topic."""


def load_settings(
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    http: str | None = None,
    listen: Sequence[str] = (),
    arguments: Mapping[str, str | bool] | None = None,
) -> Settings:
    """Return the settings, merged and checked.

    Args:
        file: the TOML file; None for none.
        environment: variables, such as ``os.environ``; only those that begin with ``PORTCAST_`` are looked at, and
            empty ones count as not set.
        http: ``--http`` of the command line.
        listen: each ``--listen`` of the command line.
        arguments: other options of the command line, by `Option.parameter`.

    Raises:
        ConfigurationError: the file cannot be read, a name is unknown, a value does not fit, addresses collide, or HTTP
            is open to others and nothing says who may connect.
    """
    settings = Settings()
    document = _read(Path(file)) if file is not None else {}
    settings = _with_document(settings, document, str(file))
    settings = _with_environment(settings, environment or {})
    settings = _with_arguments(settings, arguments or {})
    if http is not None:
        settings = replace(settings, http=_http_address(http, "--http"))
    if listen:
        settings = replace(settings, listeners=tuple(listener_from_url(url) for url in listen))
    settings = replace(settings, http=replace(settings.http, is_tls=settings.http_tls.is_enabled))
    check_addresses(settings.listeners, settings.http)
    check_tls(settings.http_tls, "[http]")
    check_devices_reach(settings.listeners, is_insecure=settings.centrifuge.insecure)
    check_reach(settings.http, settings.centrifuge, is_configured=settings.is_configured)
    _check_outbox(settings.outbox, partial(_place, document, str(file), environment or {}, arguments or {}))
    return settings


def _check_outbox(outbox: OutboxLimits, place: Callable[[str], str]) -> None:
    """Check that no soft limit is above its hard one; ``place`` tells where an option was written, if it was."""
    for soft, hard in (("soft_bytes", "hard_bytes"), ("soft_messages", "hard_messages")):
        low, high = getattr(outbox, soft), getattr(outbox, hard)
        if low > high and place(soft):
            raise ConfigurationError(place(soft), f"{low} is above {hard}, which is {high}", "lower it")
        if low > high:
            raise ConfigurationError(place(hard) or hard, f"{high} is below {soft}, which is {low}", "raise it")


def _place(
    document: Mapping[str, Any], file: str, environment: Mapping[str, str], arguments: Mapping[str, object], name: str
) -> str:
    """Return where an option of the outbox was written, the strongest place; empty if nowhere."""
    option = next(one for one in OPTIONS if one.section.table == "outbox" and one.name == name)
    if option.parameter in arguments:
        return option.flag
    if environment.get(option.variable):
        return option.variable
    return f"{file}: [outbox]: {name}" if name in document.get("outbox", {}) else ""


def _http_address(text: object, key: str) -> Address:
    if not isinstance(text, (str, int)) or isinstance(text, bool):
        raise ConfigurationError(key, f"{text!r} is not an address", "write HOST:PORT")
    try:
        address = parse_address(str(text).removeprefix("http://").removesuffix("/"), f"{key} {text}")
    except ConfigurationError as error:
        # Of all the forms that an address may have, HTTP takes one only.
        raise ConfigurationError(error.key, error.problem, "HTTP takes HOST:PORT") from error
    if address.scheme != "tcp":
        raise ConfigurationError(f"{key} {text}", "HTTP is served on TCP only", "write HOST:PORT")
    return address


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(str(file), "there is no such file") from error
    except OSError as error:
        raise ConfigurationError(str(file), f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(file), "is not UTF-8", "TOML files always are") from error
    except ValueError as error:  # also a whole number of more digits than Python reads
        raise ConfigurationError(str(file), f"is not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigurationError(str(file), "is not valid TOML: it is nested too deeply") from error


def _with_document(settings: Settings, document: Mapping[str, Any], file: str) -> Settings:
    known = {section.table for section in SECTIONS} | {"listen", "listener", "devices", "topics", "permissions", "keys"}
    for name in document:
        if name not in known:
            raise unknown_option(file, name, dict.fromkeys(known))
    changes: dict[str, Any] = {}
    for section in SECTIONS:
        table = document.get(section.table, {})
        key = f"{file}: [{section.table}]"
        if section.table == "http":
            table = _take_http_address(table, key, changes)
            # The one table with two sections; its names have been checked.
            table = {name: value for name, value in table.items() if name in option_names(section.cls)}
        changes[section.attribute] = from_options(
            section.cls, _table(table, key), key, getattr(settings, section.attribute)
        )
    listeners = [*_short_listeners(document, file), *_long_listeners(document, file)]
    if "listen" in document or "listener" in document:
        changes["listeners"] = tuple(listeners)
    changes["devices"] = devices_from_table(document.get("devices", {}), f"{file}: [devices]")
    changes["topics"] = _by_key(TopicOptions, "topics", document, file)
    changes["permissions"] = _by_key(ChannelPermissions, "permissions", document, file)
    changes["keys"] = _by_key(ApiKey, "keys", document, file)
    return replace(settings, **changes)


def _take_http_address(table: object, key: str, changes: dict[str, Any]) -> Mapping[str, Any]:
    """Return the ``[http]`` table without its address; ``http = "HOST:PORT"`` is short for an address alone."""
    if not isinstance(table, Mapping):
        table = {"address": table}
    known = dict.fromkeys(["address", *option_names(HttpOptions), *option_names(TlsOptions)])
    for name in table:
        if name not in known:
            raise unknown_option(key, name, known)
    if "address" in table:
        changes["http"] = _http_address(table["address"], f"{key}: address")
    return {name: value for name, value in table.items() if name != "address"}


def _table(value: object, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(key, f"{value!r} is not a table")
    return value


def _short_listeners(document: Mapping[str, Any], file: str) -> Iterator[ListenerConfig]:
    items = document.get("listen", [])
    if not isinstance(items, list):
        raise ConfigurationError(f"{file}: listen", "must be a list of addresses", 'write listen = ["8001", "8002"]')
    for item in items:
        if not isinstance(item, (str, int)) or isinstance(item, bool):
            shown = str(item).lower() if isinstance(item, bool) else repr(item)
            raise ConfigurationError(f"{file}: listen", f"{shown} must be text or a port number")
        yield listener_from_url(str(item))


def _long_listeners(document: Mapping[str, Any], file: str) -> Iterator[ListenerConfig]:
    tables = document.get("listener", [])
    if not isinstance(tables, list):
        raise ConfigurationError(f"{file}: listener", "must be a list of tables", "write [[listener]]")
    for number, table in enumerate(tables, 1):
        key = f"{file}: [[listener]] {number}"
        yield listener_from_table(_table(table, key), key)


def _by_key(cls: type[D], name: str, document: Mapping[str, Any], file: str) -> dict[str, D]:
    """Return the tables ``[name."key"]`` by key, in the order of the file."""
    found = {}
    for key, table in _table(document.get(name, {}), f"{file}: [{name}]").items():
        where = f'{file}: [{name}."{key}"]'
        if cls is not ApiKey:
            check_key(key, where)
        found[key] = from_options(cls, _table(table, where), where)
    return found


def _with_environment(settings: Settings, environment: Mapping[str, str]) -> Settings:
    ours = {
        name: value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and value and not _SERVICE_LINK.fullmatch(f"{name}={value}")
    }
    for name in (CONFIG_VARIABLE, TOKEN_VARIABLE, DEVICE_TOKEN_VARIABLE):
        ours.pop(name, None)
    if http := ours.pop("PORTCAST_HTTP", None):
        settings = replace(settings, http=_http_address(http, "PORTCAST_HTTP"))
    if listen := ours.pop("PORTCAST_LISTEN", None):
        settings = replace(settings, listeners=tuple(listener_from_url(url) for url in listen.split()))
    known = {option.variable: option for option in OPTIONS}
    for name, value in ours.items():
        if name not in known:
            names = dict.fromkeys([*known, "PORTCAST_HTTP", "PORTCAST_LISTEN", CONFIG_VARIABLE])
            raise unknown_option("environment", name, names)
        settings = _with_option(settings, known[name], value, name)
    return settings


def _with_arguments(settings: Settings, arguments: Mapping[str, str | bool]) -> Settings:
    known = {option.parameter: option for option in OPTIONS}
    for name, value in arguments.items():
        settings = _with_option(settings, known[name], value, known[name].flag)
    return settings


def _with_option(settings: Settings, option: Option, value: str | bool, key: str) -> Settings:
    old = getattr(settings, option.section.attribute)
    converted = convert(option.section.cls, option.field, value, key)
    try:
        changed = replace(old, **{option.field.name: converted})
    except ConfigurationError as error:  # its dataclass knows its own name for it only
        raise ConfigurationError(key, error.problem, error.hint) from error
    return replace(settings, **{option.section.attribute: changed})
