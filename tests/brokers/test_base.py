from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.brokers import ResumePoint, is_single_topic, parse_resume_id, resume_id
from portcast.brokers.base import resume_at
from portcast.publication import Publication, mark_after

PUBLICATION = Publication("a", "topic-ep", 5, 77, 0.0, b"x")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["a"], "topic-ep:5"),
        (["#42"], "topic-ep:5"),
        (["a", "b"], "node-epo:*77"),
        (["a", "a"], "node-epo:*77"),
        (["+"], "node-epo:*77"),
        (["#"], "node-epo:*77"),
    ],
)
def test_one_topic_resumes_by_its_offset_and_more_by_the_sequence(filters: list[str], expected: str) -> None:
    """Only a subscription that sees one topic can be resumed by that topic's count."""
    assert resume_id(filters, PUBLICATION, "node-epo") == expected
    mark = mark_after(PUBLICATION._replace(topic=filters[0]))
    assert resume_at(filters, mark, "node-epo") == expected, "after it, however it is written"
    assert is_single_topic(filters) is ("*" not in expected)


def test_a_mark_on_another_topic_resumes_by_the_sequence() -> None:
    """Who follows one topic now may have fallen behind on another: its offset there means nothing here."""
    assert resume_at(["b"], mark_after(PUBLICATION), "node-epo") == "node-epo:*77"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc:5", ResumePoint("abc", 5, False)),
        ("abc:*5", ResumePoint("abc", 5, True)),
        ("a:b:5", ResumePoint("a:b", 5, False)),
        (":0", ResumePoint("", 0, False)),
        ("abc:9999999999999999999", ResumePoint("abc", 9999999999999999999, False)),
        ("", None),
        ("abc", None),
        ("5", None),
        ("abc:", None),
        ("abc:*", None),
        ("abc:-1", None),
        ("abc:+1", None),
        ("abc: 1", None),
        ("abc:1 ", None),
        ("abc:1_0", None),
        ("abc:1.0", None),
        ("abc:0x1", None),
        ("abc:**1", None),
        ("abc:٣", None),
        ("abc:²", None),
        ("abc:" + "9" * 5000, None),
        ("abc:*" + "9" * 10_000_000, None),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_reading_a_resume_id(text: str, expected: ResumePoint | None) -> None:
    """The text comes from a client: it is one of two forms in plain digits, or nothing."""
    assert parse_resume_id(text) == expected


@given(st.text() | st.from_regex(r"[a:*0-9]*"))
def test_no_text_raises(text: str) -> None:
    """Whatever a client sends is read or refused."""
    parse_resume_id(text)


@given(st.text(max_size=8), st.integers(0, 10**18), st.sampled_from([["a"], ["a", "b"], ["#"]]))
def test_round_trip(epoch: str, number: int, filters: list[str]) -> None:
    """What was sent as an id is read as that place, whatever an epoch is made of."""
    publication = Publication("a", epoch, number, number, 0.0, b"")
    assert parse_resume_id(resume_id(filters, publication, epoch)) == ResumePoint(epoch, number, filters != ["a"])
