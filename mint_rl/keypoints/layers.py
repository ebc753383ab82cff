"""The layers of the keypoint encoder's network, and how a CPU runs them best."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALL_INPUT = 20_480  # numbers; up to here PyTorch treats one input alone otherwise than several


class UnfoldConv2d(nn.Conv2d):
    """A convolution that trains on the CPU as a matrix product of unfolded patches; the same parameters.

    The library's weight gradient of the first layer (5×5, stride 3, few channels) takes as long as all else
    in a training step. No gradient to the input is wanted here, so the patches cost little.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and self.weight.requires_grad) or input.device.type != "cpu":
            return super().forward(input)
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        assert isinstance(self.padding, tuple)
        padding = self.padding[0]
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in input.shape[-2:])
        patches = functional.unfold(input, kernel, padding=padding, stride=stride)  # (N, C·k², h·w)
        assert self.bias is not None
        flat = self.weight.flatten(1) @ patches + self.bias[:, None]
        return flat.view(-1, self.out_channels, height, width)


def as_in_a_batch(layer: nn.Module, maps: Tensor) -> Tensor:
    """layer(maps) of a single frame, to the last bit as if it had come in a batch.

    For one small map alone PyTorch leaves oneDNN for a kernel of its own, which rounds otherwise; the status
    multiplies such differences by its slope. Given twice, the map goes the way of a batch, and no slower.
    """
    convolution = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    if convolution and maps.device.type == "cpu" and maps.numel() <= _SMALL_INPUT:
        output: Tensor = layer(torch.cat([maps, maps]))[:1]
    else:
        output = layer(maps)
    return output


def block(convolution: nn.Module) -> list[nn.Module]:
    channels = convolution.out_channels
    assert isinstance(channels, int)
    return [convolution, nn.LeakyReLU(0.01), nn.BatchNorm2d(channels)]


def transposed(inputs: int, outputs: int, stride: int, padding: int, groups: int) -> nn.Module:
    # Padded, the map grows by exactly the stride.
    extra = stride - 1 if padding else 0
    return nn.ConvTranspose2d(inputs, outputs, 3, stride, padding, extra, groups)
