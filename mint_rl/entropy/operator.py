"""The entropy operator as PyTorch sees it: `mint_rl::local_entropy`, with its fake and its gradient.

It works on padded images, so that padding and its gradient are PyTorch's own. Bandwidth 0 means hard bins.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, Protocol

import torch
from torch import Tensor

from mint_rl.entropy import reference
from mint_rl.entropy.checks import check_values


class Kernels(Protocol):
    """What `reference`, `cpu` and the CUDA kernels offer."""

    def hard_entropy(self, images: Tensor, region: int) -> Tensor: ...

    def soft_entropy(self, images: Tensor, region: int, bandwidth: float) -> Tensor: ...

    def soft_entropy_backward(
        self, images: Tensor, grad: Tensor, region: int, bandwidth: float
    ) -> Tensor: ...


@torch.library.custom_op(
    "mint_rl::local_entropy",
    mutates_args=(),
    schema="(Tensor images, int region, float bandwidth) -> Tensor",
)
def entropy_op(images: Tensor, region: int, bandwidth: float) -> Tensor:
    """(N, C, H, W) → (N, H − region + 1, W − region + 1); see `mint_rl.entropy.local_entropy`."""
    if images.numel() == 0:
        return _new_entropy(images, region)
    kernels = _kernels(images, region)
    if images.device.type == "cpu" or kernels is reference:
        check_values(images)  # the CUDA kernels do it themselves, without waiting
    if bandwidth == 0:
        return kernels.hard_entropy(images, region)
    return kernels.soft_entropy(images, region, bandwidth)


@entropy_op.register_fake
def _(images: Tensor, region: int, bandwidth: float) -> Tensor:
    return _new_entropy(images, region)


def _new_entropy(images: Tensor, region: int) -> Tensor:
    count, _, height, width = images.shape
    kind = torch.float64 if images.dtype == torch.float64 else torch.float32
    return images.new_empty((count, height - region + 1, width - region + 1), dtype=kind)


@torch.library.custom_op(
    "mint_rl::local_entropy_backward",
    mutates_args=(),
    schema="(Tensor images, Tensor grad, int region, float bandwidth) -> Tensor",
)
def entropy_backward_op(images: Tensor, grad: Tensor, region: int, bandwidth: float) -> Tensor:
    """Gradient of soft entropy with respect to `images`; `grad` has the shape of the entropy."""
    if images.numel() == 0:
        return images.new_empty(images.shape)
    return _kernels(images, region).soft_entropy_backward(images, grad, region, bandwidth)


@entropy_backward_op.register_fake
def _(images: Tensor, grad: Tensor, region: int, bandwidth: float) -> Tensor:
    return images.new_empty(images.shape)  # contiguous, whatever the strides of the images


def _kernels(images: Tensor, region: int) -> Kernels:
    """The module that computes for `images`: fast kernels where there are some, or else `reference`."""
    if images.device.type == "cpu" and images.dtype != torch.float64:
        return _cpu_kernels()
    if images.device.type == "cuda" and images.dtype != torch.float64:
        from mint_rl.cuda import launch

        if launch.ready(images, region):
            return launch
    return reference


@functools.cache
def _cpu_kernels() -> Kernels:
    try:
        from mint_rl.entropy import cpu  # with numba, which takes a moment to import
    except ImportError as error:  # numba refuses versions of Python and NumPy that are newer than it knows
        warnings.warn(
            f"local entropy takes the PyTorch version, which is ten times slower or more: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return reference
    return cpu


def _setup_context(ctx: Any, inputs: tuple[Tensor, int, float], output: Tensor) -> None:
    images, ctx.region, ctx.bandwidth = inputs
    ctx.save_for_backward(images)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
    (images,) = ctx.saved_tensors
    if not images.is_floating_point():
        return None, None, None
    if ctx.bandwidth == 0:
        return torch.zeros_like(images), None, None
    return entropy_backward_op(images, grad, ctx.region, ctx.bandwidth), None, None


entropy_op.register_autograd(_backward, setup_context=_setup_context)
