from __future__ import annotations

import pytest

from portcast.publication import Position, Publication, Run


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
