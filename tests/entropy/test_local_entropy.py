"""`local_entropy` against brute force, and what holds for any image; on the GPU too where there is one."""

import itertools
import math

import numpy as np
import pytest
import torch
from brute_entropy import brute_entropy, brute_gradient
from entropy_images import KINDS, between_levels, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_rl.entropy import LocalEntropy, local_entropy
from mint_rl.entropy.checks import REGIONS

HARD, SOFT = 1e-6, 2e-5  # nats


def batch(kind, **options):
    return np.stack([picture(kind, **options), between_levels(picture(kind, seed=5, **options))])


def as_uint8(images):
    return np.rint(images * 255).astype(np.uint8)


def tensor(images, device="cpu", **options):
    return torch.tensor(images, device=device, **options)


def close(result, expected, tolerance):
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.detach().cpu().double(), expected, rtol=0, atol=tolerance)


def close_gradient(result, expected, grad, bandwidth):
    # Relative to the largest gradient; below 2e-6 of grad/B there is only the rounding of float32: on a flat
    # image whose levels fall on bin centres the true gradient is smaller than that.
    allowed = 1e-3 * np.abs(expected).max() + 2e-6 * np.abs(grad).max() / bandwidth
    np.testing.assert_allclose(result.cpu().double(), expected, rtol=0, atol=allowed)


def gradient(images, grad, device="cpu", **options):
    images = tensor(images, device, requires_grad=True)
    local_entropy(images, bins="soft", **options).backward(tensor(grad, device))
    return images.grad


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_equals_brute_force(kind, region, device):
    images = batch(kind)
    levels = as_uint8(images)
    close(local_entropy(tensor(levels, device), region), brute_entropy(levels, region), HARD)
    close(local_entropy(tensor(images, device), region), brute_entropy(images, region), HARD)
    close(local_entropy(tensor(images, device), region, "soft"), brute_entropy(images, region, 1e-3), SOFT)
    close(local_entropy(tensor(levels, device), region, "soft"), brute_entropy(levels, region, 1e-3), SOFT)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_brute_force(kind, region, device):
    images = batch(kind, size=(8, 9))
    grad = np.random.default_rng(2).standard_normal((2, 8, 9)).astype(np.float32)
    result = gradient(images, grad, device, region=region)
    close_gradient(result, brute_gradient(images, grad, region, 1e-3), grad, 1e-3)


@pytest.mark.parametrize("bandwidth", [1e-5, 1e-4, 3e-4, 4e-3, 2e-2, 0.3, 50.0])
def test_bandwidths(bandwidth, device):
    images = batch("natural", size=(9, 12))
    grad = np.random.default_rng(2).standard_normal((2, 9, 12)).astype(np.float32)
    result = local_entropy(tensor(images, device), 5, "soft", bandwidth)
    close(result, brute_entropy(images, 5, bandwidth), SOFT)
    result = gradient(images, grad, device, region=5, bandwidth=bandwidth)
    close_gradient(result, brute_gradient(images, grad, 5, bandwidth), grad, bandwidth)


@pytest.mark.parametrize("padding", ["replicate", "reflect", "valid"])
def test_paddings(padding, device):
    images = batch("noise", size=(7, 11))
    expected = brute_entropy(images, 5, 1e-3, padding)
    options = {"region": 5, "padding": padding}
    close(local_entropy(tensor(images, device), bins="soft", **options), expected, SOFT)
    close(local_entropy(tensor(images, device), **options), brute_entropy(images, 5, None, padding), HARD)
    grad = np.random.default_rng(2).standard_normal(expected.shape).astype(np.float32)
    result = gradient(images, grad, device, **options)
    close_gradient(result, brute_gradient(images, grad, 5, 1e-3, padding), grad, 1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (2, 3), (3, 34), (33, 31)])
def test_sizes_from_one_pixel_up(size, device):
    images = batch("noise", size=size)
    close(local_entropy(tensor(as_uint8(images), device), 3), brute_entropy(as_uint8(images), 3), HARD)
    close(local_entropy(tensor(images, device), 3, "soft"), brute_entropy(images, 3, 1e-3), SOFT)
    grad = np.ones((2, *size), np.float32)
    close_gradient(
        gradient(images, grad, device, region=3), brute_gradient(images, grad, 3, 1e-3), grad, 1e-3
    )


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 60])
def test_any_number_of_channels(channels, device):
    images = batch("natural", size=(6, 7), channels=channels)
    grad = np.ones((2, 6, 7), np.float32)
    close(local_entropy(tensor(images, device), 5), brute_entropy(images, 5), HARD)
    close(local_entropy(tensor(images, device), 5, "soft"), brute_entropy(images, 5, 1e-3), SOFT)
    result = gradient(images, grad, device, region=5)
    close_gradient(result, brute_gradient(images, grad, 5, 1e-3), grad, 1e-3)


small_images = st.tuples(
    st.integers(1, 2), st.integers(1, 4), st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1)
)


@settings(max_examples=30, deadline=None)
@given(shape=small_images, region=st.sampled_from(REGIONS), levels=st.integers(1, 256), off=st.booleans())
def test_drawn_images(device, shape, region, levels, off):
    *shape, seed = shape
    rng = np.random.default_rng(seed)
    images = (rng.choice(256, levels)[rng.integers(0, levels, shape)] / 255).astype(np.float32)
    if off:
        images = between_levels(images, seed)
    close(local_entropy(tensor(images, device), region), brute_entropy(images, region), HARD)
    close(local_entropy(tensor(images, device), region, "soft"), brute_entropy(images, region, 1e-3), SOFT)


def test_known_values(device):
    """By hand: 27 different levels; a flat region; a flat region with the paper's bandwidth."""
    different = torch.arange(27, dtype=torch.uint8, device=device).reshape(1, 3, 3, 3)
    assert local_entropy(different)[0, 1, 1].item() == pytest.approx(math.log(27), abs=1e-6)
    flat = torch.full((1, 3, 5, 5), 128, dtype=torch.uint8, device=device)
    assert local_entropy(flat).abs().max() == 0
    # Shares of the bins at distance 0, ±1, ±2 … of a value in the middle of its bin, B = 0.255 levels.
    above = [1 / (1 + math.exp((k - 0.5) / 0.255)) for k in range(-8, 10)]
    shares = [high - low for high, low in itertools.pairwise(above)]
    by_hand = -sum(p * math.log(p) for p in shares)
    assert by_hand == pytest.approx(0.757, abs=5e-4)
    assert local_entropy(flat, bins="soft")[0, 2, 2].item() == pytest.approx(by_hand, abs=2e-6)


@pytest.mark.parametrize("bins", ["hard", "soft"])
def test_what_does_not_change_the_entropy(bins, device):
    tolerance = 1e-7 if bins == "hard" else SOFT
    images = tensor(batch("natural"), device)
    entropy = local_entropy(images, 5, bins)
    close(local_entropy(images.flip(1), 5, bins), entropy.cpu().double().numpy(), tolerance)
    transposed = local_entropy(images.mT.contiguous(), 5, bins).mT
    close(transposed, entropy.cpu().double().numpy(), tolerance)
    moved = local_entropy(images[..., 2:, 3:].contiguous(), 5, bins, padding="valid")
    whole = local_entropy(images, 5, bins, padding="valid")[..., 2:, 3:]
    close(moved, whole.cpu().double().numpy(), tolerance)


def test_hard_entropy_ignores_a_shift_of_the_levels(device):
    levels = torch.randint(0, 200, (2, 3, 12, 40), dtype=torch.uint8, device=device)
    assert torch.equal(local_entropy(levels, 3), local_entropy(levels + 55, 3))


@pytest.mark.parametrize("bins", ["hard", "soft"])
def test_the_last_pixel_is_as_exact_as_the_first(bins, device):
    """A region far along a row has to give what it gives alone: nothing adds up on the way.

    On the CPU the very bits; on a GPU the neighbours' bins, empty here, round off in the last digits.
    """
    images = tensor(between_levels(picture("noise", size=(3, 3000))), device)[None]
    entropy = local_entropy(images, 3, bins, padding="valid")[0, 0]
    for left in (0, 1, 1499, 2996, 2997):
        alone = local_entropy(images[..., left : left + 3].contiguous(), 3, bins, padding="valid")
        assert alone.item() == pytest.approx(entropy[left].item(), abs=0 if device == "cpu" else 5e-6)


def test_the_result_does_not_depend_on_the_threads():
    images = tensor(np.stack([picture(kind, size=(90, 130)) for kind in KINDS]), requires_grad=True)
    grad = torch.randn(5, 90, 130)
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            # Large enough for more than one thread; hard bins take more values.
            soft = local_entropy(images, 5, "soft")
            (slope,) = torch.autograd.grad(soft, images, grad)
            results.append((soft, slope, local_entropy(images.detach().repeat(12, 1, 1, 1), 5)))
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_strided_views_give_what_their_copies_give(kind, device):
    images = torch.randint(0, 256, (3, 20, 30, 4), dtype=torch.uint8, device=device)
    images = images if kind == torch.uint8 else images.to(kind) / 255
    view = images.permute(0, 3, 1, 2)[:, 1:, ::2, 3:]
    assert not view.is_contiguous()
    for bins in ("hard", "soft"):
        assert torch.equal(local_entropy(view, bins=bins), local_entropy(view.contiguous(), bins=bins))


@pytest.mark.parametrize("shape", [(0, 3, 8, 9), (2, 3, 0, 9), (2, 3, 8, 0)])
@pytest.mark.parametrize("bins", ["hard", "soft"])
def test_empty_images_have_empty_entropy(shape, bins, device):
    images = torch.zeros(shape, device=device, requires_grad=True)
    entropy = local_entropy(images, bins=bins)
    assert entropy.shape == (shape[0], *shape[2:])
    entropy.sum().backward()
    assert images.grad.shape == shape


def test_types(device):
    images = tensor(batch("natural"), device)
    assert local_entropy(images).dtype == torch.float32
    assert local_entropy(images.double(), bins="soft").dtype == torch.float64
    assert local_entropy((images * 255).byte()).dtype == torch.float32
    half = images.half().requires_grad_()
    local_entropy(half, bins="soft").sum().backward()
    assert half.grad.dtype == torch.float16
    exact = local_entropy(half.detach().double(), bins="soft")
    close(local_entropy(half, bins="soft"), exact.cpu().numpy(), SOFT)
    assert local_entropy(images.to(torch.float8_e4m3fn)).dtype == torch.float32


def test_pytorchs_default_type_and_device_do_not_matter():
    images = tensor(batch("natural"), requires_grad=True)
    expected = local_entropy(images), local_entropy(images, bins="soft")
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        found = local_entropy(images), local_entropy(images, bins="soft")
        found[1].sum().backward()
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert images.grad.device.type == "cpu"
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_the_gradient_of_hard_entropy_is_zero(device):
    images = tensor(batch("natural"), device, requires_grad=True)
    local_entropy(images).sum().backward()
    assert images.grad.shape == images.shape
    assert images.grad.abs().max() == 0


def test_soft_entropy_approaches_hard_entropy(device):
    images = tensor(batch("natural")[:1], device)
    difference = local_entropy(images, bins="soft", bandwidth=1e-5) - local_entropy(images)
    assert difference.abs().max() < 5e-6


def test_the_module_is_the_function(device):
    images = tensor(batch("natural"), device)
    layer = LocalEntropy(5, "soft", 2e-3, "reflect")
    assert torch.equal(layer(images), local_entropy(images, 5, "soft", 2e-3, "reflect"))
    assert repr(layer) == "LocalEntropy(region=5, bins='soft', bandwidth=0.002, padding='reflect')"
    assert repr(LocalEntropy()) == "LocalEntropy(region=3, bins='hard', padding='replicate')"
    assert list(layer.parameters()) == []
