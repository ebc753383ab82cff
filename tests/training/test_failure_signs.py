"""The known ways in which MINT fails are said in words, and a healthy run is left in peace."""

from __future__ import annotations

import pytest
import torch

from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.training.failure_signs import failure_signs, measure

ADVICE = {"heap": "spread them"}
HEALTHY = {
    "masked_conditional_entropy": 0.1, "status": 0.8,
    "peak": 14.0, "active": 20.0, "moved": 0.01, "spread": 0.3,
}  # fmt: skip


def test_numbers_by_hand() -> None:
    """Two active keypoints 0.4 apart, of which one moves by 0.1; a third, inactive one counts for nothing."""
    before, after = [[0.1, 0.5], [0.5, 0.5], [0.9, 0.9]], [[0.2, 0.5], [0.5, 0.5], [0.0, 0.0]]
    coordinates = torch.tensor([[before, after]])
    status = torch.tensor([[[1.0, 0.9, 0.1], [1.0, 0.9, 0.1]]])
    peaks = torch.tensor([[[12.0, 11.0, 3.0], [14.0, 11.0, 3.0]]])
    values = measure(coordinates, status, peaks)
    assert values["active"] == 2
    assert values["peak"] == 13
    assert values["moved"] == pytest.approx((0.1 + 0.0) / 2)
    assert values["spread"] == pytest.approx((0.2 + 0.15) / 2)
    off = measure(coordinates, 0 * status, peaks)
    assert (off["active"], off["moved"], off["spread"]) == (0, 0, 0)


def test_a_healthy_run_hears_nothing() -> None:
    assert failure_signs(1000, HEALTHY, EncoderConfig(), ADVICE) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masked_conditional_entropy": 0.97, "status": 0.05, "active": 1.2}, "almost nothing is active"),
        ({"peak": 8.0}, "below gamma = 10"),
        ({"moved": 0.0}, "no active keypoint moves"),
        ({"spread": 0.01}, "in one heap: spread them"),
        ({"unexplained": 0.97}, "no better than by copying"),
    ],
)
def test_each_failure_has_its_words_but_not_too_early(change: dict[str, float], words: str) -> None:
    signs = failure_signs(250, {**HEALTHY, **change}, EncoderConfig(), ADVICE)
    assert len(signs) == 1
    assert words in next(iter(signs.values()))
    assert failure_signs(200, {**HEALTHY, **change}, EncoderConfig(), ADVICE) == {}


def test_what_is_not_of_a_method_is_no_sign_of_its_failure() -> None:
    """Where keypoints are always active, low feature maps mean nothing; nor do terms that are not there."""
    values = {**HEALTHY, "peak": 1.0}
    del values["status"], values["masked_conditional_entropy"]
    assert failure_signs(1000, values, EncoderConfig(status="always"), ADVICE) == {}
