"""A client gets the format that it asks for."""

from __future__ import annotations

import pytest

from portcast.centrifuge.format import Choice, Format, choose_format, wants_native_ping

JSON, PROTOBUF = Format.JSON, Format.PROTOBUF


@pytest.mark.parametrize(
    ("offered", "query", "choice"),
    [
        pytest.param([], {}, Choice(JSON, None), id="nothing"),
        pytest.param([""], {}, Choice(JSON, None), id="an empty header"),
        pytest.param(["chat"], {}, Choice(JSON, None), id="unknown"),
        pytest.param(["centrifuge-json"], {}, Choice(JSON, "centrifuge-json"), id="json"),
        pytest.param(["centrifuge-protobuf"], {}, Choice(PROTOBUF, "centrifuge-protobuf"), id="protobuf"),
        pytest.param([" centrifuge-json "], {}, Choice(JSON, "centrifuge-json"), id="spaces"),
        pytest.param(
            ["x", "centrifuge-protobuf", "centrifuge-json"],
            {},
            Choice(PROTOBUF, "centrifuge-protobuf"),
            id="the first that we know",
        ),
        pytest.param(["Centrifuge-JSON"], {}, Choice(JSON, None), id="names are exact"),
        pytest.param([], {"format": "protobuf"}, Choice(PROTOBUF, None), id="format"),
        pytest.param([], {"cf_protocol": "protobuf"}, Choice(PROTOBUF, None), id="cf_protocol"),
        pytest.param([], {"format": "json", "cf_protocol": "protobuf"}, Choice(PROTOBUF, None), id="either"),
        pytest.param([], {"format": "xml"}, Choice(JSON, None), id="an unknown format"),
        pytest.param(
            ["centrifuge-json"], {"format": "protobuf"}, Choice(PROTOBUF, "centrifuge-json"), id="the query wins"
        ),
        pytest.param(
            ["centrifuge-protobuf"],
            {"format": "json"},
            Choice(PROTOBUF, "centrifuge-protobuf"),
            id="json is no word",
        ),
    ],
)
def test_what_is_chosen(offered: list[str], query: dict[str, str], choice: Choice) -> None:
    """See the top of the module; the answer is one of the offered names or none."""
    assert choose_format(offered, query) == choice


@pytest.mark.parametrize(
    ("query", "expected"),
    [({}, False), ({"cf_ws_frame_ping_pong": "true"}, True), ({"cf_ws_frame_ping_pong": "1"}, False)],
)
def test_who_wants_native_pings(query: dict[str, str], expected: bool) -> None:
    """The word is exact, as in the reference server."""
    assert wants_native_ping(query) is expected


def test_what_stands_between_replies() -> None:
    """Lines in JSON; Protobuf's messages have their length in front."""
    assert JSON.separator == b"\n"
    assert PROTOBUF.separator == b""
