"""The table of HTTP routes in the documentation, made of the OpenAPI document that the gateway itself serves."""

from __future__ import annotations

from typing import Any

COLUMNS = ("route", "parameters", "what it does", "status")


def route_rows() -> list[tuple[str, ...]]:
    """Return a row for each operation: ``GET /path``, its parameters, its first sentence, its status codes."""
    # Imported here because it takes half a second, which the other parts need not wait for.
    from fastapi import FastAPI

    from portcast.gateway import Gateway

    app = FastAPI()
    app.include_router(Gateway())
    return [
        _row(f"{method.upper()} {path}", operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]


def _row(route: str, operation: dict[str, Any]) -> tuple[str, ...]:
    parameters = [_parameter(one) for one in operation.get("parameters", []) if one["in"] != "path"]
    text = " ".join(operation["description"].split("\n\n")[0].split())
    return f"`{route}`", "; ".join(parameters), text, ", ".join(sorted(operation["responses"]))


def _parameter(one: dict[str, Any]) -> str:
    default = one["schema"].get("default", "")
    shown = f" (`{default}`)" if default not in ("", None) else ""
    description = one.get("description", "")
    return f"`{one['name']}`{shown}" + (f": {description}" if description else "")
