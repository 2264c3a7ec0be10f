"""JSON frames are read exactly and refused whole; what is written reads back."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.centrifuge import messages as m
from portcast.centrifuge.codes import PERMISSION_DENIED
from portcast.centrifuge.json_codec import MAX_JSON_DEPTH, decode, encode, members, quote
from portcast.centrifuge.schema import MAX_COMMANDS, MAX_NESTED_MESSAGES
from portcast.errors import CentrifugeError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

COMMANDS = [
    pytest.param("{}", m.Command(), id="pong"),
    pytest.param('{"id":7}', m.Command(7), id="an id alone"),
    pytest.param('{"id":4294967295,"ping":{}}', m.Command(2**32 - 1, m.PingRequest()), id="the last id"),
    pytest.param(
        '{"id":1,"connect":{"token":"t","data":{"a":1},"name":"js","version":"5","headers":{"x":"y"},'
        '"subs":{"#42":{"recover":true,"offset":9,"epoch":"e"},"b":{}}}}',
        m.Command(
            1,
            m.ConnectRequest(
                token="t",
                data=b'{"a":1}',
                name="js",
                version="5",
                headers={"x": "y"},
                subs={"#42": m.SubscribeRequest(recover=True, offset=9, epoch="e"), "b": m.SubscribeRequest()},
            ),
        ),
        id="connect",
    ),
    pytest.param(
        '{"id":2,"subscribe":{"channel":"d/1","token":"t","recover":true,"epoch":"e","offset":18446744073709551615,'
        '"data":[1],"positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","flag":-1,"type":-3,'
        '"tf":{"op":"and","nodes":[{"key":"k","cmp":"in","vals":["a","b"]},{"key":"k","cmp":"eq","val":"v"}]}}}',
        m.Command(
            2,
            m.SubscribeRequest(
                channel="d/1",
                token="t",
                recover=True,
                epoch="e",
                offset=2**64 - 1,
                data=b"[1]",
                positioned=True,
                recoverable=True,
                join_leave=True,
                delta="fossil",
                flag=-1,
                type=-3,
                tf=m.FilterNode(
                    op="and",
                    nodes=(
                        m.FilterNode(key="k", cmp="in", vals=("a", "b")),
                        m.FilterNode(key="k", cmp="eq", val="v"),
                    ),
                ),
            ),
        ),
        id="subscribe",
    ),
    pytest.param('{"id":3,"unsubscribe":{"channel":"c"}}', m.Command(3, m.UnsubscribeRequest("c")), id="unsubscribe"),
    pytest.param(
        '{"id":3,"publish":{"channel":"c","data":1}}', m.Command(3, m.PublishRequest("c", b"1")), id="publish"
    ),
    pytest.param('{"id":3,"presence":{"channel":"c"}}', m.Command(3, m.PresenceRequest("c")), id="presence"),
    pytest.param(
        '{"id":3,"presence_stats":{"channel":"c"}}', m.Command(3, m.PresenceStatsRequest("c")), id="presence_stats"
    ),
    pytest.param(
        '{"id":3,"history":{"channel":"c","limit":-1,"since":{"offset":3,"epoch":"e"},"reverse":true}}',
        m.Command(3, m.HistoryRequest("c", -1, m.StreamPosition(3, "e"), True)),
        id="history",
    ),
    pytest.param('{"send":{"data":"x"}}', m.Command(0, m.SendRequest(b'"x"')), id="send"),
    pytest.param('{"id":3,"rpc":{"method":"f","data":null}}', m.Command(3, m.RpcRequest(b"null", "f")), id="rpc"),
    pytest.param('{"id":3,"refresh":{"token":"t"}}', m.Command(3, m.RefreshRequest("t")), id="refresh"),
    pytest.param(
        '{"id":3,"sub_refresh":{"channel":"c","token":"t","type":1}}',
        m.Command(3, m.SubRefreshRequest("c", "t", 1)),
        id="sub_refresh",
    ),
]


@pytest.mark.parametrize(("text", "command"), COMMANDS)
def test_each_command_is_read(text: str, command: m.Command) -> None:
    """As text or as bytes."""
    assert decode(text) == decode(text.encode()) == [command]


LENIENT = [
    pytest.param(' \t\r\n{ "id" : 1 ,\n"ping" : { } }\r\n ', [m.Command(1, m.PingRequest())], id="white space"),
    pytest.param('{"id":1}\n{"id":2}\n\n{"id":3}\n', [m.Command(1), m.Command(2), m.Command(3)], id="several lines"),
    pytest.param('{"id":1} {"id":2}{}', [m.Command(1), m.Command(2), m.Command()], id="several on a line"),
    pytest.param('{"id":1,"new":[{"a":"}"},1e9],"ping":{"x":{}}}', [m.Command(1, m.PingRequest())], id="unknown"),
    pytest.param('{"id":null,"connect":null}', [m.Command()], id="null is absent"),
    pytest.param('{"history":{"reverse":false}}', [m.Command(0, m.HistoryRequest())], id="false"),
    pytest.param('{"id":5,"id":6}', [m.Command(6)], id="the last of equal fields"),
    pytest.param('{"refresh":{"token":"a","token":"b"}}', [m.Command(0, m.RefreshRequest("b"))], id="and below"),
    pytest.param('{"refresh":{"token":"a","token":null}}', [m.Command(0, m.RefreshRequest("a"))], id="null after it"),
    pytest.param('{"rpc":{},"connect":{}}', [m.Command(0, m.ConnectRequest())], id="the first of several requests"),
    pytest.param('{"rpc":{},"connect":null}', [m.Command(0, m.RpcRequest())], id="the first that is not null"),
    pytest.param('{"connect":{"headers":{"a":null,"b":"c"}}}', [m.Command(0, m.ConnectRequest(headers={"b": "c"}))],
                 id="null in a map"),
    pytest.param('{"subscribe":{"tf":{"vals":[ ],"nodes":[ { } , {} ]}}}',
                 [m.Command(0, m.SubscribeRequest(tf=m.FilterNode(nodes=(m.FilterNode(), m.FilterNode()))))],
                 id="arrays"),
    pytest.param('{"\\u0069d":1}', [m.Command(1)], id="an escaped key"),
    pytest.param('{"refresh":{"token":"\\ud83d\\ude00é"}}', [m.Command(0, m.RefreshRequest("😀é"))], id="a pair"),
    pytest.param("{}\n" * MAX_COMMANDS, [m.Command()] * MAX_COMMANDS, id="as many as may be"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "commands"), LENIENT)
def test_what_is_not_wrong_is_read(text: str, commands: list[m.Command]) -> None:
    """Newer SDKs, pretty printers and hand-written clients."""
    assert decode(text) == commands


DATA = [
    pytest.param("12345678901234567890123456789", id="a big integer"),
    pytest.param("9" * 5000, id="an integer that Python would refuse"),
    pytest.param("1e400", id="a float that would be infinite"),
    pytest.param("0.1000000000000000055511151231257827", id="more digits than a float has"),
    pytest.param("1.10", id="a final zero"),
    pytest.param("-0", id="minus zero"),
    pytest.param('{"a":1,"a":2}', id="equal keys: for the reader to decide"),
    pytest.param('"\\ud800"', id="half a pair, escaped"),
    pytest.param('"\\u0000\\n\\/"', id="escapes"),
    pytest.param('{ "a" : [ 1 , "é" ] }', id="spaces"),
    pytest.param("[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH, id="as deep as may be"),
    pytest.param('["' + "[" * 1000 + '"]', id="brackets in a string"),
    pytest.param("[" + ",".join(["{}"] * 1000) + "]", id="wide"),
    pytest.param("null", id="null"),
    pytest.param("0", id="zero"),
]


@pytest.mark.parametrize("data", DATA)
def test_data_stays_as_it_came(data: str) -> None:
    """It is not ours: no digit, escape or space of it changes."""
    text = '{"publish":{"channel":"c","data":' + data + "}}"
    assert decode(text) == [m.Command(0, m.PublishRequest("c", data.encode()))]


def test_line_ends_in_data_are_taken_out() -> None:
    """They would end the line of the push that carries it; within strings JSON has none."""
    (command,) = decode('{"send":{"data":{\n\t"a": "b\\n",\r\n\t"c": 1\n}\n}}')
    assert command == m.Command(0, m.SendRequest(b'{\t"a": "b\\n",\t"c": 1}'))


def _filter(levels: int) -> str:
    """A condition with ``levels - 1`` around it."""
    return '{"nodes":[' * (levels - 1) + "{}" + "]}" * (levels - 1)


def _subscribe(levels: int) -> str:
    return '{"subscribe":{"tf":' + _filter(levels) + "}}"


def _connect(levels: int) -> str:
    return '{"connect":{"subs":{"c":{"tf":' + _filter(levels) + "}}}}"


def test_filters_nest_as_deep_as_the_limit() -> None:
    """The command and its request are messages too; a map is none."""
    (subscribe,) = decode(_subscribe(MAX_NESTED_MESSAGES - 2))
    (connect,) = decode(_connect(MAX_NESTED_MESSAGES - 3))
    assert isinstance(subscribe.request, m.SubscribeRequest)
    assert isinstance(connect.request, m.ConnectRequest)


REFUSED = [
    pytest.param("", "without a command", id="empty"),
    pytest.param(" \n", "without a command", id="white space alone"),
    pytest.param("{}\n" * (MAX_COMMANDS + 1), f"more than {MAX_COMMANDS} commands", id="too many"),
    pytest.param("{}" * 10_000, f"more than {MAX_COMMANDS} commands", id="ten thousand"),
    pytest.param("[]", "expected an object at character 0", id="an array"),
    pytest.param('"a"', "expected an object", id="a string"),
    pytest.param("null", "expected an object", id="null"),
    pytest.param("{} x", "expected an object at character 3", id="garbage after it"),
    pytest.param("{", "expected a key", id="cut off after the brace"),
    pytest.param('{"id', "malformed JSON", id="in a key"),
    pytest.param('{"id"', "expected :", id="after a key"),
    pytest.param('{"id":', "expected an integer", id="before a value"),
    pytest.param('{"id":1', "expected , or }", id="after a value"),
    pytest.param('{"id":1,', "expected a key", id="after a comma"),
    pytest.param('{"id":1,}', "expected a key", id="a comma too many"),
    pytest.param("{'id':1}", "expected a key", id="the wrong quotes"),
    pytest.param('{"x":', "expected a value at character 5", id="no value"),
    pytest.param('{"x":tru}', "expected a value", id="an unknown word"),
    pytest.param('{"x":nul}', "expected a value", id="not quite null"),
    pytest.param('{"id":nul}', "expected a value", id="not quite null in a known field"),
    pytest.param('{"send":{"data":NaN}}', "NaN is not JSON", id="NaN"),
    pytest.param('{"x":-Infinity}', "-Infinity is not JSON", id="infinity"),
    pytest.param('{"send":{"data":01}}', "expected , or }", id="a leading zero"),
    pytest.param('{"send":{"data":"a\nb"}}', "Invalid control character", id="a line end in a string"),
    pytest.param('{"send":{"data":"a\0b"}}', "Invalid control character", id="a zero character"),
    pytest.param('{"send":{"data":"\\x"}}', "Invalid", id="a bad escape"),
    pytest.param('{"send":{"data":{"a":1,}}}', "malformed JSON", id="malformed data"),
    pytest.param('\ufeff{"id":1}', "expected an object", id="a byte order mark"),
    pytest.param('{"id":"1"}', "expected an integer (uint32) at character 6", id="a string for an integer"),
    pytest.param('{"id":true}', "expected an integer", id="a boolean for an integer"),
    pytest.param('{"id":1.0}', "expected an integer", id="a float for an integer"),
    pytest.param('{"id":1e2}', "expected an integer", id="an exponent for an integer"),
    pytest.param('{"id":01}', "expected an integer", id="a leading zero in an integer"),
    pytest.param('{"id":\u0661}', "expected an integer", id="an Arabic digit"),
    pytest.param('{"id":-1}', "expected an integer from 0 to 4294967295", id="a negative id"),
    pytest.param('{"id":4294967296}', "expected an integer from 0 to 4294967295", id="an id too large"),
    pytest.param('{"id":' + "9" * 9999 + "}", "expected an integer", id="thousands of digits"),
    pytest.param('{"history":{"limit":2147483648}}', "from -2147483648", id="a limit too large"),
    pytest.param('{"subscribe":{"offset":18446744073709551616}}', "from 0 to 18446744073709551615", id="an offset"),
    pytest.param('{"subscribe":{"flag":9223372036854775808}}', "from -9223372036854775808", id="a flag"),
    pytest.param('{"subscribe":{"recover":1}}', "expected true or false", id="a number for a boolean"),
    pytest.param('{"subscribe":{"recover":"true"}}', "expected true or false", id="a string for a boolean"),
    pytest.param('{"subscribe":{"channel":1}}', "expected a string", id="a number for a string"),
    pytest.param('{"subscribe":[]}', "expected an object", id="an array for a message"),
    pytest.param('{"subscribe":"x","connect":{}}', "expected an object", id="a second request that is wrong"),
    pytest.param('{"connect":{"subs":[]}}', "expected an object", id="an array for a map"),
    pytest.param('{"connect":{"headers":{"a":1}}}', "expected a string", id="a number in a map"),
    pytest.param('{"subscribe":{"tf":{"vals":{}}}}', "expected an array", id="an object for an array"),
    pytest.param('{"subscribe":{"tf":{"vals":[null]}}}', "expected a string", id="null in an array"),
    pytest.param('{"subscribe":{"tf":{"vals":["a" "b"]}}}', "expected , or ]", id="no comma in an array"),
    pytest.param('{"subscribe":{"tf":{"vals":["a",]}}}', "expected a string", id="a comma too many in an array"),
    pytest.param('{"refresh":{"token":"\\ud800"}}', "half a surrogate pair", id="half a pair in a string"),
    pytest.param('{"connect":{"headers":{"\\udc00":""}}}', "half a surrogate pair", id="half a pair in a key"),
    pytest.param('{"send":{"data":"\ud800"}}', "half a surrogate pair", id="half a pair in text"),
    pytest.param(b'{"send":{"data":"\xff"}}', "not UTF-8", id="not utf-8"),
    pytest.param(_subscribe(MAX_NESTED_MESSAGES - 1), "deeper than 32 levels", id="a deep filter"),
    pytest.param(_connect(MAX_NESTED_MESSAGES - 2), "deeper than 32 levels", id="a deep filter in a map"),
    pytest.param('{"send":{"data":' + "[" * 65 + "]" * 65 + "}}", "deeper than 64 levels", id="deep data"),
    pytest.param('{"x":' + '{"a":' * 65 + "1" + "}" * 65 + "}", "deeper than 64 levels", id="deep in an unknown field"),
    pytest.param('{"send":{"data":' + "[" * 60_000, "deeper than 64 levels", id="very deep"),
    pytest.param('{"subscribe":{"tf":' + '{"nodes":[' * 6_000, "deeper than 32 levels", id="a very deep filter"),
]


@pytest.mark.parametrize(("frame", "problem"), REFUSED)
def test_what_is_wrong_is_refused(frame: str | bytes, problem: str) -> None:
    """With what and where, and without what the client wrote."""
    with pytest.raises(CentrifugeError) as caught:
        decode(frame)
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("{" + " " * 60_000, id="white space"),
        pytest.param('{"a":"' + '\\"' * 30_000, id="escaped quotes"),
        pytest.param('{"send":{"data":' + "[" * 60_000, id="brackets"),
        pytest.param('{"send":{"data":[' + "[]," * 20_000 + "[]]}}", id="many containers"),
        pytest.param('{"send":{"data":' + "9" * 60_000 + "}}", id="digits"),
        pytest.param('{"id":' + "9" * 60_000 + "}", id="digits of an id"),
        pytest.param("{" + ",".join(['"id":1'] * 9_000) + "}", id="equal keys"),
        pytest.param('{"connect":{"subs":{' + ",".join(f'"{i}":{{}}' for i in range(5_000)) + "}}}", id="subs"),
        pytest.param("{}" * 30_000, id="empty objects"),
    ],
)
def test_the_worst_frames_cost_little(frame: str) -> None:
    """64 KiB cost milliseconds, whatever they hold: nothing is read twice. The bound is for a machine under load."""
    begin = time.perf_counter()
    with contextlib.suppress(CentrifugeError):
        decode(frame)
    assert time.perf_counter() - begin < 1


@given(st.binary() | st.text())
def test_any_frame_gives_commands_or_the_error(frame: bytes | str) -> None:
    """No other exception, whatever comes."""
    try:
        commands = decode(frame)
    except CentrifugeError:
        return
    assert commands
    assert all(isinstance(command, m.Command) for command in commands)


@given(st.text(alphabet='{}[]",:\\\n 019-.eE"idconectsubfvalrue') | st.lists(st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"id"', '"connect"', '"subs"', '"tf"', '"nodes"', '"data"', "1", "-", ".5", "null",
     "true", '"x"', " ", "\n"])).map("".join))  # fmt: skip
def test_near_json_gives_commands_or_the_error(frame: str) -> None:
    """As above, closer to what would be read."""
    test_any_frame_gives_commands_or_the_error.hypothesis.inner_test(frame)  # type: ignore[attr-defined]


@given(JSON, st.sampled_from([None, 2]))
def test_data_reads_as_json_does(value: object, indent: int | None) -> None:
    """What we cut out is the same value as in the frame."""
    (command,) = decode(json.dumps({"id": 1, "rpc": {"data": value, "method": "f"}}, indent=indent))
    assert isinstance(command.request, m.RpcRequest)
    assert json.loads(command.request.data) == value
    assert b"\n" not in command.request.data


INFO = m.ClientInfo("42", "c1", b'{"n":1}', b"[]")
REPLIES = [
    pytest.param(m.PING, "{}", id="ping"),
    pytest.param(m.Reply(1, m.ConnectResult()), '{"id":1,"connect":{}}', id="defaults"),
    pytest.param(
        m.Reply(
            1,
            m.ConnectResult(
                "c", "p 1", True, 60, b"{}", {"#42": m.SubscribeResult(recoverable=True)}, 25, True, "s", "n", 2**40
            ),
        ),
        '{"id":1,"connect":{"client":"c","version":"p 1","expires":true,"ttl":60,"data":{},'
        '"subs":{"#42":{"recoverable":true}},"ping":25,"pong":true,"session":"s","node":"n","time":1099511627776}}',
        id="connect",
    ),
    pytest.param(
        m.Reply(
            2,
            m.SubscribeResult(
                epoch="e",
                offset=2**64 - 1,
                recovered=True,
                publications=[m.Publication(b"1", offset=1), m.Publication(b'"x"', INFO, 2, {"k": "v"}, True, 5, "c")],
            ),
        ),
        '{"id":2,"subscribe":{"epoch":"e","publications":[{"data":1,"offset":1},{"data":"x","info":{"user":"42",'
        '"client":"c1","conn_info":{"n":1},"chan_info":[]},"offset":2,"tags":{"k":"v"},"delta":true,"time":5,'
        '"channel":"c"}],"recovered":true,"offset":18446744073709551615}}',
        id="subscribe",
    ),
    pytest.param(m.Reply(3, m.UnsubscribeResult()), '{"id":3,"unsubscribe":{}}', id="unsubscribe"),
    pytest.param(m.Reply(3, m.PublishResult()), '{"id":3,"publish":{}}', id="publish"),
    pytest.param(
        m.Reply(3, m.PresenceResult({"c1": m.ClientInfo(client="c1")})),
        '{"id":3,"presence":{"presence":{"c1":{"client":"c1"}}}}',
        id="presence",
    ),
    pytest.param(
        m.Reply(3, m.PresenceStatsResult(2, 1)),
        '{"id":3,"presence_stats":{"num_clients":2,"num_users":1}}',
        id="presence_stats",
    ),
    pytest.param(
        m.Reply(3, m.HistoryResult([m.Publication(b"1")], "e", 9)),
        '{"id":3,"history":{"publications":[{"data":1}],"epoch":"e","offset":9}}',
        id="history",
    ),
    pytest.param(m.Reply(3, m.RpcResult(b"null")), '{"id":3,"rpc":{"data":null}}', id="rpc"),
    pytest.param(m.Reply(3, m.RefreshResult("c", "v", True, 1)), '{"id":3,"refresh":{"client":"c","version":"v",'
                 '"expires":true,"ttl":1}}', id="refresh"),
    pytest.param(m.Reply(3, m.SubRefreshResult(True, 1)), '{"id":3,"sub_refresh":{"expires":true,"ttl":1}}', id="sr"),
    pytest.param(
        m.Reply(3, PERMISSION_DENIED), '{"id":3,"error":{"code":103,"message":"permission denied"}}', id="error"
    ),
    pytest.param(
        m.Reply(0, m.Push(m.Publication(b"1", offset=7), "c")),
        '{"push":{"channel":"c","pub":{"data":1,"offset":7}}}',
        id="a publication",
    ),
    pytest.param(
        m.Reply(0, m.Push(m.Join(INFO), "c")),
        '{"push":{"channel":"c","join":{"info":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":[]}}}}',
        id="join",
    ),
    pytest.param(m.Reply(0, m.Push(m.Leave(m.ClientInfo()), "c")), '{"push":{"channel":"c","leave":{"info":{}}}}',
                 id="leave"),
    pytest.param(
        m.Reply(0, m.Push(m.UnsubscribePush(2500, "insufficient state"), "c")),
        '{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}',
        id="unsubscribe push",
    ),
    pytest.param(
        m.Reply(0, m.Push(m.SubscribePush(True, "e", 3, True, b"1"), "c")),
        '{"push":{"channel":"c","subscribe":{"recoverable":true,"epoch":"e","offset":3,"positioned":true,"data":1}}}',
        id="subscribe push",
    ),
    pytest.param(m.Reply(0, m.Push(m.MessagePush(b"1"))), '{"push":{"message":{"data":1}}}', id="message"),
    pytest.param(
        m.Reply(0, m.Push(m.DisconnectPush(3001, "shutdown", True))),
        '{"push":{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}}',
        id="disconnect",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "text"), REPLIES)
def test_each_reply_is_written(reply: m.Reply, text: str) -> None:
    """Compact, defaults left out."""
    assert encode([reply]) == text.encode()


def test_replies_are_separated_by_newlines() -> None:
    """None at the end; none within a reply, whatever its data."""
    frame = encode([m.PING, m.Reply(1, m.RpcResult(b'{\r\n"a":\n1}\n')), m.PING])
    assert frame == b'{}\n{"id":1,"rpc":{"data":{"a":1}}}\n{}'
    assert encode([]) == b""


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_is_written_so_that_it_reads_back(text: str, key: str) -> None:
    """Also a lone surrogate, which a user name from a token may hold."""
    frame = encode([m.Reply(1, m.PresenceResult({key: m.ClientInfo(text)}))])
    frame.decode()
    info: dict[str, Any] = json.loads(frame)["presence"]["presence"][key]
    assert info.get("user", "") == text


def test_a_lone_surrogate_stays_an_escape() -> None:
    """UTF-8 has no bytes for it, JSON has an escape."""
    assert quote("é\ud800") == b'"\\u00e9\\ud800"'
    assert quote("é\n") == '"é\\n"'.encode()


def test_members_are_the_fields_that_are_set() -> None:
    """The building block of a prepared push."""
    assert members(m.Publication(offset=3, tags={"a": "b"})) == [b'"offset":3', b'"tags":{"a":"b"}']
