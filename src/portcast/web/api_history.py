"""``GET /api/history``: what was published on all topics of a filter, in one order, and what of it is gone.

For a client that follows a wildcard over the Centrifuge protocol, which cannot recover one: it subscribes, asks here
for what it missed, and drops what it got twice by its id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from portcast.publication import Publication, runs_of
from portcast.runtime import within_bytes
from portcast.topics import validate_filter
from portcast.web.http_access import HttpAccess
from portcast.web.models import REFUSED, EnvelopeBody, MergedHistoryBody, Problem
from portcast.web.query import only_known, query_of
from portcast.web.resume import EnvelopesOf
from portcast.web.subscribe import MAX_FILTERS, MAX_REPLAY, NodeOf, or_unavailable

_NAMES = ("filter", "since", "limit")
_PROBLEMS: dict[int | str, dict[str, Any]] = {400: {"model": Problem}, **REFUSED, 503: {"model": Problem}}


def add_history(router: APIRouter, node: NodeOf, access: HttpAccess) -> None:
    """Add the route."""
    envelopes = EnvelopesOf(lambda: node().broker.node_epoch(), lambda at: node().unix_time(at))

    running = or_unavailable(node)

    @router.get(
        "/api/history",
        tags=["topics"],
        responses=_PROBLEMS,
        response_model_exclude_none=True,
        dependencies=[Depends(only_known(*_NAMES))],
    )
    async def merged_history(
        request: Request,
        filter: Annotated[list[str], Query(default_factory=list, description="topic filter; may repeat")],  # noqa: A002 - the parameter's public name
        since: Annotated[str, Query(description="an `id`; what follows it, oldest first, and what of it is gone")] = "",
        limit: Annotated[
            int, Query(ge=0, le=MAX_REPLAY, description="most publications returned, as far as they fit 256 KiB")
        ] = 100,
    ) -> MergedHistoryBody:
        """Return retained publications of all topics that match, in one order: the newest, or those after an id."""
        query = query_of(request.scope)  # FastAPI has read each `+` as a space
        filters = _checked(query.getlist("filter"))
        since = query.get("since", since)
        the = running()
        await access.may_read(request, filters)

        def bodies(publications: Sequence[Publication]) -> list[EnvelopeBody]:
            make = envelopes.of(filters)
            return [EnvelopeBody(**json.loads(one)) for run in runs_of(publications) for one in make.of(run)]

        if not since:
            newest_first = within_bytes(the.broker.latest(filters, limit, the.now())[::-1])
            return MergedHistoryBody(publications=bodies(newest_first[::-1]), missed=0, exact=True, more=0)
        found = the.broker.recover(filters, since, limit, the.now())
        fitting = within_bytes(found.publications)
        more = len(found.publications) - len(fitting) + found.more
        return MergedHistoryBody(publications=bodies(fitting), missed=found.missed, exact=found.is_exact, more=more)


def _checked(filters: Sequence[str]) -> tuple[str, ...]:
    if len(filters) > MAX_FILTERS:
        raise HTTPException(400, f"more than {MAX_FILTERS} filters")
    try:
        for one in filters:
            validate_filter(one)
    except ValueError as error:  # TopicError is one
        raise HTTPException(400, str(error)) from error
    return tuple(filters) or ("#",)
