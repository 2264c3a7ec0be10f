"""What is open, to whom, with which limits, and what a stranger could do: the security of settings, in sentences.

A list of small checks, each a pure function from `View` to findings. A new one is a function in `CHECKS`. What clients
may do is not worked out here: the rules themselves (`portcast.web.sdk_rules`) are asked on behalf of a stranger.

==========  ===========================================================================================================
level       means
==========  ===========================================================================================================
``ok``      how it is; nobody gets more than intended
``note``    on purpose, and good to know
``warning`` weaker than it could be
``danger``  a stranger can read everything, publish or hold what others need; `portcast check` ends with status 3
==========  ===========================================================================================================
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from portcast.address import Address
from portcast.api_keys import RECORDER_LEVEL, KeyTable, digests_of
from portcast.centrifuge.messages import PublishRequest, SubscribeRequest
from portcast.listen_url import ListenerConfig, asks_certificate, is_open
from portcast.permissions import PermissionTable
from portcast.posture_view import LEVELS, Check, Finding, Level, View
from portcast.runtime.memory_limit import hard_limit, memory_limit, memory_use
from portcast.settings import Settings
from portcast.topic_table import is_namespace
from portcast.web.hosts import HostRule
from portcast.web.sdk_access import Grant
from portcast.web.sdk_basis import Basis
from portcast.web.sdk_rules import Rules


def posture(settings: Settings, environment: Mapping[str, str], *, connections: int) -> list[Finding]:
    """Return what is the case, by check.

    Args:
        settings: merged and valid.
        environment: variables that hold keys.
        connections: device connections at a time, as the descriptors allow.

    Raises:
        ConfigurationError: a key, a token or a file of keys cannot be used.
        MissingDependencyError: tokens are to be verified, and PyJWT is not installed.
    """
    keys = KeyTable(settings.keys, environment)
    for one in settings.listeners:
        digests_of(one.options.device_tokens, environment, f"listener {one.address}: device_tokens")
    rules = Rules(Basis(settings.centrifuge, PermissionTable(settings.permissions), keys=keys))
    view = View(settings, rules, connections)
    return [finding for check in CHECKS for finding in check(view)]


# HTTP


def http_reach(view: View) -> Iterator[Finding]:
    """Who can reach the HTTP side at all."""
    http = view.settings.http
    tls, proxies = view.settings.http_tls, view.settings.http_options.forwarded_from
    who = "everybody on this machine" if http.is_loopback else _who(http)
    yield Finding("ok" if http.is_loopback else "note", "http", f"{who} can connect to {http.host_port}")
    if proxies:
        yield Finding("note", "http", f"so can whoever the proxies at {', '.join(proxies)} let through")
        if _is_everybody(proxies) and not http.is_loopback:
            yield Finding("warning", "http", "forwarded_from believes everybody: a client's address can be made up")
    if view.shows_certificate:
        yield Finding("ok", "http", f"clients show a certificate of {tls.client_ca} before anything else")
    if tls.is_enabled:
        yield Finding("ok", "http", "it is encrypted: TLS 1.2 and up")
    elif not http.is_loopback:
        yield Finding(
            "warning",
            "http",
            "it is plain HTTP: keys, tokens and data can be read on the way unless a proxy in front speaks TLS",
        )


def http_stranger(view: View) -> Iterator[Finding]:
    """What one may do over HTTP who shows nothing."""
    caller = view.stranger
    if caller is None:
        yield Finding("ok", "http", "who shows no valid key or token may do nothing")
        return
    bad: Level = "danger" if view.is_public else "ok"
    who = "a stranger" if view.is_public else "everybody on this machine"
    if view.shows_certificate:
        bad, who = "ok", "whoever shows a certificate"
    if caller.rights.may_change:
        yield Finding(
            bad, "http", f"{who} may read every topic, publish, command devices and close connections without a key"
        )
        return
    reads = [one for one in _channels(view) if isinstance(view.rules.subscribe(caller, _subscribe(one)), Grant)]
    writes = [one for one in _channels(view) if view.rules.publish(caller, PublishRequest(one), False) is None]
    if reads:
        level: Level = bad if "#" in reads or any(one.startswith(RECORDER_LEVEL) for one in reads) else "note"
        yield Finding(level, "http", f"{who} may follow without a key: {', '.join(reads)}")
    if writes:
        yield Finding(bad, "http", f"{who} may publish without a key: {', '.join(writes)}")
    if not reads and not writes:
        yield Finding("ok", "http", "who shows nothing is let in as nobody, and may do nothing")


def http_keys(view: View) -> Iterator[Finding]:
    """What keys give."""
    for name, key in view.settings.keys.items():
        reach = f"for {', '.join(key.topics)}" if key.topics else "for everything"
        does = {"client": "has permissions only", "reader": "may read", "operator": "may read, publish and command"}
        yield Finding("ok", f"key {name}", f"{does[key.role]}, {reach}")


def http_tokens(view: View) -> Iterator[Finding]:
    """Whose tokens count."""
    options = view.settings.centrifuge
    if not options.has_keys:
        return
    yield Finding("ok", "tokens", "JSON Web Tokens are accepted; their users have the permissions, or the role in them")
    if any(len(secret.encode()) < 32 for secret in options.token_hmac_secrets):
        yield Finding("warning", "tokens", "a secret is shorter than 32 bytes, and can be guessed from any token")
    if not options.token_audience and options.token_jwks:
        yield Finding("warning", "tokens", "token_audience is not set: tokens that were made for other services count")


def http_pages(view: View) -> Iterator[Finding]:
    """What web pages may do in the browsers of users."""
    options = view.settings.http_options
    rule = HostRule(options.allowed_hosts, is_loopback=view.settings.http.is_loopback)
    may_all = view.stranger is not None and view.stranger.rights.may_change
    if may_all and not view.is_public and not rule.is_active:
        yield Finding(
            "danger", "http", "any web page can read and publish by DNS rebinding: allowed_hosts checks no names"
        )
    # From elsewhere whoever may do everything needs no web page for it.
    for origin in options.allowed_origins:
        yield Finding(
            "note", "http", f"pages of {origin} may use WebSockets and publish, with the rights of their users"
        )


def http_deadlines(view: View) -> Iterator[Finding]:
    """Whether half a request can be held open."""
    options = view.settings.http_options
    if not options.request_timeout_s:
        level: Level = "danger" if view.is_public else "warning"
        yield Finding(level, "http", "request_timeout is 0: half a request is held for ever")
    yield Finding("ok", "http", f"bodies and messages have at most {options.max_message_bytes} bytes")


# Devices


def device_reach(view: View) -> Iterator[Finding]:
    """Who may publish through a device port."""
    for one in view.settings.listeners:
        subject, options, tls = f"listener {one.address}", one.options, one.tls
        who = _who_connects(one)
        if options.device_tokens:
            yield Finding("ok", subject, f"{_tokens(len(options.device_tokens))} before anything they send counts")
        elif asks_certificate(one):
            yield Finding("ok", subject, f"devices show a certificate of {tls.client_ca} before anything else")
        elif who:
            few = _is_private(one.address) or options.proxy or _is_some(options.allow)
            sentence = f"{who} may publish on {one.topic} without showing who it is"
            yield Finding("warning" if few else "danger", subject, sentence)
        else:
            yield Finding("ok", subject, f"only this machine may publish on {one.topic}")
        if tls.client_ca and tls.client_cert == "optional":
            yield Finding("note", subject, "client_cert is optional: who shows no certificate is let in, too")


def device_way(view: View) -> Iterator[Finding]:
    """What can be read or made up on the way to a device port."""
    for one in view.settings.listeners:
        subject, address = f"listener {one.address}", one.address
        if one.tls.is_enabled:
            yield Finding("ok", subject, "it is encrypted: TLS 1.2 and up")
        elif not address.is_loopback:
            what = "tokens and data" if one.options.device_tokens else "data"
            yield Finding("warning", subject, f"it is plain TCP: {what} can be read on the way")
        if _is_everybody(one.options.proxy) and not address.is_loopback:
            yield Finding("warning", subject, "proxy takes headers from everybody: devices can make up their addresses")


def device_pages(view: View) -> Iterator[Finding]:
    """Whether web pages can publish through a device port."""
    for one in view.settings.listeners:
        if one.options.allow_http and one.address.scheme == "tcp" and not one.options.device_tokens:
            yield Finding("danger", f"listener {one.address}", "allow_http: any web page can publish through it")


def device_deadlines(view: View) -> Iterator[Finding]:
    """Whether connections can be held without end."""
    for one in view.settings.listeners:
        off = [name for name in _deadlines(one) if not getattr(one.options, name)]
        if off:
            level: Level = "warning" if not is_open(one) else "danger"
            names = ", ".join(name.removesuffix("_s") for name in off)
            yield Finding(
                level, f"listener {one.address}", f"{names} is 0: whoever connects can hold a connection for ever"
            )


def device_limits(view: View) -> Iterator[Finding]:
    """How many connections there may be, whose, and what each may send."""
    for one in view.settings.listeners:
        subject, options = f"listener {one.address}", one.options
        most = min(options.max_connections or view.connections, view.connections)
        yield Finding("ok", subject, f"at most {most} connections, then it waits for room")
        limits = {
            "connections of one address": options.max_per_address,
            "connects per second of one address": options.connect_rate,
            "frames per second of one connection": options.message_rate,
            "bytes per second of one connection": options.rate_bytes,
        }
        if those := [f"{most:g} {what}" for what, most in limits.items() if most]:
            yield Finding("ok", subject, f"at most {', '.join(those)}")
        for name in ("allow", "deny"):
            if networks := getattr(options, name):
                yield Finding("ok", subject, f"{name}: {', '.join(networks)}")
        if _who_connects(one) and not (options.max_per_address or _is_some(options.allow)):
            yield Finding("note", subject, "one address may hold all of its connections: max_per_address is not set")


# The process


def logs(view: View) -> Iterator[Finding]:
    """Whether what devices send stands in the log."""
    if view.settings.log.level == "debug":
        yield Finding("warning", "log", "at level debug the log holds parts of what devices send")


def recorder(view: View) -> Iterator[Finding]:
    """Whose raw frames are kept, and who may read them."""
    settings = view.settings
    operators = [name for name, key in settings.keys.items() if key.role == "operator" and not key.topics]
    who = f"keys with the role operator ({', '.join(operators)})" if operators else "operators"
    if view.stranger is not None and view.stranger.rights.may_change:
        who = "everybody who can connect to http"
    rules = settings.recorder.on
    if not rules:
        yield Finding("ok", "recorder", f"nothing is recorded; it can be turned on, and read, by {who}")
        return
    cut = all(one.options.redact for one in settings.listeners)
    what = "frames, without what redact leaves out," if cut else "whole frames, credentials included,"
    yield Finding("note", "recorder", f"{what} of {', '.join(rules)} are kept; they can be read by {who}")


def watchdog(view: View) -> Iterator[Finding]:
    """Whether a blocked loop is noticed."""
    if not view.settings.gateway.block_limit_s:
        yield Finding("note", "process", "block_limit is 0: nobody notices what blocks the event loop")


def memory(view: View) -> Iterator[Finding]:
    """Whether the process slows down before the system kills it."""
    allowed, source = hard_limit()
    limit = memory_limit(view.settings.gateway.memory_limit_bytes)
    if not memory_use().resident:
        yield Finding("warning", "memory", "this system does not tell what is used: only each buffer has a bound")
    elif allowed and limit.bytes > allowed:
        yield Finding(
            "danger",
            "memory",
            f"memory_limit_bytes is {limit.bytes} bytes, and the {_ALLOWS[source]} allows {allowed}: whoever fills "
            "buffers can get the process killed",
        )
    else:
        yield Finding("ok", "memory", f"above {limit.bytes} bytes devices wait and newcomers are refused")


_ALLOWS = {"cgroup": "control group", "machine": "machine", "address_space": "limit of address space"}

CHECKS: tuple[Check, ...] = (
    http_reach,
    http_stranger,
    http_keys,
    http_tokens,
    http_pages,
    http_deadlines,
    device_reach,
    device_way,
    device_pages,
    device_deadlines,
    device_limits,
    recorder,
    watchdog,
    memory,
    logs,
)
"""In the order in which they are shown."""


def _who(address: Address) -> str:
    if _is_private(address):
        return f"everybody in the network of {address.host}"
    return "everybody who can reach this machine"


def _is_private(address: Address) -> bool:
    """Return True if an address is one of a private network, and no wildcard."""
    try:
        found = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return found.is_private and not found.is_unspecified


def _who_connects(listener: ListenerConfig) -> str:
    """Return who besides this machine can connect to a device port; empty if nobody can."""
    address, options = listener.address, listener.options
    if options.proxy:
        return f"whoever the proxies at {', '.join(options.proxy)} let through"
    if address.scheme == "unix" or address.is_loopback:
        return ""
    if _is_some(options.allow):
        return f"everybody in {', '.join(options.allow)}"
    return _who(address)


def _tokens(number: int) -> str:
    return "devices show a token" if number == 1 else f"devices show one of {number} tokens"


def _is_some(networks: Sequence[str]) -> bool:
    """Return True if networks are named, and they are not everybody."""
    return bool(networks) and not _is_everybody(networks)


def _is_everybody(networks: Sequence[str]) -> bool:
    return any(one.endswith("/0") for one in networks)


def _channels(view: View) -> list[str]:
    """Return what a stranger could ask for: everything, and what has permissions of its own."""
    keys = [f"{one}x" if is_namespace(one) else one for one in view.settings.permissions]
    return list(dict.fromkeys(["#", *keys]))


def _subscribe(channel: str) -> SubscribeRequest:
    return SubscribeRequest(channel=channel)


def _deadlines(listener: ListenerConfig) -> list[str]:
    names = ["first_frame_timeout_s", "frame_timeout_s", "idle_timeout_s", "write_timeout_s"]
    return [*names, "authentication_timeout_s"] if listener.options.device_tokens else names


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of findings."""
    return max((one.level for one in findings), key=LEVELS.index, default="ok")
