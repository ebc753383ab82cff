"""The exponential moving average of weights while they train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows a module's weights: w̄ ← d·w̄ + (1 − d)·w after step n, with d = min(decay, (1 + n)/(10 + n)).

    So the first weights, drawn at random, are forgotten soon (TensorFlow's ExponentialMovingAverage has it).
    Running statistics of normalisation layers are averaged alike, whole numbers copied.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.steps = 0
        self.tensors = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, 1 - decay)
            else:
                self.tensors[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the module has the averaged weights."""
        own = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self.module.load_state_dict(own)

    def restore(self, steps: int, tensors: Mapping[str, Tensor]) -> None:
        """Take up what a snapshot kept."""
        self.steps = steps
        for name, value in tensors.items():
            self.tensors[name].copy_(value)
