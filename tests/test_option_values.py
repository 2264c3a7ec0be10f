"""Tests of `portcast.option_values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from portcast.config import ListenerOptions
from portcast.errors import ConfigurationError
from portcast.option_values import convert, external_name, from_options, option_names, units_of, unknown_option


@dataclass(frozen=True, slots=True)
class Sample:
    """One option of each kind."""

    wait_s: float = field(default=1.0, metadata={"minimum": 0, "maximum": 3600})
    size_bytes: int = field(default=10, metadata={"minimum": 1})
    count: int = 3
    pause_s: float = 1.0
    share: float = 0.5
    is_on: bool = False
    color: Literal["red", "green"] = "red"
    label: str = ""
    names: tuple[str, ...] = field(default_factory=tuple)


def test_the_name_that_users_write_has_no_unit() -> None:
    assert "idle_timeout" in option_names(ListenerOptions)
    assert external_name(option_names(ListenerOptions)["idle_timeout"]) == "idle_timeout"


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("wait", "2", 2.0),
        ("wait", "500ms", 0.5),
        ("wait", "1.5 s", 1.5),
        ("wait", "2m", 120.0),
        ("wait", "2min", 120.0),
        ("wait", "1h", 3600.0),
        ("wait", 7, 7),
        ("size_bytes", "64KiB", 65_536),
        ("size_bytes", "1k", 1000),
        ("size_bytes", "1MiB", 1_048_576),
        ("size_bytes", "12b", 12),
        ("count", "-5", -5),
        ("share", "0.25", 0.25),
        ("is_on", "yes", True),
        ("is_on", True, True),
        ("is_on", "off", False),
        ("color", "green", "green"),
        ("label", "x", "x"),
        ("names", "a, b,,c", ("a", "b", "c")),
        ("names", ["a", " b"], ("a", "b")),
        ("names", "", ()),
    ],
)
def test_written_values_become_typed_ones(name: str, written: Any, value: object) -> None:
    assert getattr(from_options(Sample, {name: written}, "here"), option_names(Sample)[name].name) == value


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("wait", "soon", "'soon' is not a number; units: ms, s, m, min, h, d"),
        ("wait", "1KiB", "is not a number"),
        ("wait", float("nan"), "is not a finite number"),
        ("wait", float("inf"), "is not a finite number"),
        ("wait", "2h", "7200 is too large; at most 3600"),
        ("wait", "9" * 400, "is too large a number"),
        pytest.param("wait", 10**400, "is too large a number", id="whole and huge"),
        ("size_bytes", "99999999999999GiB", "is too large; at most 1.09951e+12"),
        ("count", "99999999999999", "1e+14 is too large; at most 2.14748e+09"),
        ("pause", "1e9d", "is not a number"),
        ("pause", "4000d", "3.456e+08 is too large; at most 3.1536e+08"),
        ("wait", "-1", "-1 is too small; at least 0"),
        ("wait", True, "is not a number"),
        ("wait", [1], "is not a number"),
        ("size_bytes", "0", "0 is too small; at least 1"),
        ("size_bytes", "1.5", "is not a whole number"),
        ("count", "1k", "'1k' is not a number"),
        ("is_on", "maybe", "is not true or false"),
        ("color", "blue", "'blue' is not one of red, green"),
        ("color", ["red"], "is not one of"),
        ("label", 5, "5 is not text"),
    ],
)
def test_values_that_do_not_fit_are_refused(name: str, written: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_options(Sample, {name: written}, "here")
    assert str(caught.value).startswith(f"here: {name}: ")
    assert words in str(caught.value)


def test_what_is_not_said_comes_from_the_base() -> None:
    base = Sample(wait_s=2.0, count=9)
    assert from_options(Sample, {"count": "10"}, "here", base) == Sample(wait_s=2.0, count=10)


def test_an_unknown_name_points_at_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"here: unknown option 'colour'; did you mean 'color'\?"):
        from_options(Sample, {"colour": "red"}, "here")


def test_an_unknown_name_like_no_other_lists_all() -> None:
    assert str(unknown_option("here", "xyz", {"b": 1, "a": 1})) == "here: unknown option 'xyz'; known options: a, b"


def test_counts_have_no_units() -> None:
    names = option_names(Sample)
    assert "ms" in units_of(names["wait"])
    assert "kib" in units_of(names["size_bytes"])
    assert set(units_of(names["count"])) == {""}


def test_conversion_names_the_key_that_it_is_given() -> None:
    with pytest.raises(ConfigurationError, match=r"^PORTCAST_COUNT: "):
        convert(Sample, option_names(Sample)["count"], "x", "PORTCAST_COUNT")
