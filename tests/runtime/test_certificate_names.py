"""Tests of `portcast.runtime.certificate_names`."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from portcast.runtime.certificate_names import certificate_names
from tls_kit import Authority

CA = trustme.CA()


def test_the_names_of_a_certificate(tmp_path: Path) -> None:
    """Of the first one in the file: the others are its chain. Addresses and wildcards may stand beside names."""
    cert, _ = Authority(tmp_path).issue("a", "Gate.Example", "*.sub.example", "192.0.2.7", "x@mail.example")
    assert certificate_names(Path(cert).read_text()) == ("gate.example", "*.sub.example")


def test_more_names_than_one_byte_can_count(tmp_path: Path) -> None:
    """Lengths above 127 are written in another way (X.690 §8.1.3.5)."""
    names = [f"gate-{number}.a-rather-long-domain.example" for number in range(2000)]
    cert, _ = Authority(tmp_path).issue("a", *names)
    assert list(certificate_names(Path(cert).read_text())) == names


def test_a_certificate_without_names() -> None:
    """An authority's own."""
    assert certificate_names(CA.cert_pem.bytes().decode()) == ()


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_certificate(text: str) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificate_names(text)


@given(st.binary(max_size=300))
def test_a_broken_file_does_no_harm(data: bytes) -> None:
    """It is the operator's own, but a half-written one must not end a reload with an exception of ours."""
    assert isinstance(certificate_names(ssl.DER_cert_to_PEM_cert(data or b"\0")), tuple)
