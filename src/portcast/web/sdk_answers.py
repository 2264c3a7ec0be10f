"""Going on with an `Answer`, at once where that is possible.

Most answers of the rules are there at once, and a coroutine for each would cost more than the decision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.web.sdk_access import Answer, Verdict

T = TypeVar("T")
U = TypeVar("U")

Refusal = ReplyError | Disconnect
"""Why not."""


def then(
    answer: Answer[T],
    follow: Callable[[T], Answer[U]],
    refuse: Callable[[Refusal], Refusal] = lambda refusal: refusal,
) -> Answer[U]:
    """Return what follows from an answer.

    Args:
        answer: a verdict, or one to wait for.
        follow: takes what was asked for; not called after a refusal.
        refuse: takes the refusal, and returns the one that counts.
    """
    if isinstance(answer, Awaitable):
        return _later(answer, follow, refuse)
    return refuse(answer) if isinstance(answer, ReplyError | Disconnect) else follow(answer)


async def _later(
    answer: Awaitable[Verdict[T]],
    follow: Callable[[T], Answer[U]],
    refuse: Callable[[Refusal], Refusal],
) -> Verdict[U]:
    next_answer = then(await answer, follow, refuse)
    return await next_answer if isinstance(next_answer, Awaitable) else next_answer
