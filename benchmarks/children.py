"""The processes of a benchmark: started here, spoken to over pipes, ended by their own id."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
START_S = 15.0
"""For a process to start; FastAPI alone takes a second on a busy machine."""
ANSWER_S = 120.0
"""For one command; the longest run takes a sixth of that."""
STOP_S = 5.0


class ChildError(Exception):
    """A process did not start, did not answer, or could not do what it was told."""


def cpu_s(process: psutil.Process) -> float:
    """Return the seconds of processor time of all threads of a process, by user and system together.

    Linux tells them in nanoseconds per thread (proc(5), schedstat); elsewhere they come in hundredths of a second.
    """
    try:
        tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
        return sum(int((task / "schedstat").read_bytes().split()[0]) for task in tasks) / 1e9
    except (OSError, IndexError, ValueError):
        times = process.cpu_times()
        return float(times.user + times.system)


class Child:
    """A process that answers commands, or a server."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.name = " ".join([module, *arguments])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.process = psutil.Process(self._process.pid)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def answer(self, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Wait for the next line of JSON.

        Raises:
            ChildError: none came, or it tells of an error.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise ChildError(f"{self.name}: no answer within {timeout_s:.0f} s{self._said()}") from None
        if not line:
            raise ChildError(f"{self.name}: it ended with status {self._process.wait(STOP_S)}{self._said()}")
        try:
            result: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ChildError(f"{self.name}: it printed {line[:200]!r}") from None
        if "error" in result:
            raise ChildError(f"{self.name}: {result['error']}{self._said()}")
        return result

    def tell(self, command: str, **arguments: object) -> None:
        """Give a command; `answer` waits for its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        self._process.stdin.flush()

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Give a command and wait for its result."""
        self.tell(command, **arguments)
        return self.answer()

    def cpu_s(self) -> float:
        """Return the seconds of processor time used so far, by user and system together."""
        return cpu_s(self.process)

    def _said(self) -> str:
        """Return the end of what it wrote to standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()[-15:]
        return "".join(f"\n    {line}" for line in lines)

    def stop(self) -> None:
        """End the process and wait until it is gone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._errors.close()


class Server(Child):
    """A server to be measured; usable after `wait_ready`."""

    http: int
    devices: list[int]
    facts: dict[str, str]

    def __init__(self, kind: str) -> None:
        super().__init__("benchmarks.serve", kind)
        self.kind = kind

    def wait_ready(self) -> None:
        """Wait until it accepts.

        Raises:
            ChildError: it does not in time, or has ended.
        """
        try:
            facts = self.answer(START_S)
        except ChildError as error:
            raise ChildError(f"the server did not start: {error}") from None
        self.http = facts["http"]
        self.devices = facts["devices"]
        self.facts = {name: facts[name] for name in ("loop", "websocket")}

    def handled(self) -> dict[str, int]:
        """Return what the server says that it handled since its start."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/handled", timeout=10) as response:
            counts: dict[str, int] = json.load(response)
        return counts

    def rss(self) -> int:
        """Return the resident bytes."""
        return int(self.process.memory_info().rss)

    def settled_rss(self, most_s: float = 5.0) -> int:
        """Return the resident bytes once they have not changed for half a second."""
        deadline = time.monotonic() + most_s
        before = self.rss()
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self.rss()
            if now == before:
                break
            before = now
        return before

    def wait_descriptors(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait until it has so many descriptors open: that is how to see that it has accepted every connection.

        Raises:
            ChildError: it has not in time.
        """
        deadline = time.monotonic() + timeout_s
        while (now := self.process.num_fds()) < count:
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name}: {now} descriptors are open and not {count}: connections are missing")
            time.sleep(0.05)


class Pool:
    """The servers that run so far, one of each kind: starting one takes longer than most runs. Stops them all."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}

    def get(self, kinds: Sequence[str]) -> list[Server]:
        """Return one server of each kind, ready; those that are missing start side by side.

        Raises:
            ChildError: one does not start.
        """
        fresh = [kind for kind in kinds if kind not in self._servers]
        for kind in fresh:
            self._servers[kind] = Server(kind)
        for kind in fresh:
            self._servers[kind].wait_ready()
        return [self._servers[kind] for kind in kinds]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for server in self._servers.values():
            server.stop()


@contextmanager
def child(module: str) -> Iterator[Child]:
    process = Child(module)
    try:
        yield process
    finally:
        process.stop()
