"""What `portcast.posture` says of device ports: who may publish through them, on which way, and within which limits."""

from __future__ import annotations

from collections.abc import Iterator

from portcast.listen_url import ListenerConfig, asks_certificate, is_open
from portcast.posture_view import (
    Finding,
    Level,
    View,
    at_most,
    everybody_at,
    is_everybody,
    is_private,
    is_some,
    named_networks,
)


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
            few = is_private(one.address) or options.proxy or is_some(options.allow)
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
        if is_everybody(one.options.proxy) and not address.is_loopback:
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
        if those := at_most(limits):
            yield Finding("ok", subject, f"at most {those}")
        yield from named_networks(subject, options)
        if _who_connects(one) and options.device_tokens and not options.connect_rate:
            yield Finding("note", subject, "tokens can be tried as often as one connects: connect_rate is not set")
        if _who_connects(one) and not (options.max_per_address or is_some(options.allow)):
            yield Finding("note", subject, "one address may hold all of its connections: max_per_address is not set")


def _who_connects(listener: ListenerConfig) -> str:
    """Return who besides this machine can connect to a device port; empty if nobody can."""
    address, options = listener.address, listener.options
    if options.proxy:
        return f"whoever the proxies at {', '.join(options.proxy)} let through"
    if address.scheme == "unix" or address.is_loopback:
        return ""
    if is_some(options.allow):
        return f"everybody in {', '.join(options.allow)}"
    return everybody_at(address)


def _tokens(number: int) -> str:
    return "devices show a token" if number == 1 else f"devices show one of {number} tokens"


def _deadlines(listener: ListenerConfig) -> list[str]:
    names = ["first_frame_timeout_s", "frame_timeout_s", "idle_timeout_s", "write_timeout_s"]
    return [*names, "authentication_timeout_s"] if listener.options.device_tokens else names
