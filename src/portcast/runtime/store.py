"""A small store that TCP handlers, HTTP handlers and background tasks share.

Everything runs on one loop, so nothing here needs a threading lock. What needs care is *await between reading and
writing*: two tasks that both read 5, wait, and write 6. `Store.update` is for that: it lets one updater at a time
work on a key. `get`, `set` and `delete` never wait and are safe from any code on the loop; from another thread use
``asyncio.run_coroutine_threadsafe`` or ``loop.call_soon_threadsafe``.

Values are kept as they are, not copied: put values in that you do not change afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import TypeVar, overload

T = TypeVar("T")


class Store:
    """Values by name, gone when the process ends."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}
        self._locks: dict[str, _CountedLock] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    @overload
    def get(self, key: str) -> object | None: ...

    @overload
    def get(self, key: str, default: T) -> T: ...

    def get(self, key: str, default: object = None) -> object:
        """Return the value, or ``default``. A typed default promises the value's type; it is not checked."""
        return self._values.get(key, default)

    def set(self, key: str, value: object) -> None:
        """Set the value, whatever updaters of the same key are doing."""
        self._values[key] = value

    def delete(self, key: str) -> None:
        """Remove the value if there is one."""
        self._values.pop(key, None)

    async def update(self, key: str, function: Callable[[T], T | Awaitable[T]], default: T) -> T:
        """Replace a value by a function of it, one updater of a key at a time, and return the new value.

        Args:
            key: the name.
            function: takes the old value and returns the new one; it may be a coroutine function.
            default: the old value if there is none.

        If ``function`` raises, or the caller is cancelled, the value stays as it was. A function that itself awaits an
        update of the same key waits for ever.
        """
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = _CountedLock()
        lock.users += 1
        try:
            async with lock:
                value = function(self._values.get(key, default))  # type: ignore[arg-type]  # the caller's promise
                new: T = await value if isawaitable(value) else value
                self._values[key] = new
                return new
        finally:
            lock.users -= 1
            if not lock.users:
                self._locks.pop(key, None)


class _CountedLock(asyncio.Lock):
    """A lock that knows how many hold it or wait for it, so that the last one can drop it."""

    users = 0
