"""A subscription in memory is a client like any other: filters, history, gaps, slowness, its end."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from portcast import Gateway, HistoryLimits, OutboxLimits, TopicOptions
from portcast.errors import TopicError
from portcast.testing import Close, Gap, ManualClock, Subscription, TestDevice, collect, in_memory
from portcast.testing.subscription import is_payload

pytestmark = pytest.mark.anyio

LIMITS = OutboxLimits(soft_messages=2, hard_messages=4)


class Reading(BaseModel):
    celsius: float


async def test_publications_come_in_order_on_the_topics_asked_for() -> None:
    """One by one, several at once, or as expected values."""
    async with in_memory(Gateway()) as gateway, Subscription(gateway, "a/+", "b") as live:
        for topic in ("a/1", "c", "a/2", "b", "a/3", "a/4"):
            gateway.publish_nowait(topic, topic)
        assert (await live.next()).topic == "a/1"
        assert [one.data for one in await live.take(2)] == [b"a/2", b"b"]
        assert (await live.expect("a/3", "a/3")).offset == 1
        with pytest.raises(AssertionError, match="expected nothing, b'a/4' came on a/4"):
            await live.nothing()
        await live.expect("a/4", b"a/4")
        await live.nothing()


async def test_a_failed_expectation_says_what_came() -> None:
    """The publication, or that there was none."""
    async with in_memory(Gateway()) as gateway, Subscription(gateway, timeout_s=0.05) as live:
        gateway.publish_nowait("t", "x")
        with pytest.raises(AssertionError, match="expected 'y' on t, b'x' came on t"):
            await live.expect("t", "y")
        gateway.publish_nowait("t", "x")
        with pytest.raises(AssertionError, match="expected a gap of 3, b'x' came on t"):
            await live.expect_gap(3)
        await live.next()
        with pytest.raises(AssertionError, match=r"nothing came within 0\.05 s"):
            await live.next()
        with pytest.raises(AssertionError, match="was not closed"):
            await live.wait_closed()


@pytest.mark.parametrize(
    ("payload", "expected", "is_same"),
    [
        (b"\xff", b"\xff", True),
        (b"\xff", bytearray(b"\xff"), True),
        ("ü".encode(), "ü", True),
        (b'{"a": 1}', {"a": 1}, True),
        (b'{"celsius":1.5}', Reading(celsius=1.5), True),
        (b"1", 1, True),
        (b"1", 2, False),
        (b"no json", {"a": 1}, False),
        (b"x", b"y", False),
    ],
)
def test_payloads_are_compared_as_what_is_expected(payload: bytes, expected: object, is_same: bool) -> None:
    """Bytes as bytes, text as UTF-8, everything else as a JSON value."""
    assert is_payload(payload, expected) is is_same


async def test_iterating_ends_with_the_subscription() -> None:
    """As for any client, the drain's close is the end."""
    gateway = Gateway()
    async with Subscription(gateway) as live:
        gateway.publish_nowait("t", "1")
        gateway.publish_nowait("t", "2")
        await gateway.drain()
        assert [one.data async for one in live] == [b"1", b"2"]
        assert await live.wait_closed() == Close(1012, "server is restarting")
        with pytest.raises(AssertionError, match="it was closed: 1012 server is restarting"):
            await live.next()


async def test_a_wrong_filter_is_refused_at_once() -> None:
    """By the rules of topics."""
    with pytest.raises(TopicError):
        Subscription(Gateway(), "a/#/b")


async def test_history_and_resuming() -> None:
    """The newest publications, or all after an id; what is gone comes as a gap of its number."""
    async with in_memory(Gateway(history=HistoryLimits(publications=3))) as gateway:
        for number in range(4):
            gateway.publish_nowait("t", str(number))
        async with Subscription(gateway, "t", history=2) as first:
            assert first.resume_id == ""
            await first.expect("t", "2")
            resume_id = first.resume_id
        async with Subscription(gateway, "t", since=resume_id) as second:
            await second.expect("t", "3")
            await second.nothing()
        for number in range(4, 9):
            gateway.publish_nowait("t", str(number))
        async with Subscription(gateway, "t", since=resume_id) as third:
            with pytest.raises(AssertionError, match="expected a publication, a gap came: 3 publications were missed"):
                await third.next()
            assert await third.expect_gap(3) == Gap(3, True)
            await third.expect("t", "6")
        async with Subscription(gateway, "t", since=resume_id, tells_gaps=False) as plain:
            assert await plain.wait_closed() == Close(3008, "missed 3 publications")


async def test_history_ages_on_the_manual_clock() -> None:
    """Five minutes in no time."""
    clock = ManualClock()
    async with in_memory(Gateway(), clock=clock) as gateway:
        gateway.publish_nowait("t", "old")
        clock.advance(200)
        gateway.publish_nowait("t", "young")
        clock.advance(200)
        async with Subscription(gateway, "t", history=10) as live:
            await live.expect("t", "young")
            await live.nothing()


async def test_one_that_stops_taking_holds_publishers_for_their_patience() -> None:
    """The device is not read meanwhile; patience spent, it is, and the slow one gets what its policy says."""
    clock = ManualClock()
    gateway = Gateway(outbox=LIMITS, topics={"#": TopicOptions(patience_s=2)})
    gateway.relay("tcp://127.0.0.1:8001", topic="t")
    async with in_memory(gateway, clock=clock), TestDevice(gateway) as device, Subscription(gateway) as live:
        live.stop_taking()
        for number in range(4):
            await device.send(b"%d\n" % number)
            await live.nothing()
        device.send_nowait(b"held\n")
        await live.nothing()
        device.send_nowait(b"waits\n")
        await live.nothing()
        assert not device.is_read
        clock.advance(3)
        await device.handled()
        live.take_again()
        assert [one.data for one in await live.take(6)] == [b"0", b"1", b"2", b"3", b"held", b"waits"]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("latest", ["0", "1", "2", "3", "9"]),
        ("drop_oldest", ["0", "8", "9"]),
        ("drop_newest", ["0", "1", "2", "3"]),
        ("catch_up", [str(number) for number in range(10)]),
    ],
)
async def test_policies_can_be_seen(policy: Any, kept: list[str]) -> None:
    """What a slow client gets of ten publications, the first of which was on its way."""
    clock = ManualClock()
    gateway = Gateway(outbox=LIMITS, topics={"#": TopicOptions(slow_consumer=policy)})
    async with in_memory(gateway, clock=clock), Subscription(gateway, timeout_s=0.5) as live:
        live.stop_taking()
        for number in range(10):
            gateway.publish_nowait("t", str(number))
            await live.nothing()
            clock.advance(0.6 if number == 3 else 0)
        live.take_again()
        assert [(await live.next()).data.decode() for _ in kept] == kept
        await live.nothing()


async def test_one_that_is_too_slow_is_closed() -> None:
    """What was on its way is lost with it, as for a peer that never reads."""
    clock = ManualClock()
    gateway = Gateway(outbox=LIMITS, topics={"#": TopicOptions(slow_consumer="disconnect")})
    async with in_memory(gateway, clock=clock), Subscription(gateway, timeout_s=0.05) as live:
        live.stop_taking()
        gateway.publish_nowait("t", "x")
        with pytest.raises(AssertionError, match=r"nothing came within .* while it takes nothing"):
            await live.next()
        for number in range(10):
            gateway.publish_nowait("t", str(number))
            await live.nothing()
            clock.advance(0.6)
        assert (await live.wait_closed()).code == 3008
        live.take_again()
        await live.nothing()


async def test_an_abort_is_an_abnormal_close() -> None:
    """A client sees 1006 (RFC 6455 section 7.4.1); a second end changes nothing."""
    async with in_memory(Gateway()) as gateway, Subscription(gateway) as live:
        gateway.node.hub.abort()
        assert live.closed == Close(1006, "")
        gateway.node.hub.close("again")
        assert live.closed == Close(1006, "")


async def test_collect_is_whole_at_the_end_of_its_block() -> None:
    """What handlers still work on when the block ends is in it."""
    gateway = Gateway()

    @gateway.listen("tcp://127.0.0.1:8001")
    async def on_line(line: str) -> None:
        await gateway.publish("lines", line)

    async with in_memory(gateway), TestDevice(gateway) as device:
        async with collect(gateway, "lines") as found:
            await device.send(b"a\nb\n")
        assert [one.data for one in found] == [b"a", b"b"]
        gateway.publish_nowait("lines", "later")
        assert len(found) == 2


async def test_it_starts_the_app_and_counts_as_a_client() -> None:
    """And leaves nothing behind."""
    gateway = Gateway()
    async with Subscription(gateway, "t"):
        assert gateway.node.hub.count("t") == 1
    assert not gateway.is_running
