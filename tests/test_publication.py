from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.errors import TagError
from portcast.publication import Mark, Meta, Position, Publication, Run, mark_after, runs_of


def run(topic: str = "t", epoch: str = "e", offset: int = 1, sequence: int = 1, *payloads: bytes) -> Run:
    return Run(topic, epoch, offset, sequence, 5.0, list(payloads or (b"a", b"b")))


def test_a_position_reads_as_epoch_and_offset() -> None:
    """The text is what clients resume from."""
    assert str(Position("e1", 7)) == "e1:7"


def test_a_run_numbers_its_publications() -> None:
    """Publication i has offset first_offset + i and sequence first_sequence + i."""
    assert run(offset=3, sequence=9).publications() == [
        Publication("t", "e", 3, 9, 5.0, b"a"),
        Publication("t", "e", 4, 10, 5.0, b"b"),
    ]
    assert len(run()) == 2


@pytest.mark.parametrize(
    ("other", "is_continued"),
    [
        pytest.param(run(offset=3, sequence=3), True, id="next"),
        pytest.param(run(offset=3, sequence=4), False, id="another topic between"),
        pytest.param(run("u", offset=1, sequence=3), False, id="another topic"),
        pytest.param(run(epoch="f", offset=1, sequence=3), False, id="another epoch"),
    ],
)
def test_a_run_is_continued_by_what_follows_directly(other: Run, is_continued: bool) -> None:
    """Only what keeps the order of all topics may be joined."""
    assert run().is_continued_by(other) is is_continued


def _publication(topic: str, sequence: int, at: float = 0.0, offset: int | None = None) -> Publication:
    return Publication(topic, "e", sequence if offset is None else offset, sequence, at, b"%d" % sequence)


def test_runs_join_what_is_consecutive() -> None:
    """Fewer batches, the same publications in the same order."""
    one = [_publication("a", 1), _publication("a", 2), _publication("b", 3, offset=1), _publication("a", 4, offset=3)]
    runs = runs_of(one)
    assert [(run.topic, run.payloads) for run in runs] == [("a", [b"1", b"2"]), ("b", [b"3"]), ("a", [b"4"])]
    assert [one for run in runs for one in run.publications()] == one


def test_runs_do_not_join_across_gaps_and_times() -> None:
    """A run has one time, and its offsets have no holes."""
    assert len(runs_of([_publication("a", 1, 0.0), _publication("a", 2, 1.0)])) == 2
    assert len(runs_of([_publication("a", 1), _publication("a", 3)])) == 2
    assert runs_of([]) == []


def test_the_mark_after_a_publication_names_it() -> None:
    """What follows it, by the topic's numbers or by the node's."""
    assert mark_after(_publication("a", 9, offset=4)) == Mark("a", "e", 4, 9)


def test_the_start_of_a_run_is_before_its_first_publication() -> None:
    """Whoever resumes there gets all of the run; before the very first publication both numbers are 0."""
    assert run(offset=3, sequence=9).start == Mark("t", "e", 2, 8)
    assert run().start == Mark("t", "e", 0, 0)


@pytest.mark.parametrize("index", [0, 1])
def test_one_of_a_run_keeps_its_place(index: int) -> None:
    """A publication taken out of its run has the numbers that it had there."""
    one = run(offset=3, sequence=9).only(index)
    assert one.publications() == [run(offset=3, sequence=9).publications()[index]]


@given(st.lists(st.tuples(st.sampled_from("tu"), st.integers(1, 2), st.sampled_from([0.0, 1.0])), max_size=20))
def test_runs_have_the_publications_that_they_were_made_of(steps: list[tuple[str, int, float]]) -> None:
    """Nothing is lost, doubled or reordered by joining."""
    offsets = {"t": 0, "u": 0}
    sequence = 0
    publications = []
    for topic, step, at in steps:
        offsets[topic] += 1
        sequence += step
        publications.append(Publication(topic, "e", offsets[topic], sequence, at, b"%d" % sequence))
    runs = runs_of(publications)
    assert [one for run in runs for one in run.publications()] == publications
    assert all(len(run) for run in runs)


class TestMeta:
    def test_it_is_a_value(self) -> None:
        """Equal by content, hashable, frozen, its tags too: history and all subscribers share it."""
        given_tags = {"unit": "C"}
        one = Meta(given_tags, user="ada", client="c1", conn_info=b"{}", chan_info=b"[]")
        given_tags["unit"] = "F"
        assert one.tags == {"unit": "C"}
        assert one == Meta({"unit": "C"}, user="ada", client="c1", conn_info=b"{}", chan_info=b"[]")
        assert hash(one) == hash(Meta({"unit": "C"}, user="ada", client="c1", conn_info=b"{}", chan_info=b"[]"))
        assert one != Meta({"unit": "F"}, user="ada", client="c1", conn_info=b"{}", chan_info=b"[]")
        with pytest.raises(TypeError):
            one.tags["unit"] = "K"  # type: ignore[index]  # that is the point
        with pytest.raises(FrozenInstanceError):
            one.user = "eve"  # type: ignore[misc]  # that is the point

    def test_its_size_is_what_it_holds(self) -> None:
        """In UTF-8: history must not keep a megabyte of tags as one byte of payload."""
        assert Meta().size == 0
        assert Meta({"ä": "bc"}, user="d", client="ef", conn_info=b"ghi", chan_info=b"j").size == 2 + 2 + 1 + 2 + 3 + 1

    @pytest.mark.parametrize(
        "tags",
        [
            pytest.param({str(i): "" for i in range(32)}, id="32"),
            pytest.param({"k" * 255: "ä" * 255}, id="255 characters"),
        ],
    )
    def test_takes_tags_up_to_the_limits(self, tags: dict[str, str]) -> None:
        """The limits are inclusive, and count characters."""
        assert Meta(tags).tags == tags

    @pytest.mark.parametrize(
        ("tags", "problem"),
        [
            pytest.param({str(i): "" for i in range(33)}, "there are 33", id="too many"),
            pytest.param({"k" * 256: ""}, "longer than 255", id="long key"),
            pytest.param({"k": "v" * 256}, "longer than 255", id="long value"),
            pytest.param({"": "v"}, "a key is empty", id="empty key"),
            pytest.param({"k": 5}, "'5' is no text", id="a number"),
            pytest.param({b"k": "v"}, "is no text", id="bytes"),
            pytest.param({"k": "\ud800"}, "surrogate", id="surrogate"),
        ],
    )
    def test_refuses_other_tags(self, tags: dict[Any, Any], problem: str) -> None:
        """What no client could be told is refused where it is published; the error stays short."""
        with pytest.raises(TagError, match=problem) as caught:
            Meta(tags)
        assert len(str(caught.value)) < 200

    def test_refuses_a_user_that_utf8_cannot_express(self) -> None:
        """It may come from a token's JSON, which can write such text."""
        with pytest.raises(TagError, match="surrogate"):
            Meta(user="\udfff")


def test_a_run_shares_its_meta_with_its_publications() -> None:
    """Whole, one by one, and in part."""
    meta = Meta({"k": "v"})
    one = Run("t", "e", 1, 1, 5.0, [b"a", b"b"], meta)
    assert [publication.meta for publication in one.publications()] == [meta, meta]
    assert one.only(1).meta is meta
    assert one.slice(1, 2) == one.publications()[1:]
    assert run().publications()[0].meta is None


@pytest.mark.parametrize(
    ("meta", "other", "is_continued"),
    [
        pytest.param(None, Meta(), False, id="none and some"),
        pytest.param(Meta({"k": "v"}), Meta({"k": "v"}), True, id="equal"),
        pytest.param(Meta({"k": "v"}), Meta({"k": "w"}), False, id="different"),
    ],
)
def test_runs_join_only_with_equal_meta(meta: Meta | None, other: Meta | None, is_continued: bool) -> None:
    """A run has one meta; joining must not give a publication another's tags."""
    first = Run("t", "e", 1, 1, 5.0, [b"a"], meta)
    second = Run("t", "e", 2, 2, 5.0, [b"b"], other)
    assert first.is_continued_by(second) is is_continued
    publications = [*first.publications(), *second.publications()]
    runs = runs_of(publications)
    assert len(runs) == 2 - is_continued
    assert [one for run in runs for one in run.publications()] == publications


def test_what_is_taken_out_of_a_run_does_not_know_what_was_before() -> None:
    """It is taken out for those who do not get the rest: a delta against it would be garbage to them."""
    one = Run("t", "e", 2, 2, 5.0, [b"a", b"b"], None, b"before")
    assert one.previous == b"before"
    assert [one.only(0).previous, one.only(1).previous] == [None, None]
    assert [each.previous for each in runs_of(one.publications())] == [None]
