"""Tests of `portcast.observability.escape`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.observability.escape import escape, escape_bytes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("grüße 你好 🌡 a\\b", "grüße 你好 🌡 a\\b", id="text stays"),
        pytest.param("a\u00a0b\u3000c", "a\u00a0b\u3000c", id="spaces stay"),
        pytest.param("a\r\nb\tc", "a\\r\\nb\\tc", id="line breaks"),
        pytest.param("\x1b[31mred\x07\x00", "\\x1b[31mred\\x07\\x00", id="ansi"),
        pytest.param("\x9b2J\x7f", "\\x9b2J\\x7f", id="c1 and delete"),
        pytest.param("\u202egnp.exe\u2066\u200f", "\\u202egnp.exe\\u2066\\u200f", id="bidi"),
        pytest.param("a\u2028b\u2029c\u200bd\ufeff", "a\\u2028b\\u2029c\\u200bd\\ufeff", id="separators, zero width"),
        pytest.param("\ud800\U000e0041", "\\ud800\\U000e0041", id="surrogates and tags"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text())
@pytest.mark.row(60)
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    shown = escape(text)
    assert len(shown.splitlines()) <= 1
    assert all(c.isprintable() or c.isspace() for c in shown)
    shown.encode()


def test_long_text_is_cut_and_says_so() -> None:
    assert escape("abcdef", 4) == "abcd…(+2)"
    assert escape("abcd", 4) == "abcd"


def test_bytes_that_are_not_utf8_are_shown_one_by_one() -> None:
    assert escape_bytes("grüße".encode() + b"\xff\x00\x80") == "grüße\\xff\\x00\\x80"
