"""What the marks of tests promise."""

import subprocess
import sys

import pytest

from tests.paths import ROOT


@pytest.mark.slow
def test_tests_that_are_not_marked_torch_can_be_collected_without_it() -> None:
    options = ["--without-torch", "--collect-only", "-qq", "-m", "not torch", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(ROOT / "tests")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
