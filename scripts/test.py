#!/usr/bin/env python3
"""Run the checks of Portcast, part by part, and say plainly what could not be run.

    scripts/test.py                 every part but hostile
    scripts/test.py tests e2e       some parts
    scripts/test.py --skip lint     all but some

Parts: ``lint`` (format, rules, types), ``tests`` (everything without a browser, in parallel), ``e2e`` (the live page in
Chromium, in a pytest process of its own because the synchronous Playwright leaves a running loop behind),
``conformance`` (the Centrifuge SDKs that others wrote, against the server; fetched from PyPI and npm), ``audits``
(bandit on the source, schemathesis on the HTTP API; fetched from PyPI). Only if it is named: ``hostile`` (attack tools
and suites of others that take more than a minute).

Exit status 0 means that every part ran and passed, or could not run for the reason printed; a part asked for by name
must run. The last line has the form of pytest's own and holds the total number of tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import audits as audit_suites
from conformance import NotThere, js_sdk, python_sdk

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What a bare environment's PATH lacks and dpkg's maintainer scripts need.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CONFORMANCE_LIMIT_S = 300
LINT_LIMIT_S = 300
TESTS_LIMIT_S = 810
E2E_LIMIT_S = 300
HOSTILE_LIMIT_S = 3600
HOSTILE_PACKAGES = {"slowhttptest": "slowhttptest", "testssl": "testssl.sh", "nmap": "nmap"}
PROXY_PACKAGES = {"haproxy": "haproxy", "nginx": "nginx-light"}
"""Programs, and the packages in which Debian has them."""
INSTALL_LIMIT_S = 240


@dataclass
class Counts:
    """Tests by outcome, as pytest counts them."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0

    def add(self, other: Counts) -> None:
        """Add another part's."""
        self.passed += other.passed
        self.failed += other.failed
        self.errors += other.errors
        self.skipped += other.skipped

    def __str__(self) -> str:
        words = [
            (self.failed, "failed"),
            (self.passed, "passed"),
            (self.skipped, "skipped"),
            (self.errors, "error" if self.errors == 1 else "errors"),
        ]
        return ", ".join(f"{number} {word}" for number, word in words if number) or "0 passed"


@dataclass
class Outcome:
    """What became of one part."""

    is_ok: bool
    said: str
    counts: Counts = field(default_factory=Counts)
    was_run: bool = True


def say(text: str = "") -> None:
    """Print one line at once, so that it stands before the output of what is started next."""
    print(text, flush=True)  # noqa: T201 - a command line program


def run(
    command: Sequence[str | Path], limit_s: float, environment: dict[str, str] | None = None, *, is_quiet: bool = False
) -> int | str:
    """Run a command in its own process group and return its exit status, or a sentence if it did not end in time."""
    output = subprocess.PIPE if is_quiet else None
    process = subprocess.Popen(  # noqa: S603 - only fixed commands come here
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if is_quiet else None,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=limit_s)
    except BaseException as error:  # the group must not outlive us, whatever ended the wait
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"did not end within {limit_s:.0f} s"
        raise
    if is_quiet and process.returncode != 0:
        say(text.rstrip())
    return process.returncode


# --- parts ------------------------------------------------------------------------------------------------------------


def lint() -> Outcome:
    """Format, rules and types; all three run even if the first fails."""
    wrong = []
    commands: dict[str, list[str | Path]] = {
        "ruff format": [BIN / "ruff", "format", "--check", "."],
        "ruff check": [BIN / "ruff", "check", "."],
        "mypy": [BIN / "mypy"],
    }
    for name, arguments in commands.items():
        status = run(arguments, LINT_LIMIT_S)
        if status != 0:
            wrong.append(f"{name} {status if isinstance(status, str) else 'found something'}")
    if wrong:
        return Outcome(False, "FAILED: " + ", ".join(wrong), Counts(errors=len(wrong)))
    return Outcome(True, "format, rules and types are fine")


def tests(jobs: int) -> Outcome:
    """Everything that needs no browser."""
    parallel = ["-n", str(jobs)] if jobs > 1 else []
    elsewhere = [
        "-m",
        "not e2e and not conformance and not hostile",
        "--ignore=tests/e2e",
        "--ignore=tests/conformance",
    ]
    reason = _missing(PROXY_PACKAGES, are_services=True)
    outcome = _pytest([*elsewhere, *parallel], TESTS_LIMIT_S, {"PATH": _path()})
    outcome.said += f"; {reason}" if reason else ""
    return outcome


def e2e() -> Outcome:
    """The live page in a real Chromium."""
    if not any((ROOT / "tests" / "e2e").glob("test_*.py")):
        return Outcome(False, "FAILED: tests/e2e holds no tests", Counts(errors=1))
    try:
        import playwright.sync_api  # noqa: F401 - only asked whether it is there
    except ImportError as error:
        return Outcome(True, f"not run: Playwright is not installed ({error})", was_run=False)
    browser, reason = find_or_install_chromium()
    if browser is None:
        return Outcome(True, f"not run: {reason}", was_run=False)
    return _pytest(["-m", "e2e", "tests/e2e"], E2E_LIMIT_S, {"E2E_CHROMIUM": browser})


def conformance() -> Outcome:
    """The SDKs' own suites, and ours that drive them; each of the two runs if it could be fetched."""
    environment: dict[str, str] = {}
    missing = []
    for name, fetch in (("the Python SDK", _python_sdk), ("the JavaScript SDK", _js_sdk)):
        say(f"conformance: fetching {name} unless that has happened")
        try:
            environment |= fetch()
        except NotThere as error:
            missing.append(f"{name}: {error}")
    if len(missing) == 2:
        return Outcome(True, f"not run: {'; '.join(missing)}", was_run=False)
    outcome = _pytest(["-s", "-m", "conformance", "tests/conformance"], CONFORMANCE_LIMIT_S, environment)
    if missing:
        outcome.said += f"; not run: {missing[0]}"
    return outcome


def audits() -> Outcome:
    """What bandit finds in the source, and schemathesis in the API."""
    try:
        audit_suites.install()
    except NotThere as error:
        return Outcome(True, f"not run: {error}", was_run=False)
    wrong = [*audit_suites.bandit(), *audit_suites.schemathesis()]
    for line in wrong:
        say(line)
    if wrong:
        return Outcome(False, f"FAILED: {len(wrong)} findings", Counts(errors=1))
    return Outcome(True, "bandit and schemathesis find nothing but what is excepted in scripts/audits.py")


def hostile() -> Outcome:
    """Attack tools of others; what cannot be installed is skipped by its test, with the reason."""
    environment = {"PATH": _path()}
    reasons = [_missing(HOSTILE_PACKAGES)]
    try:
        environment["HOSTILE_SSLYZE"] = str(audit_suites.install_sslyze())
    except NotThere as error:
        reasons.append(f"without sslyze: {error}")
    for reason in filter(None, reasons):
        say(f"hostile: {reason}")
    return _pytest(["-m", "hostile", "--ignore=tests/e2e", "--ignore=tests/conformance"], HOSTILE_LIMIT_S, environment)


def _python_sdk() -> dict[str, str]:
    folder, python = python_sdk()
    return {"CONFORMANCE_SDK": str(folder), "CONFORMANCE_PYTHON": str(python)}


def _js_sdk() -> dict[str, str]:
    return {"CONFORMANCE_NODE": str(js_sdk())}


def _pytest(arguments: list[str], limit_s: float, environment: dict[str, str] | None = None) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-rfEs", f"--junitxml={report}", *arguments]
        status = run(command, limit_s, environment)
        counts = _read_report(report)
    if status == 0:
        return Outcome(True, str(counts), counts)
    reason = {5: "no tests were found", 2: "interrupted"}.get(status) if isinstance(status, int) else status
    if not counts.failed and not counts.errors:
        counts.errors = 1  # a crash or a timeout: no test says so
    return Outcome(False, f"FAILED: {counts}" + (f" ({reason})" if reason else ""), counts)


def _read_report(report: Path) -> Counts:
    """Count from pytest's JUnit report; nothing if pytest did not live to write it."""
    try:
        root = ElementTree.parse(report).getroot()  # noqa: S314 - written by our own pytest a moment ago
    except (OSError, ElementTree.ParseError):
        return Counts()
    counts = Counts()
    for suite in root.iter("testsuite"):
        total, failed, errors, skipped = (
            int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
        )
        counts.add(Counts(total - failed - errors - skipped, failed, errors, skipped))
    return counts


# --- what apt has -----------------------------------------------------------------------------------------------------


def find_or_install_chromium() -> tuple[str | None, str]:
    """Return the path of a Chromium, or None and why there is none."""
    found = _find(*CHROMIUM_NAMES)
    if found is None and (reason := _apt_install(["chromium"])):
        return None, f"there is no Chromium: {reason}"
    found = found or _find(*CHROMIUM_NAMES)
    return found, "" if found else "apt-get installed chromium, but it is not on the PATH"


def _apt_install(packages: Sequence[str]) -> str:
    """Install packages; return why that was not possible, or nothing."""
    wanted = " ".join(packages)
    apt = shutil.which("apt-get", path=SYSTEM_PATH)
    if apt is None:
        return "there is no apt-get to install it with"
    if os.geteuid() != 0:
        return f"as root: apt-get install --no-install-recommends {wanted}"
    say(f"installing {wanted} with apt-get (up to {INSTALL_LIMIT_S} s)")
    started = time.monotonic()
    apt_environment = {"PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        left = INSTALL_LIMIT_S - (time.monotonic() - started)
        status = run([apt, *arguments], max(left, 1), apt_environment, is_quiet=True)
        if status != 0:
            how = status if isinstance(status, str) else f"failed with status {status}"
            return f"apt-get {arguments[0]} {how}"
    return ""


def _missing(packages: Mapping[str, str], *, are_services: bool = False) -> str:
    """Install what is missing of some programs; return what still is, and why, or nothing.

    Args:
        packages: programs, and the packages in which they are.
        are_services: installing them starts them, where systemd runs; they are not installed there.
    """
    missing = [program for program in packages if _find(program) is None]
    wanted = [packages[program] for program in missing]
    if not missing:
        return ""
    if are_services and Path("/run/systemd/system").exists():
        reason = f"apt-get install {' '.join(wanted)} would start them as services"
    else:
        reason = _apt_install(wanted)
    return f"without {' and '.join(missing)}: {reason}" if reason else ""


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), SYSTEM_PATH])


def _find(*names: str) -> str | None:
    return next(filter(None, (shutil.which(name, path=_path()) for name in names)), None)


# --- the run ----------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for and return the exit status."""
    options = _parse(arguments)
    parts: dict[str, Callable[[], Outcome]] = {
        "lint": lint,
        "tests": lambda: tests(options.jobs),
        "e2e": e2e,
        "conformance": conformance,
        "audits": audits,
        "hostile": hostile,
    }
    started = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    for name in parts:
        if name in options.skip:
            outcomes[name] = Outcome(True, "not run: --skip")
        elif name in options.parts or (not options.parts and name != "hostile"):
            say(f"--- {name} {'-' * (74 - len(name))}")
            part_started = time.monotonic()
            outcome = parts[name]()
            if name in options.parts and not outcome.was_run:
                outcome.is_ok = False
            outcome.said += f" ({time.monotonic() - part_started:.0f} s)"
            outcomes[name] = outcome
            say()
    return _summary(outcomes.items(), time.monotonic() - started)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = ("lint", "tests", "e2e", "conformance", "audits", "hostile")
    parser = argparse.ArgumentParser(description="Run the checks of Portcast.")
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"any of {', '.join(names)}; all but hostile if none is given"
    )
    parser.add_argument("--skip", action="append", choices=names, default=[], help="leave a part out")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="pytest processes for the tests (default 2)"
    )
    options = parser.parse_args(arguments)
    for name in options.parts:
        if name not in names:
            parser.error(f"unknown part {name!r}: choose from {', '.join(names)}")
    return options


def _summary(outcomes: Iterable[tuple[str, Outcome]], seconds: float) -> int:
    total = Counts()
    is_ok = True
    for name, outcome in outcomes:
        say(f"{name}: {outcome.said}")
        total.add(outcome.counts)
        is_ok = is_ok and outcome.is_ok
    line = f" {total} in {seconds:.2f}s "
    say(line.center(80, "="))
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
