"""Tests of `portcast.cli.http_reference`."""

from __future__ import annotations

from portcast.cli.http_reference import COLUMNS, route_rows


def test_every_route_has_a_row() -> None:
    """With its parameters and what it answers; paths stand in OpenAPI's form."""
    rows = {row[0]: row for row in route_rows()}
    assert all(len(row) == len(COLUMNS) for row in rows.values())
    assert {"`GET /events/{filter}`", "`POST /api/topics/{topic}`", "`GET /health/ready`"} <= rows.keys()
    _, parameters, text, status = rows["`GET /api/topics`"]
    assert "`filter` (`#`): topic filter" in parameters
    assert text == "List known topics by name."
    assert {"200", "400", "503"} <= set(status.split(", "))
