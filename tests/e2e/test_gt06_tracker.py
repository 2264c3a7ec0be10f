"""The product of docs/guide-gt06.md in a real Chromium: trackers move on the map, and obey."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from examples.gt06_tracker.framing import Gt06Framing
from examples.gt06_tracker.messages import Answer, Command, Heartbeat, Login, Position
from examples.gt06_tracker.simulator import CELL, Car
from playwright.sync_api import BrowserContext, expect

from e2e.examples import example, opened
from e2e.serving import Example
from portcast.codecs import codec_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


class Tracker:
    """A simulated car on a socket, which moves when the test says so."""

    def __init__(self, serve: Example, number: int) -> None:
        self.car = Car(number)
        self._framing = Gt06Framing()
        self._decoder = self._framing.decoder()
        self._socket = socket.create_connection(("127.0.0.1", serve.ports[0]), timeout=10)
        self._send(Login(imei=self.car.imei, serial=self.car.next_serial()))
        assert self._receive()[0] == 0x01
        self.beat()

    def beat(self) -> None:
        """Send what state it is in."""
        self._send(Heartbeat(status=self.car.status(), serial=self.car.next_serial()))
        assert self._receive()[0] == 0x13

    def drive(self, positions: int) -> None:
        """Send so many positions, one for each of the seconds that end now."""
        for back in range(positions)[::-1]:
            self.car.move(5)
            fix = self.car.fix()
            fix = fix.model_copy(update={"at": fix.at.replace(year=2025, second=59 - back)})
            self._send(Position(fix=fix, cell=CELL, serial=self.car.next_serial()))

    def obey(self) -> str:
        """Take the next command, answer it, and return what it said."""
        command = codec_for(Command).decode(self._receive())
        self._send(Answer(flag=command.flag, text=self.car.obey(command.text), serial=self.car.next_serial()))
        self.beat()
        return command.text

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _send(self, message: Any) -> None:
        self._socket.sendall(self._framing.encode(message.to_bytes()))

    def _receive(self) -> bytes:
        frames: list[bytes] = []
        while not frames:
            frames = self._decoder.feed(self._socket.recv(1))
        return frames[0]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    """The product with an empty database."""
    monkeypatch.setenv("GT06_DATABASE", f"sqlite:///{tmp_path}/trackers.db")
    with example(tmp_path, "gt06_tracker.app") as serve:
        yield serve


def test_trackers_move_and_obey(context: BrowserContext, serve: Example) -> None:
    """What was before is drawn from the database, what happens live; a command ends with the tracker's own words."""
    with closing(Tracker(serve, 1)) as ann, closing(Tracker(serve, 2)) as bob:
        _move_and_obey(context, serve, ann, bob)


def _move_and_obey(context: BrowserContext, serve: Example, ann: Tracker, bob: Tracker) -> None:
    bob.drive(3)
    page, watch = opened(context, serve)
    traffic = page.locator(f"#map [data-imei='{bob.car.imei}']")
    expect(traffic).to_have_attribute("data-points", "3")
    expect(page.locator("#count")).to_have_text("2 of 2 online")

    ann.drive(1)
    mark = page.locator(f"#map [data-imei='{ann.car.imei}'] .mark")
    expect(mark).to_have_attribute("transform", re.compile("translate"))
    before = mark.get_attribute("transform")
    ann.drive(4)
    expect(mark).not_to_have_attribute("transform", before or "")

    page.get_by_role("button", name=ann.car.imei).click()
    answers = page.locator("#answers li")
    for said in ("DYD=Success!", "Already in the state of fuel supply cut off,the command is not running!"):
        page.get_by_role("button", name="Cut fuel").click()
        assert ann.obey() == "DYD,000000#"
        expect(answers.first).to_have_text(f"DYD,000000# → {said}")
    expect(answers.first).to_have_class("alarm")
    expect(page.locator("#list li").first).to_contain_text("fuel cut")
    page.get_by_label("Command", exact=True).fill("<b>#")
    page.get_by_role("button", name="Send").click()
    assert ann.obey() == "<b>#"
    expect(answers.first).to_have_text("<b># → <b>=Unknown command")

    bob.close()
    expect(page.locator("#count")).to_have_text("1 of 2 online")
    expect(page.locator("#list li").last).to_have_class("away")
    page.reload()
    expect(traffic).to_have_attribute("data-points", "3")
    expect(page.locator("#count")).to_have_text("1 of 2 online")
    assert watch.problems == []


def test_it_fits_a_phone(context: BrowserContext, serve: Example) -> None:
    """Nothing sticks out, and everything can be reached."""
    with closing(Tracker(serve, 1)) as ann:
        ann.drive(2)
        page, watch = opened(context, serve)
        page.set_viewport_size({"width": 360, "height": 700})
        page.get_by_role("button", name=ann.car.imei).click()
        expect(page.get_by_role("button", name="Send")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        box = page.locator("#map").bounding_box()
        assert box is not None
        assert box["height"] > 150
        assert watch.problems == []
