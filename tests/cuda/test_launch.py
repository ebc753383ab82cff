"""Loading and launching the kernels: what can be told without a GPU, the driver played by the simulation."""

import ctypes
import os
import re
import subprocess
import sys
import types
import warnings
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from warp_simulation import GXX

from mint_rl.cuda import launch
from mint_rl.cuda.compile import CompilationError
from mint_rl.entropy import operator, reference

HERE = Path(__file__).parent
C_TYPES = {"long long": ctypes.c_longlong, "int": ctypes.c_int, "float": ctypes.c_float}


def test_the_parameters_are_those_of_the_source():
    source = (files("mint_rl.cuda") / "entropy.cu").read_text()
    for name, expected in launch.PARAMETERS.items():
        (text,) = re.findall(rf"\b{name}\((const Value.*?)\) {{", source, re.DOTALL)
        found = [
            ctypes.c_void_p if "*" in parameter else C_TYPES[" ".join(parameter.split()[:-1])]
            for parameter in text.split(",")
        ]
        assert found == list(expected)


@pytest.mark.parametrize("bandwidth", [1e-12, 1e-6, 1e-4, 3e-4, 1e-3, 2e-3, 1e-2, 0.1, 1.0, 1e3, 1e12])
def test_soft_bins_stay_within_float32(bandwidth):
    steepness, rebase, reach = launch.soft_bins(bandwidth)
    assert rebase & (rebase - 1) == 0
    assert 1 <= rebase <= 256
    assert rebase == 1 or steepness * rebase <= 100  # 2^100: the exponential does not overflow on its way
    assert 1 <= reach <= 255
    # A value of level 100 leaves less than e⁻¹⁷ beyond the bins that it reaches.
    beyond = 2 ** (-steepness * reach) if steepness * reach < 1000 else 0
    assert beyond < 1e-7 or reach == 255


@pytest.mark.parametrize("region", [3, 5, 7, 9, 11])
@pytest.mark.parametrize("size", [(11, 11), (12, 64), (320, 480)])
def test_grids_cover_all_and_no_more(region, size):
    height, width = size
    rows, columns = height - region + 1, width - region + 1
    blocks, across, down = launch.grid(7, height, width, region)
    assert (across - 1) * (33 - region) < columns <= across * (33 - region)
    assert (down - 1) * 8 < rows <= down * 8
    assert 4 * (blocks - 1) < 7 * across * down <= 4 * blocks
    blocks, across, down = launch.grid(7, height, width, region, backward=True)
    assert (across - 1) * (34 - 2 * region) < width <= across * (34 - 2 * region)
    assert (down - 1) * 4 < height <= down * 4


def test_large_batches_fit_into_one_launch():
    blocks, _, _ = launch.grid(100_000, 320, 480, 3)  # 4.6·10¹⁰ values of three channels
    assert blocks < 2**31


@pytest.mark.skipif(GXX is None, reason="g++ is not installed: neither kernels nor driver can be simulated")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose driver is used instead")
def test_launching_through_a_driver_without_a_gpu(tmp_path):
    """cuda-bindings packs the arguments, the driver's part is played, and the kernels read the arguments."""
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    source, library = HERE / "host_driver.cpp", tmp_path / "libcuda.so.1"
    subprocess.run([GXX, "-std=c++17", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(HERE / "played_launches.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout == "launched\n", done.stderr


def test_without_kernels_the_pytorch_version_runs_and_says_so_once(monkeypatch):
    def fail(*given):
        raise CompilationError("there is no compiler")

    monkeypatch.setattr(launch, "_load", fail)
    launch._kernels.cache_clear()
    launch._say_once.cache_clear()
    images = types.SimpleNamespace(
        device=types.SimpleNamespace(type="cuda"), get_device=int, dtype=torch.float32, shape=(1, 3, 8, 8)
    )
    try:
        with pytest.warns(RuntimeWarning, match="takes the PyTorch version on the GPU.*no compiler"):
            assert operator._kernels(images, 3) is reference
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert operator._kernels(images, 3) is reference
            assert operator._kernels(images, 5) is reference
    finally:
        launch._kernels.cache_clear()
        launch._say_once.cache_clear()


def test_the_kernels_serve_what_they_can():
    device = types.SimpleNamespace(type="cuda")
    many = types.SimpleNamespace(device=device, dtype=torch.float32, shape=(1, 1000, 8, 8))
    assert operator._kernels(many, 11) is reference
    double = types.SimpleNamespace(device=device, dtype=torch.float64, shape=(1, 3, 8, 8))
    assert operator._kernels(double, 3) is reference
