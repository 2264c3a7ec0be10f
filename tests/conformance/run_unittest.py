"""Runs unittest's discovery in the current folder and writes what became of each test: ``run_unittest.py FILE``.

Belongs to `test_python_sdk`; it runs under the SDK's own Python, so it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
import unittest
from pathlib import Path


class Recording(unittest.TestResult):
    """Keeps one entry per test: a subtest that fails fails its test."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, object]] = {}
        self._begun = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._begun = time.monotonic()
        self.found[test.id()] = {"outcome": "passed", "detail": ""}

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self.found[test.id()]["seconds"] = round(time.monotonic() - self._begun, 2)

    def _note(self, name: str, outcome: str, detail: str) -> None:
        self.found.setdefault(name, {}).update(outcome=outcome, detail=detail)

    def addFailure(self, test, err) -> None:  # type: ignore[no-untyped-def]
        super().addFailure(test, err)
        self._note(test.id(), "failed", self.failures[-1][1])

    def addError(self, test, err) -> None:  # type: ignore[no-untyped-def]
        super().addError(test, err)
        self._note(test.id(), "failed", self.errors[-1][1])

    def addSubTest(self, test, subtest, err) -> None:  # type: ignore[no-untyped-def]
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test.id(), "failed", str(err[1]))

    def addSkip(self, test, reason: str) -> None:  # type: ignore[no-untyped-def]
        super().addSkip(test, reason)
        self._note(test.id(), "skipped", reason)


def main(target: str) -> int:
    result = Recording()
    unittest.defaultTestLoader.discover("tests", top_level_dir=".").run(result)
    Path(target).write_text(json.dumps(result.found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
