from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.centrifuge.token_keys import KeySet, VerificationKey, hmac_key, pem_key
from portcast.errors import ConfigurationError, MissingDependencyError
from token_kit import CURVES, SECRET, jwk, private_pem, public_pem, signature

ALGORITHMS = {
    "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    "P-256": {"ES256"},
    "P-384": {"ES384"},
    "P-521": {"ES512"},
    "Ed25519": {"EdDSA"},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_public_key_is_bound_to_the_algorithms_of_its_kind(name: str) -> None:
    """The same from PEM and from a JWK, and each of them verifies what the private key signed."""
    pem = pem_key(public_pem(name))
    (from_jwk,) = KeySet.from_jwks({"keys": [jwk(name, kid="1")]}).keys
    assert pem.key_id is None
    assert from_jwk.key_id == "1"
    for key in (pem, from_jwk):
        assert key.algorithms == ALGORITHMS[name]
        for algorithm in key.algorithms:
            signed = signature("data", name, algorithm)
            assert key.verifies(algorithm, b"data", signed)
            assert not key.verifies(algorithm, b"date", signed)
            assert not key.verifies(algorithm, b"data", signed[:-1])
            assert not key.verifies(algorithm, b"data", b"")


def test_a_secret_is_bound_to_hmac() -> None:
    """Three algorithms, whatever its length."""
    key = hmac_key(SECRET)
    assert key.key_id is None
    assert key.algorithms == {"HS256", "HS384", "HS512"}
    for algorithm in key.algorithms:
        assert key.verifies(algorithm, b"data", signature("data", SECRET, algorithm))
        assert not key.verifies(algorithm, b"data", signature("data", SECRET + "x", algorithm))


@pytest.mark.parametrize("algorithm", ["none", "", "HS256", "RS256", "ES256", "ES384", "EdDSA", "nonsense"])
def test_a_key_verifies_nothing_for_an_algorithm_that_is_not_its_own(algorithm: str) -> None:
    """RFC 8725 §3.1: not even if the signature could be computed with what the key is."""
    key = pem_key(public_pem("RSA"))
    others = [hmac_key(SECRET), pem_key(public_pem("P-256")), pem_key(public_pem("Ed25519")), key]
    for other in others:
        if algorithm not in other.algorithms:
            assert not other.verifies(algorithm, b"data", signature("data", public_pem("RSA"), "HS256"))


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param(public_pem("RSA"), "PEM or SSH form", id="PEM"),
        pytest.param(" " + private_pem("P-256"), "PEM or SSH form", id="private PEM"),
        pytest.param("\nssh-rsa AAAA", "PEM or SSH form", id="SSH"),
        pytest.param("ecdsa-sha2-nistp256 AAAA", "PEM or SSH form", id="SSH, ECDSA"),
        pytest.param("geheim\udcff", "surrogate", id="no text"),
    ],
)
def test_a_secret_that_others_may_know_is_refused(secret: str, problem: str) -> None:
    """With a public key as secret, everybody could sign; the message does not repeat it."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        hmac_key(secret)
    assert not secret or secret.strip()[:20] not in str(caught.value)


@pytest.mark.parametrize(
    ("pem", "problem"),
    [
        pytest.param("", "not a public key in PEM", id="empty"),
        pytest.param("secret", "not a public key in PEM", id="no PEM"),
        pytest.param("\udcff", "not a public key in PEM", id="no text"),
        pytest.param(private_pem("P-256"), "not a public key in PEM", id="private"),
        pytest.param(public_pem("RSA").replace("M", "N"), "not a public key in PEM", id="damaged"),
        pytest.param(public_pem("RSA-1024"), "of a kind that is not used", id="short RSA"),
        pytest.param(public_pem("K"), "of a kind that is not used", id="curve"),
        pytest.param(public_pem("Ed448"), "of a kind that is not used", id="Ed448"),
    ],
)
def test_a_pem_that_is_no_usable_public_key_is_refused(pem: str, problem: str) -> None:
    """When the options are read, and without the text, which may be a private key."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        pem_key(pem)
    assert caught.value.__cause__ is None
    assert not [line for line in pem.splitlines() if len(line) > 40 and line in str(caught.value)]


def test_an_alg_in_a_jwk_binds_the_key_to_it() -> None:
    """RFC 7517 §4.4."""
    (key,) = KeySet.from_jwks({"keys": [jwk("RSA", alg="PS384")]}).keys
    assert key.algorithms == {"PS384"}


@pytest.mark.parametrize("members", [{"use": "sig"}, {"key_ops": ["verify"]}, {"kid": None}, {"x5c": ["x"], "d": "AA"}])
def test_other_members_of_a_jwk_do_not_matter(members: dict[str, object]) -> None:
    """What is for verifying is used, and what is not needed is not read, private members included."""
    (key,) = KeySet.from_jwks({"keys": [jwk("P-256", **members)]}).keys
    assert key == VerificationKey(None, frozenset({"ES256"}), pem_key(public_pem("P-256")).material)


USELESS = [
    pytest.param(None, id="null"),
    pytest.param("RSA", id="text"),
    pytest.param({}, id="empty"),
    pytest.param({"kty": 1}, id="kty a number"),
    pytest.param({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, id="unknown type"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0"}, id="symmetric"),
    pytest.param(jwk("K"), id="curve"),
    pytest.param(jwk("Ed448"), id="Ed448"),
    pytest.param(jwk("RSA-1024"), id="short RSA"),
    pytest.param(jwk("RSA", n="AQAB"), id="tiny RSA"),
    pytest.param(jwk("RSA", n=""), id="no modulus"),
    pytest.param(jwk("RSA", n="Ü"), id="no base64"),
    pytest.param(jwk("RSA", n=5), id="modulus a number"),
    pytest.param({"kty": "RSA", "n": jwk("RSA")["n"]}, id="exponent missing"),
    pytest.param(jwk("P-256", x="AA"), id="short coordinate"),
    pytest.param(jwk("P-256", y=jwk("P-256")["x"]), id="point off the curve"),
    pytest.param(jwk("Ed25519", x="AA"), id="short Ed25519"),
    pytest.param(jwk("RSA", use="enc"), id="for encryption"),
    pytest.param(jwk("RSA", key_ops=["sign"]), id="for signing"),
    pytest.param(jwk("RSA", key_ops="verify"), id="key_ops a string"),
    pytest.param(jwk("RSA", alg="HS256"), id="algorithm of another kind"),
    pytest.param(jwk("P-256", alg="ES384"), id="algorithm of another curve"),
    pytest.param(jwk("RSA", alg="none"), id="none"),
    pytest.param(jwk("RSA", alg=["RS256"]), id="algorithms"),
    pytest.param(jwk("RSA", kid=1), id="kid a number"),
]


@pytest.mark.parametrize("entry", USELESS)
def test_a_jwk_that_is_of_no_use_is_ignored(entry: object) -> None:
    """RFC 7517 §5: issuers publish keys for others too, and one bad key must not lock everybody out."""
    key_set = KeySet.from_jwks({"keys": [entry, jwk("P-256", kid="good")]})
    assert [key.key_id for key in key_set.keys] == ["good"]
    assert key_set.ignored == 1


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": None}, {"keys": {}}], ids=repr)
def test_a_document_that_is_no_key_set_is_refused(document: object) -> None:
    """It is a mistake in the address, and not a set without keys."""
    with pytest.raises(ConfigurationError, match="list of 'keys'"):
        KeySet.from_jwks(document)


def test_an_empty_key_set_is_one() -> None:
    """An issuer may withdraw all its keys."""
    assert KeySet.from_jwks({"keys": []}) == KeySet()


MEMBERS = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"])},
    optional={
        **{name: st.text("AQz_-=é", max_size=50) | st.integers() for name in ("n", "e", "x", "y", "kid", "alg", "d")},
        "crv": st.sampled_from(["P-256", "P-384", "Ed25519", "Ed448", "secp256k1", "x"]),
    },
)


@given(st.lists(MEMBERS, max_size=3))
def test_no_jwk_raises(keys: list[object]) -> None:
    """Whatever the document holds, it gives a set."""
    key_set = KeySet.from_jwks({"keys": keys})
    assert len(key_set.keys) + key_set.ignored == len(keys)


def test_keys_are_chosen_by_their_id() -> None:
    """A key with an id is only for tokens that name it; one without is for all."""
    key_set = KeySet((*KeySet.from_jwks({"keys": [jwk("RSA", kid="a"), jwk("P-256", kid="b")]}).keys, hmac_key(SECRET)))
    names = {"a": ["a", None], "b": ["b", None], "c": [None], None: [None]}
    assert {key_id: [key.key_id for key in key_set.named(key_id)] for key_id in names} == names


@pytest.mark.parametrize("name", ["RSA", *CURVES])
def test_key_material_is_not_in_the_representation(name: str) -> None:
    """Keys end up in logs by way of repr."""
    assert "secret" not in repr(KeySet((hmac_key(SECRET),)))
    assert "material" not in repr(KeySet.from_jwks({"keys": [jwk(name)]}))


def test_without_the_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyJWT is an extra; secrets need nothing more, public keys need cryptography."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    hmac_key(SECRET)
    for make in (lambda: pem_key(""), lambda: KeySet.from_jwks({"keys": []})):
        with pytest.raises(MissingDependencyError, match=r"public keys needs portcast\[jwt\]"):
            make()
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingDependencyError, match=r"verifying tokens needs portcast\[jwt\]: pip install"):
        hmac_key(SECRET)
