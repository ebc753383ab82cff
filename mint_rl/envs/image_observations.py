"""Images in observations: what a space says about them, and the frames an encoder reads.

An observation may hold its image rows first or colours first, in grey or colour, one frame or a stack of
them. `ImageLayout` names the axes by letters, T frames, H rows, W columns and C colours, and `frames_of`
brings them into one order. Arrays and PyTorch tensors are treated alike, and a tensor stays on its device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from mint_rl.errors import UserError

_COLOURS = (1, 3)  # grey, RGB
_CONVERT = "convert it first, for example with gymnasium.wrappers.TransformObservation"


@dataclass(frozen=True)
class ImageLayout:
    """How an image, or a stack of images, lies in an observation."""

    shape: tuple[int, ...]  # of one observation
    axes: str  # a letter for each of them: T frames, H rows, W columns, C colours
    owner: str  # the environment's name, for errors

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        return self.shape[self.axes.index("H")], self.shape[self.axes.index("W")]

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1

    @property
    def frames(self) -> int | None:
        """The frames in a stack; None for a single image."""
        return self.shape[self.axes.index("T")] if "T" in self.axes else None


def image_space(space: spaces.Space[Any], key: str | None, owner: str) -> spaces.Space[Any]:
    """The space of the image: `space` itself or, of a Dict, the entry `key`; `UserError` if there is none."""
    if not isinstance(space, spaces.Dict):
        if key is not None:
            raise UserError(
                f"key={key!r} names an entry of a Dict, but '{owner}' gives {_describe(space)}: leave key out"
            )
        return space
    if key in space.spaces:
        return space[key]
    if key is not None:
        raise UserError(f"'{owner}' has no entry {key!r} in its observations; it has: {_listed(space)}")
    images = [name for name, entry in space.spaces.items() if _looks_like_images(entry)]
    if images:
        raise UserError(
            f"'{owner}' gives a Dict of {_listed(space)}: say which entry is the image, key={images[0]!r}"
        )
    raise UserError(
        f"no entry of the observations of '{owner}' is a uint8 image ({_listed(space)}): take its pictures "
        "instead, KeypointObs(env, source='render')"
    )


def image_layout(space: spaces.Space[Any], owner: str, axes: str | None = None) -> ImageLayout:
    """The layout of the images in a uint8 Box.

    axes: a letter for each axis, such as "HWC"; by default the shape tells: (H, W), (H, W, 1 or 3),
    (1 or 3, H, W), a stack of grey frames (T, H, W), or a stack (T, H, W, 1 or 3) or (T, 1 or 3, H, W).
    Raises `UserError` for a space without images, images of another type, or a shape that tells nothing.
    """
    if not isinstance(space, spaces.Box) or not 2 <= len(space.shape) <= 4:
        raise UserError(
            f"KeypointObs needs uint8 images, but '{owner}' gives {_describe(space)}: take its pictures "
            "instead, KeypointObs(env, source='render')"
        )
    if space.dtype != np.uint8:
        raise UserError(
            f"KeypointObs needs uint8 images from 0 to 255, but '{owner}' gives {_describe(space)}: "
            f"{_CONVERT}"
        )
    if 0 in space.shape:
        raise UserError(f"'{owner}' gives images of shape {space.shape}: a side is 0")
    found = axes if axes is not None else _axes_of(space.shape)
    if found is None:
        raise UserError(
            f"'{owner}' gives {_describe(space)}, which is neither grey (1 channel) nor colour (3): "
            f"{_CONVERT}, or name the axes, such as layout='HWT' for grey frames in the last axis"
        )
    if sorted(found) != sorted(set(found) & set("THWC")) or not {"H", "W"} <= set(found):
        raise UserError(
            f"layout is {found!r}; it must name each axis once: H rows, W columns and, where there are any, "
            "C colours and T frames"
        )
    if len(found) != len(space.shape):
        raise UserError(f"layout={found!r} names {len(found)} axes, but '{owner}' gives {_describe(space)}")
    layout = ImageLayout(space.shape, found, owner)
    if layout.channels not in _COLOURS:
        raise UserError(
            f"'{owner}' gives images of {layout.channels} channels, but an image is grey (1) or colour (3): "
            f"{_CONVERT}"
        )
    return layout


def check_channels(layout: ImageLayout, channels: int) -> None:
    """`UserError` unless an encoder of so many channels can read the images: grey ones it can always."""
    if layout.channels not in (1, channels):
        raise UserError(
            f"the encoder reads images of {channels} channel{'s' * (channels > 1)}, but '{layout.owner}' "
            f"gives colour images {layout.shape}: convert them first, with "
            "gymnasium.wrappers.GrayscaleObservation"
        )


def frames_of(images: Any, layout: ImageLayout, channels: int) -> Any:
    """Frames (N·T, H, W, C) of the images of N observations, all uint8; grey is repeated to C channels.

    images: an array or a PyTorch tensor (N, *layout.shape), or a list or tuple of N of (*layout.shape).
    T is 1 where there is no stack. Raises `UserError` for images that are not what the layout promises.
    """
    if isinstance(images, list | tuple):
        for image in images:
            check_image(image, layout)
        images = joined([image[None] for image in images])
    else:
        check_image(images, layout, batched=True)
    order = (0, *(1 + layout.axes.index(axis) for axis in "THWC" if axis in layout.axes))
    is_array = isinstance(images, np.ndarray)
    moved = images.transpose(order) if is_array else images.permute(order)
    frames = moved.reshape(-1, *layout.size, layout.channels)
    if layout.channels == channels:
        return frames
    return np.repeat(frames, channels, axis=3) if is_array else frames.expand(-1, -1, -1, channels)


def joined(parts: Sequence[Any]) -> Any:
    """Arrays, or PyTorch tensors, one after the other along their first axis; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(list(parts))


def check_image(image: Any, layout: ImageLayout, batched: bool = False) -> None:
    """`UserError` unless `image` is a uint8 array or tensor of the layout's shape, or a batch of them."""
    if not isinstance(image, np.ndarray) and not hasattr(image, "permute"):  # as tensors have
        what = "None" if image is None else f"an observation of type {type(image).__name__}"
        raise UserError(f"'{layout.owner}' gave {what} where an image of shape {layout.shape} should be")
    shape = tuple(image.shape[1:] if batched else image.shape)
    if shape != layout.shape:
        raise UserError(
            f"'{layout.owner}' gave an image of shape {shape} instead of {layout.shape}: images must keep "
            "their size and channels, so bring them to one, for example with "
            "gymnasium.wrappers.ResizeObservation"
        )
    if str(image.dtype) not in ("uint8", "torch.uint8"):
        raise UserError(f"'{layout.owner}' gave {_wrong_values(image)}; images are uint8, from 0 to 255")


def _axes_of(shape: tuple[int, ...]) -> str | None:
    if len(shape) == 2:
        return "HW"
    stack = "T" if len(shape) == 4 else ""
    if shape[-1] in _COLOURS:
        return stack + "HWC"
    if shape[-3] in _COLOURS:
        return stack + "CHW"
    # What FrameStackObservation makes of grey frames; a stack is shorter than its frames are wide.
    return "THW" if len(shape) == 3 and shape[0] < min(shape[1:]) else None


def _wrong_values(images: Any) -> str:
    kind = str(images.dtype).removeprefix("torch.")
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"a {kind} image that holds NaN or infinite values"
    if low < 0 or high > 255:
        return f"a {kind} image with values from {low:g} to {high:g}"
    hint = "(255 * image).astype(np.uint8)" if high <= 1 else "image.astype(np.uint8)"
    return f"a {kind} image although its observation space says uint8: convert it there, {hint}"


def _looks_like_images(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) >= 2


def _listed(space: spaces.Dict) -> str:
    return ", ".join(repr(name) for name in space.spaces)


def _describe(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Box):
        return f"{space.dtype} arrays of shape {space.shape}"
    return f"observations of type {type(space).__name__}"
