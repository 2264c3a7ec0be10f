"""Tests of `portcast.cli.record`: what is asked of the API, and what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from portcast.cli import record as module
from portcast.cli.record import record

Asked = list[tuple[str, str]]


def frame(number: int, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "at": 3723.5,
        "kind": "in",
        "device": "a",
        "connection": "c",
        "listener": "l",
        "size": 2,
        "hex": "4f4b",
        "text": "OK",
        "is_redacted": False,
        "is_truncated": False,
        "skipped": 0,
        "detail": "",
        **more,
    }


def page(*frames: dict[str, Any], following: int | None = None) -> dict[str, Any]:
    return {"is_recording": True, "frames": list(frames), "next": following}


class Api:
    """Keeps what was asked, and answers what the test says."""

    def __init__(self) -> None:
        self.asked: Asked = []
        self.answers: list[Any] = []
        self.now = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def call(
        self,
        url: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str,
        hints: Mapping[int, str] | None = None,
    ) -> Any:
        assert token == "k"
        self.asked.append((method, path))
        return None if method != "GET" else self.answers.pop(0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    fake = Api()
    monkeypatch.setenv("PORTCAST_TOKEN", "k")  # an operator's, in each request
    monkeypatch.setattr(module, "call", fake.call)
    monkeypatch.setattr(module, "time", fake)
    return fake


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        ("boiler-1", "device%3Aboiler-1"),
        ("a b", "device%3Aa%20b"),
        ("device:peer:x", "device%3Apeer%3Ax"),
        ("peer:192.0.2.*", "peer%3A192.0.2.%2A"),
        ("listener:tcp://127.0.0.1:8001", "listener%3Atcp%3A%2F%2F127.0.0.1%3A8001"),
        ("imei:35", "device%3Aimei%3A35"),
        ("peer", "device%3Apeer"),
    ],
)
def test_on_and_off(what: str, rule: str, api: Api) -> None:
    """An id alone is a device's, whatever colons it has unless a kind stands in front."""
    assert CliRunner().invoke(record, [what, "--on", "--for", "60"]).exit_code == 0
    assert CliRunner().invoke(record, [what, "--off"]).exit_code == 0
    assert api.asked == [
        ("PUT", f"/api/recorder/rules/{rule}?for=60"),
        ("DELETE", f"/api/recorder/rules/{rule}"),
    ]


def test_what_is_recorded_is_shown_page_by_page(api: Api) -> None:
    """Nothing is turned on for it."""
    api.answers += [page(frame(1), following=1), page(frame(2, kind="out"))]
    done = CliRunner().invoke(record, ["a", "--show"])
    assert [line.split() for line in done.output.splitlines()] == [
        ["01:02:03.500", "a", "<", "2", "B", "4f", "4b", "|OK|"],
        ["01:02:03.500", "a", ">", "2", "B", "4f", "4b", "|OK|"],
    ]
    assert api.asked == [
        ("GET", "/api/devices/a/frames?limit=1000&after=0"),
        ("GET", "/api/devices/a/frames?limit=1000&after=1"),
    ]


def test_lines_say_what_is_missing_and_why(api: Api) -> None:
    """And nothing that came from a device moves the cursor."""
    api.answers.append(
        page(
            frame(1, kind="opened", device=None, detail="192.0.2.7:1"),
            frame(2, skipped=7, hex="1b" * 100, size=200, is_truncated=True, is_redacted=True),
            frame(3, kind="refused", detail="oversize frame: \x1b[31m", hex=""),
            frame(4, kind="closed", detail=""),
        )
    )
    lines = CliRunner().invoke(record, ["listener:*", "--show"]).output.splitlines()
    assert lines[0].split()[1:] == ["c", "-", "opened", "192.0.2.7:1"]
    assert lines[1].endswith("... 7 frames were too fast to be recorded")
    assert "1b 1b ...  |\\x1b" in lines[2]
    assert lines[2].endswith("| (redacted)")
    assert lines[2].count("1b ") == 64
    assert lines[3].endswith("! 2 B    ||  oversize frame: \\x1b[31m")
    assert lines[4].endswith("- closed")
    assert api.asked == [("GET", "/api/recorder/frames?limit=1000&after=0")]


def test_json_is_what_the_api_says(api: Api) -> None:
    """One object per line."""
    api.answers.append(page(frame(1), frame(2)))
    done = CliRunner().invoke(record, ["a*", "--show", "--json"])
    assert [json.loads(line) for line in done.output.splitlines()] == [frame(1), frame(2)]


def test_it_follows_until_the_time_is_over(api: Api) -> None:
    """Only what is new; then the recording has ended by itself."""
    api.answers += [{"last_number": 5}, page(frame(6)), page(), page(frame(9))]
    done = CliRunner().invoke(record, ["a", "--for", "1"])
    assert done.exit_code == 0
    assert done.stderr == "recording device:a for 1 s; Ctrl-C ends it\n"
    assert len(done.stdout.splitlines()) == 2
    assert api.asked == [
        ("GET", "/api/recorder?limit=1"),
        ("PUT", "/api/recorder/rules/device%3Aa?for=1"),
        ("GET", "/api/devices/a/frames?limit=1000&after=5"),
        ("GET", "/api/devices/a/frames?limit=1000&after=6"),
        ("GET", "/api/devices/a/frames?limit=1000&after=6"),  # what came since the last look
    ]


def test_ctrl_c_ends_the_recording(api: Api) -> None:
    """It must not go on unseen for the rest of its time, and what it recorded until then is shown."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    api.on_sleep = interrupt
    api.answers += [{"last_number": 0}, page(), page(frame(1))]
    done = CliRunner().invoke(record, ["a"])
    assert done.exit_code != 0
    assert len(done.stdout.splitlines()) == 1
    assert ("DELETE", "/api/recorder/rules/device%3Aa") in api.asked


def test_an_end_that_is_no_ctrl_c_ends_the_recording_too(api: Api) -> None:
    """Nobody reads what is printed any more; nothing more is asked for."""

    def fail() -> None:
        raise BrokenPipeError

    api.on_sleep = fail
    api.answers += [{"last_number": 0}, page()]
    assert CliRunner().invoke(record, ["a"]).exit_code != 0
    assert api.asked[-1] == ("DELETE", "/api/recorder/rules/device%3Aa")


@pytest.mark.parametrize("options", [["--on", "--off"], ["--show", "--on"], ["--on", "--off", "--show"]], ids=str)
def test_one_thing_at_a_time(options: list[str], api: Api) -> None:
    """Neither the first nor the last wins."""
    done = CliRunner().invoke(record, ["a", *options])
    assert done.exit_code == 2
    assert "only one of --on, --off and --show" in done.stderr
    assert api.asked == []


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("a/b", "no device can have this id: it contains '/'"),
        ("device:a+*", "no device can have this id: it contains '+'"),
        ("device:..", "no device can have this id: it is '..'"),
        ("peer:", "characters belong behind the colon"),
    ],
)
def test_what_can_never_match(what: str, problem: str, api: Api) -> None:
    """Recording it would show nothing, for ever."""
    done = CliRunner().invoke(record, [what, "--on"])
    assert done.exit_code == 2
    assert "Invalid value for WHAT: " in done.stderr
    assert problem in " ".join(done.stderr.split())
    assert api.asked == []
