"""A subscriber that a test reads from: gets publications as any client does, through the hub and an outbox."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from pydantic import BaseModel

from portcast.brokers.base import resume_id
from portcast.delivery import Batch
from portcast.delivery import joined as joined_batches
from portcast.gateway import Gateway
from portcast.publication import Publication, Run
from portcast.runtime import Subscriber
from portcast.testing.lifespan import App, joined
from portcast.testing.waiting import TIMEOUT_S, Changes, settle
from portcast.topics import validate_filter
from portcast.web.subscribe import Wish, subscribe

CLOSE_ABNORMAL = 1006
"""What a client sees of a connection that ended without a close frame (RFC 6455 §7.4.1)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications that the subscriber has missed and is told of.

    Attributes:
        missed: how many.
        is_exact: False if that is a lower bound.
    """

    missed: int
    is_exact: bool


class Close(NamedTuple):
    """How the server ended a subscription: the close code of a WebSocket, 1006 without one, and its reason."""

    code: int
    reason: str


class Subscription:
    r"""A client of the app, in memory.

    ```python
    async with Subscription(app, "sensors/+") as live:
        await device.send(b'{"sensor": "boiler-1", "celsius": 81.5}\n')
        await live.expect("sensors/boiler-1", {"sensor": "boiler-1", "celsius": 81.5})
        await live.nothing()
    ```

    Entering it subscribes, and starts the app without sockets if it does not run. It is a client like any other: it
    counts in statistics, and if it stops taking it is slow, holds publishers, and gets what its topic's policy says.
    Iterating over it gives publications until it is closed.
    """

    def __init__(
        self,
        app: App,
        *filters: str,
        history: int = 0,
        since: str = "",
        tells_gaps: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Prepare a subscription; it begins when it is entered.

        Args:
            app: as for `TestDevice`.
            *filters: topic filters; everything (``#``) if there are none.
            history: begin with so many of the newest publications.
            since: resume after this id, as from `resume_id`; what is no longer in history comes as a gap.
            tells_gaps: True: gaps come in their place, as on ``/events``. False: it is closed instead, as ``/ws`` is.
            timeout_s: real seconds to wait for what should come at once.

        Raises:
            TopicError: a filter is not valid.
        """
        for one in filters:
            validate_filter(one)
        self._app = app
        self._wish = Wish(filters or ("#",), is_json=True, since=since, history=history)
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._changes = Changes()
        self._encoding = _Encoding(tells_gaps=tells_gaps)
        self._sink = _Sink(self._changes)
        self._last: Publication | None = None
        self._gateway: Gateway | None = None
        self._subscriber: Subscriber | None = None

    async def __aenter__(self) -> Subscription:
        gateway = await self._stack.enter_async_context(joined(self._app))
        self._gateway = gateway
        self._subscriber = subscribe(
            gateway.node, self._wish, self._encoding, self._sink, self._sink.bind, transport="test", peer="test"
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._subscriber is not None:
            self._subscriber.ended("left")
        await self._stack.__aexit__(kind, error, traceback)

    # What came

    async def next(self) -> Publication:
        """Return the next publication.

        Raises:
            AssertionError: none came in time, a gap came instead, or the subscription was closed.
        """
        await self._changes.until(lambda: self._sink.items or self.closed, self._timeout_s)
        if self._sink.items and isinstance(self._sink.items[0], Publication):
            item = self._sink.items.popleft()
            assert isinstance(item, Publication), "just seen"
            self._last = item
            return item
        raise AssertionError(f"expected a publication, {self._what_came()}")

    async def take(self, count: int) -> list[Publication]:
        """Return the next publications, so many; otherwise as `next`."""
        return [await self.next() for _ in range(count)]

    async def expect(self, topic: str, data: object) -> Publication:
        """Return the next publication, which must be this one.

        Args:
            topic: its topic.
            data: bytes are compared as they are and str as UTF-8. Anything else is compared as a JSON value; a
                Pydantic model as what it is in JSON.

        Raises:
            AssertionError: another came, its data is not JSON; otherwise as `next`.
        """
        publication = await self.next()
        if publication.topic != topic or not is_payload(publication.data, data):
            raise AssertionError(f"expected {data!r} on {topic}, {publication.data!r} came on {publication.topic}")
        return publication

    async def expect_gap(self, missed: int | None = None) -> Gap:
        """Return the gap that comes next.

        Args:
            missed: how many publications it must tell of; None for any number.

        Raises:
            AssertionError: something else came, or nothing in time.
        """
        await self._changes.until(lambda: self._sink.items or self.closed, self._timeout_s)
        item = self._sink.items[0] if self._sink.items else None
        if not isinstance(item, Gap) or missed not in (None, item.missed):
            raise AssertionError(f"expected a gap{'' if missed is None else f' of {missed}'}, {self._what_came()}")
        self._sink.items.popleft()
        return item

    async def nothing(self) -> None:
        """Let the app handle what it has received, and check that nothing came that was not taken.

        Waits for handlers, at most a quarter of a second: one that sleeps may still publish later.

        Raises:
            AssertionError: something came.
        """
        assert self._gateway is not None, "enter it first"
        await settle(self._gateway.node)
        if self._sink.items:
            raise AssertionError(f"expected nothing, {self._what_came()}")

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Publication:
        if not self._sink.items:
            await self._changes.until(lambda: self._sink.items or self.closed, self._timeout_s)
            if not self._sink.items and self.closed:
                raise StopAsyncIteration
        return await self.next()

    def _what_came(self) -> str:
        if self._sink.items:
            item = self._sink.items[0]
            if isinstance(item, Gap):
                return f"a gap came: {item.missed} publications were missed"
            return f"{item.data!r} came on {item.topic}"
        if self.closed is not None:
            return f"it was closed: {self.closed.code} {self.closed.reason}".rstrip()
        waiting = " while it takes nothing" if not self._sink.is_taking else ""
        return f"nothing came within {self._timeout_s} s{waiting}"

    # Being slow

    def stop_taking(self) -> None:
        """Take nothing more: one batch waits on its way, what follows in the outbox, until it is too much."""
        self._sink.is_taking = False

    def take_again(self) -> None:
        """Take what waits, and what comes."""
        self._sink.take_again()

    # What became of it

    @property
    def closed(self) -> Close | None:
        """How the server ended it; None while it has not."""
        return self._sink.closed

    async def wait_closed(self) -> Close:
        """Wait until the server ends it; return how.

        Raises:
            AssertionError: it did not in time.
        """
        if not await self._changes.until(lambda: self.closed, self._timeout_s):
            raise AssertionError(f"the subscription was not closed within {self._timeout_s} s")
        assert self.closed is not None, "waited for"
        return self.closed

    @property
    def resume_id(self) -> str:
        """The id after which another `Subscription` resumes: that of the last publication taken; empty before it."""
        if self._last is None or self._gateway is None:
            return ""
        return resume_id(self._wish.filters, self._last, self._gateway.node.broker.node_epoch())


@asynccontextmanager
async def collect(app: App, *filters: str) -> AsyncIterator[list[Publication]]:
    r"""Give a list of what is published during the block; it is whole at the end of the block.

    ```python
    async with collect(app, "sensors/+") as readings:
        await device.send(b"21.5\n22.0\n")
    assert [one.data for one in readings] == [b"21.5", b"22.0"]
    ```

    At the end handlers are let finish, at most a quarter of a second. The list grows meanwhile; a gap, which needs a
    slow subscriber, cannot come.

    Args:
        app: as for `TestDevice`.
        *filters: topic filters; everything (``#``) if there are none.

    Raises:
        TopicError: a filter is not valid.
    """
    found: list[Publication] = []
    async with Subscription(app, *filters) as subscription:
        subscription._sink.into = found
        yield found
        assert subscription._gateway is not None, "it was entered"
        await settle(subscription._gateway.node)


def is_payload(payload: bytes, expected: object) -> bool:
    """Return True if a payload is what a test expects; see `Subscription.expect`."""
    if isinstance(expected, bytes | bytearray | memoryview):
        return payload == bytes(expected)
    if isinstance(expected, str):
        return payload == expected.encode()
    try:
        value = json.loads(payload)
    except ValueError:
        return False
    return bool(value == (expected.model_dump(mode="json") if isinstance(expected, BaseModel) else expected))


class _Encoding:
    """Batches of `Publication` and `Gap`."""

    def __init__(self, *, tells_gaps: bool) -> None:
        self._tells_gaps = tells_gaps

    def encode(self, run: Run) -> Batch:
        return Batch(run.publications(), len(run), sum(map(len, run.payloads)))

    def join(self, batches: Sequence[Batch]) -> Batch:
        return joined_batches(batches)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        return Batch([Gap(missed, is_exact)], 0, 0) if self._tells_gaps else None


class _Sink:
    """Puts what it is given into a queue; one that takes nothing keeps one batch back and says that it is busy."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._owner: Subscriber | None = None
        self._held: Batch | None = None
        self.items: deque[Publication | Gap] = deque()
        self.into: list[Publication] | None = None
        self.is_taking = True
        self.closed: Close | None = None

    def bind(self, owner: Subscriber) -> None:
        self._owner = owner

    def write(self, batch: Batch) -> bool:
        if not self.is_taking:
            self._held = batch
            return False
        self._put(batch)
        return True

    def write_now(self, items: Sequence[object]) -> bool:
        """Take no notice: nobody answers a subscription that asks for nothing."""
        return self.is_taking

    def _put(self, batch: Batch) -> None:
        for item in batch.items:
            if isinstance(item, Publication) and self.into is not None:
                self.into.append(item)
            elif isinstance(item, Publication | Gap):
                self.items.append(item)
        self._changes.tell()

    def take_again(self) -> None:
        self.is_taking = True
        held, self._held = self._held, None
        if held is not None and self.closed is None:
            self._put(held)
            if self._owner is not None:
                self._owner.on_drained()

    @property
    def buffered(self) -> int:
        return 0 if self._held is None else self._held.size

    def close(self, code: int, reason: str) -> None:
        self._end(Close(code, reason))

    def abort(self) -> None:
        self._end(Close(CLOSE_ABNORMAL, ""))

    def _end(self, close: Close) -> None:
        if self.closed is None:
            self.closed = close
            self._held = None
            self._changes.tell()
            if self._owner is not None:
                # A client leaves when it is told to; not from within the hub's walk over its subscribers.
                asyncio.get_running_loop().call_soon(self._owner.ended, close.reason)
