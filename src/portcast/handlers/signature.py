"""What a callable asks for: its parameters with their annotations resolved.

Knows nothing of messages, connections or scopes; `portcast.handlers.plan` decides what each parameter gets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import Parameter as Raw
from inspect import currentframe, isclass, signature, unwrap
from types import CodeType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import fastapi
import fastapi.params

from portcast.errors import ConfigurationError
from portcast.handlers.markers import InThread, PerConnection

Call = Callable[..., Any]
Namespaces = list[tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler or dependency.

    Attributes:
        name: as written.
        annotation: resolved, ``Annotated`` kept; ``inspect.Parameter.empty`` if there is none.
        type: the annotation without ``Annotated``.
        metadata: what ``Annotated`` adds to the type.
        depends: the marker, from the default or from ``Annotated``.
        default: as written; ``inspect.Parameter.empty`` if there is none.
        is_keyword_only: True if it cannot be passed by position.
        is_positional_only: True if it cannot be passed by name.
    """

    name: str
    annotation: object
    type: object
    metadata: tuple[object, ...]
    depends: fastapi.params.Depends | None
    default: object
    is_keyword_only: bool
    is_positional_only: bool

    @property
    def has_annotation(self) -> bool:
        """False if nothing was written after the name."""
        return self.annotation is not Raw.empty

    @property
    def has_default(self) -> bool:
        """True if the callable can do without it; a `Depends` as default is not one."""
        return self.default is not Raw.empty and not isinstance(self.default, fastapi.params.Depends)


class Signatures:
    """Reads signatures, each once.

    Kept for a handler from its declaration on: names that are local to the function in which it is declared can be
    looked up only while that function runs, and it is compiled later, perhaps more than once.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Parameter, ...]] = {}

    def of(self, call: Call, where: str) -> tuple[Parameter, ...]:
        """Return the parameters of a callable in order, without ``self``.

        Args:
            call: a function, method, class, callable instance or `functools.partial`.
            where: names the callable in errors.

        Raises:
            ConfigurationError: ``*args`` or ``**kwargs``, an annotation that cannot be resolved, two markers on one
                parameter, or a callable without a signature.
        """
        key = identity(call)
        if key not in self._known:
            self._known[key] = _read(call, where)
        return self._known[key]

    def asks_for(self, kind: type[Any]) -> bool:
        """Return True if a parameter of a callable that was read is annotated with exactly this type."""
        return any(parameter.type is kind for parameters in self._known.values() for parameter in parameters)


def read_signatures(function: Call) -> Signatures:
    """Return the signatures of a handler and of all that it depends on, as far as they can be read now.

    What cannot is left to `Signatures.of`: a name may be defined later in the module, and errors belong to the
    compilation, which can say the whole way to a parameter.
    """
    signatures = Signatures()
    waiting, seen = [function], set()
    while waiting:
        call = waiting.pop()
        if identity(call) in seen:
            continue
        seen.add(identity(call))
        try:
            parameters = signatures.of(call, name_of(call))
        except ConfigurationError:
            continue
        marked = ((p.depends.dependency, p.type) for p in parameters if p.depends is not None)
        waiting += [call for call in (type_ if named is None else named for named, type_ in marked) if callable(call)]
    return signatures


def identity(call: Call) -> Hashable:
    """Return a key that is equal for callables that are the same, also for those that cannot be hashed."""
    try:
        hash(call)
    except TypeError:
        return ("unhashable", id(call))
    return call


def name_of(call: object) -> str:
    """Return the qualified name of a callable; of its class for an instance."""
    while isinstance(call, (partial, InThread)):
        call = call.func if isinstance(call, partial) else call.function
    return str(getattr(call, "__qualname__", None) or type(call).__qualname__)


def at(where: str, parameter: str) -> str:
    """Return how errors name one parameter."""
    return f"{where}, parameter {parameter!r}"


def _read(call: Call, where: str) -> tuple[Parameter, ...]:
    try:
        raws = signature(call).parameters.values()
    except NameError as error:  # Python 3.14 evaluates annotations here.
        raise _unresolved(where, "an annotation", error) from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            where, "its parameters cannot be found out", "wrap it in a function with annotated parameters"
        ) from error
    namespaces: Namespaces = []
    return tuple(_parameter(raw, call, where, namespaces) for raw in raws)


def _parameter(raw: Raw, call: Call, where: str, namespaces: Namespaces) -> Parameter:
    key = at(where, raw.name)
    if raw.kind in {Raw.VAR_POSITIONAL, Raw.VAR_KEYWORD}:
        stars = "*" if raw.kind is Raw.VAR_POSITIONAL else "**"
        raise ConfigurationError(key, f"{stars}{raw.name} does not say what to pass", "name each parameter")
    annotation = raw.annotation
    # `db: "Session" = Depends(get_session)` works although Session is imported for type checkers only.
    is_needed = not (isinstance(raw.default, fastapi.params.Depends) and raw.default.dependency is not None)
    if annotation is not Raw.empty:
        annotation = _resolve(annotation, call, key, namespaces, is_needed=is_needed)
    is_annotated = get_origin(annotation) is Annotated
    bare, *metadata = get_args(annotation) if is_annotated else (annotation,)
    return Parameter(
        name=raw.name,
        annotation=annotation,
        type=bare,
        metadata=tuple(metadata),
        depends=_marker(raw.default, metadata, key),
        default=raw.default,
        is_keyword_only=raw.kind is Raw.KEYWORD_ONLY,
        is_positional_only=raw.kind is Raw.POSITIONAL_ONLY,
    )


def _marker(default: object, metadata: list[object], key: str) -> fastapi.params.Depends | None:
    for item in (default, *metadata):
        # The parentheses are easily forgotten, and without this the parameter would be taken for the message.
        if item is fastapi.Depends or item is PerConnection or item is fastapi.params.Depends:
            raise ConfigurationError(key, "Depends without parentheses", "write Depends()")
    markers = [item for item in (default, *metadata) if isinstance(item, fastapi.params.Depends)]
    if len(markers) > 1:
        raise ConfigurationError(key, "two Depends on one parameter", "keep one of them")
    return markers[0] if markers else None


def _resolve(annotation: object, call: Call, key: str, namespaces: Namespaces, *, is_needed: bool) -> object:
    """Return an annotation with the names in its strings looked up, wherever the callable could see them."""
    if isclass(annotation):
        return annotation
    if not namespaces:
        namespaces += _namespaces(call)
    failure: Exception | None = None
    for names, more in namespaces:
        probe = _probe(annotation)
        try:
            return get_type_hints(probe, names, more, include_extras=True)["x"]
        except Exception as error:  # noqa: BLE001 - an annotation is any expression, so it can raise anything
            failure = failure or error
    if is_needed:
        assert failure is not None
        raise _unresolved(key, f"the annotation {annotation!r}", failure) from failure
    return Raw.empty


def _probe(annotation: object) -> Call:
    def probe() -> None: ...

    # get_type_hints of the whole function would fail for one bad annotation without saying which.
    probe.__annotations__ = {"x": annotation}
    return probe


def _unresolved(key: str, what: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        key,
        f"{what} cannot be resolved ({type(error).__name__}: {error})",
        "define the name at module level, and import it outside `if TYPE_CHECKING:`",
    )


def _namespaces(call: Call) -> Namespaces:
    """Return where to look up names, best first: closure and globals, the classes' modules, enclosing functions."""
    function = _function(call)
    names: dict[str, Any] = getattr(function, "__globals__", {})
    found: Namespaces = [(names, _closure(function))]
    if isclass(call):
        # A dataclass inherits fields, and with them annotations in strings, from classes of other modules.
        modules = (sys.modules.get(cls.__module__) for cls in call.__mro__)
        found += [(vars(module), dict(vars(call))) for module in modules if module is not None]
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        found += [(names, local_names) for local_names in _enclosing(code)]
    return found


def _function(call: Call) -> object:
    """Return the plain function behind a callable, whose globals its annotations were written against."""
    while True:
        if isinstance(call, partial):
            call = call.func
        elif isinstance(call, InThread):
            call = call.function
        elif hasattr(call, "__wrapped__"):
            call = call.__wrapped__
        elif isclass(call):
            return unwrap(call.__init__)
        else:
            return call if hasattr(call, "__code__") else unwrap(type(call).__call__)


def _closure(function: object) -> dict[str, Any]:
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    found = {}
    for name, cell in zip(getattr(code, "co_freevars", ()), cells or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # assigned later than the handler was declared
            continue
    return found


def _enclosing(code: CodeType) -> Iterator[dict[str, Any]]:
    """Yield the local names of the running functions in which ``code`` was written, innermost first."""
    frame = currentframe()
    while frame is not None:
        if _contains(frame.f_code, code):
            yield dict(frame.f_locals)
        frame = frame.f_back


def _contains(outer: CodeType, code: CodeType) -> bool:
    return any(
        constant is code or _contains(constant, code) for constant in outer.co_consts if isinstance(constant, CodeType)
    )
