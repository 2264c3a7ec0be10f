"""A deploy as clients see it: ``portcast serve --state-dir`` stopped and started again, and killed."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

from cli.processes import Serving, serving
from raw_clients import Events


def port_of(it: Serving) -> int:
    port = urlsplit(it.http).port
    assert port is not None
    return port


def publish(it: Serving, *lines: str) -> list[dict[str, str]]:
    """Send lines as a device does, and return their events as a client that waits for them sees them."""
    with Events(port_of(it), "/events/a") as live:
        first = live.read()
        assert first is not None
        assert "comment" in first, "it is connected"
        with socket.create_connection(("127.0.0.1", it.port), timeout=10) as device:
            device.sendall("".join(f"{line}\n" for line in lines).encode())
            return live.take(len(lines))


def test_after_a_stop_clients_resume_exactly(tmp_path: Path) -> None:
    """The same epoch, the next offset, nothing lost or doubled; by topic and by filter."""
    with serving("--state-dir", str(tmp_path)) as before:
        seen = publish(before, "one", "two", "three")
        with Events(port_of(before), "/events/%23", last_event_id="x") as everything:
            assert everything.take(1)[0]["event"] == "gap"
            ids = [one["id"] for one in everything.take(3)]
        assert before.command.stop() == 0
        assert any("history saved" in line for line in before.command.err.rest())
    with serving("--state-dir", str(tmp_path)) as after:
        later = publish(after, "four")
        assert later[0]["id"].rpartition(":")[0] == seen[0]["id"].rpartition(":")[0]
        assert [one["id"].rpartition(":")[2] for one in [*seen, *later]] == ["1", "2", "3", "4"]
        with Events(port_of(after), "/events/a", last_event_id=seen[0]["id"]) as resumed:
            assert [(one.get("event"), one["data"]) for one in resumed.take(3)] == [
                (None, "two"),
                (None, "three"),
                (None, "four"),
            ]
        with Events(port_of(after), "/events/%23", last_event_id=ids[1]) as resumed:
            assert [(one.get("event"), one["data"]) for one in resumed.take(2)] == [(None, "three"), (None, "four")]


def test_after_a_crash_clients_are_told_of_a_gap(tmp_path: Path) -> None:
    """What an earlier stop left is not used twice."""
    with serving("--state-dir", str(tmp_path)) as first:
        seen = publish(first, "one")
        assert first.command.stop() == 0
    with serving("--state-dir", str(tmp_path)) as second:
        seen += publish(second, "two")
        assert second.command.stop(signal.SIGKILL) == -signal.SIGKILL
    with serving("--state-dir", str(tmp_path)) as third:
        publish(third, "other")
        for one in seen:
            with Events(port_of(third), "/events/a", last_event_id=one["id"]) as resumed:
                gap, other = resumed.take(2)
            assert (gap["event"], gap["data"]) == ("gap", '{"missed":1,"exact":false}')
            assert other["data"] == "other"
            assert other["id"].rpartition(":")[0] != one["id"].rpartition(":")[0]


def test_a_damaged_state_is_one_line_in_the_log(tmp_path: Path) -> None:
    """It starts all the same."""
    (tmp_path / "history.state").write_bytes(b"PORTCAST" + bytes(100))
    with serving("--state-dir", str(tmp_path)) as it:
        publish(it, "one")
        assert it.command.stop() == 0
        lines = it.command.err.rest()
    told = [line for line in lines if "history not kept" in line]
    assert len(told) == 1
    assert re.search(r'reason=not_restored detail="it is of version 0', told[0])
    assert not any("Traceback" in line for line in lines)
