"""The CUDA kernels, compiled for the host with simulated warps, against the PyTorch version in float64."""

import math

import pytest
import torch
from warp_simulation import GXX, Simulation

from mint_rl.cuda import launch
from mint_rl.entropy import reference

pytestmark = pytest.mark.skipif(GXX is None, reason="g++ is not installed: the kernels cannot be simulated")

HARD, SOFT, GRADIENT = 1e-6, 2e-5, 1e-3
KINDS = [
    ("float", 3, 3),
    ("float", 3, 5),
    ("float", 3, 7),
    ("float", 1, 11),
    ("float", 8, 5),  # too many values for the registers
    ("unsigned char", 3, 3),
]


@pytest.fixture(scope="module")
def simulation(request, tmp_path_factory):
    return Simulation(tmp_path_factory.mktemp("warp"), *request.param)


def pictures(channels, size):
    """Shaded with an edge, flat, noise, saturated, checkerboard; the first and third between the levels."""
    generator = torch.Generator().manual_seed(3)
    height, width = size
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    phase = torch.arange(channels)[:, None, None]
    shaded = 0.4 + 0.3 * torch.sin(0.2 * x + phase) * torch.cos(0.3 * y) + 0.2 * (x > y)
    noise = torch.rand(channels, height, width, generator=generator)
    saturated = (0.5 + 2 * torch.randn(channels, height, width, generator=generator)).clamp(0, 1)
    checkerboard = ((x + y) % 2).float().expand(channels, -1, -1)
    flat = torch.full((channels, height, width), 93 / 255)
    saturated = (saturated * 255).round() / 255
    return torch.stack([shaded, flat, noise, saturated, checkerboard]).contiguous()


def agree(simulation, value, images, bandwidth):
    """Largest errors of the three kernels, as shares of what is allowed."""
    region = simulation.region
    if value == "unsigned char":
        images = (images * 255).round().byte()
    exact = images.double() / 255 if value == "unsigned char" else images.double()
    hard = simulation.hard_entropy(images) - reference.hard_entropy(images, region)
    soft = simulation.soft_entropy(images, bandwidth) - reference.soft_entropy(exact, region, bandwidth)
    errors = [hard.abs().max() / HARD, soft.abs().max() / SOFT]
    if value == "float":
        grad = torch.randn(soft.shape, generator=torch.Generator().manual_seed(4))
        expected = reference.soft_entropy_backward(exact, grad.double(), region, bandwidth)
        error = (simulation.soft_entropy_backward(images, grad, bandwidth) - expected).abs().amax((1, 2, 3))
        # Every picture by its own gradient; below that, the rounding of float32 (see tests/entropy).
        allowed = GRADIENT * expected.abs().amax((1, 2, 3)) + 2e-6 * grad.abs().max() / bandwidth
        errors.append((error / allowed).max())
    return [float(error) for error in errors]


@pytest.mark.parametrize(("simulation", "kind"), [(kind, kind) for kind in KINDS], indirect=["simulation"])
def test_the_kernels_equal_the_reference(simulation, kind):
    value, channels, region = kind
    for size in ((region, region), (region + 8, region + 33)):
        for bandwidth in (1e-3, 2e-2) if size[0] == region else (1e-3,):
            errors = agree(simulation, value, pictures(channels, size), bandwidth)
            assert all(error <= 1 for error in errors), (size, bandwidth, errors)


@pytest.mark.parametrize("simulation", KINDS[:1], indirect=True)
@pytest.mark.parametrize("bandwidth", [1e-5, 1e-4, 3e-4, 5e-3, 0.3, 10.0])
def test_bandwidths(simulation, bandwidth):
    errors = agree(simulation, "float", pictures(3, (5, 6)), bandwidth)
    assert all(error <= 1 for error in errors), errors


@pytest.mark.parametrize(
    ("old", "new", "which"),
    [
        ("Lanes::from_right(value, i)", "Lanes::from_right(value, 1)", (0, 1, 2)),
        ("Lanes::from_left(value, i)", "Lanes::from_left(value, 1)", (2,)),
        ("widen(mask, bins.reach)", "widen(mask, 2)", (1, 2)),
        ("derivatives[r][c] = Lanes::fma(slope, taken", "derivatives[r][c] = Lanes::fma(slope, F(1.f)", (2,)),
        ("k == BINS - 1 ? 0.f : -1.f", "-1.f", (1, 2)),
        ("int(inside / across) * rows", "int(inside / across) * (rows + 1)", (0, 1, 2)),
    ],
)
def test_the_check_can_fail(tmp_path, old, new, which):
    """A mistake in the source must show in the kernels that it concerns."""
    images = pictures(3, (11, 36))
    errors = agree(Simulation(tmp_path, "float", 3, 3, (old, new)), "float", images, 1e-3)
    for kernel in which:
        assert not errors[kernel] <= 1, (old, errors)


@pytest.mark.parametrize("simulation", [KINDS[0], KINDS[4]], indirect=True)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.1, 1.1, 200.0])
def test_values_out_of_range_are_told_and_spoil_their_regions_and_no_others(simulation, bad):
    images = pictures(simulation.channels, (12, 40))[:2]
    region, grad = simulation.region, torch.ones(2, 13 - simulation.region, 41 - simulation.region)
    spoilt = torch.zeros(grad.shape, dtype=torch.bool)
    spoilt[1, max(0, 6 - region) : 6, 21 - region : 21] = True
    spoilt_slope = torch.zeros(images.shape, dtype=torch.bool)
    spoilt_slope[1, :, max(0, 6 - region) : 5 + region, 21 - region : 20 + region] = True
    for value, expected, expected_slope in ((0.5, grad < 0, images < 0), (bad, spoilt, spoilt_slope)):
        images[1, 0, 5, 20] = value
        told = pytest.approx(0 if value == 0.5 else bad, nan_ok=True)
        assert torch.equal(simulation.hard_entropy(images).isnan(), expected)
        assert simulation.bad_value() == told
        assert torch.equal(simulation.soft_entropy(images, 1e-3).isnan(), expected)
        assert simulation.bad_value() == told
        assert torch.equal(simulation.soft_entropy_backward(images, grad, 1e-3).isnan(), expected_slope)
        assert simulation.bad_value() == told


@pytest.mark.parametrize("simulation", KINDS[1:2], indirect=True)
def test_the_strips_cover_every_pixel_once_and_offsets_pass_32_bits(simulation):
    count, height, width = 1500, 720, 1283  # 4.2·10⁹ values
    blocks, across, down = launch.grid(count, height, width, 5)
    last = count * across * down - 1
    assert last // 4 == blocks - 1
    offset, top, left = simulation.strip_of(last // 4, last % 4, count, height, width, across, down)
    assert offset == (count - 1) * 3 * height * width > 2**31
    assert top < height - 4 <= top + 8
    assert left < width - 4 <= left + 28
    count, height, width = 3, 30, 70
    blocks, across, down = launch.grid(count, height, width, 5)
    seen = torch.zeros(count, height - 4, width - 4, dtype=torch.int)
    for strip in range(4 * blocks):
        place = simulation.strip_of(strip // 4, strip % 4, count, height, width, across, down)
        if place is not None:
            offset, top, left = place
            image, rest = divmod(offset, 3 * height * width)
            assert rest == 0
            seen[image, top : top + 8, left : left + 28] += 1
    assert (seen == 1).all()
