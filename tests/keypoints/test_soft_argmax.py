"""The soft-argmax: places of known maps, and the textbook formula and its gradient."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch
from textbook_soft_argmax import textbook_soft_argmax

from mint_rl.keypoints.soft_argmax import soft_argmax


def test_known_maps() -> None:
    maps = torch.zeros(1, 3, 5, 9)
    maps[0, 0, 1, 6] = 60.0  # one peak
    maps[0, 1, 4, 0] = maps[0, 1, 4, 8] = 60.0  # two equal peaks: their mean
    coordinates, peaks = soft_argmax(maps)  # flat map: the middle
    torch.testing.assert_close(coordinates[0], torch.tensor([[0.75, 0.25], [0.5, 1.0], [0.5, 0.5]]))
    torch.testing.assert_close(peaks[0], torch.tensor([60.0, 60.0, math.log(2)]))


def test_a_window_keeps_a_keypoint_on_one_of_two_objects() -> None:
    maps = torch.full((1, 1, 65, 65), -100.0)
    maps[0, 0, 16, 10:13], maps[0, 0, 48, 52:55] = 30.0, 29.5
    between, _ = soft_argmax(maps)
    near, peaks = soft_argmax(maps, window=0.2)
    weight = 3 * math.exp(30.0) / (3 * math.exp(30.0) + 3 * math.exp(29.5))
    place = weight * torch.tensor([11 / 64, 16 / 64]) + (1 - weight) * torch.tensor([53 / 64, 48 / 64])
    torch.testing.assert_close(between[0, 0], place, rtol=0, atol=1e-5)
    # The first of three equal maxima is the window's centre; the weights of its neighbours by hand.
    weights = [math.exp(-((step / 64 / 0.2) ** 2)) for step in range(3)]
    x = sum(w * (10 + step) for step, w in enumerate(weights)) / sum(weights) / 64
    torch.testing.assert_close(near[0, 0], torch.tensor([x, 16 / 64]), rtol=0, atol=1e-4)
    assert peaks.item() == 30.0


@pytest.mark.parametrize("window", [None, 0.2])
@pytest.mark.parametrize("scale", [0.1, 8.0, 300.0])
def test_equals_thetextbook_soft_argmax_and_so_does_its_gradient(window: float | None, scale: float) -> None:
    torch.manual_seed(0)
    maps = scale * torch.randn(2, 4, 9, 13, dtype=torch.float64)
    maps[0, 0] -= 30.0  # nothing there
    results = []
    for function in (soft_argmax, textbook_soft_argmax):
        leaf = maps.clone().requires_grad_()
        coordinates, peaks = function(leaf, window)
        (coordinates * torch.arange(1.0, 17.0).view(2, 4, 2)).sum().add(peaks.sum()).backward()
        results.append((coordinates, peaks, leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    single, _ = soft_argmax(maps.float(), window)
    torch.testing.assert_close(single.double(), results[1][0].detach(), rtol=0, atol=2e-6)


def test_other_ways_from_a_map_to_a_place() -> None:
    """One row of three cells, 0, ln 3 and −100: shares of 1:3:0, and of ln 2 : ln 4 : 0, by hand."""
    maps = torch.tensor([0.0, math.log(3.0), -100.0]).view(1, 1, 1, 3)
    for heatmap, shares in (("softmax", (1.0, 3.0, 0.0)), ("softplus", (math.log(2), math.log(4), 0.0))):
        coordinates, peaks = soft_argmax(maps, heatmap=heatmap)
        x = sum(share * place for share, place in zip(shares, (0.0, 0.5, 1.0), strict=True)) / sum(shares)
        torch.testing.assert_close(coordinates[0, 0], torch.tensor([x, 0.0]), rtol=0, atol=1e-5)
        assert peaks.item() == pytest.approx(math.log(4))
    empty = torch.full((1, 1, 3, 3), -100.0)
    torch.testing.assert_close(soft_argmax(empty, heatmap="softplus")[0][0, 0], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("window", [None, 0.2])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 7), (3, 25, 9, 13), (1, 8, 64, 64)])
def test_the_kernel_equals_thetextbook_soft_argmax(shape: tuple[int, ...], window: float | None) -> None:
    torch.manual_seed(0)
    for scale in (0.1, 8.0, 300.0):
        maps = scale * torch.randn(shape)
        maps[0, 0] -= 30.0
        with torch.no_grad():
            coordinates, peaks = soft_argmax(maps, window)
            channels_last, _ = soft_argmax(maps.contiguous(memory_format=torch.channels_last), window)
            alone, _ = soft_argmax(maps[-1:], window)
        places, heights = textbook_soft_argmax(maps.double(), window)
        torch.testing.assert_close(coordinates.double(), places, rtol=0, atol=2e-6)
        torch.testing.assert_close(peaks.double(), heights, rtol=1e-6, atol=1e-6)
        assert torch.equal(coordinates, channels_last)
        assert torch.equal(coordinates[-1:], alone)  # to the last bit, whatever else is in the batch


def test_the_kernel_takes_the_first_of_equal_maxima_row_by_row() -> None:
    maps = torch.zeros(1, 2, 5, 5)
    maps[0, 0, 1, 4] = maps[0, 0, 3, 0] = maps[0, 1, 2, 1] = maps[0, 1, 2, 3] = 50.0
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            coordinates, _ = soft_argmax(maps.requires_grad_(grad), window=0.01)
        expected = torch.tensor([[1.0, 0.25], [0.25, 0.5]])
        torch.testing.assert_close(coordinates[0].detach(), expected, rtol=0, atol=1e-6)


def test_the_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.setattr("sys.argv", ["soft_argmax.py", "--turns", "1"])
    runpy.run_path(str(folder / "soft_argmax.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("kernel" in line and "(1.0×)" in line for line in lines)
