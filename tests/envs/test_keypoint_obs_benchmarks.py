"""The benchmarks of KeypointObs run, the soak in its short form; and a soak notices memory that is kept."""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import SyncVectorEnv
from picture_envs import Pictures

import mint_rl.envs.vector
from mint_rl.envs.keypoint_obs import KeypointObs
from mint_rl.keypoints.encoder import KeypointEncoder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the memory of a process as Linux tells it")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import soak

    return soak.soak


class Hoarder(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps 100 kB of every step, in pages of its own: an allocator may have had memory to spare."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.kept: list[mmap.mmap] = []

    def step(self, action: Any) -> Any:
        self.kept.append(mmap.mmap(-1, 100_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self.kept[-1].write(bytes([1]) * 100_000)
        return super().step(action)


def test_memory_does_not_grow(soak: Any, encoder: KeypointEncoder) -> None:
    """One frame of 7 kB kept at each step, or an observation and its arrays, would show."""
    growth = [growth for _, growth in soak(KeypointObs(Pictures(), encoder), 1000, settle=200)]
    assert len(growth) == 10
    assert growth[-1] < 3
    envs = mint_rl.envs.vector.KeypointObs(SyncVectorEnv([Pictures] * 4), encoder, format="dict")
    *_, (steps, last) = soak(envs, 1000, settle=200)
    assert steps == 1000
    assert last < 3


def test_the_soak_notices_what_is_kept(soak: Any, encoder: KeypointEncoder) -> None:
    *_, (_, growth) = soak(Hoarder(KeypointObs(Pictures(), encoder)), 100, settle=10)
    assert growth > 8


def test_the_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import keypoint_obs

    options = [
        "--num-envs",
        "1",
        "3",
        "--turns",
        "1",
        "--frames",
        "5",
        "--json",
        str(tmp_path / "figures.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["keypoint_obs.py", *options, "--require", "0.001"])
    assert keypoint_obs.main() == 1
    printed, complaint = capsys.readouterr()
    for words in (
        "one frame, ms: wall p5 ",
        "CPU p99",
        "NatureCNN forward",
        "published geometry",
        "MB beyond",
    ):
        assert words in printed
    assert "more than 0.001" in complaint
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["seconds"]["wrapped step"] > figures["seconds"]["bare step"] > 0
