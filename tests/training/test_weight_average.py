"""The average of weights: its formula, what it leaves alone, and taking it up again."""

from __future__ import annotations

import torch
from torch import nn

from mint_rl.training.weight_average import WeightAverage


def test_golden() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
        average = WeightAverage(module, 0.9)
        for value in (2.0, 4.0):
            module.weight.fill_(value)
            average.update()
    # d = 2/11 after the first step, 3/12 after the second.
    first = 2 / 11 * 1.0 + 9 / 11 * 2.0
    wanted = 0.25 * first + 0.75 * 4.0
    torch.testing.assert_close(average.tensors["weight"].item(), wanted, rtol=1e-6, atol=0)


def test_the_decay_is_reached() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(module, 0.9)
    average.steps = 1000
    with torch.no_grad():
        before = average.tensors["weight"].clone()
        module.weight.add_(1.0)
        average.update()
    torch.testing.assert_close(average.tensors["weight"] - before, torch.full((1, 1), 0.1))


def test_the_module_gets_its_own_weights_back_and_whole_numbers_are_copied() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    average = WeightAverage(module, 0.9)
    for _ in range(3):
        module(torch.randn(4, 1, 3, 3))
        average.update()
    assert average.tensors["1.num_batches_tracked"] == 3
    own = {name: value.clone() for name, value in module.state_dict().items()}
    assert not torch.equal(own["1.running_mean"], average.tensors["1.running_mean"])
    with average.applied():
        assert torch.equal(module[1].running_mean, average.tensors["1.running_mean"])
    assert all(torch.equal(module.state_dict()[name], value) for name, value in own.items())


def test_goes_on_where_it_was() -> None:
    torch.manual_seed(0)
    module = nn.Linear(2, 2)
    average = WeightAverage(module, 0.99)
    average.update()
    again = WeightAverage(module, 0.99)
    again.restore(average.steps, {name: value.clone() for name, value in average.tensors.items()})
    with torch.no_grad():
        module.weight.add_(1.0)
    average.update()
    again.update()
    assert torch.equal(average.tensors["weight"], again.tensors["weight"])
