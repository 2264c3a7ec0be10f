from __future__ import annotations

import asyncio

import pytest

from portcast.runtime import Store
from runtime_kit import turns

pytestmark = pytest.mark.anyio


async def test_values_by_name() -> None:
    """get, set, delete, in, len and iteration work like a dictionary's, and never wait."""
    store = Store()
    store.set("a", 1)
    store.set("b", [2])
    assert store.get("a") == 1
    assert store.get("b", []) == [2]
    assert (store.get("c"), store.get("c", 7)) == (None, 7)
    assert ("a" in store, "c" in store, len(store)) == (True, False, 2)
    for key in store:
        store.delete(key)
    store.delete("never there")
    assert len(store) == 0


async def test_update_replaces_and_returns() -> None:
    """The function gets the old value, or the default; it may be a coroutine function."""
    store = Store()

    async def double(old: int) -> int:
        await turns(1)
        return old * 2

    assert await store.update("n", lambda old: old + 1, 10) == 11
    assert await store.update("n", double, 0) == 22
    assert store.get("n") == 22


async def test_updates_of_a_key_are_serialised() -> None:
    """Two that read, wait and write would lose one of the two without it."""
    store = Store()

    async def slow_increment(old: int) -> int:
        await turns(3)
        return old + 1

    await asyncio.gather(*(store.update("n", slow_increment, 0) for _ in range(20)))
    assert store.get("n") == 20


async def test_updates_of_different_keys_do_not_wait_for_each_other() -> None:
    """A slow updater holds up its own key only."""
    store = Store()
    gate = asyncio.Event()

    async def wait(old: int) -> int:
        await gate.wait()
        return old + 1

    slow = asyncio.ensure_future(store.update("slow", wait, 0))
    assert await store.update("fast", lambda old: old + 1, 0) == 1
    gate.set()
    assert await slow == 1


async def test_a_failed_update_leaves_the_value() -> None:
    """An exception reaches the caller; the next updater finds the old value."""
    store = Store()
    store.set("n", 5)

    async def fail(old: int) -> int:
        raise LookupError(old)

    with pytest.raises(LookupError):
        await store.update("n", fail, 0)
    assert await store.update("n", lambda old: old + 1, 0) == 6


async def test_a_cancelled_update_leaves_the_value() -> None:
    """Cancelling the one that works, or one that waits, lets the others go on."""
    store = Store()
    gate = asyncio.Event()

    async def wait(old: int) -> int:
        await gate.wait()
        return old + 1

    first, second, third = (asyncio.ensure_future(store.update("n", wait, 0)) for _ in range(3))
    await turns()
    first.cancel()
    second.cancel()
    await turns()
    gate.set()
    assert await third == 1
    assert first.cancelled()
    assert second.cancelled()


async def test_locks_are_dropped() -> None:
    """A store that sees a million keys keeps no million locks."""
    store = Store()
    await asyncio.gather(*(store.update(str(n % 5), lambda old: old + 1, 0) for n in range(20)))
    with pytest.raises(ZeroDivisionError):
        await store.update("bad", lambda old: old // 0, 1)
    assert store._locks == {}
