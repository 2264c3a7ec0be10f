"""What a model compiles to: steps that read and write its fields in order, and the elements that steps consist of.

A *step* is a `FixedRun`, or one named field with an *element*: a part of variable width. Elements nest: a list has an
element for its items, a model a program of its own. Nothing here validates: programs make dictionaries of what Pydantic
validates afterwards, once and all together.

Every part knows the fewest bytes that it takes (`least`), so a count that the frame cannot hold is refused before the
first item is read. A part that goes on to the end (`is_open`) can only be followed by fields of fixed width.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pydantic import BaseModel, ValidationError

from portcast.codecs.binary_content import Content
from portcast.codecs.binary_layout import PREFIXES, ByteOrder, Layout
from portcast.codecs.binary_lengths import Measure, bytes_text, left_text
from portcast.codecs.binary_run import FixedRun, Whole
from portcast.codecs.binary_scale import Refusal
from portcast.codecs.model import describe_problem

Path: TypeAlias = tuple[str | int, ...]
"""Names and indexes from a value to a part of it, outermost first."""


class Element(Protocol):
    """A part of variable width."""

    @property
    def least(self) -> int:
        """The fewest bytes that it takes."""
        ...

    @property
    def is_open(self) -> bool:
        """True if it goes on to the end of the frame."""
        ...

    @property
    def measure(self) -> Measure | None:
        """How its length is said; None if it has none of its own."""
        ...

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return the value that begins at ``at``, and where it ends; ``values`` are the fields before it.

        Raises:
            Refusal: it is not what was declared, or the frame ends before.
        """
        ...

    def write(self, value: object) -> bytes:
        """Return ``value`` as bytes.

        Raises:
            Refusal: it cannot be expressed.
        """
        ...

    def size_of(self, value: object) -> int:
        """Return the length of ``value`` as its `measure` counts it; called only if there is one.

        Raises:
            Refusal: it has none.
        """
        ...

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Return where the part of the value at ``path`` begins; for errors, after it was read."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """A step of one field of variable width.

    Attributes:
        name: of the field.
        element: how it is read and written.
        tail: bytes of the fields of fixed width that follow a part that goes on to the end; it ends before them.
    """

    name: str
    element: Element
    tail: int = 0


Step: TypeAlias = FixedRun | Named


class Program:
    """Reads and writes all fields of a model.

    Attributes:
        model: the class.
        steps: in the order of the bytes.
        required: how many of them must be there; the frame may end after any of the others.
        least: the fewest bytes that it takes.
        is_open: True if it takes as much as there is.
    """

    __slots__ = ("_measured", "_names", "is_open", "least", "model", "required", "steps")

    def __init__(self, model: type[BaseModel], steps: Sequence[Step], required: int) -> None:
        self.model = model
        self.steps = tuple(steps)
        self.required = required
        self.least = sum(_least(step) for step in self.steps[:required])
        self.is_open = required < len(self.steps) or any(
            isinstance(step, Named) and step.element.is_open for step in self.steps
        )
        self._names = tuple(name for step in self.steps for name in _names(step))
        # By field that says a length: whose.
        self._measured: dict[str, list[Named]] = {}
        for step in self.steps:
            if isinstance(step, Named) and step.element.measure is not None and step.element.measure.source:
                self._measured.setdefault(step.element.measure.source, []).append(step)

    def read(self, frame: bytes, at: int = 0) -> tuple[dict[str, object], int]:
        """Return the fields by name, and where they end.

        Raises:
            Refusal: the frame is not what the model declares.
        """
        values: dict[str, object] = {}
        for index, step in enumerate(self.steps):
            if index >= self.required and at == len(frame):
                break
            at = _read(step, frame, at, values)
        return values, at

    def read_whole(self, frame: bytes) -> dict[str, object]:
        """Return the fields of a frame that consists of nothing else.

        Raises:
            Refusal: the frame is not what the model declares, or longer.
        """
        values, at = self.read(frame)
        if at != len(frame):
            raise Refusal(f"the end of the frame ({bytes_text(len(frame) - at)} more)", (), at)
        return values

    def write(self, model: object) -> bytes:
        """Return an instance of the model as bytes.

        Raises:
            Refusal: a field cannot hold its value, or an optional one is None before another that is not.
        """
        if not isinstance(model, self.model):
            raise Refusal(f"{self.model.__name__}, not {type(model).__name__}")
        values = {name: getattr(model, name) for name in self._names}
        for source, measured in self._measured.items():
            values[source] = self._length(values, measured)
        steps = self.steps
        # An optional step has one field, or a group of none: what is None at the end is left out.
        end = len(steps)
        while end > self.required and all(values[name] is None for name in _names(steps[end - 1])):
            end -= 1
        return b"".join([_write(step, values) for step in steps[:end]])

    def _length(self, values: Mapping[str, object], steps: list[Named]) -> int:
        said = set()
        for name, element in ((step.name, step.element) for step in steps):
            measure = element.measure
            assert measure is not None
            try:
                size = element.size_of(values[name])
            except Refusal as refusal:
                raise refusal.inside(name) from None
            said.add(size - measure.adjust)
        if len(said) > 1:
            names = ", ".join(step.name for step in steps)
            raise Refusal(f"{names} to be of one length, not {sorted(said)}", (steps[0].name,))
        return said.pop()

    def validate(self, values: dict[str, object], frame: bytes, at: int) -> BaseModel:
        """Return the instance of the model that ``values``, read from ``at`` on, make.

        Raises:
            Refusal: Pydantic does not take them; it tells the first problem.
        """
        try:
            # Lax whatever the model says: frames have no types of their own, a flag is a number of one bit.
            made: BaseModel = self.model.__pydantic_validator__.validate_python(values, strict=False)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = details["loc"]
            expected = describe_problem({**details, "loc": ()}).removeprefix("Input should be ")
            # Without the cause: the text of a ValidationError quotes the input.
            raise Refusal(expected, path, self.locate(frame, at, path)) from None
        return made

    def locate(self, frame: bytes, at: int, path: Path) -> int:
        """Return where the field at ``path`` begins; where the model begins if it has no such field."""
        start, values = at, dict[str, object]()
        for step in self.steps:
            if path and path[0] in _names(step):
                if isinstance(step, FixedRun):
                    return at + step.offsets[str(path[0])]
                return step.element.locate(frame[: len(frame) - step.tail], at, path[1:], values)
            if at == len(frame):
                break
            at = _read(step, frame, at, values)
        return start


def _least(step: Step) -> int:
    return step.size if isinstance(step, FixedRun) else step.element.least


def _names(step: Step) -> tuple[str, ...]:
    return step.names if isinstance(step, FixedRun) else (step.name,)


def _read(step: Step, frame: bytes, at: int, values: dict[str, object]) -> int:
    if isinstance(step, FixedRun):
        return step.read(frame, at, values)
    if step.tail:
        # A copy without them. If it is too short for that, it is for the fields behind to say so.
        frame = frame[: max(at, len(frame) - step.tail)]
    try:
        values[step.name], end = step.element.read(frame, at, values)
    except Refusal as refusal:
        raise refusal.inside(step.name, at) from None
    return end


def _write(step: Step, values: Mapping[str, object]) -> bytes:
    if isinstance(step, FixedRun):
        return step.write(values)
    try:
        return step.element.write(values[step.name])
    except Refusal as refusal:
        raise refusal.inside(step.name) from None


class ContentElement:
    """Bytes or text of variable length."""

    __slots__ = ("_content", "measure")

    def __init__(self, content: Content, order: ByteOrder) -> None:
        self._content = content
        self.measure: Measure = Measure(content, order)

    @property
    def least(self) -> int:
        """Nothing, but the number in front."""
        return self.measure.prefix_size + self.measure.least

    @property
    def is_open(self) -> bool:
        """If its length is `REST`."""
        return self.measure.is_rest

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return the content."""
        size, start = self.measure.read(frame, at, values)
        end = start + size
        if end > len(frame):
            raise Refusal(f"{bytes_text(size)}, {left_text(frame, start)}")
        return self._content.decode(frame[start:end], is_fixed=False), end

    def write(self, value: object) -> bytes:
        """Return the content, its length in front if that is where it is said."""
        data = self._content.encode(value, None)
        return self.measure.write(len(data)) + data

    def size_of(self, value: object) -> int:
        """Return the bytes of the content."""
        return len(self._content.encode(value, None))

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Return ``at``: it has no parts."""
        return at


class LayoutElement:
    """A value of fixed width that is an item of a list, or of a part that `Sized` cuts off."""

    __slots__ = ("_convert", "_each", "_run")

    is_open = False
    measure = None

    def __init__(self, layout: Layout, order: ByteOrder) -> None:
        self._run = FixedRun((Whole("", layout),), order)
        code, self._convert = layout.reader(order)
        self._each = struct.Struct(PREFIXES[order] + code)

    @property
    def least(self) -> int:
        """Its width."""
        return self._run.size

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return the value."""
        own: dict[str, object] = {}
        try:
            end = self._run.read(frame, at, own)
        except Refusal as refusal:
            # The name of the only field of the run is of no use to the reader.
            raise Refusal(refusal.expected, refusal.path[1:], refusal.offset) from None
        return own[""], end

    def write(self, value: object) -> bytes:
        """Return the value in its width."""
        try:
            return self._run.write({"": value})
        except Refusal as refusal:
            raise Refusal(refusal.expected, refusal.path[1:]) from None

    def read_many(self, frame: bytes, at: int, count: int) -> list[object]:
        """Return ``count`` values that are known to be there.

        Raises:
            Refusal: one of them is not what was declared; the path is its index.
        """
        raws = [raw for (raw,) in self._each.iter_unpack(frame[at : at + count * self._run.size])]
        if self._convert is None:
            return raws
        values: list[object] = []
        try:
            # One by one, so that the refusal can say which.
            for raw in raws:
                values.append(self._convert(raw))  # noqa: PERF401 - see above
        except Refusal as refusal:
            raise refusal.inside(len(values), at + len(values) * self._run.size) from None
        return values

    def size_of(self, value: object) -> int:
        """Never called: it has no measure."""
        raise NotImplementedError

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Return ``at``: it has no parts."""
        return at


class ModelElement:
    """A model inside another."""

    __slots__ = ("program",)

    measure = None

    def __init__(self, program: Program) -> None:
        self.program = program

    @property
    def least(self) -> int:
        """Of all its fields."""
        return self.program.least

    @property
    def is_open(self) -> bool:
        """If its last field is, or can be left out."""
        return self.program.is_open

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return its fields by name."""
        return self.program.read(frame, at)

    def write(self, value: object) -> bytes:
        """Return the model as bytes."""
        return self.program.write(value)

    def size_of(self, value: object) -> int:
        """Never called: it has no measure."""
        raise NotImplementedError

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Ask its program."""
        return self.program.locate(frame, at, path)
