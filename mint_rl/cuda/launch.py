"""Local entropy on an NVIDIA GPU: loads the compiled kernels and launches them.

On the current stream, without waiting for the device. The functions are those of `mint_rl.entropy.reference`.

Values that may not stand in an image cannot be refused at once without waiting. Their regions get entropy NaN
and the kernels leave such a value in the host's memory: the first launch that finds it there raises
`UserError`. As with CUDA's own errors that is a later one, or the launch itself with CUDA_LAUNCH_BLOCKING=1.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mint_rl.cuda import compile as compiler
from mint_rl.cuda.compile import BACKWARD_ROWS, FORWARD_ROWS, WARPS
from mint_rl.errors import UserError

# The kernels' parameters, in the order of entropy.cu.
_POINTER, _COUNT, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int, ctypes.c_float
_SIZES = (_COUNT, _INT, _INT, _INT, _INT)
_SOFT = (_FLOAT, _INT, _INT)
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "hard_entropy": (_POINTER, _POINTER, _POINTER, *_SIZES),
    "soft_entropy": (_POINTER, _POINTER, _POINTER, *_SIZES, *_SOFT),
    "soft_entropy_backward": (_POINTER, _POINTER, _POINTER, _POINTER, *_SIZES, *_SOFT, _FLOAT),
}
# The table of n ln n is part of the program: beyond this many values a region the PyTorch version serves.
MOST_VALUES = 16384
# A value reaches the bins within so many bandwidths: e⁻¹⁷ of it lies beyond.
REACH = 17.0
# A float holds 2^±100 with room for the products that the kernels form.
MOST_EXPONENT = 100.0


def ready(images: Tensor, region: int) -> bool:
    """Whether there are kernels for `images`, loaded on their device: compiled at the first call.

    Where they cannot be had, says so once, in a warning, and the caller takes the PyTorch version.
    """
    if images.shape[1] * region**2 > MOST_VALUES:
        return False
    return _kernels(images.get_device(), images.dtype, images.shape[1], region) is not None


def hard_entropy(images: Tensor, region: int) -> Tensor:
    """As `reference.hard_entropy`, for (N, C, H, W) uint8 or float32 on a GPU.

    A region that holds a value outside [0, 1], or a NaN, has entropy NaN, and this or a later launch raises
    `UserError`.
    """
    images, entropy = images.contiguous(), _new_entropy(images, region)
    _launch("hard_entropy", images, region, (images, entropy), ())
    return entropy


def soft_entropy(images: Tensor, region: int, bandwidth: float) -> Tensor:
    """As `reference.soft_entropy`, for (N, C, H, W) uint8 or float32 on a GPU.

    Bad values as in `hard_entropy`.
    """
    images, entropy = images.contiguous(), _new_entropy(images, region)
    _launch("soft_entropy", images, region, (images, entropy), soft_bins(bandwidth))
    return entropy


def soft_entropy_backward(images: Tensor, grad: Tensor, region: int, bandwidth: float) -> Tensor:
    """As `reference.soft_entropy_backward`, for float32 on a GPU."""
    images, grad = images.contiguous(), grad.contiguous()
    result = torch.empty_like(images)
    scale = -math.log(2) / (images.shape[1] * region**2 * bandwidth)
    bins = soft_bins(bandwidth)
    _launch("soft_entropy_backward", images, region, (images, grad, result), (*bins, scale), backward=True)
    return result


def soft_bins(bandwidth: float) -> tuple[float, int, int]:
    """`SoftBins` of the kernels: steepness in powers of two a grey level, `rebase` and `reach` in bins."""
    steepness = min(1 / (math.log(2) * 255 * bandwidth), 1e30)
    rebase = 2 ** int(math.log2(min(max(MOST_EXPONENT / steepness, 1), 256)))
    reach = int(min(REACH * 255 * bandwidth + 1, 255))
    return steepness, rebase, reach


def grid(count: int, height: int, width: int, region: int, backward: bool = False) -> tuple[int, int, int]:
    """Blocks to launch, and how many strips lie side by side and one above the other in an image."""
    if backward:
        across, down = -(-width // (34 - 2 * region)), -(-height // BACKWARD_ROWS)
    else:
        across, down = -(-(width - region + 1) // (33 - region)), -(-(height - region + 1) // FORWARD_ROWS)
    return -(-count * across * down // WARPS), across, down


def _new_entropy(images: Tensor, region: int) -> Tensor:
    count, _, height, width = images.shape
    return images.new_empty((count, height - region + 1, width - region + 1), dtype=torch.float32)


def _launch(
    name: str,
    images: Tensor,
    region: int,
    tensors: tuple[Tensor, ...],
    last: tuple[float, ...],
    backward: bool = False,
) -> None:
    from cuda.bindings import driver

    count, channels, height, width = images.shape
    blocks, across, down = grid(count, height, width, region, backward)
    pointers = [tensor.data_ptr() for tensor in (*tensors, _bad_value())]
    arguments = ((*pointers, count, height, width, across, down, *last), PARAMETERS[name])
    kernels = _kernels(images.get_device(), images.dtype, channels, region)
    assert kernels is not None, "ready() has to be asked first"
    stream = driver.CUstream(torch.cuda.current_stream(images.device).cuda_stream)
    with _device(images.get_device()):
        answer = driver.cuLaunchKernel(kernels[name], blocks, 1, 1, 32 * WARPS, 1, 1, 0, stream, arguments, 0)
        _checked(driver, answer)
    _refuse_bad_value()


@functools.cache
def _bad_value() -> Tensor:
    """One float in memory of the host that all GPUs can write to; 0 until a kernel has met a bad value."""
    return torch.zeros(1, dtype=torch.float32, device="cpu", pin_memory=True)


def _refuse_bad_value() -> None:
    """`UserError` if a kernel has left a bad value so far, once for all that it has left."""
    value = _bad_value().item()
    if value != 0:
        _bad_value().zero_()
        raise UserError(
            f"images on a GPU, of this call or an earlier one, hold the value {value:g}; all must lie in "
            "[0, 1]; set CUDA_LAUNCH_BLOCKING=1 to have the call itself refused"
        )


@functools.cache
def _kernels(device: int, dtype: torch.dtype, channels: int, region: int) -> dict[str, Any] | None:
    """The kernels for one kind of image, loaded on a device; None, after a warning, if they cannot be had."""
    try:
        return _load(device, dtype, channels, region)
    except (ImportError, RuntimeError) as error:
        _say_once(str(error))
        return None


def _load(device: int, dtype: torch.dtype, channels: int, region: int) -> dict[str, Any]:
    program = compiler.entropy_program("unsigned char" if dtype == torch.uint8 else "float", channels, region)
    architecture = compiler.architecture_for(torch.cuda.get_device_capability(device))
    binary = compiler.compiled(program, architecture)
    from cuda.bindings import driver

    functions = {}
    with _device(device):
        module = _checked(driver, driver.cuModuleLoadData(binary))
        for name in PARAMETERS:
            functions[name] = _checked(driver, driver.cuModuleGetFunction(module, name.encode()))
    return functions


@contextlib.contextmanager
def _device(index: int) -> Iterator[None]:
    """Makes the context that PyTorch uses on a device the current one, in whatever thread this is."""
    from cuda.bindings import driver

    _checked(driver, driver.cuCtxPushCurrent(_primary_context(index)))
    try:
        yield
    finally:
        driver.cuCtxPopCurrent()


@functools.cache
def _primary_context(index: int) -> Any:
    from cuda.bindings import driver

    device = _checked(driver, driver.cuDeviceGet(index))
    return _checked(driver, driver.cuDevicePrimaryCtxRetain(device))


def _checked(driver: Any, answer: tuple[Any, ...]) -> Any:
    """The value in the driver's answer (status, value); RuntimeError for any status but success."""
    if answer[0] != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"CUDA: {answer[0].name}")
    return answer[1] if len(answer) > 1 else None


@functools.cache
def _say_once(reason: str) -> None:
    warnings.warn(
        f"local entropy takes the PyTorch version on the GPU, which is many times slower: {reason}",
        RuntimeWarning,
        stacklevel=2,
    )
