"""``portcast`` in processes of its own, and waiting for what they print."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO

LIMIT_S = 12.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would configure portcast or send loopback through a proxy."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("PORTCAST_") and not k.lower().endswith("_proxy")}
    return {**ours, "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


def run(*arguments: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "portcast", *arguments],
        input=given,
        capture_output=True,
        timeout=LIMIT_S,
        env=environment(env),
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


class Lines:
    """The lines of a stream, read by a thread as they come."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.seen: list[str] = []
        self._stream = stream
        self._arrived: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(ValueError):
            for line in self._stream:
                self._arrived.put(line.decode("utf-8", "backslashreplace").rstrip("\n"))
        self._arrived.put(None)

    def wait(self, pattern: str) -> re.Match[str]:
        """Return the first match of ``pattern`` in a line not yet looked at."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                line = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no line like {pattern!r} in {self.seen}"
            self.seen.append(line)
            if match := re.search(pattern, line):
                return match

    def rest(self) -> list[str]:
        """Return all lines, once the stream has ended."""
        while (line := self._arrived.get(timeout=LIMIT_S)) is not None:
            self.seen.append(line)
        return self.seen


class Running:
    """A command that runs until it is told to stop."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portcast", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out = Lines(self.process.stdout)
        self.err = Lines(self.process.stderr)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the status."""
        self.process.send_signal(sig)
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        """End it by force if it has not ended, and let go of its streams."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@contextmanager
def running(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A command for the time of a block."""
    command = Running(*arguments, env=env)
    try:
        yield command
    finally:
        command.close()


class Serving:
    """A gateway on ports that the system chose."""

    def __init__(self, command: Running) -> None:
        self.command = command
        self.http = command.out.wait(r"live page +(http://\S+)/")[1]
        self.port = int(command.out.wait(r"tcp://127\.0\.0\.1:(\d+)")[1])
        self.block = [*command.out.seen]
        command.out.wait("Press Ctrl-C")


@contextmanager
def serving(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """``portcast serve`` on free ports, ready; the first listener publishes to ``a``."""
    chosen = ["--http", "127.0.0.1:0", "--listen", "tcp://127.0.0.1:0?topic=a"]
    with running("serve", *chosen, *arguments, env=env) as command:
        yield Serving(command)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds; fail after a while."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)
