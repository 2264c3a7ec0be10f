"""Tests of `portcast.cli.tail_protocol`."""

from __future__ import annotations

import json

import pytest

from portcast.cli.tail_protocol import (
    Behind,
    Connected,
    Ping,
    Published,
    Refused,
    Said,
    Subscribed,
    hello,
    is_final,
    read,
    subscribe,
    words,
)


def test_the_first_frame_connects_and_subscribes() -> None:
    """In one round trip, as the SDKs do."""
    first, second = hello("a/#", "secret").split("\n")
    assert json.loads(first) == {"id": 1, "connect": {"name": "portcast tail", "token": "secret"}}
    assert second == subscribe("a/#")
    assert json.loads(second) == {"id": 2, "subscribe": {"channel": "a/#", "data": {"envelope": True}}}
    assert "token" not in hello("a", "")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("{}", [Ping()]),
        (b"{}\n{}", [Ping(), Ping()]),
        ('{"id":1,"connect":{"client":"x","ping":25}}', [Connected(35.0)]),
        ('{"id":1,"connect":{"client":"x"}}\n{"id":2,"subscribe":{}}', [Connected(0), Subscribed()]),
        ('{"push":{"channel":"#","pub":{"data":{"a":1},"tags":{}}}}', [Published({"a": 1})]),
        ('{"push":{"channel":"#","unsubscribe":{"code":2500,"reason":"x"}}}', [Behind()]),
        ('{"push":{"channel":"#","unsubscribe":{"code":2000,"reason":"x"}}}', [Refused("it refuses: x (2000)", True)]),
        ('{"push":{"disconnect":{"code":3000,"reason":"x"}}}', [Refused("it refuses: x (3000)", False)]),
        ('{"id":2,"error":{"code":100,"message":"oops"}}', [Refused("it refuses: oops (100)", False)]),
        ('{"id":2,"error":{"code":103,"message":"no"}}', [Refused(words(103, ""), True)]),
        ('{"push":{"channel":"#","join":{}}}', []),
        ('no\n[]\n1\nnull\n\n{"error":1}\n{"connect":1}', []),
        (b"\xff", []),
    ],
)
def test_frames(frame: str | bytes, said: list[Said]) -> None:
    """What is not understood is of a newer gateway, and costs nothing."""
    assert list(read(frame)) == said


@pytest.mark.parametrize(
    ("code", "final"), [(1000, False), (3008, False), (3500, True), (4000, False), (4500, True), (5000, False)]
)
def test_when_to_stay_away(code: int, final: bool) -> None:
    assert is_final(code) is final


def test_codes_in_words() -> None:
    assert "--token" in words(3500, "invalid token")
    assert words(4567, "") == "it refuses with code 4567"
