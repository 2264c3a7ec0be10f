from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portcast.centrifuge.token_keys import KeySet
from portcast.centrifuge.tokens import (
    MAX_SECONDS,
    MAX_TOKEN_BYTES,
    ConnectionClaims,
    SubscriptionClaims,
    SubscriptionOptions,
    SubscriptionOverride,
    TokenOptions,
    TokenVerifier,
)
from portcast.errors import ConfigurationError, MissingDependencyError, TokenExpired, TokenInvalid
from token_kit import SECRET, base64url, jwk, public_pem, sign, signature

NOW = 1_732_435_200.5

VERIFIER = TokenVerifier(TokenOptions(hmac_secrets=(SECRET,)))


def connect(claims: dict[str, object] | str, verifier: TokenVerifier = VERIFIER) -> ConnectionClaims:
    return verifier.verify_connection(sign(claims), NOW)


def subscribe(claims: dict[str, object], verifier: TokenVerifier = VERIFIER) -> SubscriptionClaims:
    return verifier.verify_subscription(sign(claims), NOW)


# What the claims say


def test_a_connection_token_with_everything() -> None:
    """Each claim of the documentation has its place."""
    subs = {
        "a": {"info": 1, "data": {"x": [None]}, "override": {"presence": {"value": True}, "join_leave": {}}},
        "b": {"b64info": "AP8=", "b64data": "/w==", "data": "not taken"},
        "c": None,
    }
    times = {"exp": 1_732_435_300, "iat": 1_732_435_000, "nbf": 1_732_435_000}
    who = {"sub": "42", "aud": ["x", "y"], "iss": "me", "jti": "7"}
    rest = {"info": {"name": "Zoë"}, "channels": ["c1", "c2"], "meta": {"plan": [1]}, "unknown": 1}
    assert connect({**who, **times, **rest, "subs": subs}) == ConnectionClaims(
        user="42",
        expire_at=1_732_435_300,
        info='{"name":"Zoë"}'.encode(),
        channels=("c1", "c2"),
        subs={
            "a": SubscriptionOptions(b"1", b'{"x":[null]}', SubscriptionOverride(presence=True, join_leave=False)),
            "b": SubscriptionOptions(b"\x00\xff", b"\xff"),
            "c": SubscriptionOptions(),
        },
        meta={"plan": [1]},
    )


def test_a_subscription_token_with_everything() -> None:
    """Likewise."""
    names = ["presence", "join_leave", "force_push_join_leave", "force_positioning", "force_recovery"]
    override = {name: {"value": name.startswith("force")} for name in names}
    who = {"sub": "42", "channel": "news", "client": "c-1", "exp": 1_732_435_300}
    rest = {"info": [1], "b64data": "eA==", "override": override}
    assert subscribe({**who, **rest}) == SubscriptionClaims(
        user="42",
        channel="news",
        client="c-1",
        expire_at=1_732_435_300,
        info=b"[1]",
        data=b"x",
        override=SubscriptionOverride(False, False, True, True, True),
    )


def test_an_empty_token_is_the_anonymous_user_for_ever() -> None:
    """All claims are optional in a connection token; null counts as absent."""
    assert connect({}) == ConnectionClaims(user="")
    names = ["sub", "exp", "nbf", "iat", "expire_at", "info", "b64info", "channels", "subs", "meta", "channel", "aud"]
    assert connect(dict.fromkeys(names)) == ConnectionClaims(user="")
    assert connect({"sub": ""}).user == ""


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param({"exp": NOW + 10}, 1_732_435_211, id="exp alone, rounded up"),
        pytest.param({"exp": NOW + 10, "expire_at": 1_800_000_000}, 1_800_000_000, id="later"),
        pytest.param({"exp": NOW + 10, "expire_at": 5}, 5, id="earlier, even past"),
        pytest.param({"exp": NOW + 10, "expire_at": 0}, 0, id="never"),
        pytest.param({"exp": NOW + 10, "expire_at": -5}, 0, id="negative is never"),
        pytest.param({"exp": NOW + 10, "expire_at": 0.5}, 1, id="a fraction is not never"),
        pytest.param({"expire_at": 1_800_000_000}, 1_800_000_000, id="without exp"),
    ],
)
def test_when_the_connection_expires(claims: dict[str, object], expected: int) -> None:
    """``expire_at`` goes before ``exp``, and 0 is never; the same for subscriptions."""
    assert connect(claims).expire_at == expected
    assert subscribe({**claims, "channel": "c"}).expire_at == expected


def test_b64info_goes_before_info() -> None:
    """As in Centrifugo; an empty one counts as absent."""
    assert connect({"b64info": base64.b64encode(b"\x00\xff").decode(), "info": 1}).info == b"\x00\xff"
    assert connect({"b64info": "", "info": 1}).info == b"1"


def test_what_kind_a_token_is_for() -> None:
    """One cannot stand for the other."""
    with pytest.raises(TokenInvalid, match="as only a token for a subscription may"):
        connect({"channel": "c"})
    for channel in ("", None):
        with pytest.raises(TokenInvalid, match="as a token for a subscription must"):
            subscribe({"channel": channel})


# Claims that are wrong

BAD_TIMES: list[object] = ["1", True, [], {}, 2**53 + 1, -(2**53) - 1, 1e300, 10**100]
BAD_TEXTS: list[object] = [1, True, [], {}, "\ud800"]
BAD: list[tuple[str, list[object]]] = [
    *((name, BAD_TIMES) for name in ("exp", "nbf", "iat", "expire_at")),
    *((name, BAD_TEXTS) for name in ("sub", "iss", "jti", "b64info", "channel")),
    ("b64info", ["?", "AP8", "_w=="]),
    ("info", ["\ud800", {"a": "\udc00"}]),
    ("channels", ["a", {}, 1, ["a", 1], [None], ["\ud800"]]),
    ("subs", [[], "a", 1, {"a": 1}, {"\ud800": {}}, {"a": {"info": "\ud800"}}, {"a": {"override": 1}}]),
    ("subs", [{"a": {"override": {"presence": True}}}, {"a": {"override": {"presence": {"value": 1}}}}]),
    ("meta", [[], "a", 1]),
    ("aud", [1, {}, [1], ["a", None]]),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(name, value, id=f"{name}={value!a:.30}") for name, values in BAD for value in values],
)
def test_a_claim_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    """The issuer's mistake is told by name, and nothing is guessed."""
    with pytest.raises(TokenInvalid, match="its '") as caught:
        connect({name: value})
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("name", ["channel", "client", "b64data", "sub"])
def test_a_claim_of_a_subscription_of_the_wrong_type_is_refused(name: str) -> None:
    """Likewise."""
    with pytest.raises(TokenInvalid, match=f"its '{name}' is not a string"):
        subscribe({"channel": "c", name: 1})


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        pytest.param("", "not three parts", id="empty"),
        pytest.param("x", "payload is not JSON", id="no JSON"),
        pytest.param("[1]", "payload is not an object", id="list"),
        pytest.param("null", "payload is not an object", id="null"),
        pytest.param('{"exp":NaN}', "payload is not JSON", id="NaN"),
        pytest.param('{"exp":-Infinity}', "payload is not JSON", id="infinity"),
        pytest.param('{"exp":1e999}', "'exp' is out of range", id="too large for a float"),
        pytest.param('{"info":1e999}', "'info' cannot be sent on", id="info too large for a float"),
        pytest.param('{"exp":' + "9" * 5000 + "}", "payload is not JSON", id="endless number"),
        pytest.param("[" * 5000, "payload is not JSON", id="too deep"),
        pytest.param('{"info":' + "[" * 2000 + "]" * 2000 + "}", "payload is not JSON", id="deep info"),
        pytest.param(b'{"sub":"\xff"}', "payload is not JSON in UTF-8", id="no UTF-8"),
        pytest.param('{"sub":"a"}'.encode("utf-16"), "payload is not JSON in UTF-8", id="UTF-16"),
    ],
)
def test_a_payload_that_is_no_json_object_is_refused(payload: str | bytes, problem: str) -> None:
    """Signed nonsense stays nonsense."""
    with pytest.raises(TokenInvalid, match=problem):
        VERIFIER.verify_connection(sign(payload), NOW)


# Time


@pytest.mark.parametrize("leeway_s", [0.0, 5.0])
def test_the_instant_at_which_a_token_expires(leeway_s: float) -> None:
    """ "On or after" (RFC 7519 §4.1.4), and the leeway prolongs both the token and what it gives."""
    verifier = TokenVerifier(TokenOptions(hmac_secrets=(SECRET,), leeway_s=leeway_s))
    token = sign({"exp": 1000.25})
    assert verifier.verify_connection(token, math.nextafter(1000.25 + leeway_s, 0)).expire_at == 1001 + leeway_s
    with pytest.raises(TokenExpired) as caught:
        verifier.verify_connection(token, 1000.25 + leeway_s)
    assert (caught.value.claim, caught.value.at, caught.value.now) == ("exp", 1000.25, 1000.25 + leeway_s)


@pytest.mark.parametrize("leeway_s", [0.0, 5.0])
def test_the_instant_at_which_a_token_begins(leeway_s: float) -> None:
    """RFC 7519 §4.1.5; the client is told to get another, as by Centrifugo."""
    verifier = TokenVerifier(TokenOptions(hmac_secrets=(SECRET,), leeway_s=leeway_s))
    token = sign({"nbf": 1000.25, "channel": "c"})
    assert verifier.verify_subscription(token, 1000.25 - leeway_s).channel == "c"
    with pytest.raises(TokenExpired) as caught:
        verifier.verify_subscription(token, math.nextafter(1000.25 - leeway_s, 0))
    assert caught.value.claim == "nbf"


@pytest.mark.parametrize("exp", [0, -1, 0.5, -MAX_SECONDS, NOW - 1, NOW])
def test_a_token_of_the_past_has_expired(exp: float) -> None:
    """``exp`` 0 is not "never", whatever the clock and the leeway."""
    for verifier in (VERIFIER, TokenVerifier(TokenOptions(hmac_secrets=(SECRET,), leeway_s=0.0))):
        with pytest.raises(TokenExpired):
            connect({"exp": exp}, verifier)
    with pytest.raises(TokenExpired):
        VERIFIER.verify_connection(sign({"exp": min(exp, 0)}), -1.0)


def test_a_far_future_is_accepted_and_iat_does_not_matter() -> None:
    """The range is inclusive; when it was issued is the issuer's affair."""
    assert connect({"exp": MAX_SECONDS, "iat": MAX_SECONDS}).expire_at == MAX_SECONDS


@pytest.mark.parametrize("leeway_s", [-1.0, math.nan, math.inf])
def test_a_leeway_that_cannot_work_is_refused(leeway_s: float) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigurationError, match=r"tokens\.leeway_s"):
        TokenOptions(leeway_s=leeway_s)


# For whom


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        pytest.param({"aud": "portcast", "iss": "me"}, None, id="both"),
        pytest.param({"aud": ["other", "portcast"], "iss": "me"}, None, id="one of several"),
        pytest.param({"iss": "me"}, "'aud' is not the audience", id="no audience"),
        pytest.param({"aud": "portcas", "iss": "me"}, "'aud' is not the audience", id="another audience"),
        pytest.param({"aud": "portcast2", "iss": "me"}, "'aud' is not the audience", id="longer audience"),
        pytest.param({"aud": [], "iss": "me"}, "'aud' is not the audience", id="no audiences"),
        pytest.param({"aud": "portcast"}, "'iss' is not the issuer", id="no issuer"),
        pytest.param({"aud": "portcast", "iss": "you"}, "'iss' is not the issuer", id="another issuer"),
    ],
)
def test_audience_and_issuer(claims: dict[str, object], problem: str | None) -> None:
    """Checked if they are set, and before the time, which then is nobody else's business."""
    verifier = TokenVerifier(TokenOptions(hmac_secrets=(SECRET,), audience="portcast", issuer="me"))
    if problem is None:
        assert connect(claims, verifier).user == ""
        return
    with pytest.raises(TokenInvalid, match=problem):
        connect({**claims, "exp": 1}, verifier)


# Keys and signatures


def everything() -> TokenVerifier:
    """A verifier with a key of every kind."""
    jwks = {"keys": [jwk("P-384", kid="ec"), jwk("RSA", kid="rsa", alg="PS256")]}
    pems = tuple(public_pem(name) for name in ("RSA", "P-256", "Ed25519"))
    return TokenVerifier(TokenOptions(hmac_secrets=("another", SECRET), public_keys=pems), KeySet.from_jwks(jwks))


@pytest.mark.parametrize(
    ("key", "algorithm", "header"),
    [
        *((SECRET, algorithm, {}) for algorithm in ("HS256", "HS384", "HS512")),
        *(("RSA", algorithm, {}) for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("P-256", "ES256", {"kid": None, "typ": "JWT"}),
        ("Ed25519", "EdDSA", {"kid": "whatever"}),
        ("P-384", "ES384", {"kid": "ec"}),
        ("RSA", "PS256", {"kid": "rsa"}),
    ],
)
def test_a_token_signed_with_any_of_the_keys(key: str, algorithm: str, header: dict[str, object]) -> None:
    """Several secrets and keys at once, so that they can be changed."""
    assert everything().verify_connection(sign({"sub": "42"}, key, algorithm, **header), NOW).user == "42"


def confused(algorithm: str, key: str, *, with_secret: str) -> str:
    """A token whose header names an algorithm of public keys, or the other way round."""
    signed = base64url(json.dumps({"alg": algorithm}).encode()) + "." + base64url(b'{"sub":"admin"}')
    return f"{signed}.{base64url(signature(signed, with_secret or key, 'HS256' if with_secret else 'RS256'))}"


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        pytest.param(confused("HS256", "", with_secret=public_pem("RSA")[:-1]), "signature", id="public key as secret"),
        pytest.param(confused("RS256", "", with_secret=SECRET), "signature", id="secret as public key"),
        pytest.param(confused("HS256", "RSA", with_secret=""), "signature", id="RSA as HMAC"),
        pytest.param(confused("none", "", with_secret=SECRET), "no key for its algorithm", id="none, signed"),
        pytest.param(confused("None", "", with_secret=SECRET), "no key for its algorithm", id="None"),
        pytest.param(confused("hs256", "", with_secret=SECRET), "no key for its algorithm", id="small letters"),
        pytest.param(confused("", "", with_secret=SECRET), "no key for its algorithm", id="empty"),
        pytest.param(confused("ES256K", "", with_secret=SECRET), "no key for its algorithm", id="another"),
        pytest.param(sign({}, "P-384", "ES384"), "no key for its algorithm", id="key with an id, token without"),
        pytest.param(sign({}, "P-384", "ES384", kid="rsa"), "no key for its algorithm", id="id of another key"),
        pytest.param(sign({}, "other secret"), "signature", id="another secret"),
        pytest.param(sign({}, kid=1), "'kid' is not a string", id="kid a number"),
        pytest.param(sign({}, crit=["b64"], b64=False), "'crit'", id="extension"),
        pytest.param(sign({}, crit=None), "'crit'", id="no extension"),
        pytest.param(sign({}).replace(".", ".e30", 1), "signature", id="tampered payload"),
        pytest.param(sign({}, alg=None), "no key for its algorithm", id="alg null"),
        pytest.param(sign({}, alg=["HS256"]), "'alg' is not a string", id="alg a list"),
    ],
)
def test_a_token_that_no_key_has_signed_is_refused(token: str, problem: str) -> None:
    """RFC 8725 §2.1: the header cannot make one kind of key another, and nothing is accepted unsigned."""
    with pytest.raises(TokenInvalid, match=problem) as caught:
        everything().verify_connection(token, NOW)
    assert not caught.value.is_key_unknown


def test_another_payload_under_a_good_signature_is_refused() -> None:
    """The signature covers header and payload."""
    header, payload, mine = sign({"sub": "42"}).split(".")
    admin, spaced = base64url(b'{"sub":"admin"}'), base64url(b'{"alg":"HS256"  }')
    for token in (f"{header}.{admin}.{mine}", f"{spaced}.{payload}.{mine}"):
        with pytest.raises(TokenInvalid, match="signature is wrong"):
            VERIFIER.verify_connection(token, NOW)


def test_a_document_with_the_public_key_only_lets_no_secret_in() -> None:
    """With keys from JWKS alone there is no algorithm with a secret at all."""
    verifier = TokenVerifier(TokenOptions(), KeySet.from_jwks({"keys": [jwk("RSA", kid="1")]}))
    assert verifier.verify_connection(sign({}, "RSA", "RS256", kid="1"), NOW).user == ""
    with pytest.raises(TokenInvalid, match="no key for its algorithm"):
        verifier.verify_connection(sign({}, public_pem("RSA")[:-1], "HS256", kid="1"), NOW)


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (sign({}, "P-384", "ES384", kid="x"), "no key for its algorithm"),
        (sign({}, "wrong", kid="x"), "signature"),
    ],
)
def test_an_unknown_key_is_told_apart_beside_keys_without_an_id(token: str, problem: str) -> None:
    """Those are tried for every token, but the one that it names may still be published."""
    with pytest.raises(TokenInvalid, match=problem) as caught:
        everything().verify_connection(token, NOW)
    assert caught.value.is_key_unknown


@pytest.mark.parametrize("header", [{"kid": "2"}, {"kid": ""}, {}])
def test_an_unknown_key_is_told_apart(header: dict[str, object]) -> None:
    """So that whoever fetched the document can fetch it again."""
    verifier = TokenVerifier(TokenOptions(), KeySet.from_jwks({"keys": [jwk("RSA", kid="1")]}))
    with pytest.raises(TokenInvalid, match="no key with the 'kid'") as caught:
        verifier.verify_connection(sign({}, "RSA", "RS256", **header), NOW)
    assert caught.value.is_key_unknown


def test_a_verifier_needs_a_key() -> None:
    """Without any, every token would be refused for reasons that nobody finds; an empty document may fill later."""
    with pytest.raises(ConfigurationError, match="there is no key"):
        TokenVerifier(TokenOptions())
    TokenVerifier(TokenOptions(), KeySet())


def test_secrets_are_not_in_the_representation() -> None:
    """Options are logged at the start."""
    assert "s3cr3t" not in repr(TokenOptions(hmac_secrets=("s3cr3t",)))


def test_without_pyjwt_a_verifier_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and not when the first client comes."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingDependencyError):
        TokenVerifier(TokenOptions(hmac_secrets=(SECRET,)))


# Form


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        pytest.param("", "three parts", id="empty"),
        pytest.param("a.b", "three parts", id="two parts"),
        pytest.param("a.b.c.d", "three parts", id="four parts"),
        pytest.param(base64url(b'{"alg":"none"}') + ".e30.", "three parts", id="unsigned"),
        pytest.param(sign({}) + "\n", "three parts", id="newline"),
        pytest.param(sign({}) + "=", "three parts", id="padded"),
        pytest.param("é.e30.AA", "three parts", id="not ASCII"),
        pytest.param("e30.e30.A", "signature is not base64url", id="signature of 6 bits"),
        pytest.param("A.e30.AA", "header is not base64url", id="header of 6 bits"),
        pytest.param(base64url(b"[]") + ".e30.AA", "header is not an object", id="header a list"),
        pytest.param(base64url(b"[" * 5000) + ".e30.AA", "header is not JSON", id="header too deep"),
        pytest.param("e30.e30.AA", "no key for its algorithm", id="empty header"),
        pytest.param("a" * (MAX_TOKEN_BYTES + 1), "longer than 8192 bytes", id="too long"),
    ],
)
def test_text_that_is_no_token_is_refused(token: str, problem: str) -> None:
    """Before any key is used."""
    with pytest.raises(TokenInvalid, match=problem):
        VERIFIER.verify_connection(token, NOW)


def test_the_longest_token_is_accepted() -> None:
    """The limit is inclusive."""
    user = "u"
    while len(sign({"sub": user + "u"})) <= MAX_TOKEN_BYTES:
        user += "u" * max(1, (MAX_TOKEN_BYTES - len(sign({"sub": user}))) * 3 // 4 - 2)
    assert connect({"sub": user}).user == user


PARTS = st.sampled_from(["", "e30", "AA", "A", base64url(b'{"alg":"HS256"}'), base64url(b'{"alg":"none"}'), "é", "="])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
NAMES = ["sub", "exp", "nbf", "iat", "jti", "aud", "iss", "info", "b64info", "channels", "subs", "meta", "expire_at"]
NAMES += ["channel", "client", "data", "b64data", "override", "x"]
TEXTS = st.text() | st.lists(PARTS, max_size=4).map(".".join)
CLAIMS = st.dictionaries(st.sampled_from(NAMES), JSON | st.integers(1, 2**40) | st.just("c"), max_size=6)
KINDS: list[Callable[[str, float], object]] = [VERIFIER.verify_connection, VERIFIER.verify_subscription]


@given(
    st.text() | st.lists(PARTS, max_size=4).map(".".join) | st.binary().map(lambda data: f"e30.{base64url(data)}.AA")
)
@example("." * 100)
def test_no_text_gives_anything_but_claims_or_the_errors(text: str) -> None:
    """A client may send what it likes; without a key it never gets in."""
    for verify in KINDS:
        with pytest.raises(TokenInvalid):
            verify(text, NOW)


@given(CLAIMS)
def test_no_signed_claims_give_anything_but_claims_or_the_errors(claims: dict[str, object]) -> None:
    """An issuer may be wrong in every way."""
    token = sign(claims)
    for verify in KINDS:
        try:
            result = verify(token, NOW)
        except (TokenInvalid, TokenExpired) as error:
            assert token not in str(error)  # noqa: PT017  # which of both, or none, is not the question
            continue
        assert isinstance(result, ConnectionClaims | SubscriptionClaims)
        result.user.encode()


@given(st.binary(max_size=200))
def test_no_signed_bytes_give_anything_but_claims_or_the_errors(data: bytes) -> None:
    """Payloads that are no JSON at all."""
    for verify in KINDS:
        with pytest.raises(TokenInvalid):
            verify(sign(b"\x00" + data), NOW)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_token_with_one_character_changed_is_refused(at: int, by: str) -> None:
    """Except for the last one, of whose bits base64url ignores some."""
    token = sign({"sub": "42", "exp": NOW + 10})
    at %= len(token) - 1
    if token[at] == by:
        return
    with pytest.raises(TokenInvalid):
        VERIFIER.verify_connection(token[:at] + by + token[at + 1 :], NOW)
