from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from inspect import Parameter as Raw
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import pytest
from fastapi import Depends

from portcast.errors import ConfigurationError
from portcast.handlers.markers import PerConnection, in_thread
from portcast.handlers.signature import Parameter, Signatures, at, identity, name_of, read_signatures

if TYPE_CHECKING:
    from decimal import Decimal


class Model: ...


def get_model() -> Model:
    return Model()


def read(call: Callable[..., Any]) -> tuple[Parameter, ...]:
    return Signatures().of(call, "handler f")


def problem(call: Callable[..., Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(call)
    return str(caught.value)


class Owner:
    def method(self, x: Model) -> None: ...

    def __call__(self, x: Model) -> None: ...

    @classmethod
    def make(cls, x: Model) -> None: ...


class Built:
    def __init__(self, x: Model) -> None: ...


@dataclass
class Data:
    x: Model


class Named(NamedTuple):
    x: Model


def function(x: Model) -> None: ...


def annotated(x: Annotated[Model, "more"]) -> None: ...


@wraps(function)
def wrapped(*args: Any, **kwargs: Any) -> None: ...


def two(y: int, x: Model) -> None: ...


@pytest.mark.parametrize(
    "call",
    [
        function,
        annotated,
        wrapped,
        Owner().method,
        Owner(),
        Owner.make,
        Built,
        Data,
        Named,
        partial(two, 1),
        in_thread(function),
    ],
    ids=[
        "function",
        "annotated",
        "wrapped",
        "method",
        "instance",
        "class method",
        "class",
        "dataclass",
        "named tuple",
        "partial",
        "in_thread",
    ],
)
def test_annotation_is_resolved(call: Callable[..., Any]) -> None:
    """Annotations in strings are looked up where the callable was written, whatever kind of callable it is."""
    (parameter,) = read(call)
    assert (parameter.name, parameter.type) == ("x", Model)


def test_parameter_facts() -> None:
    """What is read of each parameter."""

    def f(a: Model, /, b: Annotated[int, "more"] = 3, *, c=Depends(get_model), d) -> None:  # type: ignore[no-untyped-def]
        ...

    a, b, c, d = read(f)
    assert (a.is_positional_only, a.is_keyword_only, a.has_default, a.has_annotation) == (True, False, False, True)
    assert (b.type, b.metadata, b.default, b.has_default) == (int, ("more",), 3, True)
    assert (c.is_keyword_only, c.has_annotation, c.has_default) == (True, False, False)
    assert c.depends is not None
    assert c.depends.dependency is get_model
    assert (d.has_annotation, d.annotation) == (False, Raw.empty)


def test_annotation_that_is_no_string() -> None:
    """Without `from __future__ import annotations` there is nothing to look up."""

    def f(x: object, y: object) -> None: ...

    f.__annotations__.update(x=Model, y=Annotated[Model, "more"])
    x, y = read(f)
    assert (x.type, y.type) == (Model, Model)


def test_marker_in_annotated() -> None:
    """Both spellings of Depends are found."""

    def f(a: Annotated[Model, Depends(get_model)], b: Annotated[Model, PerConnection(get_model)]) -> None: ...

    a, b = read(f)
    assert (type(a.depends).__name__, type(b.depends).__name__) == ("Depends", "PerConnection")


def test_names_of_the_enclosing_function() -> None:
    """A model that is local to the function which declares the handler is found, although nothing captures it."""

    class Local: ...

    def f(x: Local, y: Annotated[list[Local], "more"]) -> None: ...

    x, y = read(f)
    assert x.type is Local
    assert y.type == list[Local]


def test_names_in_the_closure() -> None:
    """A name that the handler itself uses is found after the enclosing function has returned."""

    def outer() -> Callable[..., Any]:
        class Local: ...

        def f(x: Local) -> type:
            return Local

        return f

    f = outer()
    (x,) = read(f)
    assert x.type is f(None)


def test_method_of_a_local_class() -> None:
    """The enclosing function is found through the class between."""

    class Local: ...

    class Holder:
        def method(self, x: Local) -> None: ...

    assert read(Holder().method)[0].type is Local


def test_empty_cell() -> None:
    """A name that is assigned after the handler was declared does no harm."""

    def f(x: Model) -> object:
        return later

    (x,) = read(f)
    later = 1
    assert x.type is Model


def test_inherited_dataclass_field() -> None:
    """A dataclass inherits annotations written against the names of another module."""
    module = ModuleType("elsewhere")
    exec("class Hidden: ...\nclass Base:\n    x: 'Hidden'", vars(module))
    sys.modules["elsewhere"] = module
    try:
        child: Any = dataclass(type("Child", (dataclass(module.Base),), {"__module__": __name__}))
        (x,) = read(child)
        assert x.type is module.Hidden
    finally:
        del sys.modules["elsewhere"]


def test_known_signature_is_kept() -> None:
    """Local names are gone when a handler is compiled again, so what was resolved is remembered."""
    signatures = Signatures()

    def outer() -> Callable[..., Any]:
        class Local: ...

        def f(x: Local) -> None: ...

        signatures.of(f, "f")
        return f

    f = outer()
    assert signatures.of(f, "f")[0].has_annotation
    assert "cannot be resolved" in problem(f)


def test_dependencies_are_read_with_the_handler() -> None:
    """A dependency's local names are found at the declaration too; what cannot be read is left for later."""

    def declare() -> tuple[Signatures, list[Callable[..., Any]]]:
        class Local: ...

        def inner(x: Local) -> None: ...

        def unreadable(x: Decimal) -> None: ...

        def outer(x: Any = Depends(inner), y: Any = Depends(unreadable), z: Any = Depends("text")) -> None:  # type: ignore[arg-type]  # a mistake that is left for later too
            ...

        class Made:
            def __init__(self, x: Annotated[object, Depends(outer)], y: Annotated[object, Depends(inner)]) -> None: ...

        async def handler(x: Annotated[Made, Depends()]) -> None: ...

        return read_signatures(handler), [handler, Made, outer, inner]

    signatures, calls = declare()
    assert all(signatures.of(call, "f") for call in calls)


def test_unneeded_annotation_may_be_unknown() -> None:
    """FastAPI takes `db: "Session" = Depends(get_session)` with a name for type checkers only; so do we."""

    def f(x: Decimal = Depends(get_model)) -> None: ...

    assert not read(f)[0].has_annotation


def stars(*args: int) -> None: ...


def more_stars(**kwargs: int) -> None: ...


def for_checkers(x: Decimal) -> None: ...


def twice(x: Annotated[Model, Depends(get_model)] = Depends(get_model)) -> None: ...


def bare_default(x: Model = Depends) -> None:  # type: ignore[assignment]  # the mistake is the test
    ...


def bare_marker(x: Annotated[Model, PerConnection]) -> None: ...


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        pytest.param(
            stars, "handler f, parameter 'args': *args does not say what to pass; name each parameter", id="args"
        ),
        pytest.param(more_stars, "handler f, parameter 'kwargs': **kwargs does not say", id="kwargs"),
        pytest.param(
            for_checkers,
            "handler f, parameter 'x': the annotation 'Decimal' cannot be resolved (NameError: name 'Decimal' is not "
            "defined); define the name at module level, and import it outside `if TYPE_CHECKING:`",
            id="unknown name",
        ),
        pytest.param(twice, "handler f, parameter 'x': two Depends on one parameter", id="two markers"),
        pytest.param(bare_default, "handler f, parameter 'x': Depends without parentheses", id="bare default"),
        pytest.param(bare_marker, "handler f, parameter 'x': Depends without parentheses", id="bare marker"),
        pytest.param(dict, "handler f: its parameters cannot be found out", id="no signature"),
    ],
)
def test_refused(call: Callable[..., Any], sentence: str) -> None:
    """Each mistake names the callable, the parameter and what to do."""
    assert problem(call).startswith(sentence)


def test_annotations_that_are_evaluated_late() -> None:
    """Python 3.14 evaluates annotations when the signature is read, and may fail there."""

    class Late:
        @property
        def __signature__(self) -> object:
            raise NameError("name 'Reading' is not defined")

        def __call__(self) -> None: ...

    assert problem(Late()).startswith("handler f: an annotation cannot be resolved (NameError: name 'Reading'")


def test_identity_of_the_unhashable() -> None:
    """A callable instance need not be hashable; it is equal to itself only."""

    @dataclass
    class Factory:
        def __call__(self) -> int:
            return 1

    one, other = Factory(), Factory()
    assert identity(one) == identity(one)
    assert identity(one) != identity(other)
    assert identity(get_model) is get_model


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (get_model, "get_model"),
        (Owner, "Owner"),
        (Owner(), "Owner"),
        (Owner().method, "Owner.method"),
        (partial(get_model), "get_model"),
        (in_thread(get_model), "get_model"),
    ],
    ids=["function", "class", "instance", "method", "partial", "in_thread"],
)
def test_name(call: Callable[..., Any], name: str) -> None:
    """Logs and errors name the function that the user wrote."""
    assert name_of(call) == name


def test_place() -> None:
    """How errors name a parameter."""
    assert at("handler f", "x") == "handler f, parameter 'x'"
