from __future__ import annotations

from collections.abc import Awaitable

import pytest

from portcast.centrifuge.codes import DENIED, EXPIRED, NOT_AVAILABLE, Disconnect, ReplyError
from portcast.web.sdk_access import Answer, Verdict
from portcast.web.sdk_answers import then

pytestmark = pytest.mark.anyio


async def later(verdict: Verdict[int]) -> Verdict[int]:
    return verdict


def doubled(value: int) -> Verdict[int]:
    return value * 2


def doubled_later(value: int) -> Answer[int]:
    return later(value * 2)


async def settled(answer: Answer[int]) -> Verdict[int]:
    return await answer if isinstance(answer, Awaitable) else answer


def test_what_is_there_is_answered_at_once() -> None:
    """Nobody waits for a decision that was made already."""
    assert then(4, doubled) == 8


async def test_whatever_must_be_waited_for() -> None:
    """Each of the two may be there at once or later."""
    assert await settled(then(later(4), doubled)) == 8
    assert await settled(then(4, doubled_later)) == 8
    assert await settled(then(later(4), doubled_later)) == 8


@pytest.mark.parametrize("refusal", [NOT_AVAILABLE, DENIED], ids=["error", "disconnect"])
async def test_a_refusal_is_the_answer(refusal: ReplyError | Disconnect) -> None:
    """What follows is not called, and the refusal can be exchanged."""
    assert then(refusal, doubled) is refusal
    assert await settled(then(later(refusal), doubled)) is refusal
    assert then(refusal, doubled, lambda _: EXPIRED) is EXPIRED
    assert await settled(then(later(refusal), doubled, lambda _: EXPIRED)) is EXPIRED
