"""Impossible configurations are refused with the key, the problem and what to do."""

from __future__ import annotations

import pytest

from portcast.errors import ConfigurationError
from portcast.framing.base import DEFAULT_MAX_FRAME
from portcast.framing.line import Ending
from portcast.framing.validation import MOST, check_at_least, check_choice, check_not_empty, fit_bound, size_text


def test_choice_lists_the_choices() -> None:
    """The error names what would have been right."""
    check_choice("ending", "lf", Ending)
    with pytest.raises(ConfigurationError, match="ending: 'LF' is not a choice; use one of lf, crlf, cr, any"):
        check_choice("ending", "LF", Ending)


def test_at_least() -> None:
    """The least value itself is allowed."""
    check_at_least("size", 1, 1)
    with pytest.raises(ConfigurationError, match="size: 0 is too small; use at least 1"):
        check_at_least("size", 0, 1)


def test_there_is_a_most() -> None:
    """A bound of millions of terabytes is none."""
    check_at_least("max_frame", MOST, 1)
    with pytest.raises(ConfigurationError, match=r"max_frame: 1\.073742e\+09 is too large; use at most 1073741824"):
        check_at_least("max_frame", MOST + 1, 1)


@pytest.mark.parametrize(("value", "problem"), [(b"", "is empty"), ("#", "expected bytes, not str")])
def test_not_empty(value: bytes, problem: str) -> None:
    """Text in place of bytes is the likeliest mistake, and is named."""
    check_not_empty("end", b"#")
    with pytest.raises(ConfigurationError, match=problem):
        check_not_empty("end", value)


def test_default_bound_gives_way_to_the_field() -> None:
    """Nobody has to lower `max_frame` for a one-byte length; a bound that was written must be reachable."""
    assert fit_bound(100, 256, "a byte") == 100
    assert fit_bound(DEFAULT_MAX_FRAME, 256, "a byte") == 256
    with pytest.raises(ConfigurationError, match="max_frame: 1000 is more than a byte can say; use at most 256"):
        fit_bound(1000, 256, "a byte")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (1000, "1000 bytes"), (65_536, "64 KiB"), (1 << 20, "1 MiB"), (1 << 31, "2 GiB")],
)
def test_size_text(size: int, text: str) -> None:
    """Round binary sizes are written with their unit."""
    assert size_text(size) == text
