from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.publication import Mark, Position, Publication, Run, mark_after, runs_of


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
