"""What a subscriber gets of history: every rule of the protocol, and a model over a real ring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.centrifuge.codes import BAD_REQUEST, UNRECOVERABLE_POSITION, ReplyError
from portcast.centrifuge.messages import (
    RECOVERY_MUST_SUCCEED,
    HistoryRequest,
    HistoryResult,
    StreamPosition,
    SubscribeRequest,
    SubscribeResult,
)
from portcast.centrifuge.messages import Publication as PublicationMessage
from portcast.centrifuge.recovery import (
    MAX_PAGE,
    MAX_RECOVERED,
    Mode,
    Read,
    history_result,
    subscribe_result,
    wanted_by_history,
    wanted_by_subscribe,
)
from portcast.history import HistoryLimits
from portcast.history.ring import Ring
from portcast.publication import Position, Publication

TOP = Position("ab", 9)


def publications(*offsets: int) -> list[Publication]:
    return [Publication("a", "ab", offset, offset, 0.0, b"%d" % offset) for offset in offsets]


def to_message(one: Publication) -> PublicationMessage:
    return PublicationMessage(one.data, offset=one.offset)


def messages(*offsets: int) -> list[PublicationMessage]:
    return [PublicationMessage(b"%d" % offset, offset=offset) for offset in offsets]


def is_even(one: Publication) -> bool:
    return one.offset % 2 == 0


def asked(offset: int = 0, epoch: str = "", flag: int = 0, recover: bool = True) -> SubscribeRequest:
    return SubscribeRequest("a", recover=recover, offset=offset, epoch=epoch, flag=flag)


def answer(
    request: SubscribeRequest, found: Sequence[Publication], mode: Mode = "stream", top: Position = TOP, **kwargs: Any
) -> SubscribeResult | ReplyError:
    return subscribe_result(request, mode, top, found, to_message, **kwargs)


def result(**changes: Any) -> SubscribeResult:
    return SubscribeResult(recoverable=True, positioned=True, epoch="ab", **changes)


def success(offset: int, *offsets: int) -> SubscribeResult:
    return result(offset=offset, recovered=True, was_recovering=True, publications=messages(*offsets))


FAILURE = result(offset=9, was_recovering=True, publications=[])


# Subscribing: what is read


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked(7, "ab"), Read(Position("ab", 7), MAX_RECOVERED, False)),
        (asked(7), Read(Position("ab", 7), MAX_RECOVERED, False)),
        (asked(7, "ab", recover=False), None),
        (asked(7, "cd"), None),
        (asked(9, "ab"), None),
        (asked(10, "ab"), None),
    ],
    ids=["same epoch", "any epoch", "fresh", "other epoch", "up to date", "in the future"],
)
def test_a_stream_is_read_only_where_it_can_be_recovered(request_: SubscribeRequest, expected: Read | None) -> None:
    """History is not read in vain: a thousand clients may come back at once."""
    assert wanted_by_subscribe(request_, "stream", TOP) == expected


def test_a_stream_is_not_read_for_more_than_the_limit() -> None:
    """300 can be recovered, 301 cannot."""
    top = Position("ab", MAX_RECOVERED + 1)
    assert wanted_by_subscribe(asked(0), "stream", top) is None
    assert wanted_by_subscribe(asked(1), "stream", top) == Read(Position("ab", 1), MAX_RECOVERED, False)


@pytest.mark.parametrize("recover", [True, False])
def test_a_cache_is_read_whether_asked_or_not(recover: bool) -> None:
    """One publication; with a filter all that may hold the newest visible one."""
    request = asked(recover=recover)
    assert wanted_by_subscribe(request, "cache", TOP) == Read(None, 1, True)
    assert wanted_by_subscribe(request, "cache", TOP, is_filtered=True) == Read(None, MAX_RECOVERED, True)


def test_without_history_nothing_is_read() -> None:
    """Wildcards have none of their own."""
    assert wanted_by_subscribe(asked(7, "ab"), "none", TOP) is None


# Subscribing: what is answered


@pytest.mark.parametrize(
    ("request_", "found", "expected"),
    [
        (asked(7, "ab", recover=False), (), result(offset=9, publications=[])),
        (asked(7, "ab"), (8, 9), success(7, 8, 9)),
        (asked(7), (8, 9), success(7, 8, 9)),
        (asked(9, "ab"), (), success(9)),
        (asked(0, "ab"), (1, 2, 3, 4, 5, 6, 7, 8, 9), success(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (asked(7, "cd"), (8, 9), FAILURE),
        (asked(9, "cd"), (), FAILURE),
        (asked(5, "ab"), (8, 9), FAILURE),
        (asked(5, "ab"), (6, 7), FAILURE),
        (asked(7, "ab"), (), FAILURE),
        (asked(12, "ab"), (), FAILURE),
    ],
    ids=[
        "fresh: the top, no publications",
        "all is held",
        "an empty epoch fits",
        "nothing missed",
        "from the beginning",
        "other epoch",
        "other epoch, same offset",
        "the oldest is gone",
        "the newest was not read",
        "all is gone",
        "a position in the future",
    ],
)
def test_streams(request_: SubscribeRequest, found: Sequence[int], expected: SubscribeResult) -> None:
    """``isStreamRecovered`` of the reference server; a success returns the offset that was asked for."""
    assert answer(request_, publications(*found)) == expected


def test_the_first_publication_ever_is_recovered_by_an_empty_topic() -> None:
    """A client that was there before the first publication resumes from offset 0."""
    assert answer(asked(0, "ab"), [], top=Position("ab", 0)) == success(0)


def test_at_most_300_are_recovered() -> None:
    """More are a failure, even if they are all there."""
    many = range(1, MAX_RECOVERED + 2)
    top = Position("ab", MAX_RECOVERED + 1)
    assert answer(asked(1), publications(*many[1:]), top=top) == success(1, *many[1:])
    failed = answer(asked(0), publications(*many), top=top)
    assert isinstance(failed, SubscribeResult)
    assert (failed.recovered, failed.offset, failed.publications) == (False, MAX_RECOVERED + 1, [])


@pytest.mark.parametrize("flag", [RECOVERY_MUST_SUCCEED, RECOVERY_MUST_SUCCEED | 1])
def test_a_client_may_ask_for_an_error_instead_of_a_failure(flag: int) -> None:
    """112 with bit 2 of ``flag``; only for a recovery that was asked for and failed."""
    assert answer(asked(7, "cd", flag), ()) is UNRECOVERABLE_POSITION
    assert answer(asked(7, "ab", flag), publications(8, 9)) == success(7, 8, 9)
    assert answer(asked(7, "cd", flag, recover=False), ()) == result(offset=9, publications=[])
    assert answer(asked(7, "cd", 1), ()) == FAILURE


def test_hidden_publications_are_not_holes() -> None:
    """They are not sent; the client's offset catches up with the next one that it sees."""
    assert answer(asked(5), publications(6, 7, 8, 9), is_visible=is_even) == success(5, 6, 8)
    assert answer(asked(5), publications(7, 8, 9), is_visible=is_even) == FAILURE


@pytest.mark.parametrize(
    ("request_", "found", "expected"),
    [
        (asked(recover=False), (9,), success(0, 9)),
        (asked(), (9,), success(0, 9)),
        (asked(7, "ab"), (9,), success(7, 9)),
        (asked(9, "cd"), (9,), success(9, 9)),
        (asked(9), (9,), success(9, 9)),
        (asked(9, "ab"), (9,), success(9)),
        (asked(9, "ab"), (), success(9)),
        (asked(7, "ab"), (), FAILURE),
        (asked(recover=False), (), FAILURE),
        (asked(7, "ab", RECOVERY_MUST_SUCCEED), (), FAILURE),
        (asked(), (8,), FAILURE),
    ],
    ids=[
        "fresh",
        "asked with an empty position",
        "behind",
        "other epoch",
        "empty epoch is another one",
        "has the newest",
        "has the newest, which is gone",
        "nothing is held",
        "fresh, nothing is held",
        "no error 112",
        "what is held is not the newest",
    ],
)
def test_caches(request_: SubscribeRequest, found: Sequence[int], expected: SubscribeResult) -> None:
    """``isCacheRecovered``: the newest publication, with ``recovered``, or SDKs drop it for server-side channels."""
    assert answer(request_, publications(*found), "cache") == expected


def test_a_cache_without_any_publication_has_recovered_nothing() -> None:
    """Offset 0 is no state that a client could have already, although it is the top."""
    assert answer(asked(0, "ab"), (), "cache", top=Position("ab", 0)) == result(was_recovering=True, publications=[])


def test_a_cache_sends_the_newest_that_is_visible() -> None:
    """If there is none, only a client that is up to date has recovered."""
    found = publications(9, 8, 7)
    assert answer(asked(), found, "cache", is_visible=is_even) == success(0, 8)
    assert answer(asked(), found, "cache", is_visible=lambda _: False) == FAILURE
    assert answer(asked(9, "ab"), found, "cache", is_visible=lambda _: False) == success(9)


@pytest.mark.parametrize("request_", [asked(), asked(7, "ab", RECOVERY_MUST_SUCCEED), asked(recover=False)])
def test_what_has_no_history_has_no_position(request_: SubscribeRequest) -> None:
    """Wildcards, and topics without history: nothing is recoverable, and nothing is an error."""
    assert answer(request_, (), "none") == SubscribeResult(was_recovering=request_.recover)


# History pages


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, 0), (1, 1), (300, 300), (301, MAX_PAGE), (2**31 - 1, MAX_PAGE), (-1, MAX_PAGE)]
)
def test_pages_are_capped(limit: int, expected: int) -> None:
    """0 is the position alone, a negative limit is no limit."""
    assert wanted_by_history(HistoryRequest("a", limit), TOP) == Read(None, expected, False)
    assert wanted_by_history(HistoryRequest("a", limit, reverse=True), TOP) == Read(None, expected, True)


@pytest.mark.parametrize(
    ("since", "reverse", "expected"),
    [
        (StreamPosition(7, "ab"), False, Read(Position("ab", 7), 5, False)),
        (StreamPosition(7), False, Read(Position("ab", 7), 5, False)),
        (StreamPosition(0), False, Read(Position("ab", 0), 5, False)),
        (StreamPosition(7, "ab"), True, Read(Position("ab", 7), 5, True)),
        (StreamPosition(10, "ab"), True, Read(Position("ab", 10), 5, True)),
        (StreamPosition(11, "ab"), True, Read(Position("ab", 11), 0, True)),
        (StreamPosition(7, "cd"), False, UNRECOVERABLE_POSITION),
        (StreamPosition(7, "cd"), True, UNRECOVERABLE_POSITION),
        (StreamPosition(0, "ab"), True, BAD_REQUEST),
        (StreamPosition(0, "cd"), True, BAD_REQUEST),
    ],
    ids=str,
)
def test_pages_from_a_position(since: StreamPosition, reverse: bool, expected: Read | ReplyError) -> None:
    """Another epoch is 112; nothing lies before the first publication: 107."""
    assert wanted_by_history(HistoryRequest("a", 5, since, reverse), TOP) == expected


def test_a_page_holds_what_was_read_and_the_top() -> None:
    """In the order in which it was read."""
    assert history_result(TOP, publications(9, 8), to_message) == HistoryResult(messages(9, 8), "ab", 9)
    assert history_result(TOP, [], to_message) == HistoryResult([], "ab", 9)


# Over a ring


def a_ring(published: int, kept: int) -> Ring:
    ring = Ring("a", "ab", HistoryLimits(publications=kept), 0.0)
    for number in range(1, published + 1):
        ring.append([b"%d" % number], number, 0.0)
    return ring


@given(
    published=st.integers(0, 12),
    kept=st.integers(0, 12),
    offset=st.integers(-1, 14),
    epoch=st.sampled_from(["", "ab", "cd"]),
    visible=st.none() | st.frozensets(st.integers(1, 12)),
)
def test_a_recovered_stream_is_exactly_what_was_missed(
    published: int, kept: int, offset: int, epoch: str, visible: frozenset[int] | None
) -> None:
    """Recovered means: the client that replays has everything; and it is only refused when it could not."""
    ring = a_ring(published, kept)
    request = asked(offset, epoch)
    read = wanted_by_subscribe(request, "stream", ring.position)
    found = ring.read(**read._asdict()) if read else []
    got = answer(
        request, found, top=ring.position, is_visible=None if visible is None else lambda one: one.offset in visible
    )
    assert isinstance(got, SubscribeResult)
    can = epoch != "cd" and ring.evicted_offset <= offset <= published
    assert got.recovered is can
    assert got.offset == (offset if can else published)
    missed = [number for number in range(offset + 1, published + 1) if visible is None or number in visible]
    assert got.publications == (messages(*missed) if can else [])


@given(
    published=st.integers(0, 12),
    kept=st.integers(0, 12),
    limit=st.integers(-1, 14),
    offset=st.none() | st.integers(-1, 15),
    reverse=st.booleans(),
)
def test_pages_over_a_ring(published: int, kept: int, limit: int, offset: int | None, reverse: bool) -> None:
    """A page is the part of what is held that was asked for."""
    ring = a_ring(published, kept)
    since = None if offset is None else StreamPosition(offset, "ab")
    read = wanted_by_history(HistoryRequest("a", limit, since, reverse), ring.position)
    if reverse and offset == 0:
        assert read is BAD_REQUEST
        return
    assert isinstance(read, Read)
    page = history_result(ring.position, ring.read(**read._asdict()), to_message)
    held = list(range(ring.evicted_offset + 1, published + 1))
    if reverse:
        held = held[::-1]
    if offset is not None and reverse:
        held = [number for number in held if number < offset <= published + 1]
    elif offset is not None:
        held = [number for number in held if number > offset]
    assert page == HistoryResult(messages(*held[: None if limit < 0 else limit]), "ab", published)
