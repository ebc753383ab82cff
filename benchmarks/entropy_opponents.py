"""What local entropy is measured against: other ways to the same numbers."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mint_rl.cuda.compile import Program, architecture_for, compiled

BANDWIDTH = 1e-3


def photograph(size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) uint8: a natural image, cropped from scikit-image's astronaut (472×512 at most)."""
    import skimage.data

    picture = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None]
    return picture[..., 40 : 40 + size[0], : size[1]].contiguous()


def naive_soft(images: Tensor, region: int) -> Tensor:
    """The formula at one go: every value of every region against every edge. (N, C, H, W) → (N, H', W')."""
    count, _, height, width = images.shape
    edges = (torch.arange(1, 256, device=images.device) - 0.5) / 255
    values = torch.nn.functional.unfold(images, region)
    above = torch.sigmoid((values[..., None] - edges) / BANDWIDTH)
    above = torch.nn.functional.pad(above, (1, 0), value=1.0)
    p = (above - torch.nn.functional.pad(above[..., 1:], (0, 1))).mean(1)
    entropy = -(p * p.clamp_min(1e-30).log()).sum(-1)
    return entropy.view(count, height - region + 1, width - region + 1)


def naive_bytes(size: tuple[int, int], region: int) -> int:
    """Roughly what `naive_soft` allocates at its peak for one image of three channels."""
    return 4 * 4 * 256 * 3 * region**2 * (size[0] - region + 1) * (size[1] - region + 1)


def scikit_image(levels: Tensor, region: int) -> np.ndarray:
    """scikit-image's local entropy, in bits, of the first channel of the first image alone."""
    from skimage.filters.rank import entropy

    result: np.ndarray = entropy(levels[0, 0].numpy(), np.ones((region, region), np.uint8))
    return result


class PaperEntropy:
    """The design of the paper's appendix B.2 on the current GPU: paper_entropy.cu beside this file."""

    def __init__(self) -> None:
        from cuda.bindings import driver

        source = (Path(__file__).parent / "paper_entropy.cu").read_text()
        architecture = architecture_for(torch.cuda.get_device_capability())
        self.driver = driver
        status, module = driver.cuModuleLoadData(compiled(Program("paper_entropy.cu", source), architecture))
        assert status == driver.CUresult.CUDA_SUCCESS, status
        self.forward_kernel = driver.cuModuleGetFunction(module, b"paper_forward")[1]
        self.backward_kernel = driver.cuModuleGetFunction(module, b"paper_backward")[1]

    def regions(self, images: Tensor, region: int) -> Tensor:
        """(N, C, H, W) → (N·H'·W', C·region²): the input of the paper's function."""
        return torch.nn.functional.unfold(images, region).mT.flatten(0, 1).contiguous()

    def forward(self, regions: Tensor) -> Tensor:
        entropy = regions.new_empty(len(regions))
        self._launch(self.forward_kernel, regions, (regions, entropy))
        return entropy

    def backward(self, regions: Tensor, grad: Tensor) -> Tensor:
        result = torch.zeros_like(regions)
        self._launch(self.backward_kernel, regions, (regions, grad, result))
        return result

    def _launch(self, kernel: object, regions: Tensor, tensors: tuple[Tensor, ...]) -> None:
        values = (*(tensor.data_ptr() for tensor in tensors), regions.shape[1], BANDWIDTH)
        kinds = (*[ctypes.c_void_p] * len(tensors), ctypes.c_int, ctypes.c_float)
        stream = self.driver.CUstream(torch.cuda.current_stream().cuda_stream)
        blocks = len(regions)
        (status,) = self.driver.cuLaunchKernel(kernel, blocks, 1, 1, 256, 1, 1, 0, stream, (values, kinds), 0)
        assert status == self.driver.CUresult.CUDA_SUCCESS, status
