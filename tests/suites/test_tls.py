"""sslyze, testssl.sh and nmap against `portcast serve`: TLS of devices and HTTP, and a device port that is scanned."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.processes import Running, running
from runtime_kit import free_port
from tls_kit import Authority

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(240)]

CURVES = {"X25519", "secp256r1", "secp384r1", "X448", "secp521r1"}
"""Mozilla's, and two more that OpenSSL has: they are as strong, only slower."""

TESTSSL = {
    "engine_problem": "testssl.sh looks for GOST in its own OpenSSL",
    "cert_validityPeriod": "the test's certificate",
    "cert_revocation": "the test's certificate",
    "cert_chain_of_trust": "the test's certificate",
    "cert_trust": "the test's certificate",
    "DNS_CAArecord": "localhost has none",
    "OCSP_stapling": "the test's authority has no such service",
    "service": "what a device port speaks is none of the protocols that testssl.sh knows",
    "sessionresumption_ticket": "whether sessions can be resumed is no fault; now and then it cannot tell",
    "scanTime": "how long it took",
}
"""Findings by id that are no faults, with the reason."""


class Gateway:
    """One with TLS on both sides, and with a plain device port."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.cert, self.key = self.authority.issue("server", "localhost", "127.0.0.1")
        self.ports = {"http": free_port(), "devices": free_port(), "plain": free_port()}
        self.command: Running

    def arguments(self) -> list[str]:
        """Of `portcast`."""
        http = ["--http", f"127.0.0.1:{self.ports['http']}", "--http-cert", self.cert, "--http-cert-key", self.key]
        tls = f"tls://127.0.0.1:{self.ports['devices']}?cert={self.cert}&cert_key={self.key}&topic=t"
        return [
            "serve",
            *http,
            "--listen",
            tls,
            "--listen",
            f"tcp://127.0.0.1:{self.ports['plain']}?topic=u&name=plain",
        ]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A running one, which must not have logged a traceback in the end."""
    made = Gateway(tmp_path)
    with running(*made.arguments()) as command:
        made.command = command
        command.out.wait("Press Ctrl-C")
        yield made
        assert command.stop() == 0
        assert not [line for line in command.err.rest() if "Traceback" in line or " error " in line]


both = pytest.mark.parametrize("side", ["http", "devices"])


@both
def test_sslyze(gateway: Gateway, side: str, tmp_path: Path) -> None:
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption; none of the attacks that it knows."""
    tool = os.environ.get("HOSTILE_SSLYZE") or shutil.which("sslyze")
    if tool is None:
        pytest.skip("sslyze is not installed")
    report = tmp_path / "sslyze.json"
    subprocess.run([tool, f"--json_out={report}", f"127.0.0.1:{gateway.ports[side]}"], timeout=200, capture_output=True)
    (server,) = json.loads(report.read_text("utf-8"))["server_scan_results"]
    found = {name: one["result"] for name, one in server["scan_result"].items() if one["result"] is not None}
    suites = {name: _suites(one) for name, one in found.items() if name.endswith("_cipher_suites")}
    assert {name for name, those in suites.items() if those} == {"tls_1_2_cipher_suites", "tls_1_3_cipher_suites"}
    assert set(suites) >= {"ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites"}
    assert all(re.fullmatch(r"TLS_ECDHE_\w+_(GCM|POLY1305)_SHA\d+", one) for one in suites["tls_1_2_cipher_suites"])
    assert not found["tls_compression"]["supports_compression"]
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert found["session_renegotiation"]["supports_secure_renegotiation"]
    assert found["tls_fallback_scsv"]["supports_fallback_scsv"]
    assert found["tls_extended_master_secret"]["supports_ems_extension"]
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    curves = {one["name"].replace("prime256v1", "secp256r1") for one in found["elliptic_curves"]["supported_curves"]}
    assert curves <= CURVES


def _suites(result: dict[str, Any]) -> list[str]:
    return [one["cipher_suite"]["name"] for one in result["accepted_cipher_suites"]]


@both
def test_testssl(gateway: Gateway, side: str, tmp_path: Path) -> None:
    """Protocols, ciphers, forward secrecy, the certificate, and every attack that it knows."""
    tool = shutil.which("testssl") or shutil.which("testssl.sh")
    if tool is None:
        pytest.skip("testssl.sh is not installed")
    report = tmp_path / "testssl.json"
    parts = ["--protocols", "--std", "--fs", "--vulnerable", "--server-defaults"]
    where = ["--ip", "127.0.0.1", f"localhost:{gateway.ports[side]}"]
    quiet = ["--quiet", "--color", "0", "--warnings", "off", "--add-ca", gateway.authority.file]
    subprocess.run(
        [tool, *quiet, f"--jsonfile={report}", *parts, *where],
        timeout=220,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    findings = json.loads(report.read_text("utf-8"))
    said = {one["id"]: one["finding"] for one in findings}
    offered = {name for name in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3") if said[name][:7] == "offered"}
    assert offered == {"TLS1_2", "TLS1_3"}
    assert said["heartbleed"].startswith("not vulnerable")
    assert said["secure_client_renego"].startswith("not vulnerable")
    assert said["CRIME_TLS"].startswith("not vulnerable")
    wrong = [one for one in findings if one["severity"] not in {"OK", "INFO"} and one["id"] not in TESTSSL]
    assert wrong == []


@pytest.mark.row(9)
@pytest.mark.parametrize("side", ["plain", "devices", "http"])
def test_a_scan_for_services(gateway: Gateway, side: str) -> None:
    """What nmap sends to find out what listens is refused, closed and counted like anything else."""
    tool = shutil.which("nmap")
    if tool is None:
        pytest.skip("nmap is not installed")
    port = gateway.ports[side]
    done = subprocess.run(
        [tool, "-sV", "--version-light", "-Pn", "-n", "-p", str(port), "127.0.0.1"],
        timeout=220,
        capture_output=True,
        text=True,
    )
    assert re.search(rf"^{port}/tcp +open", done.stdout, re.MULTILINE), done.stdout
    told = {
        "plain": "connection closed .*listener=plain",
        "devices": "connection refused .*reason=tls_failed",
        "http": "",
    }
    gateway.command.err.wait(told[side] or "listener started")
