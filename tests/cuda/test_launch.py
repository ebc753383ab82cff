"""Loading and launching the kernels: what can be told without a GPU, the driver played by the simulation."""

import concurrent.futures
import contextlib
import ctypes
import re
import types
import warnings
from importlib.resources import files

import pytest
import torch
from warp_simulation import GXX, Simulation

from mint_rl.cuda import launch
from mint_rl.cuda.compile import CompilationError
from mint_rl.entropy import operator, reference

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


@pytest.fixture
def played(tmp_path, monkeypatch):
    """The driver and the device, played by simulated warps on the host."""
    if GXX is None:
        pytest.skip("g++ is not installed: the kernels cannot be simulated")
    bindings = pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    simulation = Simulation(tmp_path, "float", 3, 3)
    launches = []

    def launch_kernel(function, x, y, z, threads, ty, tz, shared, stream, arguments, extra):
        values, kinds = arguments
        launches.append((function, stream))
        assert (y, z, threads, ty, tz, shared, extra) == (1, 1, 128, 1, 1, 0, 0)
        run = getattr(simulation.library, f"run_{function}")
        run.argtypes = [ctypes.c_uint, *kinds]
        run(x, *values)
        return (driver.CUresult.CUDA_SUCCESS,)

    driver = types.SimpleNamespace(
        CUresult=types.SimpleNamespace(CUDA_SUCCESS=0),
        CUstream=lambda number: number,
        cuLaunchKernel=launch_kernel,
    )
    monkeypatch.setattr(bindings, "driver", driver, raising=False)
    monkeypatch.setattr(launch, "_kernels", lambda *given: {name: name for name in launch.PARAMETERS})
    monkeypatch.setattr(launch, "_device", lambda index: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: types.SimpleNamespace(cuda_stream=77))
    return launches


def test_launching(played):
    images = torch.rand(2, 3, 40, 11).mT  # not contiguous
    grad = torch.randn(2, 38, 9).mT
    hard, soft = launch.hard_entropy(images, 3), launch.soft_entropy(images, 3, 1e-3)
    slope = launch.soft_entropy_backward(images, grad, 3, 1e-3)
    torch.testing.assert_close(hard, reference.hard_entropy(images, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(soft, reference.soft_entropy(images, 3, 1e-3), atol=2e-5, rtol=0)
    expected = reference.soft_entropy_backward(images, grad, 3, 1e-3)
    assert (slope - expected).abs().max() < 1e-3 * expected.abs().max()
    names = ["hard_entropy", "soft_entropy", "soft_entropy_backward"]
    assert played == [(name, 77) for name in names]


def test_without_kernels_the_pytorch_version_runs_and_says_so_once(monkeypatch):
    def fail(*given):
        raise CompilationError("there is no compiler")

    monkeypatch.setattr(launch, "_load", fail)
    launch._kernels.cache_clear()
    launch._say_once.cache_clear()
    images = types.SimpleNamespace(
        device=types.SimpleNamespace(type="cuda", index=0), dtype=torch.float32, shape=(1, 3, 8, 8)
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
    device = types.SimpleNamespace(type="cuda", index=0)
    many = types.SimpleNamespace(device=device, dtype=torch.float32, shape=(1, 1000, 8, 8))
    assert operator._kernels(many, 11) is reference
    double = types.SimpleNamespace(device=device, dtype=torch.float64, shape=(1, 3, 8, 8))
    assert operator._kernels(double, 3) is reference


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    """The rest of the suite runs on the GPU from tests/entropy; here what only a GPU can show."""
    images = torch.rand(4, 3, 50, 60, device="cuda")
    assert launch.ready(images, 3), "the kernels were not compiled or loaded"
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        entropy = launch.soft_entropy(images, 3, 1e-3)
    side.synchronize()
    torch.testing.assert_close(entropy, launch.soft_entropy(images, 3, 1e-3), rtol=0, atol=0)
    with torch.cuda.device(torch.cuda.device_count() - 1):
        launch.hard_entropy(images, 3)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # a thread that has never used the GPU
        assert torch.equal(pool.submit(launch.soft_entropy, images, 3, 1e-3).result(), entropy)
    torch.cuda.set_sync_debug_mode("error")
    try:
        launch.soft_entropy_backward(images, torch.rand_like(entropy), 3, 1e-3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    large = torch.randint(0, 256, (2400, 3, 640, 480), dtype=torch.uint8, device="cuda")  # 2.2·10⁹ values
    assert torch.equal(launch.hard_entropy(large, 3)[-1], launch.hard_entropy(large[-1:], 3)[0])
