"""Fixtures for the tests of the MAGICAL environments; none of them imports torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Run a program in a fresh interpreter with the same modules and no display; returns its output."""

    def run(program: str, **environment: str) -> str:
        variables = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
        variables |= {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=variables, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
