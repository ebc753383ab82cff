"""How MAGICAL is imported: what it leaves behind in the process, and what is said when it is not there."""

from __future__ import annotations

import sys
import types

import pytest

from mint_rl.envs.magical import upstream
from mint_rl.errors import UserError


def test_nothing_of_gym_pyglet_or_opengl_is_loaded(run_python) -> None:
    output = run_python(
        "import sys\n"
        "from mint_rl.envs.magical.env import MagicalEnv\n"
        "env = MagicalEnv('MatchRegions', 'TestAll', view='both', render_mode='rgb_array')\n"
        "env.reset(seed=0); env.step(1); env.render(); env.instance_mask()\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    assert output.count("\n") == 1, f"importing MAGICAL printed something: {output}"
    assert not {"gym", "pyglet", "OpenGL", "torch", "magical", "cv2", "matplotlib"} & set(output.split())


def test_everything_is_put_back(run_python) -> None:
    """A gym and a MAGICAL that were imported before stay; Python gets back no `imp` and no old names."""
    run_python(
        "import collections, importlib.util, sys, types\n"
        "before = {name: types.ModuleType(name) for name in ('gym', 'gym.spaces', 'magical')}\n"
        "before['magical'].__spec__ = importlib.util.find_spec('magical')\n"
        "sys.modules.update(before)\n"
        "from mint_rl.envs.magical import upstream\n"
        "assert 'entities' in upstream.load()\n"
        "private = {name for name in sys.modules if upstream._is_private(name)}\n"
        "assert private - {'imp'} == set(before), private\n"
        "assert all(sys.modules[name] is before[name] for name in before)\n"
        "assert sys.version_info < (3, 12) or 'imp' not in sys.modules\n"
        "assert not hasattr(collections, 'Sequence')"
    )


def test_the_module_prefix_registers_without_an_import(run_python) -> None:
    shape = run_python(
        "import gymnasium as gym\n"
        "env = gym.make('mint_rl.envs.magical:magical/MoveToCorner-Demo-v0')\n"
        "print(env.reset(seed=0)[0].shape)"
    )
    assert shape == "(96, 96, 3)\n"


def test_missing_magical_is_told_with_the_command_that_installs_it(run_python) -> None:
    output = run_python(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'magical' else find(name, *rest)\n"
        "import gymnasium, mint_rl.envs.magical\n"
        "try:\n"
        "    gymnasium.make('magical/MoveToCorner-Demo-v0')\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    assert "which is not installed: run pip install --no-deps magical-il==0.0.1a4 && pip install" in output
    assert output.count("\n") == 1


@pytest.fixture
def not_yet_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_loaded", {})


@pytest.mark.usefixtures("not_yet_loaded")
def test_another_pymunk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pymunk = types.ModuleType("pymunk")
    pymunk.version = "7.2.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pymunk", pymunk)
    with pytest.raises(UserError, match=r"needs pymunk 5\.6\.0, but 7\.2\.0 is installed: run pip install"):
        upstream.load()


@pytest.mark.usefixtures("not_yet_loaded")
def test_a_missing_pymunk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymunk", None)
    with pytest.raises(UserError, match=r"cannot be imported .*pymunk.*: run pip install") as error:
        upstream.load()
    assert "\n" not in str(error.value)
