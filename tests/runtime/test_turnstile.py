from __future__ import annotations

from manual_clock import ManualClock
from portcast.runtime.turnstile import Turnstile


class World:
    """A turnstile, the topics that are held, and how many messages still fit."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.held: set[str] = set()
        self.room = 100
        self.order: list[str] = []
        self.turnstile = Turnstile(self.clock, lambda topic: topic in self.held, lambda: self.room)

    def wait(self, topic: str, name: str) -> None:
        self.turnstile.wait(topic, lambda: self.order.append(name))

    def free(self, *topics: str) -> None:
        self.held -= set(topics)
        self.turnstile.look_soon()


def test_who_waits_is_let_in_when_its_topic_is_free() -> None:
    """In order within a topic, and only the topic that is free."""
    world = World()
    world.held = {"a", "b"}
    for name in ("a1", "b1", "a2"):
        world.wait(name[0], name)
    world.turnstile.look_soon()
    world.clock.settle()
    assert world.order == []
    world.free("a")
    world.clock.settle()
    assert world.order == ["a1", "a2"]
    world.free("b")
    world.clock.settle()
    assert world.order == ["a1", "a2", "b1"]


def test_nobody_is_called_from_within_another_call() -> None:
    """Neither the one that waits for what is free already, nor those whose topic becomes free."""
    world = World()
    world.wait("a", "a1")
    assert world.order == []
    world.clock.settle()
    assert world.order == ["a1"]
    world.held = {"a"}
    world.wait("a", "a2")
    world.free("a")
    assert world.order == ["a1"]
    world.clock.settle()
    assert world.order == ["a1", "a2"]


def test_one_publisher_may_hold_the_topic_for_the_next() -> None:
    """Each finds the topic as the one before has left it."""
    world = World()
    world.held = {"a"}

    def hold_again() -> None:
        world.order.append("first")
        world.held.add("a")

    world.turnstile.wait("a", hold_again)
    world.wait("a", "second")
    world.free("a")
    world.clock.settle()
    assert world.order == ["first"]
    world.free("a")
    world.clock.settle()
    assert world.order == ["first", "second"]


def test_a_tick_lets_in_as_many_as_there_is_room_for() -> None:
    """Ten thousand do not wake up for the room of a few; the rest follows in further ticks, none is forgotten."""
    world = World()
    world.held = {"a"}
    for number in range(7):
        world.wait("a", str(number))
    world.room = 3
    world.free("a")
    world.clock.tick()
    assert world.order == ["0", "1", "2"]
    world.clock.tick()
    assert world.order == ["0", "1", "2", "3", "4", "5"]
    world.clock.settle()
    assert len(world.order) == 7


def test_without_room_one_goes_on() -> None:
    """A topic that is not held lets somebody in, whatever the count says: nobody waits for nothing."""
    world = World()
    world.held = {"a"}
    world.wait("a", "1")
    world.wait("a", "2")
    world.room = -5
    world.free("a")
    world.clock.tick()
    assert world.order == ["1"]


def test_who_waits_again_from_its_callback_goes_to_the_end() -> None:
    """A publisher that found its topic held again queues behind the others."""
    world = World()
    world.held = {"a"}

    def first() -> None:
        world.order.append("first")
        world.held.add("a")
        world.wait("a", "again")

    world.turnstile.wait("a", first)
    world.wait("a", "second")
    world.free("a")
    world.clock.settle()
    world.free("a")
    world.clock.settle()
    assert world.order == ["first", "second", "again"]


def test_at_the_end_all_are_let_in() -> None:
    """Held or not, at once, and no timer is left."""
    world = World()
    world.held = {"a"}
    world.wait("a", "1")
    world.wait("b", "2")
    world.turnstile.let_all_in()
    assert world.order == ["1", "2"]
    world.clock.settle()
    world.turnstile.look_soon()
    world.turnstile.let_all_in()
    assert world.order == ["1", "2"]


def test_letting_all_in_from_a_callback() -> None:
    """A stop that is begun by a publisher in the middle of a look finds everybody and calls each once."""
    world = World()
    world.held = {"a"}
    world.turnstile.wait("a", world.turnstile.let_all_in)
    world.wait("a", "1")
    world.wait("b", "2")
    world.free("a")
    world.clock.settle()
    assert sorted(world.order) == ["1", "2"]
