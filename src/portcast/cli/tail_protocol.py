"""What ``portcast tail`` says and hears over the Centrifuge protocol, as JSON. Pure.

A frame is one or more JSON objects with line ends between them. The client connects and subscribes in its first frame.
A ``{}`` is a ping, and is answered with the same. The subscription asks for envelopes (docs/centrifuge.md), which hold
the payload as it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

PONG = "{}"

_CONNECT, _SUBSCRIBE = 1, 2

_WORDS = {
    101: "it wants to know who asks; --token tells it",
    103: "these topics are not for you; another --token may do",
    107: "it does not take this topic filter",
    109: "the token has expired",
    110: "the token has expired",
    3005: "the token has expired",
    3500: "it takes no connection without a good token; --token tells it",
    3507: "nothing says who may connect from elsewhere",
}
_TEMPORARY = (100, 111, 113)


@dataclass(frozen=True, slots=True)
class Connected:
    """The gateway lets the client in; ``silence_s`` is how long it may say nothing, 0 for ever."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Publications follow from here on."""


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with `PONG`."""


@dataclass(frozen=True, slots=True)
class Published:
    """An envelope, as `portcast.cli.tail_view.received` takes it."""

    envelope: object


@dataclass(frozen=True, slots=True)
class Behind:
    """The subscription ended because publications were lost to it: subscribe again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway does not do what was asked; ``is_final`` if asking again would change nothing."""

    reason: str
    is_final: bool


Said = Connected | Subscribed | Ping | Published | Behind | Refused

GRACE_S = 10.0
"""How much later than promised a ping may come (the SDKs: ``maxServerPingDelay``)."""


def hello(topic_filter: str, token: str) -> str:
    """Return the first frame."""
    connect: dict[str, object] = {"name": "portcast tail", **({"token": token} if token else {})}
    return json.dumps({"id": _CONNECT, "connect": connect}) + "\n" + subscribe(topic_filter)


def subscribe(topic_filter: str) -> str:
    """Return the command that subscribes, in the first frame and whenever the gateway has unsubscribed us."""
    return json.dumps({"id": _SUBSCRIBE, "subscribe": {"channel": topic_filter, "data": {"envelope": True}}})


def read(frame: str | bytes) -> Iterator[Said]:
    """Yield what a frame says; what is not understood is of a newer gateway, and nothing."""
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    for line in text.split("\n"):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            found = _reply(said)
            if found is not None:
                yield found


def _reply(said: dict[str, object]) -> Said | None:
    match said:
        case {"error": {"code": int(code), **rest}}:
            return Refused(words(code, str(rest.get("message", ""))), code not in _TEMPORARY)
        case {"connect": {**result}}:
            ping = result.get("ping", 0)
            return Connected(ping + GRACE_S if isinstance(ping, int | float) and ping > 0 else 0)
        case {"subscribe": {}}:
            return Subscribed()
        case {"push": {"pub": {"data": envelope}}}:
            return Published(envelope)
        case {"push": {"unsubscribe": {"code": int(code), **rest}}}:
            return Behind() if code >= 2500 else Refused(words(code, str(rest.get("reason", ""))), True)
        case {"push": {"disconnect": {"code": int(code), **rest}}}:
            return Refused(words(code, str(rest.get("reason", ""))), is_final(code))
    return Ping() if not said else None


def is_final(code: int) -> bool:
    """Return True for a close code after which a client stays away."""
    return 3500 <= code < 4000 or 4500 <= code < 5000


def words(code: int, said: str) -> str:
    """Return what a code means, or what the gateway says of it."""
    return _WORDS.get(code) or (f"it refuses: {said} ({code})" if said else f"it refuses with code {code}")
