"""The benchmark of local entropy runs, and its opponents compute what they should."""

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
