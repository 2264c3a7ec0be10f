"""From the annotations of a model to its program; what cannot work is a `ConfigurationError` that names the field."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, TypeAlias, Union, get_args, get_origin, runtime_checkable

from pydantic import BaseModel

from portcast.codecs.binary_content import Content, FixedContent
from portcast.codecs.binary_fit import misfit
from portcast.codecs.binary_groups import ListElement, Repeat, Sized, SizedElement
from portcast.codecs.binary_layout import ByteOrder, Constant, Layout, Padding, PaddingBits
from portcast.codecs.binary_lengths import REST, Measured
from portcast.codecs.binary_numbers import Bits, Integer
from portcast.codecs.binary_program import ContentElement, Element, LayoutElement, ModelElement, Named, Program, Step
from portcast.codecs.binary_run import BitGroup, FixedRun, Item, Near, Whole
from portcast.codecs.binary_union import BinaryUnion, UnionElement
from portcast.errors import ConfigurationError

Kind: TypeAlias = Layout | Bits | Content | Repeat | Sized | BinaryUnion
Mark: TypeAlias = Constant | Padding | PaddingBits


@runtime_checkable
class Compiled(Protocol):
    """A model class that knows its program."""

    def binary_program(self) -> Program:
        """Return it; compile it if that has not happened."""
        ...


def compile_model(model: type[BaseModel], order: ByteOrder) -> Program:
    """Return the program of a model.

    Args:
        model: a class whose fields Pydantic has resolved.
        order: the byte order of fields that do not say their own.

    Raises:
        ConfigurationError: a field has no layout, or one that cannot work at its place.
    """
    return _Compiler(model, order).compile()


def compile_union(annotation: object) -> UnionElement | None:
    """Return the element for ``Annotated[A | B, BinaryUnion(…)]``; None if the annotation is not of this form.

    Raises:
        ConfigurationError: a member is no binary model, or the tag cannot tell them apart.
    """
    bare, metadata = _bare(annotation, ())
    unions = [item for item in metadata if isinstance(item, BinaryUnion)]
    return _union(unions[0], bare, f"BinaryUnion({unions[0].tag!r})") if unions else None


def _union(union: BinaryUnion, bare: object, where: str) -> UnionElement:
    members = get_args(bare) if _is_union(bare) else (bare,)
    return UnionElement(union, [_program(_bare(member, ())[0], where) for member in members], where)


def _program(model: object, where: str) -> Program:
    if isinstance(model, type) and isinstance(model, Compiled):
        return model.binary_program()
    name = model.__name__ if isinstance(model, type) else str(model)
    raise ConfigurationError(where, f"{name} is no BinaryModel", "derive it from BinaryModel")


class _Compiler:
    """Goes through the fields in order."""

    def __init__(self, model: type[BaseModel], order: ByteOrder) -> None:
        self._model = model
        self._order = order
        self._steps: list[Step] = []
        self._items: list[Item] = []
        self._bits: list[tuple[str, Bits | PaddingBits]] = []
        self._required: int | None = None
        self._numbers: set[str] = set()
        self._open = ""

    def compile(self) -> Program:
        for name, info in self._model.model_fields.items():
            annotation, metadata = _bare(info.annotation, tuple(info.metadata))
            is_optional = _admits_none(annotation)
            if is_optional:
                annotation, metadata = _bare(_without_none(annotation), metadata)
                self._begin_optional(name, has_default=info.default is None)
            elif self._required is not None:
                self._fail(name, "follows optional fields", "make it optional too: … | None = None")
            before, kinds, after = self._sort(name, annotation, metadata)
            self._add_marks(name, before)
            self._add_field(name, annotation, kinds, is_optional=is_optional)
            self._add_marks(name, after)
        self._end_run()
        required = len(self._steps) if self._required is None else self._required
        return Program(self._model, self._with_tail(), required)

    def _with_tail(self) -> list[Step]:
        """Return the steps; a part that goes on to the end knows what follows it."""
        if len(self._steps) < 2:
            return self._steps
        *others, part, run = self._steps
        if self._open and self._required is None and isinstance(part, Named) and isinstance(run, FixedRun):
            return [*others, Named(part.name, part.element, run.size), run]
        return self._steps

    def _fail(self, name: str, problem: str, hint: str) -> None:
        raise ConfigurationError(self._where(name), problem, hint)

    def _where(self, name: str) -> str:
        return f"{self._model.__name__}.{name}"

    def _begin_optional(self, name: str, *, has_default: bool) -> None:
        if not has_default:
            self._fail(name, "may be None", "give it the default None: it is missing if the frame ends before it")
        self._after_open(name)
        self._end_run()
        if self._required is None:
            self._required = len(self._steps)

    def _after_open(self, name: str) -> None:
        if self._open:
            problem = f"follows {self._open!r}, which goes on to the end"
            self._fail(name, problem, "only fields of fixed width can; or cut that off with Sized(…)")

    def _sort(
        self, name: str, annotation: object, metadata: tuple[object, ...]
    ) -> tuple[list[Mark], list[Kind], list[Mark]]:
        """Return the marks before the layout, the layout, and the marks behind it."""
        before: list[Mark] = []
        after: list[Mark] = []
        kinds: list[Kind] = []
        for item in metadata:
            if isinstance(item, type) and issubclass(item, Kind | Mark):
                self._fail(name, f"{item.__name__} is a class", f"write {item.__name__}(…)")
            if isinstance(item, Kind):
                kinds.append(item)
            elif isinstance(item, Mark):
                (after if kinds else before).append(item)
        if not kinds and not _is_model(annotation):
            self._fail(name, "has no layout", 'annotate it: Annotated[int, UInt16()], Annotated[bytes, Bytes("size")]')
        # What stands behind a Repeat is a mistake of its own.
        is_one = kinds and not any(isinstance(kind, Repeat) for kind in kinds)
        if is_one and (read := misfit(self._model, name, annotation, metadata, kinds[-1])):
            held = getattr(get_origin(annotation) or annotation, "__name__", str(annotation))
            problem = f"is a {held}, and its layout reads {read}"
            self._fail(name, problem, "annotate a type that holds it, or convert it with BeforeValidator(…)")
        return before, kinds, after

    def _add_marks(self, name: str, marks: list[Mark]) -> None:
        for mark in marks:
            if isinstance(mark, PaddingBits):
                self._bits.append(("", mark))
            else:
                self._end_bits()
                self._items.append(Near(name, mark))

    def _add_field(self, name: str, annotation: object, kinds: list[Kind], *, is_optional: bool) -> None:
        kind = kinds[0] if kinds else None
        if isinstance(kind, Bits):
            if is_optional:
                self._fail(name, "is a bit field and cannot be missing", "leave out None")
            if len(kinds) > 1:
                self._fail(name, "has two layouts", "keep one")
            self._bits.append((name, kind))
            self._numbers.add(name)
            return
        self._end_bits()
        layout = self._layout(kinds)
        if layout is not None:
            if isinstance(layout, Integer):
                self._numbers.add(name)
            self._items.append(Whole(name, layout))
            return
        element = self._element(name, annotation, kinds)
        if is_optional and element.measure is not None and element.measure.source:
            hint = "say it with a number in front, or REST"
            self._fail(name, "may be missing, but another field says its length", hint)
        self._after_open(name)
        if element.is_open:
            self._open = name
        self._end_run()
        self._steps.append(Named(name, element))

    def _layout(self, kinds: list[Kind]) -> Layout | None:
        """Return what is one part of a run; None if the width varies."""
        if len(kinds) != 1:
            return None
        kind = kinds[0]
        if isinstance(kind, Content) and isinstance(kind.length, int):
            return FixedContent(kind, kind.length)
        return kind if isinstance(kind, Layout) else None

    def _element(self, name: str, annotation: object, kinds: list[Kind]) -> Element:
        if not kinds:
            return ModelElement(_program(annotation, self._where(name)))
        kind, inner = kinds[0], kinds[1:]
        if isinstance(kind, Measured):
            self._check_source(name, kind)
        if isinstance(kind, Sized):
            if kind.length is REST:
                self._fail(name, "Sized(REST) cuts nothing off", "leave it out")
            if not inner and not _is_model(annotation):
                self._fail(name, "has a size, but no layout", "write it behind Sized(…)")
            return SizedElement(kind, self._element(name, annotation, inner), self._order)
        if inner:
            self._fail(name, "has two layouts", "keep one; items of a list have theirs inside list[…]")
        if isinstance(kind, Repeat):
            return ListElement(kind, self._item(name, annotation), self._order)
        if isinstance(kind, BinaryUnion):
            return _union(kind, annotation, self._where(name))
        layout = self._layout(kinds)
        if layout is not None:
            return LayoutElement(layout, self._order)
        if isinstance(kind, Content):
            return ContentElement(kind, self._order)
        raise ConfigurationError(self._where(name), "bit fields stand alone", "put them into a model of their own")

    def _item(self, name: str, annotation: object) -> Element:
        """Return the element of the items of a list."""
        if get_origin(annotation) is not list:
            self._fail(name, "is repeated, but no list", "annotate list[…]")
        bare, metadata = _bare(get_args(annotation)[0], ())
        before, kinds, after = self._sort(name, bare, metadata)
        if before or after:
            self._fail(name, "has items with constants or padding", "put them into a model of their own")
        for kind in kinds:
            if isinstance(kind, Measured) and kind.source:
                self._fail(name, "has items that take their length from a field", "use a model with that field")
        item = self._element(name, bare, kinds)
        if item.is_open:
            hint = "an item may not end with REST or optional fields, unless Sized(…) cuts it off"
            self._fail(name, "has items that go on to the end", hint)
        if not item.least:
            self._fail(name, "has items that may take no bytes", "give them at least one byte")
        return item

    def _check_source(self, name: str, measured: Measured) -> None:
        source = measured.source
        if source and source not in self._numbers:
            problem = f"takes its length from {source!r}, which is no whole number before it"
            self._fail(name, problem, "name an earlier field with an integer layout or Bits")

    def _end_bits(self) -> None:
        if self._bits:
            if not any(name for name, _ in self._bits):
                raise ConfigurationError(self._model.__name__, "PaddingBits without Bits", "use Padding(…)")
            self._items.append(BitGroup(tuple(self._bits)))
            self._bits = []

    def _end_run(self) -> None:
        self._end_bits()
        if self._items:
            try:
                self._steps.append(FixedRun(tuple(self._items), self._order))
            except ConfigurationError as error:
                raise ConfigurationError(self._where(error.key), error.problem, error.hint) from error
            self._items = []


def _bare(annotation: object, metadata: tuple[object, ...]) -> tuple[object, tuple[object, ...]]:
    """Return an annotation without its ``Annotated``, whose metadata comes first."""
    while get_origin(annotation) is Annotated:
        inner, *added = get_args(annotation)
        annotation, metadata = inner, (*added, *metadata)
    return annotation, metadata


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _admits_none(annotation: object) -> bool:
    return _is_union(annotation) and NoneType in get_args(annotation)


def _without_none(annotation: object) -> Any:
    rest = tuple(argument for argument in get_args(annotation) if argument is not NoneType)
    return Union[rest]  # noqa: UP007 - of as many as there are


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and isinstance(annotation, Compiled)
