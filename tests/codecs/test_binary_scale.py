from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portcast.codecs.binary_scale import Refusal, Rounding, Scale, scale_of
from portcast.errors import ConfigurationError

SCALES = [0.1, 0.01, 0.03, 1 / 1_800_000, 1 / 30_000, 2.5, 10, 1e-7, Fraction(1, 3), -0.5]


@pytest.mark.parametrize(
    ("scale", "offset", "raw", "value"),
    [
        pytest.param(0.1, 0, 123, 12.3, id="tenths"),
        pytest.param(0.03, 0, 3, 0.09, id="no reciprocal"),
        pytest.param(1 / 1_800_000, 0, 40_582_974, 40_582_974 / 1_800_000, id="of a degree"),
        pytest.param(0.1, -40, 0, -40.0, id="offset"),
        pytest.param(0.5, 0.25, 1, 0.75, id="two fractions"),
        pytest.param(Fraction(1, 3), 0, 1, 1 / 3, id="fraction"),
        pytest.param(-2, 0, 3, -6, id="negative"),
    ],
)
def test_values_are_rounded_once(scale: float, offset: float, raw: int, value: float) -> None:
    """What reaches a browser is 12.3, not 12.300000000000001."""
    assert scale_of(scale, offset).to_value(raw) == value


def test_whole_scales_give_whole_numbers() -> None:
    """An int field with a step of ten stays an int."""
    value = scale_of(10, 5).to_value(3)
    assert value == 35
    assert isinstance(value, int)


def test_no_scale_is_the_identity() -> None:
    """The usual case, for which decoding does nothing."""
    assert scale_of(1, 0) == Scale(1, 1, 0)
    assert scale_of(1, 0).is_identity
    assert not scale_of(1, 1).is_identity


@given(st.sampled_from(SCALES), st.integers(-(2**40), 2**40), st.sampled_from(["nearest", "down", "up", "exact"]))
def test_decoded_values_are_written_as_they_were_read(scale: float, raw: int, rounding: Rounding) -> None:
    """Encoding is the inverse of decoding whatever the rounding rule."""
    it = scale_of(scale, 0)
    assert it.to_raw(it.to_value(raw), rounding) == raw


@pytest.mark.parametrize(
    ("rounding", "value", "raw"),
    [
        ("nearest", 1.24, 12),
        ("nearest", 1.25, 12),
        ("nearest", 1.35, 14),
        ("nearest", -1.26, -13),
        ("down", 1.29, 12),
        ("down", -1.21, -13),
        ("down", 0.3, 3),
        ("up", 1.21, 13),
        ("up", -1.29, -12),
        ("up", 0.7, 7),
        ("exact", 0.3, 3),
    ],
)
def test_rounding(rounding: Rounding, value: float, raw: int) -> None:
    """Each rule, and that a float which means a step is that step."""
    assert scale_of(0.1, 0).to_raw(value, rounding) == raw


@pytest.mark.parametrize(("rounding", "raw"), [("down", -2), ("up", -1)])
def test_down_is_towards_the_smaller_value(rounding: Rounding, raw: int) -> None:
    """A negative scale turns raw numbers round, not the meaning of down."""
    # 0.75 lies between raw -2 (1.0) and raw -1 (0.5).
    assert scale_of(-0.5, 0).to_raw(0.75, rounding) == {"down": -1, "up": -2}[rounding]
    assert scale_of(0.5, 0).to_raw(-0.75, rounding) == raw


@given(st.floats(-1e6, 1e6), st.sampled_from(SCALES))
def test_down_and_up_enclose_the_value(value: float, scale: float) -> None:
    """Rounding down never gives more than asked for, rounding up never less."""
    it = scale_of(scale, 0)
    down, up = it.to_value(it.to_raw(value, "down")), it.to_value(it.to_raw(value, "up"))
    assume(down != up)
    assert down <= value <= up


def test_exact_refuses_what_lies_between() -> None:
    """A set point that the device cannot take is an error, not another set point."""
    with pytest.raises(Refusal, match=r"a multiple of 0\.1, not 0\.25"):
        scale_of(0.1, 0).to_raw(0.25, "exact")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Decimal("NaN")], ids=str)
def test_only_finite_values(value: float) -> None:
    """No raw number stands for them."""
    with pytest.raises(Refusal, match="a finite number, not"):
        scale_of(0.1, 0).to_raw(value, "nearest")


@pytest.mark.parametrize("value", [Decimal("12.3"), Fraction(123, 10)], ids=["decimal", "fraction"])
def test_other_numbers(value: Decimal | Fraction) -> None:
    """Exact numbers are taken exactly."""
    assert scale_of(0.1, 0).to_raw(value, "nearest") == 123


def test_large_numbers_stay_whole() -> None:
    """No float comes between an int and its bytes."""
    assert scale_of(1, 0).to_raw(2**63 + 1, "nearest") == 2**63 + 1


@pytest.mark.parametrize(
    ("scale", "offset", "problem"),
    [
        (0, 0, "scale: 0 loses every value"),
        (math.inf, 0, "scale: inf is not a finite number"),
        (1, math.nan, "offset: nan is not a finite number"),
        (Fraction(10**308, 3), 0, "makes values too large for a float"),
    ],
    ids=["zero", "infinite", "nan", "overflow"],
)
def test_scales_that_cannot_work(scale: float, offset: float, problem: str) -> None:
    """They are found when the class is made."""
    with pytest.raises(ConfigurationError, match=problem):
        scale_of(scale, offset)


def test_refusals_collect_the_way_out() -> None:
    """The innermost offset is kept, the path grows at its front."""
    refusal = Refusal("a number").inside("speed", 7).inside(2, 3).inside("records", 1)
    assert (refusal.path, refusal.offset, str(refusal)) == (("records", 2, "speed"), 7, "a number")


def test_refusals_inside_a_part_are_moved_to_its_place() -> None:
    """Offsets are those of the whole frame; what has none gets that of the field later."""
    assert Refusal("a number", ("speed",), 7).moved(3).offset == 10
    assert Refusal("a number").moved(3).offset is None
