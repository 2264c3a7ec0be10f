from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from portcast.brokers.state_file import NAME, StateFile
from portcast.errors import ConfigurationError
from portcast.events import Event, HistoryNotKept, HistoryRestored, HistorySaved
from portcast.history import HistoryLimits
from portcast.history.snapshot import RingState, Snapshot, encode
from portcast.publication import Run

RUN = Run("a", "e1", 1, 1, 5.0, [b"one", b"two"])
SNAPSHOT = Snapshot("node", 2, 0, "e1", 0, (RingState("a", "e1", 1, 2, 2, 0, 0, 5.0, (RUN,)),))


class Kept:
    """A state file in a directory of its own, and what it told."""

    def __init__(self, directory: Path, limits: HistoryLimits | None = None) -> None:
        self.directory = directory
        self.path = directory / NAME
        self.events: list[Event] = []
        self.unix_now = 1000.0
        self.file = StateFile(directory, limits or HistoryLimits(), self.events.append, lambda: self.unix_now)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    it = Kept(tmp_path / "deep" / "state")
    it.file.prepare()
    return it


def test_what_was_saved_is_taken_once(kept: Kept) -> None:
    """And nothing is left of it: whoever starts after that has new epochs."""
    kept.file.save(SNAPSHOT, now=10.0)
    assert kept.names == [NAME]
    kept.unix_now += 3
    snapshot = kept.file.take(now=100.0)
    assert snapshot is not None
    assert snapshot.rings[0].runs[0].payloads == [b"one", b"two"]
    assert snapshot.rings[0].published_at == 100.0 - 3 - 5
    assert kept.names == []
    assert kept.file.take(now=100.0) is None
    file = str(kept.path)
    assert kept.events == [HistorySaved(file, 1, 2), HistoryRestored(file, 1, 2)]


def test_it_is_private(kept: Kept) -> None:
    """Payloads are for this user only."""
    kept.file.save(SNAPSHOT, now=10.0)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.directory.stat().st_mode) == 0o700


def test_saving_again_replaces(kept: Kept) -> None:
    """The last process counts; what an interrupted one was writing is in nobody's way."""
    (kept.directory / f"{NAME}.new").write_bytes(b"half")
    (kept.directory / f"{NAME}.taken").write_bytes(b"old")
    kept.file.save(Snapshot("first", 0, 0, "e", 0, ()), now=0.0)
    kept.file.save(SNAPSHOT, now=10.0)
    snapshot = kept.file.take(now=0.0)
    assert snapshot is not None
    assert snapshot.node_epoch == "node"
    assert kept.names == []


def bad_topic() -> bytes:
    ring = RingState("a/#", "e1", 1, 2, 2, 0, 0, 5.0, (Run("a/#", "e1", 1, 1, 5.0, [b"", b""]),))
    return encode(Snapshot("node", 2, 0, "e1", 0, (ring,)), now=0.0, unix_now=0.0)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(lambda: b"\x80\x04K\x01.", "it is none", id="foreign"),
        pytest.param(lambda: encode(SNAPSHOT, now=0.0, unix_now=0.0)[:-1], "it is cut short", id="cut short"),
        pytest.param(lambda: encode(SNAPSHOT, now=0.0, unix_now=0.0)[:-1] + b"!", "it is damaged", id="damaged"),
        pytest.param(bad_topic, "it makes no sense", id="a topic that cannot be"),
    ],
)
def test_what_cannot_be_used_is_told_and_put_aside(kept: Kept, data: Callable[[], bytes], problem: str) -> None:
    """One event, nothing raised, and the file stays for whoever wants to look at it."""
    kept.path.write_bytes(data())
    assert kept.file.take(now=0.0) is None
    (event,) = kept.events
    assert isinstance(event, HistoryNotKept)
    assert (event.file, event.reason) == (str(kept.path), "not_restored")
    assert event.detail.startswith(problem)
    assert kept.names == [f"{NAME}.bad"]
    assert (kept.directory / f"{NAME}.bad").read_bytes() == data()
    kept.file.save(SNAPSHOT, now=0.0)
    assert kept.file.take(now=0.0) is not None


def test_a_file_larger_than_history_may_be_is_not_read(tmp_path: Path) -> None:
    """A limit in memory for what is on disk: history's own, and something for the names of topics."""
    it = Kept(tmp_path, HistoryLimits(total_bytes=1000, max_topics=1))
    with it.path.open("wb") as file:
        file.truncate(1000 + 400 + 65_536 + 1)
    assert it.file.take(now=0.0) is None
    (event,) = it.events
    assert isinstance(event, HistoryNotKept)
    assert "more bytes" in event.detail


@pytest.mark.parametrize("kind", ["fifo", "directory", "link"])
def test_what_is_no_file_is_left_alone(kept: Kept, kind: str) -> None:
    """Opening a pipe would wait for ever."""
    if kind == "fifo":
        os.mkfifo(kept.path)
    elif kind == "directory":
        kept.path.mkdir()
    else:
        kept.path.symlink_to("/etc/passwd")
    assert kept.file.take(now=0.0) is None
    assert kept.events == [HistoryNotKept(str(kept.path), "not_restored", "it is no regular file")]
    assert kept.names == [NAME]


def test_what_cannot_be_taken_is_not_used(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be there for the next start, too, with numbers that were given away since."""
    kept.file.save(SNAPSHOT, now=0.0)

    def refuse(path: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    assert kept.file.take(now=0.0) is None
    assert kept.events[1:] == [HistoryNotKept(str(kept.path), "not_restored", "it cannot be taken (Permission denied)")]


@pytest.mark.parametrize("failing", ["fsync", "open"])
def test_what_cannot_be_written_leaves_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """A full disk is told; half a file is never read."""

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, refuse)
    kept.file.save(SNAPSHOT, now=0.0)
    monkeypatch.undo()
    assert kept.names == []
    assert kept.events == [
        HistoryNotKept(str(kept.path), "not_saved", "it cannot be written (No space left on device)")
    ]


def test_a_directory_that_cannot_be_used_is_found_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the end, when everything would be lost."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"state_dir .*file: cannot be made \(File exists\)"):
        Kept(tmp_path / "file").file.prepare()
    with pytest.raises(ConfigurationError, match="is no path"):
        Kept(tmp_path / "a\0b").file.prepare()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        Kept(tmp_path).file.prepare()
