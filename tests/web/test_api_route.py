from __future__ import annotations

import pytest

from gateway_serving import app_with, serving
from portcast import Gateway

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/topics", 200),
        ("GET", "/api/devices/none", 404),
        ("GET", "/api/topics?limit=none", 422),
        ("GET", "/api/topics?fliter=a", 400),
        ("POST", "/api/topics/$a", 400),
        ("DELETE", "/api/recorder/frames", 204),
    ],
)
async def test_no_answer_is_kept_or_taken_for_something_else(method: str, path: str, status: int) -> None:
    """Refusals, too: they say who may do what."""
    async with serving(app_with(Gateway())) as served:
        answer = await served.http.request(method, path)
        assert answer.status_code == status
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
