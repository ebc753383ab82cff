"""Hard entropy from ordinary operations is the operator's, whatever the levels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_rl.entropy import local_entropy
from mint_rl.entropy.portable import binarised_entropy, decompositions, hard_entropy


@settings(deadline=None, max_examples=20)
@given(
    region=st.sampled_from([3, 5]),
    channels=st.integers(1, 3),
    levels=st.sampled_from([1, 2, 5, 256]),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    seed=st.integers(0, 99),
)
def test_equals_the_operator(
    region: int, channels: int, levels: int, size: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, levels, (2, channels, *size), generator=generator, dtype=torch.uint8)
    wanted = local_entropy(images, region, padding="valid")
    torch.testing.assert_close(hard_entropy(images, region), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(hard_entropy(images / 255, region), wanted, atol=1e-5, rtol=0)
    if levels <= 2:
        for binary in (images * 255, images.float()):
            torch.testing.assert_close(binarised_entropy(binary, region), wanted, atol=1e-5, rtol=0)


def test_golden() -> None:
    image = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    image[..., 0] = 255  # three of nine: −(1/3 ln 1/3 + 2/3 ln 2/3)
    assert hard_entropy(image, 3).item() == pytest.approx(0.6365142, abs=1e-6)
    assert binarised_entropy(image, 3).item() == pytest.approx(0.6365142, abs=1e-6)


def test_soft_bins_are_refused() -> None:
    (replacement,) = decompositions(binarised=False).values()
    with pytest.raises(NotImplementedError, match="soft bins"):
        replacement(torch.zeros(1, 1, 3, 3), 3, 1e-3)
