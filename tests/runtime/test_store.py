from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import assert_type

import pytest

from portcast.errors import CodecError, ConfigurationError, TopicError
from portcast.runtime import Key, Store
from portcast.store_errors import StoreConflict, StoreFull
from portcast.testing import ManualClock
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


# Typed keys

COUNT = Key("count", 0)
LATEST: Key[str | None] = Key("latest", None, notify=True)
LEASE: Key[str | None] = Key("lease", None, notify=True, lifetime_s=30)


class Opened:
    """A store that runs, on a clock that stands still, and what it publishes."""

    def __init__(self, **options: int) -> None:
        self.store = Store(**options)
        self.clock = ManualClock()
        self.published: list[tuple[str, bytes]] = []

    def open(self, *retained: str) -> Opened:
        self.store.open(self.clock, self._publish, retained)
        return self

    def _publish(self, topic: str, payloads: Sequence[bytes]) -> None:
        self.published += [(topic, one) for one in payloads]


async def test_a_key_has_its_default_and_its_type() -> None:
    """A key reads as its default while nothing is set; what is set by the key is read by its name, and reversed."""
    store = Store()
    assert_type(store.get(COUNT), int)
    assert store.get(COUNT) == 0
    assert COUNT not in store
    assert_type(await store.update(COUNT, lambda old: old + 1), int)
    assert (store.get(COUNT), store.get("count")) == (1, 1)
    store.set("count", 5)
    assert store.get(COUNT) == 5
    assert COUNT in store
    store.delete(COUNT)
    assert store.get(COUNT) == 0


async def test_the_type_checker_holds_keys_to_their_type() -> None:
    """Each line is an error for mypy: if it were none, its ``type: ignore`` would be unused, which is one."""
    store = Store()
    store.set(COUNT, "text")  # type: ignore[misc]  # what is tested
    store.set(COUNT, 1)
    with pytest.raises(TypeError):
        await store.update(COUNT, lambda old: old + "a")  # type: ignore[operator]  # what is tested


async def test_one_key_of_many() -> None:
    """A key with levels behind it is a key of its own, with the same type and options."""
    assert LATEST.at("boiler-1", "celsius") == Key("latest/boiler-1/celsius", None, notify=True)


@pytest.mark.parametrize("name", ["", "a\n", "+", "a/#", "x" * 249], ids=repr)
def test_a_key_can_stand_in_a_topic(name: str) -> None:
    """A name that no topic could carry is refused where the key is declared."""
    with pytest.raises(TopicError):
        Key(name, 0)


@pytest.mark.parametrize("lifetime", [0, -1, float("inf"), float("nan")])
def test_a_lifetime_is_a_positive_number(lifetime: float) -> None:
    """Anything else would be a value that is never there, or for ever."""
    with pytest.raises(ConfigurationError, match="Key 'a': its lifetime"):
        Key("a", 0, lifetime_s=lifetime)


# Nothing is lost


async def test_a_set_during_an_update_is_not_lost() -> None:
    """The function that waited is called again with what was set meanwhile, even if that is the same value."""
    store = Store()
    store.set(COUNT, 1)
    seen: list[int] = []
    gate = asyncio.Event()

    async def increment(old: int) -> int:
        seen.append(old)
        await gate.wait()
        return old + 1

    update = asyncio.ensure_future(store.update(COUNT, increment))
    await turns()
    store.set(COUNT, 10)
    gate.set()
    assert await update == 11
    assert seen == [1, 10]


async def test_a_delete_during_an_update_is_not_lost() -> None:
    """The function begins again with the default."""
    store = Store()
    store.set(COUNT, 1)

    async def increment(old: int) -> int:
        if old == 1:
            store.delete(COUNT)
        return old + 1

    assert await store.update(COUNT, increment) == 1


async def test_an_update_that_is_never_left_alone_gives_up() -> None:
    """A function that sets its own key would go on for ever; it is told after ten times."""
    store = Store()

    async def stubborn(old: int) -> int:
        store.set(COUNT, old + 1)
        return old

    with pytest.raises(StoreConflict, match="'count' was set or deleted during each of 10 updates"):
        await store.update(COUNT, stubborn)
    assert store.get(COUNT) == 10


async def test_an_update_ends_with_its_time() -> None:
    """Time is for waiting for others, too; the value stays, and the next one can work."""
    store = Store()

    async def never(old: int) -> int:
        await asyncio.Event().wait()
        return old + 1

    stuck = asyncio.ensure_future(store.update(COUNT, never))
    await turns()
    with pytest.raises(TimeoutError):
        await store.update(COUNT, lambda old: old + 1, timeout_s=0.01)
    stuck.cancel()
    await asyncio.wait([stuck])
    with pytest.raises(TimeoutError):
        await store.update(COUNT, never, timeout_s=0.01)
    assert COUNT not in store
    assert await store.update(COUNT, lambda old: old + 1) == 1
    assert store._locks == {}


async def test_an_update_in_an_update_of_the_same_key_is_an_error() -> None:
    """It would wait for itself; an update of another key is nobody's business."""
    store = Store()

    async def nested(old: int) -> int:
        await store.update("other", lambda other: other + 1, 0)
        return await store.update(COUNT, lambda inner: inner + 1)

    with pytest.raises(RuntimeError, match="an update of 'count' awaits another update of it"):
        await store.update(COUNT, nested)
    assert (COUNT in store, store.get("other")) == (False, 1)


# Bounds and threads


async def test_a_full_store_says_so() -> None:
    """Values that are there can be changed; one more is refused, by set and update alike; delete makes room."""
    store = Store(max_keys=2)
    store.set("a", 1)
    store.set("b", 1)
    store.set("a", 2)
    with pytest.raises(StoreFull, match="no room for 'c' beside 2 others"):
        store.set("c", 1)
    with pytest.raises(StoreFull):
        await store.update(COUNT, lambda old: old + 1)
    store.delete("b")
    store.set("c", 1)
    assert sorted(store) == ["a", "c"]


async def test_other_threads_may_read_but_not_change() -> None:
    """Once the gateway runs, a change from another thread is refused with what to do; before, any thread may."""
    one = Opened()
    store = one.store
    await asyncio.to_thread(store.set, COUNT, 1)
    one.open()
    assert await asyncio.to_thread(store.get, COUNT) == 1
    with pytest.raises(RuntimeError, match=r"Store.set was called from another thread.*run_sync\(store.set"):
        await asyncio.to_thread(store.set, COUNT, 2)
    with pytest.raises(RuntimeError, match=r"Store.delete was called"):
        await asyncio.to_thread(store.delete, COUNT)

    def updates() -> None:
        asyncio.run(store.update(COUNT, lambda old: old + 1))

    with pytest.raises(RuntimeError, match=r"anyio.from_thread.run\(store.update"):
        await asyncio.to_thread(updates)
    store.set(COUNT, 3)
    store.close()
    await asyncio.to_thread(store.set, COUNT, 4)
    assert store.get(COUNT) == 4


# Changes as topics


async def test_changes_are_published_in_order() -> None:
    """Each set, update and delete of a key that notifies is a message; other keys and failed updates are silent."""
    one = Opened().open()
    store = one.store
    store.set(COUNT, 1)
    store.set(LATEST, "a")
    await store.update(LATEST, lambda old: f"{old}b")
    with pytest.raises(ZeroDivisionError):
        await store.update(LATEST, lambda old: str(1 // 0))
    store.set("latest", None)  # by its name: it notifies all the same
    store.delete(LATEST)
    store.delete(LATEST)
    assert one.published == [
        ("$store/latest", b'{"value":"a","is_set":true}'),
        ("$store/latest", b'{"value":"ab","is_set":true}'),
        ("$store/latest", b'{"value":null,"is_set":true}'),
        ("$store/latest", b'{"value":null,"is_set":false}'),
    ]


async def test_a_value_that_json_cannot_express_changes_nothing() -> None:
    """Before it was set, not after: what is published and what is stored never differ."""
    one = Opened().open()
    key: Key[object] = Key("any", None, notify=True)
    one.store.set(key, [1])
    with pytest.raises(CodecError):
        one.store.set(key, {1, 2})
    with pytest.raises(CodecError):
        await one.store.update(key, lambda old: float("nan"))
    assert one.store.get(key) == [1]
    assert len(one.published) == 1


async def test_what_was_set_before_the_start_is_published_with_it() -> None:
    """A subscriber begins with what is the case, and is told of what a former process kept and this one has not."""
    one = Opened()
    one.store.set(LATEST, "early")
    one.store.set(COUNT, 1)
    one.store.set("untyped", 1)
    one.open("$store/latest", "$store/gone")
    assert one.published == [
        ("$store/gone", b'{"value":null,"is_set":false}'),
        ("$store/latest", b'{"value":"early","is_set":true}'),
    ]
    one.store.close()
    one.store.set(LATEST, "late")
    assert len(one.published) == 2


# Lifetimes


async def test_a_value_is_gone_after_its_lifetime() -> None:
    """Setting or updating it begins the lifetime anew; the end is a change like a delete."""
    one = Opened().open()
    one.store.set(LEASE, "a")
    one.clock.advance(29)
    await one.store.update(LEASE, lambda old: f"{old}b")
    one.store.set(LEASE.at("other"), "c")
    one.clock.advance(29)
    assert one.store.get(LEASE) == "ab"
    one.clock.advance(1)
    assert one.store.get(LEASE) is None
    assert len(one.store) == 0
    assert one.published[-2:] == [
        ("$store/lease", b'{"value":null,"is_set":false}'),
        ("$store/lease/other", b'{"value":null,"is_set":false}'),
    ]
    assert one.clock.timers == 0


async def test_a_lifetime_runs_while_the_gateway_runs() -> None:
    """What was set before the start begins with it; after the stop nothing expires and no timer is left."""
    one = Opened()
    one.store.set(LEASE, "a")
    one.clock.advance(100)
    one.open()
    one.clock.advance(29)
    one.store.close()
    assert one.clock.timers == 0
    one.clock.advance(100)
    assert one.store.get(LEASE) == "a"


async def test_a_deleted_value_has_no_lifetime() -> None:
    """The end of the old lifetime does not touch the value that was set after it."""
    one = Opened().open()
    one.store.set(LEASE, "a")
    one.clock.advance(20)
    one.store.delete(LEASE)
    one.store.set(LEASE, "b")
    one.clock.advance(20)
    assert one.store.get(LEASE) == "b"
