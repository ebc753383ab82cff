"""The operator inside PyTorch: its registration, gradient and compilation."""

import shutil
import sys
import warnings

import numpy as np
import pytest
import torch
from entropy_images import between_levels, picture

import mint_rl.entropy
from mint_rl.entropy import local_entropy, operator
from mint_rl.entropy.operator import entropy_backward_op, entropy_op


def some_images(device="cpu", size=(6, 7), dtype=torch.float32):
    images = np.stack([between_levels(picture(kind, size)) for kind in ("natural", "noise")])
    return torch.tensor(images, device=device, dtype=dtype)


@pytest.mark.parametrize("bandwidth", [0.0, 1e-3])
def test_opcheck(device, bandwidth):
    for images in (some_images(device), some_images(device).requires_grad_()):
        torch.library.opcheck(entropy_op, (images, 3, bandwidth))
    torch.library.opcheck(entropy_op, ((some_images(device) * 255).byte(), 5, bandwidth))
    torch.library.opcheck(
        entropy_op, (some_images(device, dtype=torch.float64).requires_grad_(), 3, bandwidth)
    )


def test_opcheck_of_the_gradient(device):
    images = some_images(device)
    for given in (images, images.double(), images.contiguous(memory_format=torch.channels_last)):
        grad = torch.rand(2, 4, 5, device=device, dtype=given.dtype)
        torch.library.opcheck(entropy_backward_op, (given, grad, 3, 1e-3))


@pytest.mark.parametrize(
    ("bandwidth", "padding"),
    [(1e-3, "replicate"), (4e-3, "replicate"), (3e-2, "replicate"), (1e-3, "reflect"), (4e-3, "valid")],
)
def test_gradcheck(bandwidth, padding, device):
    """In float64, where the operator runs the PyTorch version; the fast kernels are held to brute force."""
    images = some_images(device, size=(3, 4), dtype=torch.float64)[:1].requires_grad_()

    def function(images):
        return local_entropy(images, 3, "soft", bandwidth, padding)

    # Differences by 1e-7: a thousandth of the smallest bandwidth is still a straight line.
    assert torch.autograd.gradcheck(function, (images,), eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("backend", "bins"),
    [("eager", "hard"), ("aot_eager", "hard"), ("aot_eager", "soft"), ("inductor", "soft")],
)
def test_compiled_in_one_graph_it_gives_the_same(backend, bins, device):
    def loss(images):
        return (local_entropy(images * 0.9, 3, bins) ** 2).mean()

    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("inductor needs a C++ compiler, and there is none on the path")
    images = some_images(device).requires_grad_()
    value = loss(images)
    (slope,) = torch.autograd.grad(value, images)
    torch._dynamo.reset()
    compiled_value = torch.compile(loss, backend=backend, fullgraph=True)(images)
    (compiled_slope,) = torch.autograd.grad(compiled_value, images)
    torch.testing.assert_close(compiled_value, value)
    torch.testing.assert_close(compiled_slope, slope, rtol=1e-4, atol=1e-4 * slope.abs().max().item())


def test_compiled_code_refuses_bad_values_too():
    images = some_images() * 300
    with pytest.raises(ValueError, match="images holds values from"):
        torch.compile(local_entropy, backend="eager", fullgraph=True)(images)


def test_a_second_derivative_is_refused(device):
    images = some_images(device).requires_grad_()
    (slope,) = torch.autograd.grad(local_entropy(images, bins="soft").sum(), images, create_graph=True)
    with pytest.raises(RuntimeError):
        slope.sum().backward()


def test_a_loss_descends_along_the_gradient(device):
    images = some_images(device).requires_grad_()
    entropy = local_entropy(images, bins="soft", bandwidth=4e-3).mean()
    (slope,) = torch.autograd.grad(entropy, images)
    step = 1e-4 / slope.abs().max()
    with torch.no_grad():
        lower = local_entropy((images - step * slope).clamp(0, 1), bins="soft", bandwidth=4e-3).mean()
    predicted = step * (slope**2).sum()
    assert (entropy - lower).item() == pytest.approx(predicted.item(), rel=0.2)


def test_without_numba_the_pytorch_version_runs_and_says_so_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "mint_rl.entropy.cpu", None)
    monkeypatch.delattr(mint_rl.entropy, "cpu", raising=False)
    operator._cpu_kernels.cache_clear()
    images = some_images()
    try:
        with pytest.warns(RuntimeWarning, match="takes the PyTorch version"):
            entropy = local_entropy(images, 5, "soft")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(local_entropy(images, 5, "soft"), entropy)
    finally:
        monkeypatch.undo()
        operator._cpu_kernels.cache_clear()
    torch.testing.assert_close(local_entropy(images, 5, "soft"), entropy, atol=2e-5, rtol=0)
