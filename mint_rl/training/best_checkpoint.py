"""The weights of the step at which the loss on held-out videos was lowest. No labels are involved."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class BestCheckpoint:
    """Keeps a copy of a model's weights whenever its held-out loss is the lowest so far.

    Attributes:
        step: Of the kept weights; 0 before the first offer.
        loss: Held-out loss there; infinite before the first offer, and never NaN.
        tensors: The kept weights by name, on the CPU.
    """

    def __init__(self) -> None:
        self.step, self.loss = 0, math.inf
        self.tensors: dict[str, Tensor] = {}

    def offer(self, model: nn.Module, step: int, loss: float) -> bool:
        """Keep the model's weights if `loss` is below all before; returns whether it is."""
        if not loss < self.loss:
            return False
        self.step, self.loss = step, loss
        self.tensors = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        return True

    def load_into(self, model: nn.Module) -> None:
        """Give the model the kept weights; without any, it stays as it is."""
        if self.tensors:
            model.load_state_dict(self.tensors)

    def restore(self, step: int, loss: float | None, tensors: Mapping[str, Tensor]) -> None:
        """Take up what a snapshot kept; a loss of None stands for none so far."""
        self.step, self.loss = step, math.inf if loss is None else loss
        self.tensors = {name: torch.as_tensor(value) for name, value in tensors.items()}
