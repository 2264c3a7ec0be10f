"""The standing of each channel, and how subscriptions end."""

from __future__ import annotations

import pytest

from portcast.centrifuge import codes
from portcast.centrifuge.codes import ALREADY_SUBSCRIBED, INSUFFICIENT_STATE, LIMIT_EXCEEDED, Unsubscribe
from portcast.centrifuge.deadlines import FOREVER, NEVER, Lifetime
from portcast.centrifuge.decisions import Decision, Detach
from portcast.centrifuge.messages import Push, Reply, UnsubscribePush
from portcast.centrifuge.options import SessionOptions
from portcast.centrifuge.subscriptions import Standing, Subscriptions
from portcast.topics import validate_filter, validate_topic

KICKED = Unsubscribe(2100, "kicked")


def ended(channel: str, why: Unsubscribe) -> list[Decision]:
    return [Detach(channel, why), Reply(0, Push(UnsubscribePush(why.code, why.reason), channel))]


@pytest.fixture
def subs() -> Subscriptions:
    return Subscriptions(SessionOptions("portcast", validate_filter, validate_topic, max_subscriptions=3))


def test_a_channel_is_subscribed_when_the_app_agrees(subs: Subscriptions) -> None:
    """Until then it counts, but is not listed."""
    assert subs.standing("a") is None
    assert subs.begin("a") is None
    assert subs.standing("a") is Standing.SUBSCRIBING
    assert (len(subs), list(subs)) == (1, [])
    assert subs.confirm("a", FOREVER, 0.0) == []
    assert subs.standing("a") is Standing.CLIENT_SIDE
    assert (len(subs), list(subs)) == (1, ["a"])


def test_a_channel_has_one_standing(subs: Subscriptions) -> None:
    """105, whichever side had it first and however far it is."""
    subs.begin("a")
    assert subs.begin("a") is ALREADY_SUBSCRIBED
    assert subs.add("a", FOREVER, 0.0) is ALREADY_SUBSCRIBED
    subs.confirm("a", FOREVER, 0.0)
    assert subs.begin("a") is ALREADY_SUBSCRIBED
    assert subs.add("b", FOREVER, 0.0) is None
    assert subs.standing("b") is Standing.SERVER_SIDE
    assert subs.begin("b") is ALREADY_SUBSCRIBED


def test_the_limit_counts_all_standings(subs: Subscriptions) -> None:
    """106; what is removed makes room."""
    subs.add("a", FOREVER, 0.0)
    subs.add("b", FOREVER, 0.0)
    subs.begin("c")
    assert subs.begin("d") is LIMIT_EXCEEDED
    assert subs.add("d", FOREVER, 0.0) is LIMIT_EXCEEDED
    assert subs.begin("a") is ALREADY_SUBSCRIBED
    assert subs.remove("b")
    assert not subs.remove("b")
    assert subs.begin("d") is None


@pytest.mark.parametrize("side", ["client", "server"])
def test_the_server_ends_a_subscription(subs: Subscriptions, side: str) -> None:
    """Detach first, then the push; an unknown channel gives nothing."""
    if side == "client":
        subs.begin("a")
        subs.confirm("a", FOREVER, 0.0)
    else:
        subs.add("a", FOREVER, 0.0)
    assert subs.end("a", KICKED) == ended("a", KICKED)
    assert subs.end("a", KICKED) == []
    assert subs.standing("a") is None


def test_a_subscription_in_progress_is_doomed_and_ends_after_its_reply(subs: Subscriptions) -> None:
    """The first reason stays, whatever else begins; the next attempt is not doomed."""
    subs.begin("a")
    assert subs.end("a", KICKED) == []
    assert subs.end("a", INSUFFICIENT_STATE) == []
    subs.add("b", FOREVER, 0.0)
    assert subs.confirm("a", FOREVER, 0.0) == ended("a", KICKED)
    assert subs.begin("a") is None
    assert subs.confirm("a", FOREVER, 0.0) == []


def test_a_doom_dies_with_the_attempt(subs: Subscriptions) -> None:
    """The app refused: there is nothing to end."""
    subs.begin("a")
    subs.end("a", KICKED)
    subs.remove("a")
    subs.begin("b")
    assert subs.confirm("b", FOREVER, 0.0) == []


def test_a_gap_is_told_by_side(subs: Subscriptions) -> None:
    """Client-side 2500; server-side 3010, because only a new connection recovers it; unknown: nothing."""
    subs.begin("a")
    subs.confirm("a", FOREVER, 0.0)
    subs.add("b", FOREVER, 0.0)
    assert subs.insufficient("x", 0.0) == []
    assert subs.insufficient("a", 0.0) == ended("a", INSUFFICIENT_STATE)
    assert subs.insufficient("b", 0.0) == [codes.INSUFFICIENT]


def test_more_than_five_gaps_a_minute_are_slow(subs: Subscriptions) -> None:
    """3008; whatever the channel."""
    for number in range(5):
        channel = "ab"[number % 2]
        subs.begin(channel)
        subs.confirm(channel, FOREVER, 0.0)
        assert subs.insufficient(channel, float(number)) == ended(channel, INSUFFICIENT_STATE)
    subs.begin("a")
    subs.confirm("a", FOREVER, 5.0)
    assert subs.insufficient("a", 5.0) == [codes.SLOW]


def test_without_lifetimes_nothing_expires(subs: Subscriptions) -> None:
    """Most subscriptions end with their connection."""
    subs.add("a", FOREVER, 0.0)
    assert subs.next_expiry() == NEVER
    assert subs.expire(1e9) == []
    assert not subs.is_refreshed_by_client("a")


def test_client_side_subscriptions_expire_after_the_grace(subs: Subscriptions) -> None:
    """2501 at ttl + 25 s where the client refreshes, at ttl where it cannot."""
    for channel, lifetime in ("a", Lifetime(60, True)), ("b", Lifetime(70)), ("c", Lifetime(None, True)):
        subs.begin(channel)
        subs.confirm(channel, lifetime, 100.0)
    assert [subs.is_refreshed_by_client(channel) for channel in "abc"] == [True, False, True]
    assert subs.next_expiry() == 170.0
    assert subs.expire(169.9) == []
    assert subs.expire(185.0) == ended("a", codes.SUBSCRIPTION_EXPIRED) + ended("b", codes.SUBSCRIPTION_EXPIRED)
    assert list(subs) == ["c"]
    assert subs.next_expiry() == NEVER


def test_a_refresh_begins_a_new_lifetime(subs: Subscriptions) -> None:
    """Counted from its arrival; it may also end the ending."""
    subs.begin("a")
    subs.confirm("a", Lifetime(60, True), 100.0)
    subs.keep("a", Lifetime(60, True), 130.0)
    assert subs.next_expiry() == 215.0
    subs.keep("a", Lifetime(None, True), 140.0)
    assert subs.next_expiry() == NEVER
    assert subs.is_refreshed_by_client("a")


def test_a_server_side_subscription_expires_with_the_connection(subs: Subscriptions) -> None:
    """3006, without grace: the protocol has no refresh for it, whatever the lifetime says."""
    subs.begin("a")
    subs.confirm("a", Lifetime(10), 100.0)
    subs.add("b", Lifetime(20, True), 100.0)
    assert not subs.is_refreshed_by_client("b")
    assert subs.next_expiry() == 110.0
    assert subs.expire(120.0) == [*ended("a", codes.SUBSCRIPTION_EXPIRED), codes.SUB_EXPIRED]
