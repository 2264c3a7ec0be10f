"""Handlers: users' functions, compiled with their dependencies."""

from portcast.handlers.compile import CompiledHandler, Overrides, Providers, compile_handler
from portcast.handlers.markers import InThread, PerConnection, in_thread

__all__ = [
    "CompiledHandler",
    "InThread",
    "Overrides",
    "PerConnection",
    "Providers",
    "compile_handler",
    "in_thread",
]
