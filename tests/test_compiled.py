"""Kernels that survive read-only installations, damaged caches and several processes starting at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mint_rl
from mint_rl.compiled import kernel

MODULE = """
import numpy as np
from numba import types
from mint_rl.compiled import kernel

@kernel(types.float64(types.float64, types.int64))
def power(base, exponent):
    return base ** exponent

@kernel(types.void(types.float64[::1], types.int64), lazy=True)
def powers(target, exponent):
    for i in range(target.size):
        target[i] = power(float(i), exponent)
"""
SCRIPT = "import numpy as np, squares; a = np.zeros(5); squares.powers(a, 2); print(*a)"
EXPECTED = "0.0 1.0 4.0 9.0 16.0"


def start(folder, script=SCRIPT, **environment):
    paths = os.pathsep.join([str(folder), str(Path(mint_rl.__file__).parent.parent)])
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process):
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "squares.py").write_text(MODULE)
    return tmp_path


def test_processes_that_start_together_and_one_that_comes_later(folder, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    processes = [start(folder, **cache) for _ in range(3)]
    assert [answer(process) for process in processes] == [EXPECTED] * 3
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nbc")}
    assert len(kept) == 2
    assert answer(start(folder, **cache)) == EXPECTED
    for path, before in kept.items():
        assert path.stat().st_mtime_ns == before, "the later process compiled again"


def test_a_damaged_cache_is_passed_over(folder, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    answer(start(folder, **cache))
    for path in (tmp_path / "cache").rglob("*.nb[ic]"):
        path.write_bytes(path.read_bytes()[:40])
    assert answer(start(folder, **cache)) == EXPECTED


def test_nowhere_to_write(tmp_path):
    """The package where nobody may write, for a user without a home: __pycache__ is taken by a file."""
    source = Path(mint_rl.__file__).parent
    for name in ("__init__.py", "errors.py", "files.py", "compiled.py", "entropy", "cuda"):
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        (tmp_path / "mint_rl").mkdir(exist_ok=True)
        copy(source / name, tmp_path / "mint_rl" / name)
    for folder in (tmp_path / "mint_rl", tmp_path / "mint_rl" / "entropy", tmp_path / "mint_rl" / "cuda"):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        (folder / "__pycache__").write_text("in the way")
    script = (
        "import torch, mint_rl\n"
        "from mint_rl.entropy import local_entropy\n"
        "entropy = local_entropy(torch.arange(27, dtype=torch.uint8).reshape(1, 3, 3, 3))\n"
        "print(mint_rl.__file__, entropy[0, 1, 1].item())"
    )
    place, value = answer(start(tmp_path, script, HOME=os.devnull, XDG_CACHE_HOME=os.devnull)).split()
    assert place == str(tmp_path / "mint_rl" / "__init__.py")
    assert float(value) == pytest.approx(3.295837)


def test_a_function_without_a_file_works_all_the_same():
    from numba import types

    scope = {}
    exec("def twice(x):\n    return 2 * x", scope)
    for lazy in (False, True):
        assert kernel(types.float64(types.float64), lazy=lazy)(scope["twice"])(21.0) == 42.0


def test_a_mistake_in_a_kernel_is_not_hidden():
    from numba import types
    from numba.core.errors import TypingError

    def wrong(value):
        value.no_such_thing()

    with pytest.raises(TypingError):
        kernel(types.void(types.int64))(wrong)
    lazy = kernel(types.void(types.int64), lazy=True)(wrong)
    with pytest.raises(TypingError):
        lazy(1)
