"""What `portcast.posture` says of the HTTP side: who reaches it, what a stranger may do, and within which limits."""

from __future__ import annotations

from collections.abc import Iterator

from portcast.api_keys import RECORDER_LEVEL
from portcast.centrifuge.messages import PublishRequest, SubscribeRequest
from portcast.centrifuge_options import LEAST_SECRET_BYTES
from portcast.posture_view import Finding, Level, View, at_most, everybody_at, is_everybody, is_some, named_networks
from portcast.runtime.limits import subscriber_budget
from portcast.topic_table import is_namespace
from portcast.web.hosts import HostRule
from portcast.web.sdk_access import Grant
from portcast.web.websocket_asgi import MAX_HEAD_BYTES


def http_reach(view: View) -> Iterator[Finding]:
    """Who can reach the HTTP side at all."""
    http = view.settings.http
    tls, proxies = view.settings.http_tls, view.settings.http_options.forwarded_from
    who = "everybody on this machine" if http.is_loopback else everybody_at(http)
    yield Finding("ok" if http.is_loopback else "note", "http", f"{who} can connect to {http.host_port}")
    if proxies:
        yield Finding("note", "http", f"so can whoever the proxies at {', '.join(proxies)} let through")
        if is_everybody(proxies) and not http.is_loopback:
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
    if options.has_short_secret:
        sentence = f"a secret is shorter than {LEAST_SECRET_BYTES} bytes, and can be guessed from any token"
        yield Finding("danger" if view.is_public else "warning", "tokens", sentence)
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
            "note",
            "http",
            f"pages of {origin} may open WebSockets, use an SDK and publish, with the rights of their users",
        )


def http_deadlines(view: View) -> Iterator[Finding]:
    """Whether half a request, or a response that nobody reads, can be held open."""
    options = view.settings.http_options
    level: Level = "danger" if view.is_public else "warning"
    if not options.request_timeout_s:
        yield Finding(level, "http", "request_timeout is 0: half a request is held for ever")
    if not options.write_timeout_s:
        yield Finding(level, "http", "write_timeout is 0: a response that its client does not read is held for ever")
    times = {"for a whole request": options.request_timeout_s, "to take the response": options.write_timeout_s}
    if those := [f"{most:g} s {what}" for what, most in times.items() if most]:
        yield Finding("ok", "http", f"a client has {', '.join(those)}")
    yield Finding("ok", "http", f"the head of a request has at most {MAX_HEAD_BYTES} bytes")
    yield Finding("ok", "http", f"bodies and messages have at most {options.max_message_bytes} bytes")


def http_connections(view: View) -> Iterator[Finding]:
    """How many clients there may be, and whose."""
    options, most = view.settings.http_options, view.http_connections
    subscribers = subscriber_budget(most, options.max_subscribers)
    yield Finding(
        "ok", "http", f"at most {most} connections, {subscribers} of them follow topics; further ones are refused"
    )
    limits = {
        "connections": options.max_per_address,
        "connects per second": options.connect_rate,
        "clients that follow topics": options.max_subscribers_per_address,
    }
    if those := at_most(limits):
        yield Finding("ok", "http", f"of one address at most {those}")
    yield from named_networks("http", options)
    if not view.is_public or is_some(options.allow):
        return
    # Sockets of a proxy stand for many, so that only what follows topics can be limited behind one.
    is_behind = bool(options.forwarded_from)
    name = "max_subscribers_per_address" if is_behind else "max_per_address"
    if not getattr(options, name):
        yield Finding("note", "http", f"one address may hold all of its connections: {name} is not set")


def http_rates(view: View) -> Iterator[Finding]:
    """How much one client may send."""
    options = view.settings.http_options
    limits = {"message_rate": (options.message_rate, "messages"), "rate_bytes": (options.rate_bytes, "bytes")}
    if those := [f"{_number(most)} {what}" for most, what in limits.values() if most]:
        yield Finding("ok", "http", f"one client may send {' and '.join(those)} per second")
    # Who may connect is let in by now; where strangers are, they need no key to keep the loop busy.
    level: Level = "note" if not view.is_public else "warning" if view.stranger is None else "danger"
    for name, (most, what) in limits.items():
        if not most:
            yield Finding(level, "http", f"{name} is 0: one client may send {what} as fast as it can")


def http_guesses(view: View) -> Iterator[Finding]:
    """How many wrong keys and tokens one address may show."""
    options = view.settings.http_options
    if not (view.settings.keys or view.settings.centrifuge.has_keys):
        return
    most, window_s = options.max_failed_logins, options.failed_login_window_s
    if most:
        sentence = f"one address may show {most} keys and tokens that are not valid in {window_s:g} s, then it gets 429"
        yield Finding("ok", "http", sentence)
        if view.is_public and most / window_s > MOST_GUESSES_S:
            yield Finding("warning", "http", f"that is more than {MOST_GUESSES_S} a second: hardly a limit")
    else:
        level: Level = "warning" if view.is_public else "note"
        yield Finding(level, "http", "max_failed_logins is 0: keys and tokens are tried as fast as they come")


MOST_GUESSES_S = 10
"""More a second is no limit: no person, and no program of one address, fails so often."""


def _number(most: float) -> str:
    return f"{most:.0f}" if most == int(most) else f"{most:g}"


def _channels(view: View) -> list[str]:
    """Return what a stranger could ask for: everything, and what has permissions of its own."""
    keys = [f"{one}x" if is_namespace(one) else one for one in view.settings.permissions]
    return list(dict.fromkeys(["#", *keys]))


def _subscribe(channel: str) -> SubscribeRequest:
    return SubscribeRequest(channel=channel)
