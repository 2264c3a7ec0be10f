"""Tests of `portcast.cli.tail_view`."""

from __future__ import annotations

import json
import re

import pytest

from portcast.cli.tail_view import Gap, Received, gap_sentence, json_line, received, text_line

READING = Received("a/b", "e1", 3, "e1:3", 1_700_000_000.25, "grüße".encode())


def envelope(**changes: object) -> dict[str, object]:
    whole = {"topic": "a/b", "epoch": "e1", "offset": 3, "id": "e1:3", "time": 1_700_000_000.25, "data": "grüße"}
    return {**whole, **changes}


def test_a_publication_as_text() -> None:
    assert received(envelope()) == READING


def test_a_publication_as_base64() -> None:
    binary = {**{k: v for k, v in envelope().items() if k != "data"}, "base64": "/wA="}
    found = received(binary)
    assert found is not None
    assert found.data == b"\xff\x00"


@pytest.mark.parametrize(
    "said", ["no", 1, [], None, {}, envelope(offset=None), envelope(time="x"), {"topic": "a", "base64": "?"}]
)
def test_what_is_not_understood_is_nothing(said: object) -> None:
    """A newer gateway may say more; tail goes on."""
    assert received(said) is None


def test_a_line_for_a_person() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.250  a/b  grüße", text_line(READING))


def test_control_characters_of_a_device_are_escaped() -> None:
    """A device must not be able to clear the screen or to forge a line."""
    hostile = Received("a\u202e", "e", 1, "", 0.0, b"\x1b[2J\r\nforged\xff")
    line = text_line(hostile)
    assert line.endswith("a\\u202e  \\x1b[2J\\r\\nforged\\xff")
    assert line.isprintable()


@pytest.mark.parametrize(("data", "key", "value"), [("ü\n".encode(), "data", "ü\n"), (b"\xff", "base64", "/w==")])
def test_a_line_for_a_program(data: bytes, key: str, value: str) -> None:
    line = json_line(Received("a", "e1", 3, "e1:3", 1.5, data))
    assert line.isascii()
    assert json.loads(line) == {"topic": "a", "epoch": "e1", "offset": 3, "time": 1.5, key: value}


@pytest.mark.parametrize(
    ("gap", "sentence"),
    [
        (Gap(1, True), "1 publication is lost"),
        (Gap(5, True), "5 publications are lost"),
        (Gap(1, False), "the gateway was restarted: what came meanwhile is unknown"),
        (Gap(3, False), "at least 3 publications are lost"),
    ],
)
def test_a_gap_in_words(gap: Gap, sentence: str) -> None:
    assert gap_sentence(gap) == sentence
