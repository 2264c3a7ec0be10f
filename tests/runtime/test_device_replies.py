from __future__ import annotations

from dataclasses import dataclass

from portcast.runtime import Reply, by_field, by_type, one_at_a_time


@dataclass
class Order:
    serial: int | None = None


@dataclass
class Done:
    serial: int
    code: int = 0


@dataclass
class Status:
    volts: float


@dataclass
class AskStatus:
    pass


def test_by_field_of_objects() -> None:
    """The reply is of the type named, and a refusal if it says so."""
    replies = by_field("serial", Done, refused=lambda done: done.code != 0)
    assert replies.read(Done(7)) == Reply(7, Done(7))
    assert replies.read(Done(7, 1)) == Reply(7, Done(7, 1), is_refusal=True)
    assert replies.read(Order(7)) is None
    assert replies.read(Status(1.0)) is None


def test_by_field_of_mappings() -> None:
    """Without types, every message that has the field; one whose value cannot be compared has none."""
    replies = by_field("re")
    assert replies.read({"re": "x", "v": 1}) == Reply("x", {"re": "x", "v": 1})
    assert replies.read({"v": 1}) is None
    assert replies.read({"re": [1]}) is None
    assert replies.read("text") is None


def test_numbers_of_commands_go_round() -> None:
    """From 1 to the largest that the field holds; 0 is left to devices that mean nothing by it."""
    replies = by_field("serial", modulus=4)
    assert [replies.correlate("reboot", number) for number in range(1, 6)] == [1, 2, 3, 1, 2]
    assert replies.correlate(Order(9), 1) == 9
    assert replies.correlate(Order(None), 2) == 2


def test_by_type() -> None:
    """The type of the answer is what it has in common with its command."""
    replies = by_type({AskStatus: Status}, refused=lambda status: status.volts < 0)
    assert replies.correlate(AskStatus(), 1) is Status
    assert replies.read(Status(1.0)) == Reply(Status, Status(1.0))
    assert replies.read(Status(-1.0)) == Reply(Status, Status(-1.0), is_refusal=True)
    assert replies.read(Done(1)) is None
    assert replies.correlate("else", 1) is None


def test_one_at_a_time() -> None:
    """The next message is the answer, but for those that come by themselves."""
    replies = one_at_a_time(lambda text: not text.startswith("$"), refused=lambda text: text == "ERR")
    assert replies.is_exclusive
    assert replies.correlate("x", 5) is None
    assert replies.read("OK") == Reply(None, "OK")
    assert replies.read("ERR") == Reply(None, "ERR", is_refusal=True)
    assert replies.read("$GPRMC") is None
    assert one_at_a_time().read("$") == Reply(None, "$")
