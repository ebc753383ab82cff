"""The benchmark of local entropy runs, and its opponents compute what they should."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from entropy_images import picture

from mint_rl.cuda.compile import CompilationError, Program, compile_program
from mint_rl.entropy import reference

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def opponents(monkeypatch):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import entropy_opponents

    return entropy_opponents


def test_the_benchmark_runs(opponents):
    command = [sys.executable, "entropy.py", "--sizes", "20x24", "--regions", "3", "--turns", "1"]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for line in ("20×24×3, region 3", "hard, uint8", "  scikit-image", "soft and gradient"):
        assert line in done.stdout


def test_the_naive_version_is_the_formula(opponents):
    images = torch.tensor(picture("natural", size=(9, 10)))[None].double()
    expected = reference.soft_entropy(images, 5, opponents.BANDWIDTH)
    torch.testing.assert_close(opponents.naive_soft(images, 5), expected, atol=1e-6, rtol=0)


def test_without_a_gpu_only_bounds_are_printed(opponents):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "entropy_gpu.py", "--sizes", "96x96", "--regions", "3", "--require"]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert "not measured" in done.stdout
    hard, soft, paper = (float(word) for word in done.stdout.split()[-3:])
    assert 0 < hard < soft < paper


def test_the_bound_counts_the_bins_that_are_visited(opponents):
    import entropy_gpu

    levels = torch.full((2, 3, 12, 40), 7, dtype=torch.uint8)  # two strips side by side and two below
    assert entropy_gpu.visited_bins(levels, 3, 0) == 2 * 4
    levels[1, 2, 11, 39] = 255  # in the last strip alone
    assert entropy_gpu.visited_bins(levels, 3, 0) == 2 * 4 + 1
    assert entropy_gpu.visited_bins(levels, 3, 5) == 8 * 11 + 6  # levels 2 to 12, and 250 to 255


def papers_entropy(regions, bandwidth):
    """The paper's equations 13 to 16 (the sign of 13 put right) in float64."""
    distance = regions[:, :, None].double() - torch.arange(256, dtype=torch.float64) / 255
    width = 1 / 256
    shares = torch.sigmoid((distance + width / 2) / bandwidth) - torch.sigmoid(
        (distance - width / 2) / bandwidth
    )
    p = shares.mean(1)
    return -torch.xlogy(p, p.clamp_min(1e-300)).sum(1)


def some_regions(opponents):
    images = torch.tensor(picture("natural", size=(5, 6)))[None]
    regions = torch.nn.functional.unfold(images, 3).mT.flatten(0, 1).contiguous()
    exact = regions.double().requires_grad_()
    entropy = papers_entropy(exact, opponents.BANDWIDTH)
    (slope,) = torch.autograd.grad(entropy.sum(), exact)
    return regions, entropy.detach().float(), slope.float()


def test_the_papers_design_computes_the_papers_entropy(opponents, tmp_path):
    gxx = shutil.which("g++")
    if gxx is None:
        pytest.skip("g++ is not installed")
    library = tmp_path / "paper.so"
    sources = ["-I", str(BENCHMARKS), str(Path(__file__).with_name("paper_host.cpp"))]
    command = [gxx, "-O1", "-std=c++20", "-shared", "-fPIC", "-pthread", *sources, "-o", str(library)]
    subprocess.run(command, check=True)
    kernels = ctypes.CDLL(str(library))
    regions, entropy, slope = some_regions(opponents)
    count, values = regions.shape
    last = (ctypes.c_int(values), ctypes.c_float(opponents.BANDWIDTH))
    found, grad, found_slope = torch.zeros(count), torch.ones(count), torch.zeros_like(regions)
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (regions, found, grad, found_slope)]
    kernels.run_forward(count, pointers[0], pointers[1], *last)
    kernels.run_backward(count, pointers[0], pointers[2], pointers[3], *last)
    torch.testing.assert_close(found, entropy, atol=1e-5, rtol=0)
    assert (found_slope - slope).abs().max() < 1e-3 * slope.abs().max()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_papers_design_runs_on_a_gpu(opponents):
    regions, entropy, slope = some_regions(opponents)
    paper = opponents.PaperEntropy()
    torch.testing.assert_close(paper.forward(regions.cuda()).cpu(), entropy, atol=1e-5, rtol=0)
    found = paper.backward(regions.cuda(), torch.ones(len(regions), device="cuda")).cpu()
    assert (found - slope).abs().max() < 1e-3 * slope.abs().max()


def test_the_papers_design_compiles():
    program = Program("paper_entropy.cu", (BENCHMARKS / "paper_entropy.cu").read_text())
    try:
        binary = compile_program(program, "sm_80")
    except CompilationError as error:
        if "cannot be loaded" in str(error):
            pytest.skip(str(error))
        raise
    assert b"paper_forward" in binary
    assert b"paper_backward" in binary
