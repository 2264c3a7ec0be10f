"""Compiles a handler's signature and its dependencies to flat lists of steps.

A value is made in one of two *scopes*: per connection, when the device connects, or per message. Slots of a message
follow those of its connection, so the index of a message's value is known once all dependencies are: until then an
argument is a `_Ref`.

Per connection: slot 0 is the connection, then one slot for each step. Per message: the message, then one slot for
each step. Functions of one listener are compiled together (`plan_all`): what lives as long as the connection is made
once for all of them, and lies in the same slots.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from inspect import isclass
from typing import Any, NamedTuple

import fastapi.params

from portcast.errors import ConfigurationError
from portcast.handlers.calls import Invoke, Step, step
from portcast.handlers.fastapi_subset import dependency_of, display, refuse_http
from portcast.handlers.markers import InThread, PerConnection
from portcast.handlers.signature import Call, Parameter, Signatures, at, identity, name_of


@dataclass(frozen=True, slots=True)
class Environment:
    """What parameters can get beside dependencies.

    Attributes:
        connection_type: the annotation that gets the connection.
        providers: by annotation, a sync function that makes the value from the connection; called once per message,
            or at connect for what lives as long as the connection.
        overrides: replacements of dependencies, as in ``FastAPI.dependency_overrides``.
        signatures: the reader, with what it already knows.
        is_hook: the function is told or asked something: it may take neither message nor connection.
        has_connection: there is a connection, with values that live as long as it; false for hooks of SDK clients,
            where one call is like another.
    """

    connection_type: type
    providers: Mapping[Any, Callable[[Any], object]]
    overrides: Mapping[Call, Call]
    signatures: Signatures
    is_hook: bool = False
    has_connection: bool = True

    @property
    def noun(self) -> str:
        """What errors call the function."""
        return "hook" if self.is_hook else "handler"

    @property
    def instead(self) -> str:
        """The name of the type to ask for where something has no place."""
        return self.connection_type.__name__ if self.has_connection else "HTTPConnection"

    def provides(self, annotation: object) -> bool:
        """Return True if a provider makes such values."""
        return isclass(annotation) and annotation in self.providers


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled handler: what to run at connect, what to run for a message, and the call itself."""

    connection_steps: tuple[Step, ...]
    message_steps: tuple[Step, ...]
    call: Invoke
    message: Parameter | None
    """None for a per-connection handler, and for a hook that does not look at the client's data."""


class _Scope(Enum):
    CONNECTION = auto()
    MESSAGE = auto()


@dataclass(frozen=True, slots=True)
class _Ref:
    """A value: the ``index``-th of its scope."""

    scope: _Scope
    index: int


_CONNECTION = _Ref(_Scope.CONNECTION, 0)
_MESSAGE = _Ref(_Scope.MESSAGE, 0)


class _Arguments(NamedTuple):
    positions: list[_Ref]
    keywords: list[tuple[str, _Ref]]


class _Asker(NamedTuple):
    """Whose parameters are being looked at."""

    where: str
    """The way to it, ``on_reading -> get_repository -> get_session``; names it in errors."""
    scope: _Scope
    calls: tuple[Hashable, ...]
    """The way to it, to find circles."""


def plan(function: Call, environment: Environment) -> Plan:
    """Compile a handler.

    Raises:
        ConfigurationError: a parameter of the handler or of a dependency cannot be provided; names both.
    """
    return plan_all([(function, environment)])[0]


def plan_all(functions: Sequence[tuple[Call, Environment]]) -> list[Plan]:
    """Compile functions that serve the same connections. Their plans have the steps of the connection in common.

    Raises:
        ConfigurationError: as for `plan`.
    """
    shared = _Made()
    planners = [_Planner(function, environment, shared) for function, environment in functions]
    # Only now is it known how many values a connection has.
    return [planner.plan() for planner in planners]


@dataclass
class _Made:
    """What is made in one scope: the steps in order, and which value is whose."""

    steps: list[tuple[Call, _Arguments]] = field(default_factory=list)
    refs: dict[Hashable, _Ref] = field(default_factory=dict)


class _Planner:
    def __init__(self, function: Call, environment: Environment, shared: _Made) -> None:
        self.environment = environment
        self.where = f"{environment.noun} {name_of(function)}"
        self.made = {_Scope.CONNECTION: shared, _Scope.MESSAGE: _Made()}
        self.function = function
        self.parameters = environment.signatures.of(function, self.where)
        self.message = self._find_message()
        scope = _Scope.CONNECTION if self._is_per_connection else _Scope.MESSAGE
        asker = _Asker(self.where, scope, (identity(function),))
        self.arguments = self._arguments(self.parameters, asker, function)

    def plan(self) -> Plan:
        return Plan(
            connection_steps=tuple(self._step(*s) for s in self.made[_Scope.CONNECTION].steps),
            message_steps=tuple(self._step(*s) for s in self.made[_Scope.MESSAGE].steps),
            call=step(self.function, *self._indexes(self.arguments)).invoke,
            message=self.message,
        )

    @property
    def _is_per_connection(self) -> bool:
        return self.message is None and not self.environment.is_hook

    def _find_message(self) -> Parameter | None:
        """Decide whether the handler is called per message, and with which parameter."""
        candidates, has_connection = [], False
        for parameter in self.parameters:
            self._refuse_http(parameter, self.where)
            has_connection |= parameter.type is self.environment.connection_type
            if parameter.depends is not None or parameter.has_default or self._is_special(parameter):
                continue
            if not parameter.has_annotation:
                raise ConfigurationError(
                    at(self.where, parameter.name),
                    "it has no annotation",
                    "annotate the message with a Pydantic model, str, bytes or dict, the connection with Connection",
                )
            candidates.append(parameter)
        if len(candidates) > 1:
            names = ", ".join(repr(p.name) for p in candidates)
            raise ConfigurationError(
                at(self.where, candidates[1].name),
                f"a {self.environment.noun} takes one message, but {names} could each be it",
                "keep one; give the others a default or Depends(…)",
            )
        if not candidates and not has_connection and not self.environment.is_hook:
            raise ConfigurationError(
                self.where,
                "it takes neither a message nor a Connection",
                "add a parameter: a Pydantic model, str or bytes to be called once per message, "
                "a Connection to be called once per connection",
            )
        return candidates[0] if candidates else None

    def _refuse_http(self, parameter: Parameter, where: str) -> None:
        if not self.environment.provides(parameter.type):
            refuse_http(parameter, where, self.environment.instead)

    def _is_special(self, parameter: Parameter) -> bool:
        return parameter.type is self.environment.connection_type or self.environment.provides(parameter.type)

    def _arguments(self, parameters: tuple[Parameter, ...], asker: _Asker, call: Call) -> _Arguments:
        arguments = _Arguments([], [])
        # A decorator's wrapper may take **kwargs only, and FastAPI passes everything by name.
        by_name = hasattr(call.function if isinstance(call, InThread) else call, "__wrapped__")
        for parameter in parameters:
            ref = self._argument(parameter, asker)
            if ref is None:
                by_name = True  # left at its default: those behind it are no longer where they were
            elif parameter.is_positional_only or not (by_name or parameter.is_keyword_only):
                arguments.positions.append(ref)
            else:
                arguments.keywords.append((parameter.name, ref))
        return arguments

    def _argument(self, parameter: Parameter, asker: _Asker) -> _Ref | None:
        """Return where a parameter's value comes from; None if it is left at its default."""
        key = at(asker.where, parameter.name)
        self._refuse_http(parameter, asker.where)
        if parameter.depends is not None:
            return self._dependency(parameter, parameter.depends, asker)
        if parameter.type is self.environment.connection_type:
            return _CONNECTION
        if self.environment.provides(parameter.type):
            return self._provided(parameter.type, asker.scope)
        if parameter.has_default:
            return None
        if not parameter.has_annotation:
            raise ConfigurationError(key, "it has no annotation", "annotate it, or give it Depends(…) or a default")
        if self.message is None or parameter.annotation != self.message.annotation:
            raise ConfigurationError(
                key, f"nothing provides {display(parameter)}", f"use {self._choices()}, Depends(…) or a default"
            )
        if asker.scope is _Scope.CONNECTION:
            raise ConfigurationError(
                key,
                "it asks for the message, but lives as long as the connection",
                "use Depends instead of PerConnection",
            )
        return _MESSAGE

    def _choices(self) -> str:
        own = [self.environment.connection_type] if self.environment.has_connection else []
        types = [*own, *self.environment.providers]
        names = [t.__name__ for t in types]
        return ", ".join(names if self.message is None else [*names, f"the message ({display(self.message)})"])

    def _provided(self, annotation: object, scope: _Scope) -> _Ref:
        key, refs = ("provider", annotation), self.made[scope].refs
        if key not in refs:
            refs[key] = self._add(self.environment.providers[annotation], _Arguments([_CONNECTION], []), scope)
        return refs[key]

    def _dependency(self, parameter: Parameter, depends: fastapi.params.Depends, asker: _Asker) -> _Ref:
        key = at(asker.where, parameter.name)
        original = dependency_of(parameter, depends, asker.where)
        if not self.environment.has_connection and isinstance(depends, PerConnection):
            raise ConfigurationError(key, "nothing lives longer than one call of a hook", "use Depends")
        is_shared = self._is_per_connection or isinstance(depends, PerConnection)
        scope = _Scope.CONNECTION if is_shared else _Scope.MESSAGE
        if asker.scope is _Scope.CONNECTION and scope is _Scope.MESSAGE:
            raise ConfigurationError(
                key,
                f"it lives as long as the connection, but {name_of(original)} only as long as a message",
                f"write PerConnection({name_of(original)}) here too, or Depends for both",
            )
        me = identity(original)
        if me in asker.calls:
            raise ConfigurationError(key, f"{name_of(original)} depends on itself", "break the circle")
        if depends.use_cache and me in self.made[scope].refs:
            return self.made[scope].refs[me]
        call = self._override(original)
        here = _Asker(f"{asker.where} -> {name_of(call)}", scope, (*asker.calls, me))
        parameters = self.environment.signatures.of(call, here.where)
        ref = self._add(call, self._arguments(parameters, here, call), scope)
        self.made[scope].refs.setdefault(me, ref)
        return ref

    def _override(self, call: Call) -> Call:
        overrides = self.environment.overrides
        inner = call.function if isinstance(call, InThread) else call
        for key in (call, inner):
            if identity(key) is key and key in overrides:
                return overrides[key]
        return call

    def _add(self, call: Call, arguments: _Arguments, scope: _Scope) -> _Ref:
        steps = self.made[scope].steps
        steps.append((call, arguments))
        return _Ref(scope, len(steps))

    def _step(self, call: Call, arguments: _Arguments) -> Step:
        return step(call, *self._indexes(arguments))

    def _indexes(self, arguments: _Arguments) -> tuple[tuple[int, ...], tuple[tuple[str, int], ...]]:
        return (
            tuple(self._index(ref) for ref in arguments.positions),
            tuple((name, self._index(ref)) for name, ref in arguments.keywords),
        )

    def _index(self, ref: _Ref) -> int:
        if ref.scope is _Scope.CONNECTION:
            return ref.index
        return ref.index + 1 + len(self.made[_Scope.CONNECTION].steps)
