"""pymunk 5.6 on today's Python: imported without a word, and nothing that Python has lost stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest

from mint_rl.errors import UserError
from mint_rl.old_pymunk import load_pymunk


def test_it_is_imported_quietly_and_everything_is_put_back() -> None:
    code = (
        "import collections, sys\n"
        "before = sys.modules.get('imp')\n"
        "from mint_rl.old_pymunk import load_pymunk\n"
        "pymunk = load_pymunk('a test', 'nothing')\n"
        "pymunk.Space().step(0.1)\n"
        "assert sys.modules.get('imp') is before\n"
        "assert not hasattr(collections, 'Sequence')\n"
        "assert load_pymunk('a test', 'nothing') is pymunk"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pymunk = types.ModuleType("pymunk")
    pymunk.version = "7.2.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pymunk", pymunk)
    with pytest.raises(UserError, match=r"^a test needs pymunk 5\.6\.0, but 7\.2\.0 is installed: run this$"):
        load_pymunk("a test", "this")
