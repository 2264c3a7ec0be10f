from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.delivery import Policy, SlowConsumer, decided, newest_per_key


@pytest.mark.parametrize(("has_history", "policy"), [(True, "catch_up"), (False, "disconnect")])
def test_auto_looks_at_the_history(has_history: bool, policy: Policy) -> None:
    """Who can catch up does; who cannot is told by the end of the connection."""
    assert decided("auto", has_history=has_history) == policy


@pytest.mark.parametrize("choice", get_args(Policy))
@pytest.mark.parametrize("has_history", [True, False])
def test_a_choice_stands(choice: Policy, has_history: bool) -> None:
    """Whatever the history."""
    assert decided(choice, has_history=has_history) == choice


def test_every_policy_can_be_chosen() -> None:
    """And `auto` besides."""
    assert set(get_args(SlowConsumer)) == {"auto", *get_args(Policy)}


def test_without_a_field_all_are_one() -> None:
    """`latest`: the last payload counts, whatever it is."""
    assert newest_per_key([b"a", b'{"k":1}', b"\xff"], "") == {"": (2, 2)}


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"text", id="no JSON"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b'["k"]', id="an array"),
        pytest.param(b'"k"', id="a string"),
        pytest.param(b"{}", id="no such field"),
        pytest.param(b'{"deep":{"k":1}}', id="deeper"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"k":' + b"9" * 5000 + b"}", id="a number that Python refuses"),
    ],
)
def test_what_has_no_key_is_of_one_kind(payload: bytes) -> None:
    """A device may send anything: it conflates with its like, and nothing is raised."""
    assert newest_per_key([payload, b'{"k":1}', payload], "k") == {"1": (1, 0), "": (2, 1)}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        pytest.param(b'{"k":1}', b'{"x":2,"k":1}', True, id="other fields do not matter"),
        pytest.param(b'{"k":"1"}', b'{"k":1}', False, id="text is no number"),
        pytest.param(b'{"k":{"a":1,"b":2}}', b'{"k":{"b":2,"a":1}}', True, id="order of an object's fields"),
        pytest.param(b'{"k":null}', b"{}", False, id="null is a value"),
        pytest.param(b'{"k":""}', b"{}", False, id="empty text is a value"),
    ],
)
def test_keys_are_compared_as_json_values(one: bytes, other: bytes, is_same: bool) -> None:
    """Two spellings of one value are one key."""
    assert len(newest_per_key([one, other], "k")) == (1 if is_same else 2)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_the_newest_of_each_key_in_the_order_of_publishing(keys: list[int]) -> None:
    """As a dictionary of last occurrences, by their place."""
    newest = newest_per_key([json.dumps({"k": key}).encode() for key in keys], "k")
    expected = {str(key): (index, keys[:index].count(key)) for index, key in enumerate(keys)}
    assert newest == expected
    assert list(newest.values()) == sorted(newest.values())
