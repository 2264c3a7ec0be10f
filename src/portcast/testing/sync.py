"""The kit for plain functions: the app runs on a loop in a thread, and each call waits for its answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Any, TypeVar, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from portcast.events import CloseReason, ConnectionClosed
from portcast.gateway import Gateway
from portcast.publication import Position, Publication
from portcast.testing.clock import ManualClock
from portcast.testing.device import TestDevice
from portcast.testing.lifespan import App, in_memory, joined
from portcast.testing.splits import Split
from portcast.testing.subscription import Close, Gap, Subscription
from portcast.testing.waiting import TIMEOUT_S

T = TypeVar("T")


class TestGateway:
    r"""An app in memory, for tests that are no coroutines.

    ```python
    def test_a_reading_is_published():
        with TestGateway(app) as gateway:
            live = gateway.subscribe("sensors/+")
            device = gateway.device()
            device.send(b'{"sensor": "boiler-1", "celsius": 81.5}\n')
            live.expect("sensors/boiler-1", {"sensor": "boiler-1", "celsius": 81.5})
    ```

    Devices and subscriptions end with the block, the newest first.

    Beside Starlette's test client, for HTTP, let that start the app and lend its loop::

        with without_sockets(), TestClient(app) as client, TestGateway(gateway, portal=client.portal) as devices:
            ...
    """

    __test__ = False  # pytest takes classes named Test… for tests

    def __init__(self, app: App, *, clock: ManualClock | None = None, portal: BlockingPortal | None = None) -> None:
        """Prepare; entering it starts the app, unless that runs already.

        Args:
            app: a `Gateway`, or an ASGI app that includes one.
            clock: see `in_memory`; only for an app that does not run yet.
            portal: the way to the loop that the app runs on, or shall run on; None for a loop in a thread of its own.
        """
        self._app = app
        self._clock = clock
        self._given_portal = portal
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._gateway: Gateway | None = None

    def __enter__(self) -> TestGateway:
        with ExitStack() as stack:
            self._portal = self._given_portal or stack.enter_context(start_blocking_portal())
            self._gateway = self._enter(stack, self._start)
            self._stack = stack.pop_all()
        return self

    def _start(self) -> AbstractAsyncContextManager[Gateway]:
        return joined(self._app) if self._clock is None else in_memory(self._app, clock=self._clock)

    def _enter(self, stack: ExitStack, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        return stack.enter_context(self.portal.wrap_async_context_manager(self.portal.call(make)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def portal(self) -> BlockingPortal:
        """The way to the app's loop.

        Raises:
            RuntimeError: it was not entered.
        """
        if self._portal is None:
            raise RuntimeError("write `with TestGateway(app) as gateway`")
        return self._portal

    @property
    def gateway(self) -> Gateway:
        """The app's gateway. Use it through `call`: it belongs to the app's loop."""
        assert self.portal is not None
        assert self._gateway is not None, "it has started with the portal"
        return self._gateway

    @overload
    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T: ...

    @overload
    def call(self, function: Callable[..., T], *arguments: object) -> T: ...

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a function or a coroutine function on the app's loop and return what it returns."""
        return self.portal.call(function, *arguments)

    def publish(self, topic: str, value: object) -> Position:
        """Publish one message; see `Gateway.publish`."""
        return self.call(self.gateway.publish, topic, value)

    def advance(self, seconds: float) -> None:
        """Let time pass on the clock that this was given; see `ManualClock.advance`.

        Raises:
            RuntimeError: it was given none.
        """
        if self._clock is None:
            raise RuntimeError("time is real here: write TestGateway(app, clock=ManualClock())")
        self.portal.call(self._clock.advance, seconds)

    def device(
        self,
        listener: str | int | None = None,
        *,
        split: Split = "whole",
        peer: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> SyncDevice:
        """Connect a device; the arguments are those of `TestDevice`."""
        device = TestDevice(self.gateway, listener=listener, split=split, peer=peer, timeout_s=timeout_s)
        self._enter(self._stack, lambda: device)
        return SyncDevice(self.portal, device)

    def subscribe(
        self,
        *filters: str,
        history: int = 0,
        since: str = "",
        tells_gaps: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> SyncSubscription:
        """Subscribe; the arguments are those of `Subscription`."""
        subscription = Subscription(
            self.gateway, *filters, history=history, since=since, tells_gaps=tells_gaps, timeout_s=timeout_s
        )
        self._enter(self._stack, lambda: subscription)
        return SyncSubscription(self.portal, subscription)


class SyncDevice:
    """A `TestDevice` whose methods wait. Made by `TestGateway.device`."""

    def __init__(self, portal: BlockingPortal, device: TestDevice) -> None:
        self._call = portal.call
        self._device = device

    def send(self, data: bytes | Sequence[bytes], *, split: Split | None = None) -> None:
        """See `TestDevice.send`."""
        self._call(lambda: self._device.send(data, split=split))

    def send_nowait(self, data: bytes | Sequence[bytes], *, split: Split | None = None) -> None:
        """See `TestDevice.send_nowait`."""
        self._call(lambda: self._device.send_nowait(data, split=split))

    def send_frame(self, frame: bytes) -> None:
        """See `TestDevice.send_frame`."""
        self._call(self._device.send_frame, frame)

    def handled(self) -> None:
        """See `TestDevice.handled`."""
        self._call(self._device.handled)

    def receive(self) -> bytes:
        """See `TestDevice.receive`."""
        return self._call(self._device.receive)

    def expect(self, data: bytes) -> None:
        """See `TestDevice.expect`."""
        self._call(self._device.expect, data)

    def expect_frame(self, frame: bytes) -> None:
        """See `TestDevice.expect_frame`."""
        self._call(self._device.expect_frame, frame)

    def nothing(self) -> None:
        """See `TestDevice.nothing`."""
        self._call(self._device.nothing)

    def stop_reading(self) -> None:
        """See `TestDevice.stop_reading`."""
        self._call(self._device.stop_reading)

    def read_again(self) -> None:
        """See `TestDevice.read_again`."""
        self._call(self._device.read_again)

    def close(self) -> CloseReason:
        """See `TestDevice.close`."""
        return self._call(self._device.close)

    def end(self) -> None:
        """See `TestDevice.end`."""
        self._call(self._device.end)

    def reset(self) -> CloseReason:
        """See `TestDevice.reset`."""
        return self._call(self._device.reset)

    def wait_closed(self) -> CloseReason:
        """See `TestDevice.wait_closed`."""
        return self._call(self._device.wait_closed)

    @property
    def is_read(self) -> bool:
        """See `TestDevice.is_read`."""
        return self._device.is_read

    @property
    def closed(self) -> ConnectionClosed | None:
        """See `TestDevice.closed`."""
        return self._device.closed

    @property
    def closed_reason(self) -> CloseReason | None:
        """See `TestDevice.closed_reason`."""
        return self._device.closed_reason

    @property
    def failures(self) -> list[BaseException]:
        """See `TestDevice.failures`."""
        return self._device.failures

    @property
    def rejections(self) -> list[str]:
        """See `TestDevice.rejections`."""
        return self._device.rejections


class SyncSubscription:
    """A `Subscription` whose methods wait. Made by `TestGateway.subscribe`."""

    def __init__(self, portal: BlockingPortal, subscription: Subscription) -> None:
        self._call = portal.call
        self._subscription = subscription

    def next(self) -> Publication:
        """See `Subscription.next`."""
        return self._call(self._subscription.next)

    def take(self, count: int) -> list[Publication]:
        """See `Subscription.take`."""
        return self._call(self._subscription.take, count)

    def expect(self, topic: str, data: object) -> Publication:
        """See `Subscription.expect`."""
        return self._call(self._subscription.expect, topic, data)

    def expect_gap(self, missed: int | None = None) -> Gap:
        """See `Subscription.expect_gap`."""
        return self._call(self._subscription.expect_gap, missed)

    def nothing(self) -> None:
        """See `Subscription.nothing`."""
        self._call(self._subscription.nothing)

    def stop_taking(self) -> None:
        """See `Subscription.stop_taking`."""
        self._call(self._subscription.stop_taking)

    def take_again(self) -> None:
        """See `Subscription.take_again`."""
        self._call(self._subscription.take_again)

    def wait_closed(self) -> Close:
        """See `Subscription.wait_closed`."""
        return self._call(self._subscription.wait_closed)

    @property
    def closed(self) -> Close | None:
        """See `Subscription.closed`."""
        return self._subscription.closed

    @property
    def resume_id(self) -> str:
        """See `Subscription.resume_id`."""
        return self._subscription.resume_id
