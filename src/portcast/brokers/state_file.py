"""The file in which a broker's history survives a clean stop.

A snapshot is used once. It goes on with epochs and offsets as they were when it was written; whoever published after it
in the same epoch would give the same numbers to other publications, and clients would not notice what they missed. So
it is written when nothing is published any more, and is taken away before anything is: after a crash there is none, and
the next start has new epochs.

Files in the directory, ``history.state`` and beside it:

* ``.new``: being written; renamed when it is whole and on disk.
* ``.taken``: being read. Renaming is what takes it, so that of two processes one gets it.
* ``.bad``: the last one that could not be used, for whoever wants to know why.

Nothing here is worth a failed start or stop, except a directory that cannot be used at all: that is found at start.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from portcast.errors import ConfigurationError, SnapshotError, TopicError
from portcast.events import Emit, HistoryNotKept, HistoryRestored, HistorySaved
from portcast.history import HistoryLimits
from portcast.history.snapshot import Snapshot, decode, encode
from portcast.topics import validate_topic

NAME = "history.state"

_TOPIC_BYTES = 400
"""A topic without history, with the longest name."""
_OTHER_BYTES = 65_536


class StateFile:
    """Writes a snapshot at the end of one process and gives it to the next, once."""

    def __init__(
        self,
        directory: str | Path,
        limits: HistoryLimits,
        emit: Emit,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """Name the file; nothing is touched yet.

        Args:
            directory: made if it is not there.
            limits: what history may hold, and so how large a file is read.
            emit: is told what became of it.
            unix_time: the wall clock.
        """
        self._directory = Path(directory)
        self._path = self._directory / NAME
        self._most_bytes = limits.total_bytes + limits.max_topics * _TOPIC_BYTES + _OTHER_BYTES
        self._emit = emit
        self._unix_time = unix_time

    def prepare(self) -> None:
        """Make the directory, for this user only, unless it is there.

        Raises:
            ConfigurationError: it cannot be made or written to.
        """
        key = f"state_dir {self._directory}"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(key, f"cannot be made ({error.strerror})") from error
        except ValueError as error:
            raise ConfigurationError(key, "is no path") from error
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise ConfigurationError(key, "cannot be written to", "name a directory of this user")

    def take(self, now: float) -> Snapshot | None:
        """Return the snapshot and let nobody have it again; None if there is none that can be used.

        Args:
            now: the monotonic time.
        """
        taken = self._beside("taken")
        try:
            if not stat.S_ISREG(self._path.lstat().st_mode):
                self._not_kept("not_restored", "it is no regular file")
                return None
            self._path.replace(taken)
            self._sync_directory()
            with taken.open("rb") as file:
                data = file.read(self._most_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._not_kept("not_restored", f"it cannot be taken ({error.strerror})")
            return None
        snapshot = self._read(data, now)
        with suppress(OSError):
            if snapshot is None:
                taken.replace(self._beside("bad"))
            else:
                taken.unlink()
        return snapshot

    def _read(self, data: bytes, now: float) -> Snapshot | None:
        if len(data) > self._most_bytes:
            self._not_kept("not_restored", f"it has more bytes than history may have, {self._most_bytes}")
            return None
        try:
            snapshot = decode(data, now=now, unix_now=self._unix_time())
            for ring in snapshot.rings:
                validate_topic(ring.topic)
        except SnapshotError as error:
            self._not_kept("not_restored", error.problem)
            return None
        except TopicError:
            self._not_kept("not_restored", "it makes no sense")
            return None
        self._emit(HistoryRestored(str(self._path), len(snapshot.rings), _publications(snapshot)))
        return snapshot

    def save(self, snapshot: Snapshot, now: float) -> None:
        """Write the snapshot, whole or not at all; it is on disk when this returns.

        Args:
            snapshot: to be taken by the next start.
            now: the monotonic time.
        """
        new = self._beside("new")
        try:
            new.unlink(missing_ok=True)
            # Payloads may be private. A name that somebody else has put there meanwhile is not followed.
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(encode(snapshot, now=now, unix_now=self._unix_time()))
                file.flush()
                os.fsync(descriptor)
            new.replace(self._path)
            self._sync_directory()
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            self._not_kept("not_saved", f"it cannot be written ({error.strerror})")
            return
        self._emit(HistorySaved(str(self._path), len(snapshot.rings), _publications(snapshot)))

    def _beside(self, suffix: str) -> Path:
        return self._directory / f"{NAME}.{suffix}"

    def _sync_directory(self) -> None:
        """Make a renaming last: a power cut must not bring back a snapshot that was taken."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _not_kept(self, reason: Literal["not_restored", "not_saved"], detail: str) -> None:
        self._emit(HistoryNotKept(str(self._path), reason, detail))


def _publications(snapshot: Snapshot) -> int:
    return sum(ring.last_offset - ring.evicted_offset for ring in snapshot.rings)
