"""A small store that TCP handlers, HTTP handlers and background tasks of one process share.

Everything runs on one loop, so nothing here needs a threading lock. What needs care is *await between reading and
writing*: two tasks that both read 5, wait, and write 6. `Store.update` is for that: it lets one updater at a time work
on a key, and calls its function again if `Store.set` or `Store.delete` came between, so no write is lost.

`get`, `set` and `delete` never wait. Reading is one look into a dictionary and safe from any thread; once the gateway
runs, whatever changes a value is refused in other threads. A path operation declared with ``def`` runs in one, and
calls ``anyio.from_thread.run_sync(gateway.store.set, key, value)``.

Values are kept as they are, not copied: put values in that you do not change afterwards. They survive a stop of the
gateway and are gone when the process ends; other processes have stores of their own.

A `Key` with ``notify=True`` publishes each change on ``$store/<name>``, one message after another in the order of the
changes. Its values must be such that JSON can express them; one that is not is refused and changes nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from typing import Any, Generic, TypeVar, cast, overload

from portcast.codecs import encode_value
from portcast.devices import Deadlines
from portcast.errors import ConfigurationError
from portcast.runtime.clock import Clock, Timer
from portcast.store_errors import StoreConflict, StoreFull
from portcast.topics import validate_topic

T = TypeVar("T")

STORE_TOPICS = "$store/#"
"""The topics of changes; each keeps its last value."""
_PREFIX = "$store/"

ATTEMPTS = 10
"""How often an update calls its function while others change the value under it: more is a loop, not bad luck."""

Publish = Callable[[str, Sequence[bytes]], object]


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """The name of a value, and its type: ``store.get(Key("count", 0))`` is an ``int`` for the type checker.

    Declare a key once, at module level, and use it everywhere; the type is not checked when the program runs.

    ```python
    COUNT = Key("count", 0)
    LATEST: Key[Reading | None] = Key("latest", None, notify=True)

    gateway.store.set(LATEST.at("boiler-1"), reading)  # $store/latest/boiler-1
    ```

    Attributes:
        name: 1 to 248 bytes; what `portcast.topics.validate_topic` accepts behind ``$store/``.
        default: what `Store.get` returns and `Store.update` begins with while there is no value. It is shared: take one
            that nobody changes.
        notify: publish each change on ``$store/<name>``: ``{"value": …, "is_set": true}`` when it is set, and
            ``{"value": null, "is_set": false}`` when it is deleted or its lifetime is over.
        lifetime_s: seconds after which the value is gone unless it is set or updated again; None: it stays. It runs
            while the gateway runs; values that were set before begin with its start.

    Raises:
        TopicError: the name cannot stand in a topic.
        ConfigurationError: the lifetime is not a positive, finite number of seconds.
    """

    name: str
    default: T
    notify: bool = field(default=False, kw_only=True)
    lifetime_s: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        validate_topic(self.name)  # not empty
        validate_topic(_PREFIX + self.name)
        if self.lifetime_s is not None and not 0 < self.lifetime_s < float("inf"):
            raise ConfigurationError(f"Key {self.name!r}", f"its lifetime is {self.lifetime_s}", "use seconds above 0")

    def at(self, *levels: str) -> Key[T]:
        """Return the key of one of many: ``Key("latest", None).at("boiler-1")`` is named ``latest/boiler-1``.

        Raises:
            TopicError: the whole name cannot stand in a topic.
        """
        return replace(self, name="/".join((self.name, *levels)))


class _Entry:
    """A value, and the key by which it was set; None if that was text."""

    __slots__ = ("key", "value")

    def __init__(self, value: object, key: Key[Any] | None) -> None:
        self.value = value
        self.key = key


class Store:
    """Values by name; see the theory on top of the module. Whoever has a value may set it by its key or its name."""

    def __init__(self, *, max_keys: int = 100_000) -> None:
        """Make an empty store.

        Args:
            max_keys: how many values there may be, so that keys that a device chooses do not fill the memory.
        """
        self.max_keys = max_keys
        self._entries: dict[str, _Entry] = {}
        self._locks: dict[str, _CountedLock] = {}
        self._deadlines: Deadlines[str] = Deadlines()
        # What there is only while the gateway runs.
        self._thread: int | None = None
        self._clock: Clock | None = None
        self._publish: Publish | None = None
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str | Key[Any]) -> bool:
        return _name(key) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    @overload
    def get(self, key: Key[T]) -> T: ...

    @overload
    def get(self, key: str) -> object | None: ...

    @overload
    def get(self, key: str, default: T) -> T: ...

    def get(self, key: str | Key[T], default: object = None) -> object:
        """Return the value, or the key's default, or ``default`` for a name. The value's type is not checked."""
        if isinstance(key, Key):
            default = key.default
        entry = self._entries.get(_name(key))
        return default if entry is None else entry.value

    @overload
    def set(self, key: Key[T], value: T) -> None: ...

    @overload
    def set(self, key: str, value: object) -> None: ...

    def set(self, key: str | Key[T], value: object) -> None:
        """Set the value, whatever updaters of the same key are doing: they begin again with it.

        Raises:
            StoreFull: there are ``max_keys`` others.
            CodecError: the key notifies, and JSON cannot express the value. Nothing has changed.
            RuntimeError: the gateway runs, in another thread.
        """
        self._check_thread("set")
        self._put(_name(key), key if isinstance(key, Key) else None, value)

    def delete(self, key: str | Key[Any]) -> None:
        """Remove the value if there is one.

        Raises:
            RuntimeError: the gateway runs, in another thread.
        """
        self._check_thread("delete")
        self._remove(_name(key))

    @overload
    async def update(
        self, key: Key[T], function: Callable[[T], T | Awaitable[T]], *, timeout_s: float | None = None
    ) -> T: ...

    @overload
    async def update(
        self, key: str, function: Callable[[T], T | Awaitable[T]], default: T, *, timeout_s: float | None = None
    ) -> T: ...

    async def update(
        self,
        key: str | Key[T],
        function: Callable[[T], T | Awaitable[T]],
        default: object = None,
        *,
        timeout_s: float | None = None,
    ) -> T:
        """Replace a value by a function of it, one updater of a key at a time, and return the new value.

        Args:
            key: its key or name.
            function: takes the old value and returns the new one; it may be a coroutine function. If the value is set
                or deleted while it waits, it is called again, with what is the case then.
            default: the old value if there is none; for a name only, a `Key` has its own.
            timeout_s: seconds for everything, waiting for other updaters included; None: no limit.

        If ``function`` raises, the time is up or the caller is cancelled, the value stays as it was. A function that
        waits for a task that updates the same key waits for ever, or until its time is up.

        Raises:
            TimeoutError: the time is up.
            StoreConflict: the value was changed under the function ten times.
            StoreFull: as `set`; CodecError: as `set`.
            RuntimeError: the function itself awaits an update of the same key; or the gateway runs, in another thread.
            Exception: what ``function`` raised.
        """
        self._check_thread("update")
        name = _name(key)
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = _CountedLock()
        task = asyncio.current_task()
        if lock.owner is not None and lock.owner is task:
            raise RuntimeError(f"an update of {name!r} awaits another update of it: it would wait for itself")
        lock.users += 1
        try:
            async with asyncio.timeout(timeout_s), lock:
                lock.owner = task
                try:
                    return await self._updated(name, key, function, default)
                finally:
                    lock.owner = None
        finally:
            lock.users -= 1
            if not lock.users:
                self._locks.pop(name, None)

    async def _updated(
        self, name: str, key: str | Key[T], function: Callable[[T], T | Awaitable[T]], default: object
    ) -> T:
        declared = key if isinstance(key, Key) else None
        if declared is not None:
            default = declared.default
        for _ in range(ATTEMPTS):
            before = self._entries.get(name)
            value = function(cast("T", default if before is None else before.value))
            new: T = await value if isawaitable(value) else value
            # Each change makes an entry of its own, so this sees one that left the value the same, too.
            if self._entries.get(name) is before:
                self._put(name, declared, new)
                return new
        raise StoreConflict(name, ATTEMPTS)

    # Changing

    def _put(self, name: str, key: Key[T] | None, value: object) -> None:
        old = self._entries.get(name)
        if old is None and len(self._entries) >= self.max_keys:
            raise StoreFull(name, self.max_keys)
        # A value that was declared with a key stays so when it is set by its name.
        declared: Key[Any] | None = key or (old.key if old is not None else None)
        message = _change_json(value) if declared is not None and declared.notify else None
        self._entries[name] = _Entry(value, declared)
        if declared is not None and declared.lifetime_s is not None:
            self._begin_lifetime(name, declared.lifetime_s)
        if message is not None:
            self._tell(name, message)

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        self._deadlines.clear(name)
        if entry is not None and entry.key is not None and entry.key.notify:
            self._tell(name, _DELETED)

    def _tell(self, name: str, message: bytes) -> None:
        if self._publish is not None:
            self._publish(_PREFIX + name, (message,))

    def _check_thread(self, what: str) -> None:
        if self._thread is not None and self._thread != threading.get_ident():
            raise RuntimeError(
                f"Store.{what} was called from another thread than the gateway's; use "
                f"anyio.from_thread.run{'' if what == 'update' else '_sync'}(store.{what}, …)"
            )

    # Lifetimes

    def _begin_lifetime(self, name: str, seconds: float) -> None:
        if self._clock is not None:
            self._deadlines.set(name, self._clock.time() + seconds)
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._deadlines.next()
        if at is not None and self._clock is not None:
            self._timer = self._clock.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        assert self._clock is not None, "close() cancels the timer"
        for name in self._deadlines.due(self._clock.time()):
            self._remove(name)
        self._set_timer()

    # What the gateway calls

    def open(self, clock: Clock, publish: Publish, retained: Iterable[str] = ()) -> None:
        """Begin to publish changes and to measure lifetimes, on the running loop; publishes what is set already.

        Args:
            clock: measures lifetimes.
            publish: publishes on a topic, at once.
            retained: topics of which a last value was restored from an earlier process; what is not set any more is
                published as deleted.
        """
        self._thread, self._clock, self._publish = threading.get_ident(), clock, publish
        for topic in retained:
            if topic.removeprefix(_PREFIX) not in self._entries:
                publish(topic, (_DELETED,))
        for name, entry in self._entries.items():
            if entry.key is None:
                continue
            if entry.key.notify:
                self._tell(name, _change_json(entry.value))
            if entry.key.lifetime_s is not None:
                self._begin_lifetime(name, entry.key.lifetime_s)

    def close(self) -> None:
        """Stop publishing and measuring; values stay."""
        if self._timer is not None:
            self._timer.cancel()
        self._thread = self._clock = self._publish = self._timer = None
        self._deadlines = Deadlines()


_DELETED = b'{"value":null,"is_set":false}'


def _change_json(value: object) -> bytes:
    """Return the message that says that a value was set.

    Raises:
        CodecError: JSON cannot express it.
    """
    # In a list: text is to be JSON here, and not the payload itself.
    return b'{"value":%b,"is_set":true}' % encode_value([value])[1:-1]


def _name(key: str | Key[T]) -> str:
    return key.name if isinstance(key, Key) else key


class _CountedLock(asyncio.Lock):
    """A lock that knows how many hold it or wait for it, so that the last one can drop it, and who holds it."""

    users = 0
    owner: asyncio.Task[object] | None = None
