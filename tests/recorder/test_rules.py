from __future__ import annotations

import pytest

from portcast.recorder import MAX_RULES, Rule, Rules, parse_rule


@pytest.mark.parametrize(
    "text",
    ["device:boiler-1", "device:a:b", "connection:5d3c0e8f1a2b", "listener:tcp://127.0.0.1:8001", "peer:192.0.2.*"],
)
def test_a_rule_is_read_and_written(text: str) -> None:
    """Only the first colon separates; what is read is written the same."""
    rule = parse_rule(text)
    assert str(rule) == text
    assert rule == Rule(rule.kind, text.partition(":")[2])


@pytest.mark.parametrize(
    "text", ["", "boiler-1", "device", "device:", "devices:a", "peer:a\n", "device:" + "x" * 256], ids=repr
)
def test_what_is_no_rule(text: str) -> None:
    """Names what was written, cut short, and what to write."""
    with pytest.raises(ValueError, match=r"is no rule: .*"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("rule", "value", "is_match"),
    [
        ("device:a", "a", True),
        ("device:a", "ab", False),
        ("device:a*", "ab", True),
        ("device:a*", "a*", True),
        ("device:a*", "ba", False),
        ("device:*", "", True),
        ("device:a*b", "a*b", True),
        ("device:a*b", "axb", False),
    ],
)
def test_a_final_star_stands_for_the_rest(rule: str, value: str, is_match: bool) -> None:
    """Anywhere else it is a character like others."""
    assert parse_rule(rule).matches(value) is is_match


@pytest.mark.parametrize(
    ("rule", "is_meant"),
    [
        ("connection:c1", True),
        ("connection:c2", False),
        ("listener:scales", True),
        ("listener:scale", False),
        ("peer:192.0.2.7", True),
        ("peer:192.0.2.7:5000", True),
        ("peer:192.0.2.", False),
        ("peer:192.0.2.*", True),
        ("device:c1", False),
        ("device:*", False),
    ],
)
def test_rules_mean_connections(rule: str, is_meant: bool) -> None:
    """By id, listener, or address with and without the port; rules for devices do not."""
    rules = Rules()
    rules.add(parse_rule("connection:other"), None)
    rules.add(parse_rule(rule), None)
    assert rules.mean_connection("c1", "scales", "192.0.2.7:5000") is is_meant


@pytest.mark.parametrize(("rule", "is_meant"), [("peer:2001:db8::7", True), ("peer:unix", False), ("peer:", None)])
def test_addresses_of_other_kinds(rule: str, is_meant: bool | None) -> None:
    """IPv6 stands without brackets; an address without a port is not taken for an empty host."""
    if is_meant is None:
        with pytest.raises(ValueError, match="no rule"):
            parse_rule(rule)
        return
    rules = Rules()
    rules.add(parse_rule(rule), None)
    assert rules.mean_connection("c", "l", "[2001:db8::7]:5000") is is_meant
    assert rules.mean_connection("c", "l", "unix") is not is_meant


def test_rules_mean_devices() -> None:
    """Only those for devices; whether there is one tells if a newcomer could be meant."""
    rules = Rules()
    rules.add(parse_rule("listener:a"), None)
    assert not rules.has_devices
    assert not rules.mean_device("a")
    rules.add(parse_rule("device:a*"), None)
    assert rules.has_devices
    assert (rules.mean_device("ab"), rules.mean_device("b")) == (True, False)


def test_rules_end() -> None:
    """By themselves at their time, or when they are taken away; a rule that is said again has its new end."""
    rules = Rules()
    a, b, c = map(parse_rule, ("device:a", "device:b", "device:c"))
    rules.add(a, 10)
    rules.add(b, 20)
    rules.add(c, None)
    assert rules.next_end() == 10
    rules.add(a, 30)
    assert (rules.next_end(), rules.expire(19)) == (20, [])
    assert rules.expire(20) == [b]
    assert (a in rules, b in rules, len(rules)) == (True, False, 2)
    assert rules.items() == [(a, 30), (c, None)]
    assert (rules.remove(a), rules.remove(a)) == (True, False)
    assert rules.next_end() is None


def test_rules_are_bounded() -> None:
    """Each costs a look at every new connection; one that is there may be said again."""
    rules = Rules()
    for number in range(MAX_RULES):
        rules.add(parse_rule(f"device:{number}"), None)
    rules.add(parse_rule("device:0"), 5)
    with pytest.raises(ValueError, match="100 rules hold already"):
        rules.add(parse_rule("device:more"), None)
