"""The second peak of a feature map: where else it answers, beside the place that soft-argmax reads.

A map is highest on one object, and often nearly as high on another of its kind. One keypoint cannot be in two
places; a tracker (`tracking`) wants to know both.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mint_rl.compiled import kernels_of

_KERNELS = "mint_rl.keypoints.second_peaks_kernels"
_NONE = -1e4  # the height, before softplus, of a peak that is not there


def second_peaks(maps: Tensor, apart: float) -> tuple[Tensor, Tensor]:
    """The highest place of each feature map that is `apart` from its maximum, if it is a peak.

    maps: (N, K, h, w) as the last layer gives them, before the softplus. apart: in image sides, above 0;
    places nearer than that to the maximum do not count. A peak is no lower than its eight neighbours.
    Returns coordinates (N, K, 2), x and y in [0, 1], and heights (N, K), softplus included; where there is no
    second peak, the height is 0. On the CPU a kernel gives the same.
    """
    kernels = kernels_of(_KERNELS) if maps.device.type == "cpu" and maps.dtype == torch.float32 else None
    if kernels is None:
        return portable_second_peaks(maps, apart)
    places, heights = maps.new_empty(*maps.shape[:2], 2), maps.new_empty(maps.shape[:2])
    lines = maps.detach().permute(0, 2, 3, 1).contiguous().numpy()  # as the convolutions leave a batch
    kernels.second_places(lines, np.float32(apart) ** 2, places.numpy(), heights.numpy())
    return places, functional.softplus(heights)


def portable_second_peaks(maps: Tensor, apart: float) -> tuple[Tensor, Tensor]:
    """`second_peaks` in PyTorch's own operations, for every device."""
    height, width = maps.shape[-2:]
    across, down = max(width - 1, 1), max(height - 1, 1)
    rows, columns = (torch.arange(side, device=maps.device) for side in (height, width))
    first = maps.flatten(2).argmax(2)[..., None, None]
    distance = ((columns - first % width) / across) ** 2 + ((rows[:, None] - first // width) / down) ** 2
    beside = maps.masked_fill(distance < float(np.float32(apart) ** 2), _NONE).flatten(2)
    heights, second = beside.max(2)
    around = functional.max_pool2d(maps, 3, 1, 1).flatten(2).gather(2, second[..., None])[..., 0]
    places = torch.stack([second % width / across, second // width / down], 2)
    return places, functional.softplus(heights.masked_fill(heights < around, _NONE))
