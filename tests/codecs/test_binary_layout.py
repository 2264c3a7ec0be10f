from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel

from portcast.codecs import Constant, Padding, PaddingBits, UInt8
from portcast.codecs.binary_layout import Layout
from portcast.errors import ConfigurationError


class Speed(BaseModel):
    kmh: Annotated[int, UInt8(unit="km/h")]
    other: Annotated[int, UInt8()]


def test_units_are_in_the_json_schema() -> None:
    """Whoever reads the schema, a chart for example, knows what the number means."""
    properties = Speed.model_json_schema()["properties"]
    assert properties["kmh"] == {"title": "Kmh", "type": "integer", "x-unit": "km/h"}
    assert properties["other"] == {"title": "Other", "type": "integer"}


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Constant(b""), "Constant: takes one or more bytes"),
        (lambda: Padding(0), "Padding: 0 bytes"),
        (lambda: Padding(1, fill=256), "the fill byte 256 is no byte"),
        (lambda: PaddingBits(0), "PaddingBits: 0 bits"),
    ],
    ids=["constant", "padding", "fill", "bits"],
)
def test_marks_that_cannot_work(make: type[object], problem: str) -> None:
    """They are found where they are written."""
    with pytest.raises(ConfigurationError, match=problem):
        make()


def test_marks_hold_what_was_written() -> None:
    """They are values: compared by what they say."""
    assert (Constant(b"x"), Padding(1, fill=0xFF), PaddingBits(3)) == (Constant(b"x"), Padding(1, 255), PaddingBits(3))


def test_layouts_of_ones_own_say_all() -> None:
    """A layout must know its width and both directions."""
    with pytest.raises(TypeError, match="abstract"):
        Layout()  # type: ignore[abstract]  # the mistake under test
