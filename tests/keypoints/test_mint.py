"""The windowed losses against the paper's formulas over whole images, and each term by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mint_rl.errors import UserError
from mint_rl.keypoints import mint
from mint_rl.keypoints.mint import MintLossConfig, mint_loss
from tests.keypoints.dense_mint import dense_heatmaps, dense_terms


def _batch(
    seed: int, pairs: int = 3, keypoints: int = 6, size: tuple[int, int] = (40, 52), spread: float = 0.1
):
    """Keypoints that move a little, some at the border; entropy images with flat parts and changes."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(pairs, 1, keypoints, 2, generator=generator)
    step = spread * torch.randn(pairs, 1, keypoints, 2, generator=generator)
    coordinates = torch.cat([first, first + step], 1).clamp(0, 1)
    coordinates[0, 0, 0] = torch.tensor([0.0, 1.0])
    status = torch.rand(pairs, 2, keypoints, generator=generator)
    entropy = torch.rand(pairs, 2, *size, generator=generator)
    entropy = torch.where(
        entropy > 0.7, entropy, torch.zeros(())
    )  # like sharpened images: flat almost everywhere
    return coordinates, status, entropy


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sigma": 7.0, "tau": 0.3, "movement": 1.0, "movement_reach": 0.0, "beta": 4.0},
        {"sigma": 9.0, "tau": 0.1, "kappa": 0.5},
        {"movement": 0.0, "lambda_overlap": 0.0, "lambda_status": 0.0},
        {"lambda_mce": 0.0, "lambda_it": 0.0},
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_plain_formulas(options: dict[str, float], seed: int) -> None:
    config = MintLossConfig(**options)
    coordinates, status, entropy = _batch(seed, spread=0.02 if seed else 0.3)
    results = []
    for function in (lambda *a: mint_loss(*a)._asdict(), dense_terms):
        inputs = [coordinates.clone().requires_grad_(), status.clone().requires_grad_()]
        terms = function(*inputs, entropy, config)
        gradients = {}
        for name, value in terms.items():
            gradients[name] = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
        results.append((terms, gradients))
    (ours, our_gradients), (plain, plain_gradients) = results
    for name in plain:
        torch.testing.assert_close(
            ours[name], plain[name], rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
        for a, b in zip(our_gradients[name], plain_gradients[name], strict=True):
            if a is None or b is None:
                assert a is b or not (a if a is not None else b).any(), name
                continue
            scale = max(1.0, float(b.abs().max()))
            assert float((a - b).abs().max()) <= 1e-5 * scale, name


def test_an_unchanged_pair_has_no_conditional_entropy_to_cover() -> None:
    coordinates, status, entropy = _batch(2)
    entropy[0, 1] = entropy[0, 0]
    ours = mint_loss(coordinates, status, entropy, MintLossConfig())
    plain = dense_terms(coordinates, status, entropy, MintLossConfig())
    torch.testing.assert_close(ours.masked_conditional_entropy, plain["masked_conditional_entropy"])
    nothing = mint_loss(coordinates, status, torch.zeros_like(entropy), MintLossConfig())
    assert torch.isfinite(torch.stack(list(nothing))).all()


def test_longer_sequences_are_the_mean_over_their_pairs() -> None:
    config = MintLossConfig()
    generator = torch.Generator().manual_seed(3)
    coordinates, status = (
        torch.rand(2, 3, 5, 2, generator=generator),
        torch.rand(2, 3, 5, generator=generator),
    )
    entropy = torch.rand(2, 3, 30, 30, generator=generator)
    whole = mint_loss(coordinates, status, entropy, config)
    halves = [
        mint_loss(coordinates[:, t : t + 2], status[:, t : t + 2], entropy[:, t : t + 2], config)
        for t in (0, 1)
    ]
    for name in ("residual", "movement", "masked_conditional_entropy", "transport"):
        expected = (getattr(halves[0], name) + getattr(halves[1], name)) / 2
        torch.testing.assert_close(getattr(whole, name), expected)


def test_masked_entropy_by_hand() -> None:
    """One keypoint on one pixel of entropy covers it wholly; a pixel 7 away is covered by η(e^(−49/64)−τ)."""
    config = MintLossConfig(sigma=8.0, tau=0.15, eta=3.5)
    entropy = torch.zeros(1, 1, 41, 41)
    entropy[0, 0, 20, 20], entropy[0, 0, 20, 35] = 2.0, 2.0
    mask = mint.aggregated_mask(torch.tensor([[[[20.0, 20.0]]]]), torch.ones(1, 1, 1), 41, 41, config)
    assert mint.masked_entropy_loss(entropy, mask).item() == pytest.approx(0.5)  # 15 px is out of reach
    entropy[0, 0, 20, 35], entropy[0, 0, 20, 30] = 0.0, 2.0
    covered = 3.5 * (math.exp(-100 / 64) - 0.15)
    assert covered == pytest.approx(0.20863, abs=1e-4)
    assert mint.masked_entropy_loss(entropy, mask).item() == pytest.approx((1 - covered) / 2, abs=1e-5)
    half = mint.aggregated_mask(torch.tensor([[[[20.0, 20.0]]]]), torch.full((1, 1, 1), 0.5), 41, 41, config)
    assert half[0, 0, 20, 20].item() == pytest.approx(0.5)


def test_two_keypoints_on_one_place_cover_it_once() -> None:
    config = MintLossConfig()
    pixels, status = torch.full((2, 2), 15.0), torch.ones(2)
    one = mint.aggregated_mask(pixels[:1], status[:1], 30, 30, config)
    two = mint.aggregated_mask(pixels, status, 30, 30, config)
    assert two.max() == 1.0
    torch.testing.assert_close(two, (2 * one).clamp(max=1))


def test_conditional_entropy_is_the_increase() -> None:
    previous, current = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.5, 1.0, 0.5])
    assert mint.conditional_entropy(previous, current).tolist() == [0.5, 0.0, 0.0]


def test_transport_of_a_moved_spot_by_hand() -> None:
    """A spot of entropy moves. Unattended, a share 1−κ of what appeared is left; a keypoint that moves along
    explains it all; one left behind explains nothing more; one that jumps onto it explains all as well."""
    config = MintLossConfig(kappa=0.9)
    entropy = torch.zeros(1, 2, 61, 61)
    entropy[0, 0, 30, 10], entropy[0, 1, 30, 50] = 2.0, 2.0
    left, right, elsewhere = [10.0, 30.0], [50.0, 30.0], [30.0, 5.0]
    tracks = [(left, right), (left, left), (elsewhere, elsewhere), (elsewhere, right)]
    pixels = torch.tensor([[[a for a, _ in tracks], [b for _, b in tracks]]])
    residual = mint.transport_residual(pixels, entropy, config)[0]
    area = mint.heatmap_area(config.sigma, config.tau, config.eta)
    expected = torch.tensor([0.0, 0.2, 0.2, 0.0]) / area
    torch.testing.assert_close(residual, expected, atol=1e-6, rtol=0)


def test_removing_entropy_that_stays_is_an_error_of_transport() -> None:
    """A keypoint that leaves a static spot takes the spot's entropy away from the reconstruction."""
    config = MintLossConfig()
    entropy = torch.zeros(1, 2, 61, 61)
    entropy[0, :, 30, 10] = 2.0
    pixels = torch.tensor([[[[10.0, 30.0]], [[40.0, 30.0]]]])
    area = mint.heatmap_area(config.sigma, config.tau, config.eta)
    assert mint.transport_residual(pixels, entropy, config).item() == pytest.approx(2.0 / area)


def test_movement_counts_only_what_is_active_in_both_frames() -> None:
    coordinates = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]], [[0.3, 0.4], [0.3, 0.4]]]])
    status = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    assert mint.movement(coordinates, status)[0].tolist() == pytest.approx([0.25, 0.0])


def test_movement_beyond_its_reach_costs_no_more() -> None:
    """Near 0 the square, far away the square of the reach, and by hand between them."""
    distances = [0.001, 0.05, 0.1, 0.5]
    coordinates = torch.zeros(1, 2, 4, 2)
    coordinates[0, 1, :, 0] = torch.tensor(distances)
    found = mint.movement(coordinates, torch.ones(1, 2, 4), reach=0.05)[0].tolist()
    assert found[0] == pytest.approx(0.001**2, rel=1e-3)
    assert found[1] == pytest.approx(0.0025 * (1 - 0.36787944), rel=1e-5)
    assert found[2] == pytest.approx(0.0025 * (1 - 0.01831564), rel=1e-5)
    assert found[3] == pytest.approx(0.0025)


def test_overlap_counts_the_heap_above_beta() -> None:
    config = MintLossConfig(beta=4.0)
    heap = torch.full((10, 2), 20.0)
    assert mint.overlap_loss(heap, 41, 41, config).item() == pytest.approx((10 - 4) / 10)
    apart = torch.tensor([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0], [40.0, 40.0]])
    assert mint.overlap_loss(apart, 41, 41, config).item() == 0.0


@pytest.mark.parametrize("kind", ["quarter turn", "mirror", "shift"])
def test_the_loss_follows_the_picture(kind: str) -> None:
    """Turning, mirroring or shifting images and keypoints together changes no term (away from the border)."""
    generator = torch.Generator().manual_seed(4)
    size, config = 61, MintLossConfig(sigma=4.0)
    inner = torch.rand(2, 2, 21, 21, generator=generator)
    entropy = torch.nn.functional.pad(inner, (20, 20, 20, 20))
    coordinates = 0.35 + 0.3 * torch.rand(2, 2, 5, 2, generator=generator)
    status = torch.rand(2, 2, 5, generator=generator)
    reference = mint_loss(coordinates, status, entropy, config)
    x, y = coordinates[..., 0], coordinates[..., 1]
    if kind == "quarter turn":
        moved, coords = torch.rot90(entropy, 1, (2, 3)), torch.stack([y, 1 - x], -1)
    elif kind == "mirror":
        moved, coords = entropy.flip(3), torch.stack([1 - x, y], -1)
    else:
        moved, coords = (
            torch.roll(entropy, (3, -5), (2, 3)),
            torch.stack([x - 5 / (size - 1), y + 3 / (size - 1)], -1),
        )
    result = mint_loss(coords, status, moved, config)
    for name, a, b in zip(result._fields, result, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_gradient_check_in_double_precision() -> None:
    coordinates, status, entropy = (t.double() for t in _batch(5, pairs=1, keypoints=3, size=(24, 24)))
    config = MintLossConfig(sigma=3.0)
    coordinates, status = coordinates.requires_grad_(), status.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda c, s: mint_loss(c, s, entropy, config).total, (coordinates, status)
    )


def test_heatmap_area_and_support() -> None:
    from mint_rl.keypoints.heatmaps import heatmap_area, support_radius, window_reach

    config = MintLossConfig(sigma=7.0, tau=0.3)
    middle = torch.tensor([0.5, 0.5], dtype=torch.float64)
    heat = dense_heatmaps(middle, 101, 101, config)[1]
    assert heatmap_area(7.0, 0.3, 3.5) == pytest.approx(float(heat.sum()), rel=1e-12)
    assert support_radius(7.0, 0.3) == pytest.approx(7.681, abs=1e-3)
    reach = window_reach(7.0, 0.3)
    assert heat[50, 50 + reach] == 0
    assert heat[50, 50] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": 1.2}, "loss.tau is 1.2"),
        ({"kappa": 2}, "loss.kappa"),
        ({"sigma": 0}, "above 0"),
        ({"beta": -1}, "loss.beta"),
    ],
)
def test_bad_settings_are_named(options: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MintLossConfig(**options)
