"""The environments are there as soon as gymnasium is, with no import of mint-rl."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_python(code: str, folder: Path) -> str:
    """What a fresh interpreter, started outside the repository, prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_gym_make_works_with_no_import(tmp_path: Path) -> None:
    code = "import gymnasium as gym; print(gym.make('magical/MakeLine-TestAll-v0').unwrapped.spec.id)"
    assert run_python(code, tmp_path) == "magical/MakeLine-TestAll-v0"


def test_starting_python_loads_neither_gymnasium_nor_numpy(tmp_path: Path) -> None:
    code = "import sys; print([m for m in ('gymnasium', 'numpy', 'torch', 'numba') if m in sys.modules])"
    assert run_python(code, tmp_path) == "[]"


def test_the_finder_steps_aside_once_gymnasium_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, gymnasium, importlib\n"
        "import mint_rl.autoload as autoload\n"
        "importlib.reload(autoload)\n"
        "print([f for f in sys.meta_path if type(f).__name__ == '_AfterGymnasium'])\n"
    )
    assert run_python(code, tmp_path) == "[]"


def test_a_missing_gymnasium_stays_an_import_error(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        "try:\n    import gymnasium\n"
        "except ModuleNotFoundError as error:\n    print(error.name)\n"
    )
    assert run_python(code, tmp_path) == "gymnasium"


def test_importing_the_environments_first_registers_them_too(tmp_path: Path) -> None:
    code = (
        "from mint_rl.envs.magical.names import env_id\n"
        "import gymnasium as gym; print(gym.make(env_id('MoveToRegion')).unwrapped.spec.id)"
    )
    assert run_python(code, tmp_path) == "magical/MoveToRegion-Demo-v0"
