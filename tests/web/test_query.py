from __future__ import annotations

import pytest

from portcast.web.query import STREAM_NAMES, SYNONYMS, check_names, query_of


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"filter=sensors/+", [("filter", "sensors/+")], id="a plus is a plus"),
        pytest.param(b"filter=sensors/%2B", [("filter", "sensors/+")], id="encoded"),
        pytest.param(b"filter=a%20b", [("filter", "a b")], id="a space"),
        pytest.param(b"filter=a&filter=b/%23", [("filter", "a"), ("filter", "b/#")], id="repeated"),
        pytest.param(b"filter=a=b&&since", [("filter", "a=b"), ("since", "")], id="equals, nothing, no value"),
        pytest.param("filter=grüße".encode(), [("filter", "grüße")], id="not encoded"),
        pytest.param(b"filter=%ff", [("filter", "\ufffd")], id="not UTF-8"),
    ],
)
def test_the_query_is_read_as_it_is_written(query: bytes, pairs: list[tuple[str, str]]) -> None:
    """RFC 3986 gives ``+`` no meaning in a query; as a space it would change a wildcard into another topic."""
    assert query_of({"query_string": query}).multi_items() == pairs


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fliter", "filter"),
        ("filters", "filter"),
        ("Filter", "filter"),
        ("filtr", "filter"),
        ("histroy", "history"),
        ("sinc", "since"),
        ("fromat", "format"),
        ("topic", "filter"),
    ],
)
def test_a_mistyped_name_is_refused(name: str, meant: str) -> None:
    """Ignored, it would deliver everything to a client that asked for one topic."""
    with pytest.raises(ValueError, match=f"unknown parameter '{name}': did you mean '{meant}'"):
        check_names([name], STREAM_NAMES, SYNONYMS)


@pytest.mark.parametrize(
    "name", [*STREAM_NAMES, "token", "access_token", "_", "v", "platform", "utm_source", "client", "user", ""]
)
def test_names_of_others_pass(name: str) -> None:
    """An application's dependencies and middleware read a token from the query of the same URL."""
    check_names([name], STREAM_NAMES, SYNONYMS)
