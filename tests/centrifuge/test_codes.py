"""The codes are the protocol's, and their texts cannot mislead an SDK."""

from __future__ import annotations

import json

import pytest

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError, Unsubscribe

EVERY = [value for value in vars(codes).values() if isinstance(value, ReplyError | Unsubscribe | Disconnect)]


def test_each_code_has_one_meaning() -> None:
    """A client decides by the number alone."""
    numbers = [one.code for one in EVERY]
    assert len(numbers) == len(set(numbers)) == 14 + 4 + 21


@pytest.mark.parametrize("one", [one for one in EVERY if isinstance(one, Disconnect)], ids=lambda one: one.code)
def test_reasons_cannot_be_taken_for_advice(one: Disconnect) -> None:
    """See the top of the module: never empty, never JSON, and they fit a close frame."""
    assert 0 < len(one.reason.encode()) <= codes.MAX_REASON_BYTES
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(one.reason)


@pytest.mark.parametrize(
    ("code", "is_terminal"),
    [(3000, False), (3499, False), (3500, True), (3999, True), (4000, False), (4499, False), (4500, True)],
)
def test_which_codes_are_terminal(code: int, is_terminal: bool) -> None:
    """Half of each thousand."""
    assert Disconnect(code, "x").is_terminal is is_terminal


def test_only_what_may_pass_is_temporary() -> None:
    """The SDK repeats these by itself."""
    assert [one.code for one in EVERY if isinstance(one, ReplyError) and one.temporary] == [100, 111, 113]
