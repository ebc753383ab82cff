"""What only a GPU can show. The correctness suite in tests/entropy runs on it too, wherever there is one."""

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import warnings

import pytest
import torch

from mint_rl.cuda import compile as compiler
from mint_rl.cuda import launch
from mint_rl.entropy import local_entropy
from mint_rl.errors import UserError

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

BAD = "hold the value 200; all must lie in"


@pytest.fixture
def images():
    """Some images, for which the kernels are compiled and loaded."""
    images = torch.rand(4, 3, 50, 60, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert launch.ready(images, 3)
        assert launch.ready(images.byte(), 3)
    local_entropy(images)
    torch.cuda.synchronize()
    return images


@contextlib.contextmanager
def no_waiting():
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_nothing_waits_for_the_device(images):
    leaf, levels = images.clone().requires_grad_(), (images * 255).byte()
    with no_waiting():
        for given in (leaf, levels):
            for padding in ("replicate", "reflect", "valid"):
                local_entropy(given, 3, padding=padding)
                local_entropy(given, 3, "soft", padding=padding)
        local_entropy(leaf, bins="soft").sum().backward()
    assert leaf.grad.isfinite().all()


def test_it_runs_on_the_current_stream(images):
    expected = local_entropy(images, bins="soft")
    late = torch.zeros_like(images)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)  # cycles: on another stream the kernel would see the zeros
        late.copy_(images)
        entropy = local_entropy(late, bins="soft")
    side.synchronize()
    assert torch.equal(entropy, expected)


def test_any_device_and_any_thread(images):
    for index in range(torch.cuda.device_count()):
        there = images.to(f"cuda:{index}")
        for current in range(torch.cuda.device_count()):
            with torch.cuda.device(current):
                assert torch.equal(local_entropy(there).cpu(), local_entropy(images).cpu())
                assert torch.cuda.current_device() == current
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # a thread that has never used the GPU
        assert torch.equal(pool.submit(local_entropy, images).result(), local_entropy(images))


def test_the_same_bits_every_time(images):
    leaf = images.clone().requires_grad_()
    first, second = (torch.autograd.grad(local_entropy(leaf, bins="soft").sum(), leaf)[0] for _ in "12")
    assert torch.equal(first, second)


def test_a_captured_graph(images):
    given = torch.zeros_like(images)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        entropy = local_entropy(given, bins="soft")
    given.copy_(images)
    graph.replay()
    assert torch.equal(entropy, local_entropy(images, bins="soft"))


def test_bad_values_are_refused_late_and_once(images):
    bad = images.clone()
    bad[1, 2, 3, 4] = 200
    for bins in ("hard", "soft"):
        with pytest.raises(UserError, match=BAD):  # noqa: PT012  # by either call, as fast as the device is
            entropy = local_entropy(bad, bins=bins)
            torch.cuda.synchronize()
            assert entropy.isnan().sum() == 9
            local_entropy(images, bins=bins)
        torch.cuda.synchronize()
        assert local_entropy(images, bins=bins).isfinite().all()


def test_with_blocking_launches_the_call_itself_refuses(images):
    script = (
        "import torch\n"
        "from mint_rl.entropy import local_entropy\n"
        "local_entropy(torch.full((1, 3, 50, 60), 200.0, device='cuda'))"
    )
    environment = os.environ | {"CUDA_LAUNCH_BLOCKING": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert BAD in done.stderr


def test_the_driver_takes_ptx(images, monkeypatch):
    """As on a device newer than NVRTC."""
    expected = local_entropy(images, bins="soft")
    launch._kernels.cache_clear()
    monkeypatch.setattr(compiler, "architecture_for", lambda capability: "compute_80")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            torch.testing.assert_close(local_entropy(images, bins="soft"), expected, rtol=0, atol=1e-5)
    finally:
        launch._kernels.cache_clear()


def test_offsets_beyond_32_bits():
    free = torch.cuda.mem_get_info()[0]
    count = 2400  # 2.2·10⁹ values
    if free < 60 * 2**30:
        pytest.skip(f"{free >> 30} GiB of GPU memory are free, not 60")
    large = torch.randint(0, 256, (count, 3, 640, 480), dtype=torch.uint8, device="cuda")
    last = large[-1:].clone()
    assert torch.equal(local_entropy(large)[-1:], local_entropy(last))
    assert torch.equal(local_entropy(large, bins="soft")[-1:], local_entropy(last, bins="soft"))
    del large
    values = torch.rand(count, 3, 640, 480, device="cuda")
    grad = torch.ones(count, 638, 478, device="cuda")
    slope = launch.soft_entropy_backward(values, grad, 3, 1e-3)
    assert torch.equal(slope[-1:], launch.soft_entropy_backward(values[-1:], grad[-1:], 3, 1e-3))
